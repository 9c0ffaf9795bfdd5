package predcache

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settingsList has the type of each of the worker's settings and, where there are few, its values. It is generated from
// internal/config (`make docs`), which this module can't import: programs that embed the component would need the worker's
// module too.
//
//go:embed settings.json
var settingsList []byte

// A setting is one of the worker's settings.
type setting struct {
	Type   string   `json:"type"`             // duration, integer, number, boolean or string
	Values []string `json:"values,omitempty"` // all that it takes; any where empty
}

// checkSettings returns an error for each variable that is neither a setting of the worker with a value of its type, nor one
// that the OpenTelemetry SDK (OTEL_) or the Go runtime (GOGC, GODEBUG and so on) reads.
func checkSettings(variables map[string]string) (errs []error) {
	var settings map[string]setting
	if err := json.Unmarshal(settingsList, &settings); err != nil {
		return []error{fmt.Errorf("reading the worker's settings: %w", err)}
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		s, known := settings[name]
		switch {
		case slices.Contains([]string{"WORKER_QUEUE_URL", "WORKER_TABLE_NAME", "WORKER_REJECT_QUEUE_URL"}, name):
			errs = append(errs, fmt.Errorf("workerSettings: %s is set by the stack", name))
		case slices.Contains([]string{"WORKER_OBJECTS_QUEUE_URL", "WORKER_OBJECTS", "WORKER_OBJECTS_BUCKET_OWNER"}, name):
			errs = append(errs, fmt.Errorf("workerSettings: %s is set by the stack: give objects", name))
		case known:
			if want := s.refusal(variables[name]); want != "" {
				errs = append(errs, fmt.Errorf("workerSettings: %s is %q: must be %s", name, variables[name], want))
			}
		case !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "GO"):
			errs = append(errs, fmt.Errorf("workerSettings: unknown setting %s: `worker config` lists the settings; OTEL_ and GO variables pass through", name))
		}
	}
	return errs
}

// refusal returns what the setting takes if it does not take a value, and "" if it does. The worker checks ranges.
func (s setting) refusal(value string) string {
	if len(s.Values) > 0 && !slices.Contains(s.Values, value) {
		return "one of " + strings.Join(s.Values, ", ")
	}
	var err error
	var want string
	switch s.Type {
	case "duration":
		want = "a duration like 500ms, 20s or 24h"
		_, err = time.ParseDuration(value)
	case "integer":
		want = "an integer"
		_, err = strconv.ParseInt(value, 0, 64)
	case "number":
		want = "a number"
		_, err = strconv.ParseFloat(value, 64)
	case "boolean":
		want = "true or false"
		_, err = strconv.ParseBool(value)
	}
	if err == nil {
		return ""
	}
	return want
}

// egressPorts returns the ports that the worker connects to: HTTPS for AWS, and that of an OpenTelemetry collector.
func egressPorts(variables map[string]string) []int {
	ports := []int{443}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"} {
		u, err := url.Parse(variables[name])
		if err != nil || u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" {
			continue
		}
		if port, err := strconv.Atoi(u.Port()); err == nil && !slices.Contains(ports, port) {
			ports = append(ports, port)
		} else if err != nil && u.Scheme == "http" && !slices.Contains(ports, 80) {
			ports = append(ports, 80)
		}
	}
	return ports
}

// memoryNeed returns the memory in MiB that the worker may take (docs/guarantees.md, Memory): what it holds and a third, 2 MiB
// for each write under way, 64 bytes for each remembered key, and 100 MiB for the rest. With batch outputs, also the rows that
// it holds and a third, and 2 MiB for each write and for each range of theirs.
func memoryNeed(settings map[string]string) int {
	number := func(name string, standard float64) float64 {
		if n, err := strconv.ParseInt(settings[name], 0, 64); err == nil {
			return float64(n)
		}
		return standard
	}
	bytes := number("WORKER_MAX_HELD_BYTES", 100<<20)*4/3 + number("WORKER_WRITE_CONCURRENCY", 8)*(2<<20) + number("WORKER_DEDUP_WINDOW", 100_000)*64 + 100<<20
	if settings["WORKER_OBJECTS_QUEUE_URL"] != "" {
		writes := number("WORKER_OBJECTS_WRITE_CONCURRENCY", 0)
		if writes == 0 {
			writes = number("WORKER_WRITE_CONCURRENCY", 8) / 2
		}
		bytes += number("WORKER_OBJECTS_MAX_BYTES", 48<<20)*4/3 + (writes+number("WORKER_OBJECTS_CONCURRENCY", 8))*(2<<20)
	}
	return int(math.Ceil(bytes / (1 << 20)))
}
