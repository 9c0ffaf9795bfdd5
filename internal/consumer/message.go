package consumer

import (
	"context"
	"strings"
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

// Attribute returns the value of an attribute, or "". Names are compared without case: HTTP headers taught people to write
// content-encoding.
func (r *Received) Attribute(name string) string {
	for i := range r.Attributes {
		if strings.EqualFold(r.Attributes[i].Name, name) {
			return r.Attributes[i].Value
		}
	}
	return ""
}

// messageBytes is what a held message takes beside its body and attributes: itself, its entries in maps and batches, and the
// strings of its ids.
const messageBytes = 1 << 10

// ReceiveBytes is what one receive may bring from a queue with this limit of a message.
func ReceiveBytes(maxMessageBytes int64) int64 { return MaxBatch * (maxMessageBytes + messageBytes) }

// size is what SQS counts of a message: its body and its attributes' names, types and values ("Amazon SQS message quotas").
func (r *Received) size() int {
	n := len(r.Body)
	for i := range r.Attributes {
		a := &r.Attributes[i]
		n += len(a.Name) + len(a.Type) + len(a.Value)
	}
	return n
}

// A state is where a message is on its way. Each arrow is a method of the Consumer:
//
//	open ─► deleting ──────────────► gone   finish
//	  ├───► rejecting ─► deleting           reject
//	  │         ▼
//	  └───► releasing ─────────────► gone   release
type state uint8

const (
	open      state = iota // being read, or waiting for outcomes
	rejecting              // its rejects are on their way to the reject queue
	deleting               // everything is safe; it is being deleted
	releasing              // it is being made visible again
)

// A Message is held by the worker from its receive until it is deleted, rejected or released. It is settled once each of
// its predictions has an outcome.
type Message struct {
	Received
	c *Consumer

	pending  atomic.Int32 // predictions without an outcome, and one more while the message is being read
	expected bool         // at least one prediction was announced; the reader's
	reserved int          // bytes that Reserve got for it; the reader's

	mu      sync.Mutex
	failed  bool // at least one prediction has to come back
	rejects rejects

	// Guarded by Consumer.mu.
	state  state
	lease  lease
	bytes  int64 // counted in the budget
	unsent int   // rejects that the reject queue doesn't have yet
}

// A lease is the time for which SQS keeps a message invisible for this worker.
type lease struct {
	receipt   string        // the newest receipt handle: the only one that surely works ("DeleteMessage")
	receives  int           // the newest receive count
	began     time.Time     // when it was received: 12 hours later no extension helps
	ends      time.Time     // when the message becomes visible again
	extension time.Duration // the last one
	extending extending
}

// extending says how far an extension is.
type extending uint8

const (
	notExtending    extending = iota
	extensionQueued           // in the batcher
	extensionCalled           // the call is under way: a release that overtook it would be undone by it
)

func newLease(r *Received, now time.Time, visibility time.Duration) lease {
	return lease{receipt: r.Receipt, receives: r.Receives, began: now, ends: now.Add(visibility), extension: visibility}
}

// Expect announces a prediction: Resolve will be called once for it.
func (m *Message) Expect() {
	m.expected = true
	m.pending.Add(1)
}

// Resolve notes what became of a prediction. The last one settles the message.
func (m *Message) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		m.mu.Lock()
		m.failed = true
		m.mu.Unlock()
	case prediction.Rejected:
		m.Reject(prediction.RejectedPart{Raw: raw, Why: why}, 1)
	}
	m.close()
}

// Reject notes a part of the message that can't be written. count is how many parts it stands for, itself included.
func (m *Message) Reject(part prediction.RejectedPart, count int) {
	m.c.cfg.Observer.Rejected(part.Why.Reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejects.add(part, count)
}

// Reserve blocks until the message may take so many bytes, in all, beside its body. It returns false if ctx is done first. One
// message at a time has reserved bytes, from its first Reserve to its Read: Config.MaxDecodedBytes are kept from receives for it,
// so that it always gets on.
func (m *Message) Reserve(ctx context.Context, bytes int) bool {
	if m.reserved == 0 {
		select {
		case m.c.growing <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	if !m.c.budget.reserve(ctx, 0, int64(bytes-m.reserved), m.c.cfg.MaxBytes) {
		if m.reserved == 0 {
			<-m.c.growing
		}
		return false
	}
	m.reserved = bytes
	m.c.observeHeld()
	return true
}

// Read says that the message's predictions have all been announced, and what it takes beside its body. From now on it may settle.
func (m *Message) Read(bytes int) {
	m.c.mu.Lock()
	m.bytes += int64(bytes)
	m.c.mu.Unlock()
	if m.reserved == 0 {
		m.c.budget.take(int64(bytes))
	} else {
		m.c.budget.release(0, int64(m.reserved-bytes))
		m.reserved = 0
		m.c.observeHeld()
		<-m.c.growing
	}
	m.close()
}

func (m *Message) close() {
	if m.pending.Add(-1) == 0 {
		m.c.settle(m)
	}
}
