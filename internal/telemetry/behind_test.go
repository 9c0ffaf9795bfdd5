package telemetry

import (
	"testing"
	"time"
)

func TestBehindByAges(t *testing.T) {
	for _, test := range []struct {
		name    string
		latency time.Duration // WORKER_MAX_ADDED_LATENCY
		ages    map[float64]int
		behind  bool
	}{
		{"nothing written", 0, nil, false},
		{"fresh", 0, map[float64]int{.02: 1000}, false},
		{"a tenth is late, from one slow worker or redelivered", 0, map[float64]int{.02: 900, 3600: 100}, false},
		{"a backlog", 0, map[float64]int{.02: 100, 180: 900}, true},
		{"older than the last bucket", 0, map[float64]int{1e6: 10}, true},
		{"late by the settings", 20 * time.Second, map[float64]int{100: 10}, false},
		{"later than the settings allow", 20 * time.Second, map[float64]int{400: 10}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := NewMetrics(Options{Now: time.Now, Limits: Limits{Age: BehindAge(test.latency)}})
			for age, n := range test.ages {
				for range n {
					m.age.Observe(age)
				}
			}
			if got := m.Values(time.Now()).Age.Quantile(.5) > m.Limits().Age.Seconds(); got != test.behind {
				t.Errorf("behind: %v", got)
			}
		})
	}
}
