// Package telemetry makes what the worker does visible: metrics, health, logs, the status page.
package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Metrics counts. It is the observer of every stage; counters are looked up once, so that counting costs a few nanoseconds.
type Metrics struct {
	families
	now func() time.Time

	received    prometheus.Counter
	redelivered prometheus.Counter
	receives    prometheus.Histogram
	settled     map[consumer.How]prometheus.Counter
	retries     map[string]prometheus.Counter
	extended    prometheus.Counter
	leasesLost  prometheus.Counter
	held        prometheus.Gauge
	heldBytes   prometheus.Gauge
	pollers     prometheus.Gauge

	outcomes [prediction.NumOutcomes]prometheus.Counter
	rejects  map[prediction.Reason]prometheus.Counter
	saved    [prediction.NumOutcomes]prometheus.Counter // nil for the outcomes that save nothing
	age      prometheus.Histogram

	batchItems  prometheus.Histogram
	unprocessed prometheus.Counter
	units       prometheus.Counter
	cost        cost
	concurrency prometheus.Gauge
	writing     prometheus.Gauge
	state       [3]prometheus.Gauge

	calls *calls

	window atomic.Pointer[func() dedup.Stats] // nil until the pipeline is wired
	prices atomic.Pointer[Prices]             // as above
	tracer *Tracer                            // nil: no traces
}

// Trace lets what is watched make spans too. It is for before the pipeline is wired.
func (m *Metrics) Trace(t *Tracer) { m.tracer = t }

// Tracer returns what Trace was given, or nil.
func (m *Metrics) Tracer() *Tracer { return m.tracer }

// NewMetrics makes the metrics. now is the services' clock, by which ages are counted.
func NewMetrics(now func() time.Time) *Metrics {
	m := &Metrics{families: newFamilies(), now: now}

	m.received = m.counter("messages_received_total", "Messages that receives brought, redeliveries included.")
	m.redelivered = m.counter("messages_redelivered_total", "Messages received that SQS had delivered before, to this worker or another.")
	m.receives = m.histogram("receive_messages", "Messages that each receive brought.", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	m.settled = counters(m, "messages_settled_total", "Messages that are no longer held, by how they ended. backed_off: it holds what can't be stored and there is no reject queue.", "how",
		consumer.Deleted, consumer.Rejected, consumer.Released, consumer.BackedOff)
	m.retries = counters(m, "settle_retries_total", "Messages in calls that settle or extend, and rejects sent, that did not succeed and are tried again.", "operation",
		"DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch")
	m.extended = m.counter("visibility_extensions_total", "Messages whose invisibility was extended while they were held.")
	m.leasesLost = m.counter("leases_lost_total", "Messages that were redelivered while they were held: an extension came too late.")
	m.held = m.gauge("held_messages", "Messages held, and those that receives under way may bring.")
	m.heldBytes = m.gauge("held_bytes", "Bytes of messages held, and those that receives under way may bring.")
	m.pollers = m.gauge("pollers", "Receives that may be under way, by the backlog.")

	outcomes := counters(m, "predictions_total", "Predictions by what became of them.", "outcome",
		"written", "duplicate", "superseded", "expired", "rejected", "failed")
	m.rejects = counters(m, "rejects_total", "Predictions, or whole messages, that can't be stored, by reason.", "reason", prediction.Reasons...)
	m.age = m.histogram("prediction_age_seconds", "From a message's sent time until its prediction was durable.",
		.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

	m.batchItems = m.histogram("batch_items", "Items of each BatchWriteItem call.", 1, 2, 5, 10, 15, 20, 24, 25)
	m.unprocessed = m.counter("unprocessed_items_total", "Items that BatchWriteItem returned as unprocessed.")
	m.units = m.counter("write_units_total", "Write units that the table counted.")
	m.cost = newCost(m)
	saved := counters(m, "write_units_saved_total", "Write units of predictions that needed no write, by why.", "cause", "duplicate", "superseded", "expired")
	for o := range prediction.NumOutcomes {
		m.outcomes[o], m.saved[o] = outcomes[o.String()], saved[o.String()]
	}
	m.concurrency = m.gauge("write_concurrency", "BatchWriteItem calls that may be under way, by what the table takes.")
	m.writing = m.gauge("writes_in_flight", "BatchWriteItem calls that are under way.")
	states := gauges(m, "table_state", "1 for what the worker thinks of the table: up, down, or probing whether it can be written.", "state", "probing", "up", "down")
	for s := range m.state {
		m.state[s] = states[writer.State(s).String()]
	}
	m.State(writer.Probing)
	m.calls = newCalls(&m.families)
	return m
}

// Limits are the settings that bound what the gauges show.
type Limits struct {
	HeldMessages     int
	HeldBytes        int64
	Pollers          int
	WriteConcurrency int
	DedupKeys        int
}

// Pipeline adds the metrics of a pipeline that has been wired: its limits, and what the window counts itself.
func (m *Metrics) Pipeline(l Limits, window func() dedup.Stats) {
	for _, limit := range []struct {
		name, help string
		value      float64
	}{
		{"held_messages_limit", "The most that predcache_held_messages may be: WORKER_MAX_HELD_MESSAGES.", float64(l.HeldMessages)},
		{"held_bytes_limit", "The most that predcache_held_bytes may be: WORKER_MAX_HELD_BYTES.", float64(l.HeldBytes)},
		{"pollers_limit", "The most that predcache_pollers may be: WORKER_POLLERS.", float64(l.Pollers)},
		{"write_concurrency_limit", "The most that predcache_write_concurrency may be: WORKER_WRITE_CONCURRENCY.", float64(l.WriteConcurrency)},
		{"dedup_keys_limit", "The most written keys that are remembered: WORKER_DEDUP_WINDOW.", float64(l.DedupKeys)},
	} {
		m.gauge(limit.name, limit.help).Set(limit.value)
	}
	m.window.Store(&window)
	m.gaugeFunc("dedup_keys", "Keys that the deduplication knows: pending, on their way to the table; written, remembered.", "state", map[string]func() float64{
		"pending": func() float64 { return float64(window().Pending) },
		"written": func() float64 { return float64(window().Written) },
	})
	m.counterFunc("dedup_hits_total", "Predictions that needed no write of their own, by the state of the key that they met.", "state", map[string]func() float64{
		"pending": func() float64 { return float64(window().PendingHits) },
		"written": func() float64 { return float64(window().WrittenHits) },
	})
}

// Build adds the version, and whether the worker is ready.
func (m *Metrics) Build(version string, ready func() bool) {
	const buildHelp = "1, with the worker's version."
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "predcache_build_info", Help: buildHelp}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.add(build, "build_info", "gauge", buildHelp, []string{"version"})
	m.gaugeFunc("ready", "1 while the worker is ready: it works, and nothing that it needs fails.", "", map[string]func() float64{
		"": func() float64 { return truth(ready()) },
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
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
func (m *Metrics) Received(messages int) {
	m.received.Add(float64(messages))
	m.receives.Observe(float64(messages))
}

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
		g.Set(truth(writer.State(i) == s))
	}
}

// Spent counts write units.
func (m *Metrics) Spent(units float64) { m.units.Add(units) }

// Call implements awsclient.Observer.
func (m *Metrics) Call(operation, code string, d time.Duration) { m.calls.observe(operation, code, d) }
