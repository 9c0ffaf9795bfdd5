package telemetry

import (
	"math"
	"testing"
)

func TestDistribution(t *testing.T) {
	d := Distribution{Bounds: []float64{1, 2, 4}, Counts: []uint64{50, 90, 99}, Count: 100, Sum: 160}
	for q, want := range map[float64]float64{.25: .5, .5: 1, .9: 2, .945: 3, .999: 4} {
		if got := d.Quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if got := (Distribution{}).Quantile(.5); !math.IsNaN(got) {
		t.Errorf("a quantile of nothing is %v", got)
	}
	later := Distribution{Bounds: d.Bounds, Counts: []uint64{50, 100, 109}, Count: 110, Sum: 180}
	if got := later.Since(d); got.Count != 10 || got.Mean() != 2 || got.Quantile(.5) != 1.5 {
		t.Errorf("the difference is %+v", got)
	}
}
