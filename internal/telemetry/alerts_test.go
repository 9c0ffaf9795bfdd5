package telemetry

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// file returns a file of the repository.
func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTroubleIsAlerted holds each declared metric to the alerts. One that tells of trouble is read by the alerts that it
// names, each with a section in the runbook, and is on the dashboard; or its declaration says why it has no alert.
func TestTroubleIsAlerted(t *testing.T) {
	rules := map[string]string{} // the text of each alert, by its name
	for i, rule := range strings.Split(file(t, "deployments/alerts/predcache.yaml"), "- alert: ") {
		if name, text, _ := strings.Cut(rule, "\n"); i > 0 {
			text, _, _ = strings.Cut(text, "annotations:")
			rules[name] = text
		}
	}
	runbook, dashboard := file(t, "docs/runbook.md"), file(t, "deployments/grafana/predcache.json")
	declared := NewMetrics(Options{Now: time.Now}).declared
	for _, d := range declared {
		name := prefix + d.name
		whole := regexp.MustCompile(`\b` + name + `(_bucket|_sum|_count)?\b`)
		if known := d.trouble.none || d.trouble.reason != "" || len(d.trouble.alerts) > 0; !known {
			t.Errorf("%s: the declaration must say whether it tells of trouble: alerts, noAlert or noTrouble", name)
		}
		if reason := d.trouble.reason; reason != "" && (len(reason) < 20 || !strings.HasSuffix(reason, ".")) {
			t.Errorf("%s: %q is no reason to have no alert", name, reason)
		}
		for _, alert := range d.trouble.alerts {
			if !whole.MatchString(rules[alert]) {
				t.Errorf("%s: the alert %s doesn't read it", name, alert)
			}
		}
		if !d.trouble.none && !strings.HasSuffix(d.name, "_limit") && !whole.MatchString(dashboard) {
			t.Errorf("%s tells of trouble and is not on the dashboard", name)
		}
		for alert, text := range rules {
			if whole.MatchString(text) && !slices.Contains(d.trouble.alerts, alert) {
				t.Errorf("%s: the alert %s reads it, which its declaration doesn't say", name, alert)
			}
		}
	}
	if len(rules) < 10 {
		t.Errorf("%d alerts were found", len(rules))
	}
	for alert := range rules {
		if !strings.Contains(runbook, "\n## "+alert+"\n") {
			t.Errorf("%s has no section in docs/runbook.md", alert)
		}
	}
}
