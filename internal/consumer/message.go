package consumer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

// Received is a message as SQS delivered it.
type Received struct {
	ID, Receipt, Body string
	Receives          int   // ApproximateReceiveCount
	Sent              int64 // SentTimestamp, milliseconds since the epoch
	GroupID           string
	TraceHeader       string // AWSTraceHeader, X-Ray's
	Attributes        []Attribute
}

// An Attribute is a message attribute. Type is String, Number or Binary, with a custom label or without; the value of a
// Binary one is its bytes.
type Attribute struct {
	Name, Type, Value string
}

// Attribute returns the value of an attribute, or nothing.
func (r *Received) Attribute(name string) string {
	for i := range r.Attributes {
		if r.Attributes[i].Name == name {
			return r.Attributes[i].Value
		}
	}
	return ""
}

// A Message is held by the worker from its receive until it is deleted, rejected or released. It is settled once each of
// its predictions has an outcome.
type Message struct {
	Received
	c *Consumer

	open   atomic.Int32 // predictions without an outcome, and one more while the message is being read
	failed atomic.Bool  // at least one prediction has to come back

	read bool // Read was called; the poller's

	mu      sync.Mutex
	rejects []Reject

	// Guarded by Consumer.mu.
	receipt   string        // the newest one seen
	receives  int           // the newest count seen
	deadline  time.Time     // when it becomes visible again
	first     time.Time     // when it was received: 12 hours later no extension helps
	extension time.Duration // the last one
	extending bool          // an extension is queued or under way
	// inExtension: a call that extends the lease is under way. A release that overtook it would be undone by it.
	inExtension bool
	leaving     bool // it is being released: no more extensions
	bytes       int64
	rejecting   int // rejects that are not in the reject queue yet
}

// A Reject is a part of a message that can never be written: its text as it came, and why.
type Reject struct {
	Raw   string
	Whole bool // Raw is the whole body
	Why   *prediction.Reject
}

// Expect announces a prediction: Resolve will be called once for it.
func (m *Message) Expect() { m.open.Add(1) }

// Resolve notes what became of a prediction. The last one settles the message.
func (m *Message) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		m.failed.Store(true)
	case prediction.Rejected:
		m.Reject(Reject{Raw: raw, Why: why})
	}
	m.close()
}

// Reject notes a part of the message that can't be written.
func (m *Message) Reject(r Reject) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejects = append(m.rejects, r)
}

// Read says that all of the message's predictions have been announced and handed on: from now on it may settle. A handler
// that may have to wait says so first for what it has read, since what it waits for may be the room that these take; for the
// others it is said when the handler returns.
func (m *Message) Read() {
	if !m.read {
		m.read = true
		m.close()
	}
}

func (m *Message) close() {
	if m.open.Add(-1) == 0 {
		m.c.settle(m)
	}
}
