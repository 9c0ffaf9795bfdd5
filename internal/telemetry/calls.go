package telemetry

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// An Operation is a call of AWS, as AWS names it.
type Operation string

// The operations that a running worker calls again and again.
const (
	ReceiveMessage               Operation = "ReceiveMessage"
	DeleteMessageBatch           Operation = "DeleteMessageBatch"
	ChangeMessageVisibilityBatch Operation = "ChangeMessageVisibilityBatch"
	SendMessageBatch             Operation = "SendMessageBatch"
	BatchWriteItem               Operation = "BatchWriteItem"
	PutItem                      Operation = "PutItem"
	DeleteItem                   Operation = "DeleteItem"
	Query                        Operation = "Query"
	GetObject                    Operation = "GetObject"
)

var operations = []Operation{
	ReceiveMessage, DeleteMessageBatch, ChangeMessageVisibilityBatch, SendMessageBatch, BatchWriteItem, PutItem, DeleteItem, Query, GetObject,
}

// calls are the metrics of every call of AWS.
type calls struct {
	total    map[Operation]prometheus.Counter
	seconds  map[Operation]prometheus.Observer
	failures failures
}

// A call counts the calls of one operation. Its metrics are looked up once.
type call struct {
	metrics   *Metrics
	operation Operation
	part      Part // that fails where several calls in a row do; "" where others judge
	total     prometheus.Counter
	seconds   prometheus.Observer
}

func (m *Metrics) call(o Operation, part Part) call {
	return call{m, o, part, m.calls.total[o], m.calls.seconds[o]}
}

// ended counts a call that began at start.
func (c *call) ended(start time.Time, err error) { c.answered(start, err, false) }

// answered counts a call that began at start. An error that is the service's answer says nothing about its health.
func (c *call) answered(start time.Time, err error, answer bool) {
	c.total.Inc()
	c.seconds.Observe(time.Since(start).Seconds())
	code := errorCode(err)
	if err != nil {
		c.metrics.calls.failures.add(c.operation, code)
	}
	if code == codeCanceled || answer {
		err = nil // by us, at the end of the drain: it says nothing of the service
	}
	c.metrics.health.called(c.part, err)
}

const (
	codeTimeout  = "timeout"
	codeCanceled = "canceled"
	codeNetwork  = "network"
)

// errorCode is a short name of what went wrong, for counting and for traces: the service's error code, or one of ours. It is
// empty where nothing did.
func errorCode(err error) string {
	if err == nil {
		return "" // before coded, which escapes
	}
	var coded interface{ ErrorCode() string }
	switch {
	case errors.As(err, &coded):
		return cleanCode(coded.ErrorCode())
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	case errors.Is(err, context.Canceled):
		return codeCanceled
	default:
		return codeNetwork
	}
}

// maxCodeLength bounds an error code. The longest of SQS and DynamoDB has 58 characters.
const maxCodeLength = 80

// cleanCode makes a code from a service, or from a proxy before it, fit for a label. The Prometheus client panics on a label
// that is not UTF-8, and a code of a kilobyte would be exported with every scrape.
func cleanCode(code string) string {
	if code == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == utf8.RuneError || r == 0x7F {
			return '_'
		}
		return r
	}, truncate(code, maxCodeLength))
}

// truncate cuts a text to at most n bytes, between characters.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// maxCodes bounds the error codes with a series of their own, so that a broken proxy can't fill Prometheus.
const maxCodes = 40

// otherCode stands for the codes beyond maxCodes.
const otherCode = "other"

// A Failure is a kind of failed call.
type Failure struct {
	Operation Operation
	Code      string
}

// failures counts failed calls by kind.
type failures struct {
	vec *prometheus.CounterVec

	mu       sync.Mutex
	codes    map[string]bool
	counters map[Failure]prometheus.Counter
}

func (f *failures) add(o Operation, code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.codes[code] && len(f.codes) >= maxCodes {
		code = otherCode
	}
	f.codes[code] = true
	kind := Failure{o, code}
	c := f.counters[kind]
	if c == nil {
		c = f.vec.WithLabelValues(string(o), code)
		f.counters[kind] = c
	}
	c.Inc()
}

// values returns how many calls failed, by kind.
func (f *failures) values() map[Failure]float64 {
	f.mu.Lock()
	kinds := maps.Clone(f.counters)
	f.mu.Unlock()
	out := make(map[Failure]float64, len(kinds))
	for kind, c := range kinds {
		out[kind] = value(c)
	}
	return out
}
