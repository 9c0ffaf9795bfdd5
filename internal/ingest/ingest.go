// Package ingest turns text into items on their way to the table. Queue messages and the lines of files go through its one
// loop: text to predictions, predictions to items, items to the deduplication window and the write batcher.
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

// A Sink is where a text came from, and hears what becomes of it.
type Sink interface {
	// Reserve blocks until the text may take so many bytes, in all, beside itself. It returns false to give up.
	Reserve(ctx context.Context, bytes int) bool
	// Admit announces an item of the text, and returns who is told what becomes of it.
	Admit(it *item.Item) dedup.Waiter
	// Reject reports a part of the text that can never be written. count is how many parts it stands for, itself included.
	Reject(part prediction.RejectedPart, count int)
	// GiveUp reports that the text was not read, since Reserve returned false. Nothing was admitted of it.
	GiveUp()
	// Read ends the text: everything has been reported, and it takes so many bytes beside itself.
	Read(bytes int)
}

// A Text carries predictions.
type Text struct {
	Name            string // for the log: a message's id
	Body            string
	ContentEncoding string
	// Sent is the event time of predictions that have none, in milliseconds since the epoch. Order orders predictions of one
	// event time; 0 stands for Sent.
	Sent, Order int64
}

// Config of an Ingest.
type Config struct {
	Decoder  prediction.Config
	Layout   *item.Layout
	Admit    func(it *item.Item, to dedup.Waiter) (submit bool) // the window's
	Submit   func(items ...*item.Item)                          // hands items to the write batcher, together
	Observer dedup.Observer                                     // is told of outcomes that the window does not hear of
	Now      func() time.Time                                   // the services' clock
	// Grace is for how long an expired prediction is taken all the same: clocks differ a little.
	Grace time.Duration
	Log   *slog.Logger
}

// An Ingest reads texts. Several goroutines may use it, each with a Batch of its own.
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

// A Batch gathers the items of several texts, so that they reach the write batcher together and fill a write.
type Batch struct {
	in      *Ingest
	decoded prediction.Decoded
	items   []*item.Item
}

// Begin returns an empty Batch, whose owner calls End.
func (in *Ingest) Begin() *Batch { return in.batches.Get().(*Batch) }

// End submits what is left. The Batch must not be used again.
func (b *Batch) End() {
	b.submit()
	b.decoded.Reset() // a pool must not keep a message's text
	b.in.batches.Put(b)
}

func (b *Batch) submit() {
	b.in.cfg.Submit(b.items...)
	clear(b.items)
	b.items = b.items[:0]
}

// Add reads a text. A text that crashes the reader is rejected: it would crash whoever receives it next, too.
func (b *Batch) Add(ctx context.Context, text Text, sink Sink) {
	defer func() {
		if fault := recover(); fault != nil {
			log := b.in.cfg.Log
			log.Error("panic while reading a message", "fault", fmt.Sprintf("%T", fault), "message", text.Name,
				"remedy", "a fault of the worker's own: please report it. The message is rejected as internal")
			why := prediction.Rejectf(prediction.ReasonInternal, "", "the worker failed to read the message: please report it")
			b.reject(sink, prediction.RejectedPart{Raw: text.Body, Whole: true, Why: why}, 1)
			sink.Read(0)
		}
	}()
	now := b.in.cfg.Now()
	decoded := b.in.decoder.Decode(&b.decoded, prediction.Message{
		Body: text.Body, ContentEncoding: text.ContentEncoding, Sent: text.Sent, Order: text.Order,
		Room: func(bytes int) bool {
			b.submit() // what it waits for may be the room that these take
			return sink.Reserve(ctx, bytes)
		},
	}, now)
	if !decoded {
		sink.GiveUp()
		sink.Read(0)
		return
	}
	for i, part := range b.decoded.Rejected {
		count := 1
		if i == len(b.decoded.Rejected)-1 {
			count += b.decoded.More
		}
		b.reject(sink, part, count)
	}
	over := now.Add(-b.in.cfg.Grace).Unix()
	for i := range b.decoded.Predictions {
		b.prediction(&b.decoded.Predictions[i], sink, over)
	}
	sink.Read(b.decoded.Bytes)
}

// prediction makes the item of a prediction and has it admitted.
func (b *Batch) prediction(p *prediction.Prediction, sink Sink, over int64) {
	it, why := b.in.cfg.Layout.New(p)
	switch {
	case why != nil:
		b.reject(sink, prediction.RejectedPart{Raw: p.Raw, Why: why, Sent: b.decoded.Sent}, 1)
	case it.Expires < over:
		b.in.cfg.Observer.Outcome(prediction.Expired, it.Units(), it.Version.Sent)
	case b.in.cfg.Admit(it, sink.Admit(it)):
		b.items = append(b.items, it)
	}
}

func (b *Batch) reject(sink Sink, part prediction.RejectedPart, count int) {
	for range count {
		b.in.cfg.Observer.Outcome(prediction.Rejected, 0, 0)
	}
	sink.Reject(part, count)
}
