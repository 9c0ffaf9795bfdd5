package deployments

import (
	"os"
	"path/filepath"
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

// TestAlertsAreCovered holds each alert to its firing in a promtool test, and to what it tells the operator. That the worker's alerts
// stay silent on healthy fleets is TestAlertsByTrouble's: no alert but those of a scenario may fire in it, so a new one is held to
// all of them. Those on readers are silent in each test of a healthy service.
func TestAlertsAreCovered(t *testing.T) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, s := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		sections[s[1]] = true
	}
	for ruleFile, testFile := range alertFiles {
		var r rules
		readYAML(t, ruleFile, &r)
		fires, silent, healthy := outcomes(t, testFile)
		if ruleFile == "alerts/readers.yaml" && healthy < 4 {
			t.Errorf("%d tests of a healthy service: at work, idle, new, and in a rollout", healthy)
		}
		for _, rule := range r.Groups[0].Rules {
			if !fires[rule.Alert] {
				t.Errorf("%s fires in no test", rule.Alert)
			}
			if silent[rule.Alert] != healthy {
				t.Errorf("%s is silent in %d of %d tests of a healthy service", rule.Alert, silent[rule.Alert], healthy)
			}
			if want := "https://github.com/predcache/predcache/blob/main/docs/runbook.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url is %s, not %s", rule.Alert, rule.Annotations["runbook_url"], want)
			}
			if !sections[rule.Alert] {
				t.Errorf("%s has no section in docs/runbook.md", rule.Alert)
			}
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" || len(rule.Labels) != 1 {
				t.Errorf("%s: its labels are %v, and should be a severity", rule.Alert, rule.Labels)
			}
			if first, _, _ := strings.Cut(rule.Annotations["description"], " "); !slices.Contains(imperatives, first) {
				t.Errorf("%s: the description begins with %q, and should with what to do: %v", rule.Alert, first, imperatives)
			}
			for _, by := range regexp.MustCompile(`\bby \(([^)]*)\)`).FindAllStringSubmatch(rule.Expr, -1) {
				if !strings.HasPrefix(by[1], fleetLabels) {
					t.Errorf("%s: %q mixes fleets: every aggregation must be by %s", rule.Alert, by[0], fleetLabels)
				}
			}
		}
	}
}

// imperatives are the words with which an alert's description begins: it tells what to do.
var imperatives = []string{"Allow", "Check", "Compare", "Correct", "Find", "Look", "Lower", "Raise", "Read", "Start", "Turn"}

// fleetLabels are those of a fleet. More labels than a few, of fixed values, would make many alerts of one trouble.
const fleetLabels = "cluster, job, namespace"

// outcomes returns which alerts fire in a file of promtool tests, in how many tests of something healthy each is silent, and how many
// of those there are.
func outcomes(t *testing.T, file string) (fires map[string]bool, silent map[string]int, healthy int) {
	t.Helper()
	var tests struct {
		Tests []struct {
			Name          string
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, file, &tests)
	fires, silent = map[string]bool{}, map[string]int{}
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
	return fires, silent, healthy
}

// TestInhibitions checks alertmanager.yaml by Alertmanager's own tool, and that it speaks of alerts and labels that exist.
func TestInhibitions(t *testing.T) {
	text, err := os.ReadFile("alerts/alertmanager.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "alertmanager.yaml")
	complete := "route: {receiver: team, group_by: [alertname, " + fleetLabels + "]}\nreceivers: [{name: team}]\n" + string(text)
	if err := os.WriteFile(config, []byte(complete), 0o600); err != nil {
		t.Fatal(err)
	}
	command{}.must(t, tool(t, "amtool"), "check-config", config)
	known := map[string]bool{}
	for file := range alertFiles {
		var r rules
		readYAML(t, file, &r)
		for _, rule := range r.Groups[0].Rules {
			known[rule.Alert] = true
		}
	}
	names := regexp.MustCompile(`Predcache(?:\w+|\([\w|]+\))`).FindAllString(string(text), -1)
	if len(names) < 8 {
		t.Errorf("only %d names", len(names))
	}
	for _, name := range names {
		list := strings.Trim(strings.TrimPrefix(name, "Predcache"), "()")
		for alternative := range strings.SplitSeq(list, "|") {
			if !known["Predcache"+alternative] {
				t.Errorf("there is no alert Predcache%s", alternative)
			}
		}
	}
}
