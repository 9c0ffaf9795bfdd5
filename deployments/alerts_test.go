package deployments

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// alertFiles are the alerts of the worker and of services that read, each with its tests.
var alertFiles = map[string]string{"alerts/predcache.yaml": "alerts/tests.yaml", "alerts/readers.yaml": "alerts/readers_tests.yaml"}

func TestAlertsPassPromtool(t *testing.T) {
	for rules, tests := range alertFiles {
		command{}.must(t, tool(t, "promtool"), "check", "rules", rules)
		t.Log(command{}.must(t, tool(t, "promtool"), "test", "rules", tests))
	}
}

// metrics are the names of everything that the worker exports: those of docs/telemetry.md, which a test of internal/telemetry keeps
// the same as the registry's. The names of the reader's are those that package cacheprom makes.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	table, err := os.ReadFile("../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"process_start_time_seconds": true} // client_golang's process collector
	for _, row := range regexp.MustCompile("(?m)^\\| `(predcache_[a-z_]+)` \\| ([a-z]+) ").FindAllStringSubmatch(string(table), -1) {
		names[row[1]] = true
		if row[2] == "histogram" {
			names[row[1]+"_bucket"], names[row[1]+"_sum"], names[row[1]+"_count"] = true, true, true
		}
	}
	adapter, err := os.ReadFile("../cache/cacheprom/cacheprom.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range regexp.MustCompile(`desc\("([a-z_]+)"`).FindAllStringSubmatch(string(adapter), -1) {
		name := "predcache_reader_" + call[1]
		names[name] = true
		if strings.HasSuffix(name, "_seconds") {
			names[name+"_bucket"], names[name+"_sum"], names[name+"_count"] = true, true, true
		}
	}
	return names
}

// A metric that is renamed would silence its alert for ever.
func TestDeployedMetricsExist(t *testing.T) {
	known := metrics(t)
	if len(known) < 20 {
		t.Fatalf("only %d metrics are known", len(known))
	}
	files := []string{"alerts/predcache.yaml", "alerts/tests.yaml", "alerts/readers.yaml", "alerts/readers_tests.yaml", "../docs/runbook.md", "../docs/deploy.md"}
	dashboards, err := os.ReadDir("grafana")
	if err == nil {
		for _, d := range dashboards {
			if strings.HasSuffix(d.Name(), ".json") {
				files = append(files, "grafana/"+d.Name())
			}
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range regexp.MustCompile(`\bpredcache_[a-z0-9_]+`).FindAllString(string(text), -1) {
			// Recording rules of a dashboard, and outputs of the stack, are not metrics.
			if !known[name] && name != "prediction_cache_table_name" {
				t.Errorf("%s: the worker has no metric %s", file, name)
			}
		}
	}
}

// Each alert has a section in the runbook, a test in which it fires, and stays silent in every test of a healthy worker, be it idle
// or at work.
func TestAlertsAreCovered(t *testing.T) {
	for rules, tests := range alertFiles {
		t.Run(rules, func(t *testing.T) { covered(t, rules, tests) })
	}
}

func covered(t *testing.T, ruleFile, testFile string) {
	var r rules
	readYAML(t, ruleFile, &r)
	var tests struct {
		Tests []struct {
			Name          string
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, testFile, &tests)
	fires, silent, healthy := map[string]bool{}, map[string]int{}, 0
	for _, test := range tests.Tests {
		isHealthy := strings.HasPrefix(test.Name, "a healthy ")
		if isHealthy {
			healthy++
		}
		for _, a := range test.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
			} else if isHealthy {
				silent[a.Alertname]++
			}
		}
	}
	if healthy < 3 {
		t.Errorf("%d tests of a healthy worker: at work, idle, and idle since its start", healthy)
	}
	runbook, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(runbook), -1)
	n := 0
	for _, group := range r.Groups {
		for _, rule := range group.Rules {
			n++
			if !fires[rule.Alert] || silent[rule.Alert] != healthy {
				t.Errorf("%s: fires in a test: %v; stays silent in %d of %d tests of a healthy worker", rule.Alert, fires[rule.Alert], silent[rule.Alert], healthy)
			}
			if want := "https://github.com/predcache/predcache/blob/main/docs/runbook.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url is %s, not %s", rule.Alert, rule.Annotations["runbook_url"], want)
			}
			if !slices.ContainsFunc(sections, func(s []string) bool { return s[1] == rule.Alert }) {
				t.Errorf("%s has no section in docs/runbook.md", rule.Alert)
			}
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s: severity is %q", rule.Alert, severity)
			}
		}
	}
	t.Logf("%d alerts", n)
}
