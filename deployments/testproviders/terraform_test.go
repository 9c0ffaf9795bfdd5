package testproviders

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// A tofu runs OpenTofu in a folder, with the test provider as its registry.
type tofu struct {
	dir, binary string
	env         []string
}

func newTofu(t *testing.T, files map[string]string) tofu {
	t.Helper()
	binary, err := filepath.Abs("../../.cache/deploy/bin/tofu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("tofu is not installed: run the tests by make deploy-check or make deploy-test, which install it")
	}
	mirror := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "./mirror.sh", mirror).CombinedOutput(); err != nil {
		t.Fatalf("mirror.sh: %v\n%s", err, out)
	}
	x := tofu{t.TempDir(), binary, append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(mirror, "cli.tfrc"), "TF_IN_AUTOMATION=1")}
	x.write(t, files)
	// By an absolute path, OpenTofu would copy the module without the files beside it.
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(repository, filepath.Join(x.dir, "repository")); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x tofu) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(x.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command that has to succeed, and returns its standard output.
func (x tofu) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := x.try(t, args...)
	if err != nil {
		t.Fatalf("tofu %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try returns the standard error too where the command fails.
func (x tofu) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), x.binary, args...)
	cmd.Dir, cmd.Env = x.dir, x.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String() + errs.String(), fmt.Errorf("running tofu: %w", err)
	}
	return out.String(), nil
}

// module returns a root module that calls the module here, by its JSON form.
func module(calls map[string]map[string]any) string {
	outputs := map[string]any{}
	for name, call := range calls {
		call["source"] = "./repository/deployments/terraform"
		outputs[name] = map[string]any{"value": "${module." + name + "}"}
	}
	out, _ := json.MarshalIndent(map[string]any{"module": calls, "output": outputs}, "", "\t")
	return string(out)
}

// A stack is what a call of the module has made.
type stack struct {
	resources map[string]map[string]any // by type and role, see role
	outputs   map[string]any
	addresses map[string]string // of each resource
}

// A shown is what `tofu show -json` prints.
type shown struct {
	Values struct {
		Outputs map[string]struct{ Value map[string]any }
		Root    struct {
			Children []struct {
				Address   string
				Resources []struct {
					Address, Mode, Type, Name string
					Index                     any
					Values                    map[string]any
				}
			} `json:"child_modules"`
		} `json:"root_module"`
	}
}

// terraform makes all scenarios. No service is asked: see package resources.
func terraform(t *testing.T, scenarios []scenario) map[string]stack {
	t.Helper()
	calls := map[string]map[string]any{}
	for _, s := range scenarios {
		calls[s.name] = variables(t, s)
	}
	x := newTofu(t, map[string]string{"main.tf.json": module(calls)})
	x.run(t, "init", "-no-color")
	x.run(t, "apply", "-no-color", "-auto-approve")
	return x.stacks(t)
}

// stacks returns what is in the state, by the calls of the module.
func (x tofu) stacks(t *testing.T) map[string]stack {
	t.Helper()
	all, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	var state shown
	if err := json.Unmarshal([]byte(x.run(t, "show", "-json")), &state); err != nil {
		t.Fatal(err)
	}
	stacks := map[string]stack{}
	for _, m := range state.Values.Root.Children {
		name := strings.TrimPrefix(m.Address, "module.")
		s := stack{map[string]map[string]any{}, map[string]any{}, map[string]string{}}
		for output, value := range state.Values.Outputs[name].Value {
			if value != nil {
				s.outputs[output] = value
			}
		}
		for _, r := range m.Resources {
			if r.Mode != "managed" {
				continue
			}
			role := r.Name
			if r.Index != nil && r.Index != 0.0 { // the first, and often only one of a count has no key
				role += fmt.Sprintf("/%v", r.Index)
			}
			key := r.Type + " " + role
			s.resources[key], s.addresses[key] = all.Resources[r.Type].Inputs(r.Values), r.Address
		}
		stacks[name] = s
	}
	return stacks
}
