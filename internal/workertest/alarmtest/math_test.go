package alarmtest

import (
	"math"
	"testing"
)

func TestMetricMath(t *testing.T) {
	nan := math.NaN()
	series := map[string]points{"a": {1, 0, nan, 4}, "b": {2, 0, 3, nan}}
	for expression, want := range map[string]points{
		"a + 2 * b":                        {5, 0, nan, nan},
		"(a + 2) * b":                      {6, 0, nan, nan},
		"a / b":                            {0.5, nan, nan, nan},
		"FILL(a, 7)":                       {1, 0, 7, 4},
		"IF(a > 0 AND b >= 2, 10, a)":      {10, 0, nan, nan},
		"FILL(a, 0) == 0 OR b == 2":        {1, 1, 1, nan},
		"IF(FILL(a, 0) == 0, 1, 0)":        {0, 1, 1, 0},
		"IF(a + b > 0, 100 * a/(a+b), 0)":  {100.0 / 3, 0, nan, nan},
		"FILL(a, 0) != 4 AND b - 1 < 1000": {1, 1, 1, nan},
	} {
		got, err := evaluate(expression, series, 4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				t.Errorf("%s is %v, want %v", expression, got, want)
				break
			}
		}
	}
	for name, want := range map[string]float64{"Sum": 10, "Average": 2.5, "Minimum": 1, "Maximum": 4, "SampleCount": 4, "p50": 3, "p99": 4} {
		if got := statistic(name, []float64{1, 2, 3, 4}); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestMetricMathIsRefused(t *testing.T) {
	for _, expression := range []string{"a +", "b", "IF(a, 1)", "a a", "(a", "FILL(a 0)", "SEARCH(a)"} {
		if got, err := evaluate(expression, map[string]points{"a": {1}}, 1); err == nil {
			t.Errorf("%s is %v", expression, got)
		}
	}
}
