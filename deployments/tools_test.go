package deployments

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// tool is the path of a tool that tools/install.sh has installed.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../.cache/deploy/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed: run the tests by make deploy-check or make deploy-test, which install it", name)
	}
	return path
}

// A command is a program's run.
type command struct {
	dir   string
	env   []string
	stdin string
	limit time.Duration // one minute where it is 0
}

// run runs a program and returns its output, standard output first.
func (c command) run(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if c.limit == 0 {
		c.limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = c.dir, strings.NewReader(c.stdin)
	cmd.Env = append(os.Environ(), c.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// must runs a program that has to succeed, and returns its standard output.
func (c command) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := c.run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// object is a JSON or YAML object.
type object = map[string]any

// at follows a path of names and places into a decoded document; nil where there is nothing.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(object)
			v = m[step]
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
