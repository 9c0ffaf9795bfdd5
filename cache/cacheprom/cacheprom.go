// Package cacheprom exports what a cache.Cache has done as Prometheus metrics.
//
//	prometheus.MustRegister(cacheprom.NewCollector(predictions, prometheus.Labels{"table": "predictions"}))
//
// docs/reading.md lists the metrics; deployments/ has alerts and a dashboard row that use them.
package cacheprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/cache"
)

// A Source is a *cache.Cache.
type Source interface{ Stats() cache.Stats }

// NewCollector returns a collector of a Cache's metrics, all with these labels. A process with several Caches registers one
// for each, with labels that differ.
func NewCollector(source Source, labels prometheus.Labels) prometheus.Collector {
	c := &collector{source: source}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("predcache_reader_"+name, help, variable, labels)
	}
	c.answers = desc("answers_total", "Answers that the front or the process gave without a call of their own, by where they came from.", "from")
	c.reads = desc("reads_total", "Reads of the table, one for each id, by result.", "result")
	c.computations = desc("computations_total", "Computations of GetOrCompute, by result.", "result")
	c.ages = desc("front_age_seconds", "Ages of the front's answers, since their reads were sent.")
	c.eventAges = desc("event_age_seconds", "Ages of predictions as they were read from the table, since their event times.")
	c.simple = []metric{
		{desc("calls_total", "Calls of DynamoDB, hedges included."), prometheus.CounterValue, func(s *cache.Stats) float64 { return float64(s.Calls) }},
		{desc("read_units_total", "Read units that the calls cost."), prometheus.CounterValue, func(s *cache.Stats) float64 { return s.ReadUnits }},
		{desc("hedges_total", "Calls that were made a second time because the first took long."), prometheus.CounterValue, func(s *cache.Stats) float64 { return float64(s.Hedges) }},
		{desc("hedge_wins_total", "Hedged calls whose second answer came first."), prometheus.CounterValue, func(s *cache.Stats) float64 { return float64(s.HedgeWins) }},
		{desc("refreshes_total", "Reads in the background that renewed an entry in use."), prometheus.CounterValue, func(s *cache.Stats) float64 { return float64(s.Refreshes) }},
		{desc("probes_total", "Reads that asked whether the table answers again."), prometheus.CounterValue, func(s *cache.Stats) float64 { return float64(s.Probes) }},
		{desc("front_entries", "Entries that the front holds, remembered misses included."), prometheus.GaugeValue, func(s *cache.Stats) float64 { return float64(s.FrontEntries) }},
		{desc("front_bytes", "Memory that the front's entries take."), prometheus.GaugeValue, func(s *cache.Stats) float64 { return float64(s.FrontBytes) }},
		{desc("table_available", "1 while the table answers, 0 while the front answers alone."), prometheus.GaugeValue, func(s *cache.Stats) float64 {
			if s.Available {
				return 1
			}
			return 0
		}},
	}
	return c
}

type collector struct {
	source                                        Source
	answers, reads, computations, ages, eventAges *prometheus.Desc
	simple                                        []metric
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*cache.Stats) float64
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, descs) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	s := c.source.Stats()
	for _, m := range c.simple {
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	labeled := func(desc *prometheus.Desc, values map[string]int64) {
		for label, n := range values {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), label)
		}
	}
	labeled(c.answers, map[string]int64{
		"front": s.FrontHits, "negative": s.NegativeHits, "computed": s.ComputedHits, "stale": s.StaleHits,
		"shared": s.Shared, "unavailable": s.Unavailable,
	})
	labeled(c.reads, map[string]int64{
		"hit": s.TableHits, "miss": s.Misses - s.ExpiredOnly - s.Deleted, "expired": s.ExpiredOnly, "deleted": s.Deleted,
		"item_error": s.ItemErrors, "error": s.Errors,
	})
	labeled(c.computations, map[string]int64{
		"miss": s.Computed - s.EarlyComputed, "early": s.EarlyComputed, "error": s.ComputeErrors,
	})
	metrics <- histogram(c.ages, s.FrontAges)
	metrics <- histogram(c.eventAges, s.EventAges)
}

// histogram takes every second bucket: from 1 ms on, each four times as long as the one before.
func histogram(desc *prometheus.Desc, h cache.Histogram) prometheus.Metric {
	buckets := map[float64]uint64{}
	total := uint64(0)
	for i, n := range h.Counts {
		total += uint64(n)
		if i < len(h.Bounds) && i%2 == 0 {
			buckets[h.Bounds[i].Seconds()] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, h.Sum.Seconds(), buckets)
}
