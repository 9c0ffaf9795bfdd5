package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// families are the metrics by name: what Prometheus scrapes, and what docs/telemetry.md lists.
type families struct {
	registry *prometheus.Registry
	all      []family
}

// A family is what is said about one metric.
type family struct {
	name, kind, help string
	labels           []string
	values           []string // of the only label, where they are known beforehand
}

func newFamilies() families {
	f := families{registry: prometheus.NewRegistry()}
	f.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return f
}

func (f *families) add(c prometheus.Collector, name, kind, help string, labels []string, values ...string) {
	f.registry.MustRegister(c)
	f.all = append(f.all, family{"predcache_" + name, kind, help, labels, values})
}

func (f *families) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "predcache_" + name, Help: help})
	f.add(c, name, "counter", help, nil)
	return c
}

func (f *families) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "predcache_" + name, Help: help})
	f.add(g, name, "gauge", help, nil)
	return g
}

func (f *families) histogram(name, help string, buckets ...float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "predcache_" + name, Help: help, Buckets: buckets})
	f.add(h, name, "histogram", help, nil)
	return h
}

// counters makes a counter for each value of a label, so that each is there from the start, at 0.
func counters[L ~string](m *Metrics, name, help, label string, values ...L) map[L]prometheus.Counter {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "predcache_" + name, Help: help}, []string{label})
	all := make(map[L]prometheus.Counter, len(values))
	names := make([]string, len(values))
	for i, value := range values {
		all[value] = v.WithLabelValues(string(value))
		names[i] = string(value)
	}
	m.add(v, name, "counter", help, []string{label}, names...)
	return all
}

func gauges(m *Metrics, name, help, label string, values ...string) map[string]prometheus.Gauge {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "predcache_" + name, Help: help}, []string{label})
	all := make(map[string]prometheus.Gauge, len(values))
	for _, value := range values {
		all[value] = v.WithLabelValues(value)
	}
	m.add(v, name, "gauge", help, []string{label}, values...)
	return all
}

// gaugeFunc makes gauges that are read when they are asked for, by the values of a label; "" is for none.
func (f *families) gaugeFunc(name, help, label string, read map[string]func() float64) {
	f.read(name, "gauge", help, label, prometheus.GaugeValue, read)
}

func (f *families) counterFunc(name, help, label string, read map[string]func() float64) {
	f.read(name, "counter", help, label, prometheus.CounterValue, read)
}

func (f *families) read(name, kind, help, label string, t prometheus.ValueType, read map[string]func() float64) {
	var labels, values []string
	if label != "" {
		labels, values = []string{label}, slices.Sorted(maps.Keys(read))
	}
	f.add(&reader{prometheus.NewDesc("predcache_"+name, help, labels, nil), t, read}, name, kind, help, labels, values...)
}

// A reader collects values that something else counts.
type reader struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read map[string]func() float64
}

func (r *reader) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r *reader) Collect(ch chan<- prometheus.Metric) {
	for value, read := range r.read {
		if value == "" {
			ch <- prometheus.MustNewConstMetric(r.desc, r.kind, read())
		} else {
			ch <- prometheus.MustNewConstMetric(r.desc, r.kind, read(), value)
		}
	}
}

// Markdown is the table of the metrics as docs/telemetry.md has it.
func (m *Metrics) Markdown() string {
	var b strings.Builder
	b.WriteString("| metric | type | label | meaning |\n|---|---|---|---|\n")
	for _, f := range slices.SortedFunc(slices.Values(m.all), func(a, b family) int { return strings.Compare(a.name, b.name) }) {
		label := ""
		if len(f.labels) > 0 {
			label = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		if len(f.values) > 0 {
			label += ": " + strings.Join(f.values, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, label, f.help)
	}
	return b.String()
}
