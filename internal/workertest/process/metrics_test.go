package process

import (
	"maps"
	"testing"
)

func TestMetrics(t *testing.T) {
	m, err := ParseMetrics(`# HELP predcache_calls_total Calls of AWS.
# TYPE predcache_calls_total counter
predcache_calls_total{operation="BatchWriteItem"} 60
predcache_call_errors_total{code="a}b\" c",operation="BatchWriteItem"} 1
predcache_call_errors_total{code="timeout",operation="BatchWriteItem"} 2
predcache_call_errors_total{code="timeout",operation="ReceiveMessage"} 0
predcache_held_bytes 1.5e+06
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Sum("predcache_call_errors_total"); got != 3 {
		t.Errorf("the sum is %d", got)
	}
	if got := m.Sum("predcache_held_bytes"); got != 1_500_000 {
		t.Errorf("the gauge is %d", got)
	}
	if got := m.Sum("predcache_held"); got != 0 {
		t.Errorf("a metric that isn't there is %d", got)
	}
	if got := m.By("predcache_call_errors_total", "operation"); !maps.Equal(got, map[string]int{"BatchWriteItem": 3}) {
		t.Errorf("by operation: %v", got)
	}
	if got := m.By("predcache_call_errors_total", "code"); !maps.Equal(got, map[string]int{`a}b\" c`: 1, "timeout": 2}) {
		t.Errorf("by code: %v", got)
	}
	if _, err := ParseMetrics("<html>\n"); err == nil {
		t.Error("HTML is read as metrics")
	}
}
