// Package telemetry makes what the worker does visible: metrics, traces, health and logs. The metrics are declared in
// declarations.go. Each thing is counted once: what a call of AWS brings, costs and fails with, by the wrapper around its
// service (queue.go, table.go); what a stage decides, by the stage's observer, which is a Metrics.
package telemetry

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Options of the Metrics.
type Options struct {
	// Now is the services' clock, by which ages are counted.
	Now func() time.Time
	// Health hears how calls end. Nil makes one that nobody asks.
	Health *Health
	// Tracer makes spans of calls. Nil makes none.
	Tracer  *Tracer
	Version string
	Limits  Limits
	Prices  Prices
}

// Limits are the settings that bound what the gauges show.
type Limits struct {
	HeldMessages     int
	HeldBytes        int64
	Pollers          int
	WriteConcurrency int
	DedupKeys        int
	Age              time.Duration // above which a worker is behind: see BehindAge
}

// Prices are in dollars a million. The defaults in the configuration are those of us-east-1: on-demand write units of the
// standard table class ("Amazon DynamoDB pricing") and requests of a standard queue ("Amazon SQS pricing").
type Prices struct {
	WriteUnits, Requests float64
}

// Metrics counts. It is the observer of every stage. Its methods may be called by several goroutines; counting costs a few
// nanoseconds and no memory.
type Metrics struct {
	now      func() time.Time
	health   *Health
	tracer   *Tracer // nil: no traces
	limits   Limits
	prices   Prices
	declared []metric
	registry *prometheus.Registry
	later    map[string]prometheus.Collector    // conditional metrics by name
	window   atomic.Pointer[func() dedup.Stats] // nil until the window is made

	calls   calls
	objects Objects
	// readsObjects is set once Objects was called.
	readsObjects atomic.Bool

	received, redelivered   prometheus.Counter
	receives                prometheus.Histogram
	requests, emptyReceives prometheus.Counter
	retries                 map[Operation]prometheus.Counter
	writing                 prometheus.Gauge
	units, compression      prometheus.Counter
	readUnits, removed      prometheus.Counter
	removing                prometheus.Gauge

	settled              [consumer.NumDispositions]prometheus.Counter
	settledByName        map[string]prometheus.Counter
	rejects              map[prediction.Reason]prometheus.Counter
	latestRejects        []atomic.Pointer[LatestReject] // by the order of prediction.Reasons
	extended, leasesLost prometheus.Counter
	held, heldBytes      prometheus.Gauge
	pollers              prometheus.Gauge

	outcomes                    [prediction.NumOutcomes]prometheus.Counter
	saved                       [prediction.NumOutcomes]prometheus.Counter // nil for the outcomes that save nothing
	outcomesByName, savedByName map[string]prometheus.Counter
	age                         prometheus.Histogram

	batchItems  prometheus.Histogram
	unprocessed prometheus.Counter
	concurrency prometheus.Gauge
	state       [3]prometheus.Gauge // by writer.State
	stateByName map[string]prometheus.Gauge

	backlog       backlog
	behind        prometheus.Gauge
	queueMessages map[string]prometheus.Gauge
	inFlightLimit prometheus.Gauge
	nearRetention prometheus.Counter
	ttl           prometheus.Gauge
}

// NewMetrics makes the metrics, each at 0.
func NewMetrics(o Options) *Metrics {
	m := &Metrics{now: o.Now, health: o.Health, tracer: o.Tracer, limits: o.Limits, prices: o.Prices}
	m.latestRejects = make([]atomic.Pointer[LatestReject], len(prediction.Reasons))
	if m.health == nil {
		m.health = NewHealth(nil)
	}
	m.calls.failures.counters = map[Failure]prometheus.Counter{}
	m.calls.failures.codes = map[string]bool{}
	m.declared = m.declare(o)
	m.registry, m.later = newRegistry(m.declared)
	for o := range prediction.NumOutcomes {
		m.outcomes[o], m.saved[o] = m.outcomesByName[o.String()], m.savedByName[o.String()]
	}
	for d := range consumer.NumDispositions {
		m.settled[d] = m.settledByName[d.String()]
	}
	for s := range m.state {
		m.state[s] = m.stateByName[writer.State(s).String()]
	}
	m.State(writer.Probing)
	m.ttl.Set(1) // until TableTTL says otherwise
	return m
}

