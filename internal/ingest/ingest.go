// Package ingest turns text into items for the table. Queue messages and lines of files go through the same loop: it decodes a
// text into predictions, makes their items, and passes those to the dedup window and the write batcher.
package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A Sink is the source of a text, such as a queue message. It receives the results of reading it: Reserve, Admit and Reject any
// number of times, or NoRoom, and in the end Done.
type Sink interface {
	// Reserve blocks until the text may take a total of bytes beside itself. It returns false if it can't.
	Reserve(ctx context.Context, bytes int) bool
	// Admit announces an item of the text, and returns the Waiter that gets its outcome.
	Admit(it *item.Item) dedup.Waiter
	// Reject reports a part of the text that can never be written. count is the number of parts that it represents, including
	// itself.
	Reject(part prediction.RejectedPart, count int)
	// NoRoom reports that the text was not read, because Reserve returned false. No part of it was admitted.
	NoRoom()
	// Done ends the text. bytes is the memory that its predictions take beside it.
	Done(bytes int)
}

// A Text carries predictions.
type Text struct {
	Name            string // for the log: a message's id
	Body            string
	ContentEncoding string
	// Sent is the event time of predictions that have none, in milliseconds since the epoch. Order decides which of two
	// predictions with the same id and event time is newer: the one with the greater Order. 0 means Sent. Of two with the same
	// Order, the one with the greater Place is newer: a text's predictions have Place and the numbers after it.
	Sent, Order int64
	Place       int32
}

// Config of an Ingest.
type Config struct {
	Decoder prediction.Config
	Layout  *item.Layout
	Admit   func(it *item.Item, to dedup.Waiter) (submit bool) // dedup.Window.Admit
	Submit  func(items ...*item.Item)                          // writer.Writer.Submit
	// Idle blocks until the writer has taken up most of what is submitted, or ctx is done: writer.Writer.Idle. A text of many
	// predictions is submitted little by little, so that others are written between them. nil: all at once.
	Idle     func(ctx context.Context)
	Observer dedup.Observer   // counts the outcomes that do not reach the window: rejected and expired
	Now      func() time.Time // the AWS services' clock
	// Grace is how long an expired prediction is still accepted, since clocks differ a little.
	Grace time.Duration
	Log   *slog.Logger
}

// An Ingest reads texts. It is safe for concurrent use if each goroutine has its own Batch.
type Ingest struct {
	cfg     Config
	decoder *prediction.Decoder
	batches sync.Pool // of *Batch
}

// New returns an Ingest.
func New(cfg Config) *Ingest {
	in := &Ingest{cfg: cfg, decoder: prediction.NewDecoder(cfg.Decoder)}
	in.batches.New = func() any { return &Batch{in: in} }
	return in
}

// A Batch collects the items of several texts, such as the messages of a receive, and submits them together, so that they fill a
// write.
type Batch struct {
	in      *Ingest
	decoded prediction.Decoded
	made    []made
	items   []*item.Item // that the window wants written
	bytes   int          // that the text being read takes beside itself
}

// made is an item that was announced and is not in the window yet: until then the Batch owes its Waiter an outcome.
type made struct {
	item *item.Item
	to   dedup.Waiter
}

const (
	// portion is how many items of a Batch are submitted at once: four writes. The items of several ordinary messages are fewer.
	portion = 100
	// long is the length of a text that takes milliseconds to read. What was read before it does not wait for that.
	long = 64 << 10
)

// Begin returns an empty Batch. The caller must call End.
func (in *Ingest) Begin() *Batch { return in.batches.Get().(*Batch) }

// End submits the remaining items. When ctx is done it does so without waiting for the writer. The Batch must not be used again.
func (b *Batch) End(ctx context.Context) {
	b.submit(ctx)
	b.decoded.Reset() // the pool must not keep a message's text
	if cap(b.made) <= 10*portion {
		b.in.batches.Put(b)
	}
}

// submit passes what was made to the window, and to the writer what the window wants written.
func (b *Batch) submit(ctx context.Context) {
	for i := range b.made {
		m := b.made[i]
		b.made[i] = made{}
		if b.admit(m) {
			b.items = append(b.items, m.item)
		}
		if len(b.items) == portion {
			b.flush()
			if b.in.cfg.Idle != nil && i < len(b.made)-1 {
				b.in.cfg.Idle(ctx)
			}
		}
	}
	b.made = b.made[:0]
	b.flush()
}

func (b *Batch) flush() {
	b.in.cfg.Submit(b.items...)
	clear(b.items)
	b.items = b.items[:0]
}

