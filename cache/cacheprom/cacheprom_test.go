package cacheprom_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/cache/cacheprom"
)

type stats cache.Stats

func (s stats) Stats() cache.Stats { return cache.Stats(s) }

func TestCollector(t *testing.T) {
	c := cacheprom.NewCollector(stats{
		FrontHits: 3, NegativeHits: 4, ComputedHits: 5, StaleHits: 6, Shared: 7, Unavailable: 8,
		TableHits: 10, Misses: 12, ExpiredOnly: 5, Deleted: 3, ItemErrors: 1, Errors: 2, Computed: 9, EarlyComputed: 4, ComputeErrors: 1, ReadUnits: 1.5,
		EventAges: cache.Histogram{Bounds: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, Counts: []int64{1, 2, 3, 4}, Sum: 30 * time.Second},
	}, prometheus.Labels{"table": "t"})
	const want = `
# HELP predcache_reader_answers_total Answers that the front or the process gave without a call of their own, by where they came from.
# TYPE predcache_reader_answers_total counter
predcache_reader_answers_total{from="computed",table="t"} 5
predcache_reader_answers_total{from="front",table="t"} 3
predcache_reader_answers_total{from="negative",table="t"} 4
predcache_reader_answers_total{from="shared",table="t"} 7
predcache_reader_answers_total{from="stale",table="t"} 6
predcache_reader_answers_total{from="unavailable",table="t"} 8
# HELP predcache_reader_computations_total Computations of GetOrCompute, by result.
# TYPE predcache_reader_computations_total counter
predcache_reader_computations_total{result="early",table="t"} 4
predcache_reader_computations_total{result="error",table="t"} 1
predcache_reader_computations_total{result="miss",table="t"} 5
# HELP predcache_reader_event_age_seconds Ages of predictions as they were read from the table, since their event times.
# TYPE predcache_reader_event_age_seconds histogram
predcache_reader_event_age_seconds_bucket{table="t",le="1"} 1
predcache_reader_event_age_seconds_bucket{table="t",le="4"} 6
predcache_reader_event_age_seconds_bucket{table="t",le="+Inf"} 10
predcache_reader_event_age_seconds_sum{table="t"} 30
predcache_reader_event_age_seconds_count{table="t"} 10
# HELP predcache_reader_read_units_total Read units that the calls cost.
# TYPE predcache_reader_read_units_total counter
predcache_reader_read_units_total{table="t"} 1.5
# HELP predcache_reader_reads_total Reads of the table, one for each id, by result.
# TYPE predcache_reader_reads_total counter
predcache_reader_reads_total{result="deleted",table="t"} 3
predcache_reader_reads_total{result="error",table="t"} 2
predcache_reader_reads_total{result="expired",table="t"} 5
predcache_reader_reads_total{result="hit",table="t"} 10
predcache_reader_reads_total{result="item_error",table="t"} 1
predcache_reader_reads_total{result="miss",table="t"} 4
# HELP predcache_reader_table_available 1 while the table answers, 0 while the front answers alone.
# TYPE predcache_reader_table_available gauge
predcache_reader_table_available{table="t"} 0
`
	var names []string
	for line := range strings.Lines(want) {
		if name, found := strings.CutPrefix(line, "# TYPE "); found {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