func outcomeNames() (names []string) {
	for o := range prediction.NumOutcomes {
		names = append(names, o.String())
	}
	return names
}

func dispositionNames() (names []string) {
	for d := range consumer.NumDispositions {
		names = append(names, d.String())
	}
	return names
}

// Limits returns what NewMetrics was given.
func (m *Metrics) Limits() Limits { return m.limits }

// Prices returns what NewMetrics was given.
func (m *Metrics) Prices() Prices { return m.prices }

// Health returns what NewMetrics was given.
func (m *Metrics) Health() *Health { return m.health }

// Tracer returns what NewMetrics was given, or nil.
func (m *Metrics) Tracer() *Tracer { return m.tracer }

// SetWindow names what counts the keys that the deduplication knows.
func (m *Metrics) SetWindow(stats func() dedup.Stats) { m.window.Store(&stats) }

// Window returns the deduplication's own counts, or zeros before it is made.
func (m *Metrics) Window() dedup.Stats {
	if stats := m.window.Load(); stats != nil {
		return (*stats)()
	}
	return dedup.Stats{}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Outcome implements dedup.Observer.
func (m *Metrics) Outcome(o prediction.Outcome, units int, queued int64) {
	m.outcomes[o].Inc()
	if c := m.saved[o]; c != nil {
		c.Add(float64(units))
	}
	if o == prediction.Written && queued > 0 {
		m.age.Observe(max(float64(m.now().UnixMilli()-queued)/1000, 0))
	}
}

// Rejected implements consumer.Observer.
func (m *Metrics) Rejected(why *prediction.Reject) {
	m.rejects[why.Reason].Inc()
	m.latestRejects[slices.Index(prediction.Reasons, why.Reason)].Store(&LatestReject{time.Now(), why})
}

// Undeliverable implements consumer.Observer.
func (m *Metrics) Undeliverable(err error) {
	m.health.warn(PartSingleRejects, undeliverableRemedy, err, undeliverableFor)
}

// Settled implements consumer.Observer.
func (m *Metrics) Settled(how consumer.Disposition, messages int) {
	m.settled[how].Add(float64(messages))
}

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

// State records the writer's state.
func (m *Metrics) State(s writer.State) {
	for i, g := range m.state {
		g.Set(truth(writer.State(i) == s))
	}
}

// Spent counts write units that the table counted.
func (m *Metrics) Spent(units float64) { m.units.Add(units) }

// SpentReading counts read units that the table counted.
func (m *Metrics) SpentReading(units float64) { m.readUnits.Add(units) }

// Removed implements removal.Observer.
func (m *Metrics) Removed(items int) { m.removed.Add(float64(items)) }

// Removing implements removal.Observer.
func (m *Metrics) Removing(deletes int) { m.removing.Set(float64(deletes)) }

// InFlightLimit notes whether the queue has as many messages in flight as SQS allows.
func (m *Metrics) InFlightLimit(reached bool) { m.inFlightLimit.Set(truth(reached)) }

// NearRetention counts messages that SQS will soon delete unread.
func (m *Metrics) NearRetention(messages int) { m.nearRetention.Add(float64(messages)) }

// TableTTL notes whether the table's TTL is on. The metric is there from the first call on.
func (m *Metrics) TableTTL(on bool) {
	m.ttl.Set(truth(on))
	_ = m.registry.Register(m.ttl) // which fails where it is there already
}

// dollars returns the cost so far.
func (m *Metrics) dollars() float64 {
	return (value(m.units)*m.prices.WriteUnits + value(m.requests)*m.prices.Requests) / 1e6
}

func (m *Metrics) dollarsPerMillion() float64 { return m.dollars() * 1e6 / max(m.predictions(), 1) }

// predictions returns the number of predictions with an outcome other than failed: those are redelivered, and counted then.
func (m *Metrics) predictions() (n float64) {
	for o := range prediction.NumOutcomes {
		if o != prediction.Failed {
			n += value(m.outcomes[o])
		}
	}
	return n
}
