package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// prefix begins the name of every metric of the worker's own.
const prefix = "predcache_"

// A metric is the declaration of one metric. Registration, docs/telemetry.md and the test of the alerts read it.
type metric struct {
	name string // without the prefix
	help string
	unit string // of its values; "" for a plain 0 or 1
	instrument
	trouble trouble
	// conditional metrics are registered by register once their value is known. The others are there from the start.
	conditional bool
}

// An instrument makes a metric's series and stores them where the code that counts finds them, so that counting looks
// nothing up.
type instrument struct {
	kind   string   // counter, gauge or histogram
	labels []string // names
	values []string // of the only label, where all of them are known
	build  func(name, help string) prometheus.Collector
}

// trouble says what a metric has to do with alerts. Each declaration has one, by alerts, noAlert or noTrouble.
type trouble struct {
	alerts []string // of deployments/alerts that read the metric
	reason string   // why a metric that shows a problem has no alert
	none   bool     // it shows no problem
}

func alerts(names ...string) trouble { return trouble{alerts: names} }
func noAlert(reason string) trouble  { return trouble{reason: reason} }

var noTrouble = trouble{none: true}

func counter(into *prometheus.Counter) instrument {
	return instrument{kind: "counter", build: func(name, help string) prometheus.Collector {
		*into = prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		return *into
	}}
}

func gauge(into *prometheus.Gauge) instrument {
	return instrument{kind: "gauge", build: func(name, help string) prometheus.Collector {
		*into = prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		return *into
	}}
}

func histogram(into *prometheus.Histogram, buckets ...float64) instrument {
	return instrument{kind: "histogram", build: func(name, help string) prometheus.Collector {
		*into = prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		return *into
	}}
}

// counters makes a counter for each value of a label, so that each series is there from the start, at 0.
func counters[L ~string](into *map[L]prometheus.Counter, label string, values ...L) instrument {
	return labelled("counter", into, label, values, func(name, help string) (prometheus.Collector, func(...string) prometheus.Counter) {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		return vec, vec.WithLabelValues
	})
}

// gauges does for gauges what counters does for counters.
func gauges[L ~string](into *map[L]prometheus.Gauge, label string, values ...L) instrument {
	return labelled("gauge", into, label, values, func(name, help string) (prometheus.Collector, func(...string) prometheus.Gauge) {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
		return vec, vec.WithLabelValues
	})
}

// histograms does for histograms what counters does for counters.
func histograms[L ~string](into *map[L]prometheus.Observer, label string, values []L, buckets ...float64) instrument {
	return labelled("histogram", into, label, values, func(name, help string) (prometheus.Collector, func(...string) prometheus.Observer) {
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
		return vec, vec.WithLabelValues
	})
}

func labelled[L ~string, M any](kind string, into *map[L]M, label string, values []L, vec func(name, help string) (prometheus.Collector, func(...string) M)) instrument {
	i := instrument{kind: kind, labels: []string{label}}
	for _, v := range values {
		i.values = append(i.values, string(v))
	}
	i.build = func(name, help string) prometheus.Collector {
		collector, with := vec(name, help)
		*into = make(map[L]M, len(values))
		for _, v := range values {
			(*into)[v] = with(string(v))
		}
		return collector
	}
	return i
}

// counterVec is for labels whose values the service makes up. The type failures bounds them.
func counterVec(into **prometheus.CounterVec, labels ...string) instrument {
	return instrument{kind: "counter", labels: labels, build: func(name, help string) prometheus.Collector {
		*into = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		return *into
	}}
}

// info is a gauge of 1 whose label carries a text.
func info(label, value string) instrument {
	return instrument{kind: "gauge", labels: []string{label}, build: func(name, help string) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{label: value}}, func() float64 { return 1 })
	}}
}

// constant is a gauge whose value is known at the start.
func constant(value float64) instrument {
	return read(prometheus.GaugeValue, "", series{"": func() float64 { return value }})
}

// A series is what a scrape reads, by the values of a label; "" is for a metric without one.
type series map[string]func() float64

// read is a metric of which something else keeps the value.
func read(t prometheus.ValueType, label string, values series) instrument {
	i := instrument{kind: map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}[t]}
	if label != "" {
		i.labels, i.values = []string{label}, slices.Sorted(maps.Keys(values))
	}
	i.build = func(name, help string) prometheus.Collector {
		return &reader{prometheus.NewDesc(name, help, i.labels, nil), t, values}
	}
	return i
}

// A reader collects a series.
type reader struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values series
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

// Collect implements prometheus.Collector.
func (r *reader) Collect(ch chan<- prometheus.Metric) {
	for value, read := range r.values {
		labels := []string{value}
		if value == "" {
			labels = nil
		}
		ch <- prometheus.MustNewConstMetric(r.desc, r.kind, read(), labels...)
	}
}

// newRegistry registers the metrics, and the usual ones of the Go runtime and the process.
// It also returns the conditional metrics, which are not registered.
func newRegistry(declared []metric) (*prometheus.Registry, map[string]prometheus.Collector) {
	conditional := map[string]prometheus.Collector{}
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, d := range declared {
		if c := d.build(prefix+d.name, d.help); d.conditional {
			conditional[d.name] = c
		} else {
			r.MustRegister(c)
		}
	}
	return r, conditional
}

// Markdown returns the table of the metrics as docs/telemetry.md has it.
func (m *Metrics) Markdown() string {
	var b strings.Builder
	b.WriteString("| metric | type | unit | label | meaning | alert |\n|---|---|---|---|---|---|\n")
	sorted := slices.SortedFunc(slices.Values(m.declared), func(a, b metric) int { return strings.Compare(a.name, b.name) })
	for _, d := range sorted {
		label := ""
		if len(d.labels) > 0 {
			label = "`" + strings.Join(d.labels, "`, `") + "`"
		}
		if len(d.values) > 0 {
			label += ": " + strings.Join(d.values, ", ")
		}
		alert := d.trouble.reason
		if alert != "" {
			alert = "None: " + alert
		}
		for i, name := range d.trouble.alerts {
			if i > 0 {
				alert += ", "
			}
			alert += fmt.Sprintf("[%s](runbook.md#%s)", strings.TrimPrefix(name, "Predcache"), strings.ToLower(name))
		}
		fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s | %s | %s |\n", prefix, d.name, d.kind, d.unit, label, d.help, alert)
	}
	return b.String()
}
