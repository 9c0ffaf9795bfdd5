//go:build long

package testproviders

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optdestroy"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optrefresh"
	sdk "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
)

// An engine is Pulumi's, with a backend in a folder and the test provider.
type engine struct {
	dir string
	env map[string]string
}

func newEngine(t *testing.T) engine {
	t.Helper()
	dir := t.TempDir()
	build(t, ".", filepath.Join(dir, "pulumi-resource-aws"), "./pulumi-resource-aws")
	cache, err := filepath.Abs("../../.cache/deploy/bin")
	if err != nil {
		t.Fatal(err)
	}
	path := dir + string(os.PathListSeparator) + cache + string(os.PathListSeparator) + os.Getenv("PATH")
	t.Setenv("PATH", path) // for the Automation API, which looks pulumi up itself
	return engine{dir, map[string]string{
		"PATH": path, "PULUMI_BACKEND_URL": "file://" + dir, "PULUMI_CONFIG_PASSPHRASE": "test", "PULUMI_SKIP_UPDATE_CHECK": "true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true", "PULUMI_HOME": filepath.Join(dir, "home"),
	}}
}

// stack returns a stack of a program, with its configuration.
func (e engine) stack(t *testing.T, s scenario, program sdk.RunFunc) auto.Stack {
	t.Helper()
	stack, err := auto.UpsertStackInlineSource(t.Context(), s.name, "predcache", program, auto.EnvVars(e.env), auto.PulumiHome(e.env["PULUMI_HOME"]))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"aws:region": os.Getenv("AWS_REGION"), "predcache:cache": s.cache, "predcache:service": s.service} {
		if value == "" {
			continue
		}
		if err := stack.SetConfig(t.Context(), key, auto.ConfigValue{Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	return stack
}

// up brings a stack up, and returns its outputs. It fails the test if the stack deletes or replaces anything.
func up(t *testing.T, stack auto.Stack) map[string]any {
	t.Helper()
	done, err := stack.Up(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes := *done.Summary.ResourceChanges
	for operation := range changes {
		switch operation {
		case "create", "same", "update", "import":
		default:
			t.Errorf("the stack does a %s: %v", operation, changes)
		}
	}
	t.Logf("up: %s", text(changes))
	out := map[string]any{}
	for name, o := range done.Outputs {
		out[name] = o.Value
	}
	return out
}

// unchanged fails the test if anything is left to change in a stack.
func unchanged(t *testing.T, stack auto.Stack) {
	t.Helper()
	again, err := stack.Preview(t.Context(), optpreview.ExpectNoChanges())
	if err != nil {
		t.Errorf("the second preview: %v, %v", err, again.ChangeSummary)
	}
	t.Logf("second preview: %v", again.ChangeSummary)
}

func destroy(t *testing.T, stack auto.Stack) {
	t.Helper()
	down, err := stack.Destroy(t.Context(), optdestroy.Message("test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("destroy: %s", text(*down.Summary.ResourceChanges))
}

func TestPulumiStacks(t *testing.T) {
	s, e := newSite(t), newEngine(t)
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			stack := e.stack(t, l.scenario, predcache.Program)
			preview, err := stack.Preview(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("preview: %v", preview.ChangeSummary)
			out := up(t, stack)
			// Nothing is left to change: by what is declared, and by what the services say there is.
			unchanged(t, stack)
			if refreshed, err := stack.Refresh(t.Context(), optrefresh.ExpectNoChanges()); err != nil {
				t.Errorf("what was made is not what was declared: %v\n%s", err, refreshed.StdOut)
			}
			s.holds(t, l, out)
			if l.unlocked != "" {
				up(t, e.stack(t, scenario{l.name, l.unlocked, l.service}, predcache.Program))
			}
			destroy(t, stack)
			s.isGone(t, out)
		})
	}
}
