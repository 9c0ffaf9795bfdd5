// Package telemetry makes what the worker does visible: metrics, health, logs.
package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Metrics counts. It is the observer of every stage; counters are looked up once, so that counting costs a few nanoseconds.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	received    prometheus.Counter
	settled     map[consumer.How]prometheus.Counter
	outcomes    [prediction.NumOutcomes]prometheus.Counter
	rejects     map[prediction.Reason]prometheus.Counter
	saved       [prediction.NumOutcomes]prometheus.Counter // nil for the outcomes that save nothing
	age         prometheus.Histogram
	batchItems  prometheus.Histogram
	unprocessed prometheus.Counter
	units       prometheus.Counter
	calls       *prometheus.CounterVec
	callErrors  *prometheus.CounterVec
	callSeconds *prometheus.HistogramVec
	held        prometheus.Gauge
	heldBytes   prometheus.Gauge
	pollers     prometheus.Gauge
	concurrency prometheus.Gauge
	state       [3]prometheus.Gauge
	extended    prometheus.Counter
	leasesLost  prometheus.Counter
}

// NewMetrics makes the metrics. now is the services' clock, by which ages are counted.
func NewMetrics(now func() time.Time) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), now: now}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.received = m.counter("messages_received_total", "Messages that receives brought, redeliveries included.")
	m.settled = counters(m, "messages_settled_total", "Messages that are no longer held, by how they ended.", "how",
		consumer.Deleted, consumer.Rejected, consumer.Released, consumer.BackedOff)
	outcomes := counters(m, "predictions_total", "Predictions by what became of them.", "outcome",
		"written", "duplicate", "superseded", "expired", "rejected", "failed")
	saved := counters(m, "write_units_saved_total", "Write units of predictions that needed no write, by why.", "cause", "duplicate", "superseded", "expired")
	for o := range prediction.NumOutcomes {
		m.outcomes[o], m.saved[o] = outcomes[o.String()], saved[o.String()]
	}
	m.rejects = counters(m, "rejects_total", "Predictions, or whole messages, that can't be stored, by reason.", "reason", prediction.Reasons...)
	m.age = m.histogram("prediction_age_seconds", "From a message's sent time until its prediction was durable.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
	m.batchItems = m.histogram("batch_items", "Items of each BatchWriteItem call.", 1, 2, 5, 10, 15, 20, 24, 25)
	m.unprocessed = m.counter("unprocessed_items_total", "Items that BatchWriteItem returned as unprocessed.")
	m.units = m.counter("write_units_total", "Write units that the table counted.")
	m.calls = m.vec("calls_total", "Calls of AWS, attempts that failed included.", "operation")
	m.callErrors = m.vec("call_errors_total", "Failed calls of AWS, by the service's error code, or timeout, canceled or network.", "operation", "code")
	m.callSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "predcache_call_duration_seconds", Help: "Time of each call of AWS; a receive's holds its wait.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"operation"})
	m.registry.MustRegister(m.callSeconds)
	m.held = m.gauge("held_messages", "Messages held, and those that receives under way may bring.")
	m.heldBytes = m.gauge("held_bytes", "Bytes of messages held, and those that receives under way may bring.")
	m.pollers = m.gauge("pollers", "Receives that may be under way, by the backlog.")
	m.concurrency = m.gauge("write_concurrency", "BatchWriteItem calls that may be under way, by what the table takes.")
	states := gauges(m, "table_state", "1 for what the worker thinks of the table: up, down, or probing whether it can be written.", "state", "probing", "up", "down")
	for s := range m.state {
		m.state[s] = states[writer.State(s).String()]
	}
	m.extended = m.counter("visibility_extensions_total", "Messages whose invisibility was extended while they were held.")
	m.leasesLost = m.counter("leases_lost_total", "Messages that were redelivered while they were held.")
	return m
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "predcache_" + name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "predcache_" + name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets ...float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "predcache_" + name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) vec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "predcache_" + name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// counters makes a counter for each value of a label, so that each is there from the start, at 0.
func counters[L ~string](m *Metrics, name, help, label string, values ...L) map[L]prometheus.Counter {
	v := m.vec(name, help, label)
	all := make(map[L]prometheus.Counter, len(values))
	for _, value := range values {
		all[value] = v.WithLabelValues(string(value))
	}
	return all
}

func gauges(m *Metrics, name, help, label string, values ...string) map[string]prometheus.Gauge {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "predcache_" + name, Help: help}, []string{label})
	m.registry.MustRegister(v)
	all := make(map[string]prometheus.Gauge, len(values))
	for _, value := range values {
		all[value] = v.WithLabelValues(value)
	}
	return all
}

// Outcome implements dedup.Observer.
func (m *Metrics) Outcome(o prediction.Outcome, units int, sent int64) {
	m.outcomes[o].Inc()
	if c := m.saved[o]; c != nil {
		c.Add(float64(units))
	}
	if o == prediction.Written {
		m.age.Observe(max(float64(m.now().UnixMilli()-sent)/1000, 0))
	}
}

// Rejected counts a reject by its reason.
func (m *Metrics) Rejected(reason prediction.Reason) { m.rejects[reason].Inc() }

// Received implements consumer.Observer.
func (m *Metrics) Received(messages int) { m.received.Add(float64(messages)) }

// Settled implements consumer.Observer.
func (m *Metrics) Settled(how consumer.How, messages int) { m.settled[how].Add(float64(messages)) }

// Held implements consumer.Observer.
func (m *Metrics) Held(messages int, bytes int64) {
	m.held.Set(float64(messages))
	m.heldBytes.Set(float64(bytes))
}

// Pollers implements consumer.Observer.
func (m *Metrics) Pollers(n int) { m.pollers.Set(float64(n)) }

// Extended implements consumer.Observer.
func (m *Metrics) Extended(messages int) { m.extended.Add(float64(messages)) }

// LeaseLost implements consumer.Observer.
func (m *Metrics) LeaseLost() { m.leasesLost.Inc() }

// Batch implements writer.Observer.
func (m *Metrics) Batch(items, unprocessed int) {
	m.batchItems.Observe(float64(items))
	m.unprocessed.Add(float64(unprocessed))
}

// Limit implements writer.Observer.
func (m *Metrics) Limit(batches int) { m.concurrency.Set(float64(batches)) }

// State notes what the writer thinks of the table.
func (m *Metrics) State(s writer.State) {
	for i, g := range m.state {
		if writer.State(i) == s {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
}

// Spent counts write units.
func (m *Metrics) Spent(units float64) { m.units.Add(units) }

// Call implements awsclient.Observer.
func (m *Metrics) Call(operation, code string, d time.Duration) {
	m.calls.WithLabelValues(operation).Inc()
	m.callSeconds.WithLabelValues(operation).Observe(d.Seconds())
	if code != "" {
		m.callErrors.WithLabelValues(operation, code).Inc()
	}
}
