package telemetry

import (
	"math"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
)

func TestCostIsWhatAWSBills(t *testing.T) {
	m := wired()
	q := &queue{}
	watched := m.WatchQueue(q)
	receive := func(sizes ...int) {
		q.received = nil
		for _, size := range sizes {
			q.received = append(q.received, consumer.Received{Body: strings.Repeat("x", size)})
		}
		if _, err := watched.Receive(t.Context(), 10, 0); err != nil {
			t.Fatal(err)
		}
	}
	receive()                                         // 1, empty
	receive(10)                                       // 1
	receive(32<<10, 32<<10)                           // 1: 64 KB exactly
	receive(32<<10, 32<<10, 1)                        // 2
	_, _ = watched.Delete(t.Context(), []string{"r"}) // 1
	if requests, empty := value(m.requests), value(m.emptyReceives); requests != 6 || empty != 1 {
		t.Errorf("%v requests, %v empty receives; want 6 and 1", requests, empty)
	}
	m.Spent(4)
	m.Outcome(prediction.Written, 1, 0)
	m.Outcome(prediction.Duplicate, 1, 0)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := (4*0.625 + 6*0.40) / 1e6
	for _, f := range families {
		switch f.GetName() {
		case "predcache_cost_dollars_total":
			if got := f.GetMetric()[0].GetCounter().GetValue(); math.Abs(got-want) > 1e-12 {
				t.Errorf("%v dollars, want %v", got, want)
			}
		case "predcache_cost_dollars_per_million_predictions":
			if got := f.GetMetric()[0].GetGauge().GetValue(); math.Abs(got-want*1e6/2) > 1e-6 {
				t.Errorf("%v dollars a million, want %v", got, want*1e6/2)
			}
		}
	}
}
