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
	Decoder  prediction.Config
	Layout   *item.Layout
	Admit    func(it *item.Item, to dedup.Waiter) (submit bool) // dedup.Window.Admit
	Submit   func(items ...*item.Item)                          // writer.Writer.Submit
	Observer dedup.Observer                                     // counts the outcomes that do not reach the window: rejected and expired
	Now      func() time.Time                                   // the AWS services' clock
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
	items   []*item.Item
	bytes   int // that the text being read takes beside itself
	// announced is the Waiter of the item on its way to the window: nobody else resolves it yet.
	announced dedup.Waiter
}

// Begin returns an empty Batch. The caller must call End.
func (in *Ingest) Begin() *Batch { return in.batches.Get().(*Batch) }

// End submits the remaining items. The Batch must not be used again.
func (b *Batch) End() {
	b.submit()
	b.decoded.Reset() // the pool must not keep a message's text
	b.in.batches.Put(b)
}

func (b *Batch) submit() {
	b.in.cfg.Submit(b.items...)
	clear(b.items)
	b.items = b.items[:0]
}

// Add reads a text and reports to sink. A text that causes a panic is rejected: it would crash the next worker too.
func (b *Batch) Add(ctx context.Context, text Text, sink Sink) {
	b.bytes = 0
	b.read(ctx, text, sink)
	sink.Done(b.bytes)
}

// read does what Add does, but for Done. After a panic the window still has what was admitted before it. An item that was announced
// and not admitted shares the outcome of its text, which is rejected.
func (b *Batch) read(ctx context.Context, text Text, sink Sink) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		log := b.in.cfg.Log
		log.Error("panic while reading a message", "fault", fmt.Sprintf("%T", fault), "message", text.Name,
			"remedy", "this is a bug in the worker: please report it. The message is rejected with the reason internal")
		why := prediction.Rejectf(prediction.ReasonInternal, "", "the worker failed to read the message: please report it")
		b.reject(sink, prediction.RejectedPart{Raw: text.Body, Whole: true, Why: why}, 1)
		if b.announced != nil {
			b.announced.Resolve(prediction.Duplicate, "", nil)
			b.announced = nil
		}
		b.decoded = prediction.Decoded{} // it may be half made
	}()
	now := b.in.cfg.Now()
	decoded := b.in.decoder.Decode(&b.decoded, prediction.Message{
		Body: text.Body, ContentEncoding: text.ContentEncoding, Sent: text.Sent, Order: text.Order, Place: text.Place,
		Room: func(bytes int) bool {
			b.submit() // their writes may free the room that it waits for
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
		b.admit(&b.decoded.Predictions[i], sink, expired)
	}
}

// admit makes the item of a prediction and passes it to the window. A prediction that ends before expired, in seconds since the
// epoch, is dropped.
func (b *Batch) admit(p *prediction.Prediction, sink Sink, expired int64) {
	it, why := b.in.cfg.Layout.New(p)
	switch {
	case why != nil:
		b.reject(sink, prediction.RejectedPart{Raw: p.Raw, Why: why, Sent: b.decoded.Sent}, 1)
	case it.Expires < expired:
		b.in.cfg.Observer.Outcome(prediction.Expired, it.Units(), it.Version.Sent)
	default:
		b.bytes += it.Bytes()
		b.announced = sink.Admit(it)
		submit := b.in.cfg.Admit(it, b.announced)
		b.announced = nil
		if submit {
			b.items = append(b.items, it)
		}
	}
}

func (b *Batch) reject(sink Sink, part prediction.RejectedPart, count int) {
	for range count {
		b.in.cfg.Observer.Outcome(prediction.Rejected, 0, 0)
	}
	sink.Reject(part, count)
}
