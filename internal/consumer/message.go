package consumer

import (
	"context"
	"strconv"
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

// An Attribute is a message attribute. Type is String, Number or Binary, and may have a custom label, such as Number.int. Value
// holds the bytes of a Binary attribute.
type Attribute struct {
	Name, Type, Value string
}

// Attribute returns the value of an attribute, or "". It ignores case: many publishers write content-encoding, as in HTTP.
func (r *Received) Attribute(name string) string {
	for i := range r.Attributes {
		if strings.EqualFold(r.Attributes[i].Name, name) {
			return r.Attributes[i].Value
		}
	}
	return ""
}

// SentTime returns when the message was first sent, in milliseconds since the epoch. A message that was sent back from the reject
// queue has that time in AttrSent. A time after SQS's own is ignored, since it would win over every later version.
func (r *Received) SentTime() int64 {
	if sent, err := strconv.ParseInt(r.Attribute(AttrSent), 10, 64); err == nil && sent > 0 && (r.Sent == 0 || sent <= r.Sent) {
		return sent
	}
	return r.Sent
}

// messageBytes is the memory of a held message beside its body and attributes: the Message, its entries in maps and batches, and
// its ids.
const messageBytes = 1 << 10

// ReceiveBytes returns the maximum memory that the messages of one receive take, for a queue's MaximumMessageSize.
func ReceiveBytes(maxMessageBytes int64) int64 { return MaxBatch * (maxMessageBytes + messageBytes) }

// size returns the size of a message as SQS counts it: its body and its attributes' names, types and values ("Amazon SQS message
// quotas").
func (r *Received) size() int {
	n := len(r.Body)
	for i := range r.Attributes {
		a := &r.Attributes[i]
		n += len(a.Name) + len(a.Type) + len(a.Value)
	}
	return n
}

// A state is a stage in the life of a message. Each arrow is a method of Consumer:
//
//	open ─► deleting ──────────────► gone   finish
//	  ├───► rejecting ─► deleting           reject
//	  │         ▼
//	  └───► releasing ─────────────► gone   release
type state uint8

const (
	open      state = iota // being read, or waiting for outcomes
	rejecting              // its rejects are being sent to the reject queue
	deleting               // everything is durable, and it is being deleted
	releasing              // it is being made visible again
)

// A Message is held by the worker from its receive until it is deleted, rejected or released. It is settled once each of
// its predictions has an outcome.
type Message struct {
	Received
	// Waited is the maximum time for which Config.Pace kept the message waiting on its queue.
	Waited time.Duration

	c *Consumer

	pending atomic.Int32 // predictions without an outcome, plus one until Done

	// Used only by the goroutine that reads the message.
	expected bool // Expect was called
	reserved int  // bytes that Reserve has granted

	mu      sync.Mutex
	failed  bool // at least one prediction was not written, so the message must be redelivered
	delayed bool // not at once: see BackOff
	rejects rejects

	// Guarded by Consumer.mu.
	state  state
	lease  lease
	bytes  int64 // counted in the budget
	unsent int   // rejects that the reject queue has not accepted yet
	// stalled are the bytes that the message had when Stall was granted, or 0.
	stalled int64
	settled bool // each prediction has an outcome
}

// A lease is the time for which SQS keeps a message invisible for this worker.
type lease struct {
	receipt   string        // the newest receipt handle, the only one that is sure to work ("DeleteMessage")
	receives  int           // the newest receive count
	began     time.Time     // time of the receive; 12 hours later, SQS allows no further extension
	ends      time.Time     // when the message becomes visible again
	extension time.Duration // the last one; at first the queue's visibility timeout
	extending extending
}

// extending is the progress of an extension.
type extending uint8

const (
	notExtending    extending = iota
	extensionQueued           // in the batcher
	extensionCalled           // in flight: it would undo a release that overtook it
)

func newLease(r *Received, now time.Time, visibility time.Duration) lease {
	return lease{receipt: r.Receipt, receives: r.Receives, began: now, ends: now.Add(visibility), extension: visibility}
}

// Expect announces a prediction, for which Resolve will be called once. It must not be called after Done.
func (m *Message) Expect() {
	m.expected = true
	m.pending.Add(1)
}

// Resolve records the outcome of an expected prediction. The last one settles the message.
func (m *Message) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		m.mu.Lock()
		m.failed = true
		m.mu.Unlock()
	case prediction.Rejected:
		m.Reject(prediction.RejectedPart{Raw: raw, Why: why}, 1)
	}
	m.complete()
}

// Stall announces that one of the message's predictions waits for longer than a write takes, for something that others don't need. The
// message then counts among those that wait for the reject queue, of which there is room for a few, so that it never blocks the others.
// Stall returns false if there is no room: the caller must then resolve the prediction as Failed, and the message backs off.
func (m *Message) Stall() bool {
	if m.c.stall(m) {
		return true
	}
	m.BackOff()
	return false
}

// stall counts a message among those that wait, if there is room.
func (c *Consumer) stall(m *Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.stalled > 0 || m.settled { // the prediction may have got its outcome meanwhile, from another goroutine
		return true
	}
	if !c.waitFits(m, rejectShareFailing) {
		return false
	}
	m.stalled = m.bytes
	c.rejecting.messages++
	c.rejecting.bytes += m.stalled
	c.unsettled-- // its outcome may never come, and must not keep a probe of the table waiting
	c.gate.setUnsettled(c.unsettled)
	return true
}

// Reject records a part of the message that can't be written. count is the number of parts that it represents, including itself.
func (m *Message) Reject(part prediction.RejectedPart, count int) {
	m.c.cfg.Observer.Rejected(part.Why)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejects.add(part, count)
}

// BackOff lets the message be redelivered like one that no reject queue takes: with a visibility timeout that grows with each receive.
// Like Resolve with Failed, it does not settle the message by itself.
func (m *Message) BackOff() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed, m.delayed = true, true
}

// Reserve blocks until the message may take a total of bytes beside its body. It returns false if ctx is done first. Only one
// message at a time has reserved bytes, from its first Reserve until Done. Receives leave Config.MaxDecodedBytes free for it, so
// it always gets them in the end.
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

// Done ends the reading of the message: Expect has been called for all predictions. bytes is the memory that they take beside its
// body. From now on the message can settle.
func (m *Message) Done(bytes int) {
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
	m.complete()
}

// complete counts down pending, and settles the message at 0.
func (m *Message) complete() {
	if m.pending.Add(-1) == 0 {
		m.c.settle(m)
	}
}