// admit passes an item to the window. An item that causes a panic is rejected.
func (b *Batch) admit(m made) (submit bool) {
	defer func() {
		if fault := recover(); fault != nil {
			why := b.in.panicked(fault, "")
			b.in.cfg.Observer.Outcome(prediction.Rejected, 0, 0)
			m.to.Resolve(prediction.Rejected, m.item.Raw, why)
		}
	}()
	return b.in.cfg.Admit(m.item, m.to)
}

// panicked logs a panic and returns the reason to reject what caused it: it would crash the next worker too.
func (in *Ingest) panicked(fault any, name string) *prediction.Reject {
	log := in.cfg.Log
	log.Error("panic while reading a message", "fault", fmt.Sprintf("%T", fault), "message", name,
		"remedy", "this is a bug in the worker: please report it. The message is rejected with the reason internal")
	return prediction.Rejectf(prediction.ReasonInternal, "", "the worker failed to read the message: please report it")
}

// Add reads a text and reports to sink. A text that causes a panic is rejected as a whole, beside what was made of it before.
func (b *Batch) Add(ctx context.Context, text Text, sink Sink) {
	if len(text.Body) > long {
		b.submit(ctx)
	}
	b.bytes = 0
	b.read(ctx, text, sink)
	sink.Done(b.bytes)
}

// Reject adds a text that can't be read, and reports to sink as Add does.
func (b *Batch) Reject(part prediction.RejectedPart, sink Sink) {
	b.reject(sink, part, 1)
	sink.Done(0)
}

// Check returns why no prediction of a text can be stored, or nil if at least one can.
func (in *Ingest) Check(text Text) (why *prediction.Reject) {
	var decoded prediction.Decoded
	in.decoder.Decode(&decoded, prediction.Message{Body: text.Body, Sent: text.Sent, Order: text.Order}, in.cfg.Now())
	for i := range decoded.Predictions {
		if _, why = in.cfg.Layout.New(&decoded.Predictions[i]); why == nil {
			return nil
		}
	}
	if why == nil && len(decoded.Rejected) > 0 {
		why = decoded.Rejected[0].Why
	}
	return why
}

// read does what Add does, but for Done.
func (b *Batch) read(ctx context.Context, text Text, sink Sink) {
	defer func() {
		if fault := recover(); fault != nil {
			why := b.in.panicked(fault, text.Name)
			b.reject(sink, prediction.RejectedPart{Raw: text.Body, Whole: true, Why: why}, 1)
			b.decoded = prediction.Decoded{} // it may be half made
		}
	}()
	now := b.in.cfg.Now()
	decoded := b.in.decoder.Decode(&b.decoded, prediction.Message{
		Body: text.Body, ContentEncoding: text.ContentEncoding, Sent: text.Sent, Order: text.Order, Place: text.Place,
		Room: func(bytes int) bool {
			b.submit(ctx) // their writes may free the room that it waits for
			return sink.Reserve(ctx, bytes)
		},
	}, now)
	if !decoded {
		sink.NoRoom()
		return
	}
	for i, part := range b.decoded.Rejected {
		count := 1
		if i == len(b.decoded.Rejected)-1 {
			count += b.decoded.More
		}
		b.reject(sink, part, count)
	}
	b.bytes = b.decoded.Bytes
	expired := now.Add(-b.in.cfg.Grace).Unix()
	for i := range b.decoded.Predictions {
		b.make(&b.decoded.Predictions[i], sink, expired)
	}
}

// make makes the item of a prediction. One that ends before expired, in seconds since the epoch, is dropped, but for a delete:
// nothing else hides the predictions that it must hide.
func (b *Batch) make(p *prediction.Prediction, sink Sink, expired int64) {
	it, why := b.in.cfg.Layout.New(p)
	switch {
	case why != nil:
		b.reject(sink, prediction.RejectedPart{Raw: p.Raw, Why: why, Sent: b.decoded.Sent}, 1)
	case it.Expires < expired && !it.Version.Deleted:
		b.in.cfg.Observer.Outcome(prediction.Expired, it.Units(), 0)
	default:
		b.bytes += it.Bytes()
		b.made = append(b.made, made{it, sink.Admit(it)})
	}
}

func (b *Batch) reject(sink Sink, part prediction.RejectedPart, count int) {
	for range count {
		b.in.cfg.Observer.Outcome(prediction.Rejected, 0, 0)
	}
	sink.Reject(part, count)
}
