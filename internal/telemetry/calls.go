package telemetry

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// operations are the calls of AWS that the worker makes while it runs. Others are counted too, but looked up each time.
var operations = []string{"ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch", "BatchWriteItem"}

// maxCodes bounds the error codes that get a series of their own: what a broken proxy makes up must not fill Prometheus.
const maxCodes = 40

// calls counts calls of AWS.
type calls struct {
	total   *prometheus.CounterVec
	errors  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	known   map[string]*call // by operation; never changed

	mu     sync.Mutex
	codes  map[string]bool
	failed map[failure]float64
}

// A failure is a kind of failed call.
type failure struct{ operation, code string }

// A call is the series of one operation.
type call struct {
	total   prometheus.Counter
	seconds prometheus.Histogram
}

func newCalls(f *families) *calls {
	c := &calls{known: map[string]*call{}, codes: map[string]bool{}, failed: map[failure]float64{}}
	const (
		totalHelp   = "Calls of AWS, attempts that failed included."
		errorsHelp  = "Failed calls of AWS, by the service's error code, or timeout, canceled or network."
		secondsHelp = "Time of each call of AWS; a receive's holds its wait."
	)
	c.total = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "predcache_calls_total", Help: totalHelp}, []string{"operation"})
	c.errors = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "predcache_call_errors_total", Help: errorsHelp}, []string{"operation", "code"})
	c.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "predcache_call_duration_seconds", Help: secondsHelp,
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"operation"})
	for _, operation := range operations {
		c.known[operation] = c.series(operation)
	}
	f.add(c.total, "calls_total", "counter", totalHelp, []string{"operation"})
	f.add(c.errors, "call_errors_total", "counter", errorsHelp, []string{"operation", "code"})
	f.add(c.seconds, "call_duration_seconds", "histogram", secondsHelp, []string{"operation"})
	return c
}

func (c *calls) series(operation string) *call {
	// A HistogramVec is made of Histograms; only its interface says less.
	return &call{c.total.WithLabelValues(operation), c.seconds.WithLabelValues(operation).(prometheus.Histogram)}
}

func (c *calls) observe(operation, code string, d time.Duration) {
	s := c.known[operation]
	if s == nil {
		s = c.series(operation)
	}
	s.total.Inc()
	s.seconds.Observe(d.Seconds())
	if code != "" {
		f := failure{operation, c.label(code)}
		c.errors.WithLabelValues(f.operation, f.code).Inc()
		c.mu.Lock()
		c.failed[f]++
		c.mu.Unlock()
	}
}

// failures returns how many calls failed, by kind.
func (c *calls) failures() map[failure]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.failed)
}

// label is the code, or "other" for one that would be a series too many.
func (c *calls) label(code string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.codes[code] && len(c.codes) >= maxCodes {
		return "other"
	}
	c.codes[code] = true
	return code
}
