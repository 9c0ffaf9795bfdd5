package deployments

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
)

var update = flag.Bool("update", false, "write the lists of settings of the Pulumi component, and the chart's schema and table of values")

// A setting is one of the worker's settings, as the Pulumi component and the chart check it.
type setting struct {
	Type    string   `json:"type"`
	Values  []string `json:"values,omitempty"`
	meaning string
}

var oneOf = regexp.MustCompile(`must be one of (.*)`)

// workerSettings reads the settings from the worker's own configuration. The values of a setting that takes few are in the
// error for one that it doesn't take.
func workerSettings(t *testing.T) map[string]setting {
	t.Helper()
	settings, fields := map[string]setting{}, reflect.TypeFor[config.Config]()
	for i, s := range config.Settings() {
		list := setting{meaning: s.Meaning}
		switch kind := fields.Field(i).Type; {
		case kind == reflect.TypeFor[time.Duration]():
			list.Type = "duration"
		case kind.Kind() == reflect.Int || kind.Kind() == reflect.Int64:
			list.Type = "integer"
		case kind.Kind() == reflect.Float64:
			list.Type = "number"
		case kind.Kind() == reflect.Bool:
			list.Type = "boolean"
		case kind.Kind() == reflect.String:
			list.Type = "string"
			t.Setenv(s.Name, "no such value")
			_, err := config.Load()
			for line := range strings.Lines(err.Error()) {
				if values := oneOf.FindStringSubmatch(line); values != nil && strings.HasPrefix(line, s.Name+" ") {
					list.Values = strings.Split(strings.TrimSpace(values[1]), ", ")
				}
			}
			os.Unsetenv(s.Name)
		default:
			t.Fatalf("%s is a %v, which neither the component nor the chart can check", s.Name, kind)
		}
		settings[s.Name] = list
	}
	if got := settings["WORKER_LOG_LEVEL"].Values; len(got) != 4 {
		t.Fatalf("WORKER_LOG_LEVEL takes %q: how the worker lists the values has changed", got)
	}
	return settings
}

func TestComponentHasTheWorkersSettings(t *testing.T) {
	want, err := json.MarshalIndent(workerSettings(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	generated(t, "pulumi/predcache/settings.json", func([]byte) []byte { return append(want, '\n') })
}

// The component's module can't embed files that lie outside of it.
func TestComponentHasTheAlarms(t *testing.T) {
	for _, file := range []string{"alarms.json", "dashboard.json"} {
		text, err := os.ReadFile("cloudwatch/" + file)
		if err != nil {
			t.Fatal(err)
		}
		generated(t, "pulumi/predcache/"+file, func([]byte) []byte { return text })
	}
}

// chartSetting is the JSON schema of a setting's value. Values come as YAML has them, and as text by --set-string.
func chartSetting(s setting) object {
	schema := object{"description": s.meaning}
	switch s.Type {
	case "duration":
		schema["type"], schema["pattern"] = "string", `^[-+]?(0|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`
	case "integer":
		schema["type"], schema["pattern"] = []string{"integer", "string"}, `^[-+]?[0-9]+$`
	case "number":
		schema["type"], schema["pattern"] = []string{"number", "string"}, `^[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$`
	case "boolean":
		schema["type"], schema["pattern"] = []string{"boolean", "string"}, `^(true|false)$`
	default:
		if s.Values != nil {
			schema["enum"] = s.Values
		} else {
			schema["type"] = []string{"string", "number"}
		}
	}
	return schema
}

// inChart are the settings with values of their own in the chart.
var inChart = []string{"WORKER_QUEUE_URL", "WORKER_TABLE_NAME", "WORKER_REJECT_QUEUE_URL", "WORKER_OBJECTS_QUEUE_URL", "WORKER_OBJECTS", "WORKER_DRAIN_TIMEOUT", "WORKER_HTTP_ADDR"}

// chartSettings are the schemas of worker.settings, by name.
func chartSettings(t *testing.T) object {
	t.Helper()
	properties := object{}
	for name, s := range workerSettings(t) {
		if !slices.Contains(inChart, name) {
			properties[strings.TrimPrefix(name, "WORKER_")] = chartSetting(s)
		}
	}
	return properties
}

// generated compares a file with what it should be, or writes it.
func generated(t *testing.T, name string, content func(old []byte) []byte) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := content(old)
	if *update {
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(old, want) {
		t.Errorf("%s is not up to date: run make docs", name)
	}
}
