//go:build long

package testproviders

import (
	"encoding/json"
	"strings"
	"testing"
)

// planned returns the summary of a plan, which must not fail.
func (x tofu) planned(t *testing.T) string {
	t.Helper()
	out := x.run(t, "plan", "-no-color")
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Plan: ") || strings.HasPrefix(line, "No changes.") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("a plan without a summary:\n%s", out)
	return ""
}

// isUnchanged fails the test if anything is left to change: by what is declared, and by what the services say there is.
func (x tofu) isUnchanged(t *testing.T) {
	t.Helper()
	if out, err := x.try(t, "plan", "-no-color", "-detailed-exitcode"); err != nil {
		t.Errorf("the second plan is not empty: %v\n%s", err, out)
	}
}

// outputs returns the outputs of a call of the module.
func (x tofu) outputs(t *testing.T, call string) (out map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(x.run(t, "output", "-json", call)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTerraformStacks(t *testing.T) {
	s := newSite(t)
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			x := newTofu(t, map[string]string{"main.tf.json": module(map[string]map[string]any{l.name: variables(t, l.scenario)})})
			x.run(t, "init", "-no-color")
			t.Log(x.planned(t))
			x.run(t, "apply", "-no-color", "-auto-approve")
			x.isUnchanged(t)
			out := x.outputs(t, l.name)
			s.holds(t, l, out)
			if l.unlocked != "" {
				unlocked := variables(t, scenario{l.name, l.unlocked, l.service})
				x.write(t, map[string]string{"main.tf.json": module(map[string]map[string]any{l.name: unlocked})})
				t.Logf("without protection: %s", x.planned(t))
				x.run(t, "apply", "-no-color", "-auto-approve")
			}
			x.run(t, "destroy", "-no-color", "-auto-approve")
			s.isGone(t, out)
		})
	}
}
