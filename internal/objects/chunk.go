package objects

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

const (
	// The rows of a chunk are passed on together, and their memory is counted together.
	chunkBytes = 64 << 10
	chunkRows  = 100
	// longRow is the length from which a row takes more than its share of memory.
	longRow = 256 << 10
	// rowBytes is the approximate memory of a row beside its text: see prediction.PredictionBytes.
	rowBytes = 1 << 10
)

// A chunk is some rows of one object, from their reading until each has an outcome.
type chunk struct {
	l        *Loader
	m        *consumer.Message
	object   *Object
	modified int64 // milliseconds since the epoch

	rows []row
	seen int   // rows when more was last read
	size int   // bytes of the rows' text
	cost int64 // taken of Loader.room
	long bool  // it has Loader.long

	pending atomic.Int32 // rows and rejects without an outcome, plus one until the chunk is passed on
	failed  atomic.Bool
}

// A row implements ingest.Sink and dedup.Waiter.
type row struct {
	c       *chunk
	record  records.Record
	rejects []prediction.RejectedPart // used only while the row is decoded
	count   int                       // of the rejected parts
}

func (c *chunk) add(r records.Record) {
	c.rows = append(c.rows, row{c: c, record: r})
	c.size += len(r.Text)
}

// drop ends a chunk that was not passed on, and returns err.
func (c *chunk) drop(err error) error {
	c.free()
	return err
}

// pass passes the rows on to the ingest. It blocks until there is room for them, and until the writer has taken up most of those
// before: a worker that stops must be able to write what it has passed on. The chunk settles its part of the message later. pass
// returns an error if ctx is done first.
func (c *chunk) pass(ctx context.Context) error {
	if len(c.rows) == 0 {
		c.free()
		return nil
	}
	ready := false
	c.l.turn.away(func() { ready = c.l.cfg.Ready(ctx) })
	if !ready {
		return ctx.Err()
	}
	if !c.long { // else its memory is counted
		c.cost = int64(2*c.size + rowBytes*len(c.rows))
		if !c.l.room.TryAcquire(c.cost) {
			var err error
			c.l.turn.away(func() { err = c.l.room.Acquire(ctx, c.cost) })
			if err != nil {
				c.cost = 0
				return err //nolint:wrapcheck // the context's
			}
		}
	}
	c.m.Expect()
	c.pending.Store(int32(len(c.rows)) + 1)
	c.l.cfg.Observer.Rows(len(c.rows))
	b := c.l.cfg.Ingest.Begin()
	for i := range c.rows {
		r := &c.rows[i]
		if r.record.Why != nil {
			b.Reject(prediction.RejectedPart{Raw: r.record.Text, Why: r.record.Why}, r)
			continue
		}
		b.Add(ctx, c.text(&r.record), r)
	}
	b.End(ctx)
	c.done()
	return nil
}

// text returns a row as the ingest reads it. LastModified stands for the sent time, and the place orders the rows of an object.
func (c *chunk) text(r *records.Record) ingest.Text {
	return ingest.Text{Name: c.m.ID, Body: r.Text, Sent: c.modified, Place: r.Place}
}

// done counts an outcome. The last one frees the chunk's memory.
func (c *chunk) done() {
	if c.pending.Add(-1) > 0 {
		return
	}
	c.free()
	o := prediction.Written // or its like: it does not fail the message
	if c.failed.Load() {
		o = prediction.Failed
	}
	c.m.Resolve(o, "", nil)
}

func (c *chunk) free() {
	c.l.room.Release(c.cost)
	c.cost = 0
	if c.long {
		c.long = false
		<-c.l.long
	}
}

// takeLong waits until no other chunk takes more than its share of memory: longRow bytes of text, and as much for what it becomes. A
// chunk that has it waits for no other memory, so that it always ends. takeLong returns false if ctx is done first.
func (c *chunk) takeLong(ctx context.Context) bool {
	if c.long {
		return true
	}
	c.l.turn.away(func() {
		select {
		case c.l.long <- struct{}{}:
			c.long = true
		case <-ctx.Done():
		}
	})
	return c.long
}

// Reserve implements ingest.Sink.
func (r *row) Reserve(ctx context.Context, bytes int) bool {
	return bytes <= longRow || r.c.takeLong(ctx)
}

// Admit implements ingest.Sink.
func (r *row) Admit(*item.Item) dedup.Waiter {
	r.c.pending.Add(1)
	return r
}

// Reject implements ingest.Sink.
func (r *row) Reject(part prediction.RejectedPart, count int) {
	r.rejects = append(r.rejects, part)
	r.count += count
}

// NoRoom implements ingest.Sink.
func (r *row) NoRoom() { r.c.failed.Store(true) }

// Done implements ingest.Sink. A row of an array of which too many elements are bad is rejected as a whole.
func (r *row) Done(int) {
	if r.count > len(r.rejects) {
		r.rejects = r.rejects[:1]
		r.rejects[0].Raw = r.record.Text
	}
	for i := range r.rejects {
		r.reject(r.rejects[i])
	}
	r.rejects = nil
	r.c.done()
}

// Stall implements dedup.Staller. A row never waits for long: its chunk has memory that others need. The message backs off instead.
func (r *row) Stall() bool {
	r.c.m.BackOff()
	return false
}

// Resolve implements dedup.Waiter.
func (r *row) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		r.c.failed.Store(true)
	case prediction.Rejected:
		r.reject(prediction.RejectedPart{Raw: raw, Why: why})
	}
	r.c.done()
}

// reject sends a part of the row to the reject queue. Without one, the message goes back to its queue in the end.
func (r *row) reject(part prediction.RejectedPart) {
	c := r.c
	part.Whole, part.Sent = false, c.modified
	part.Object = &prediction.ObjectPlace{
		Bucket: c.object.Bucket, Key: c.object.Key, VersionID: c.object.VersionID, Offset: r.record.Offset, Row: r.record.Row,
	}
	c.l.log.Debug("rejected", "message", c.m.ID, "offset", r.record.Offset, "row", r.record.Row, "reason", part.Why.Reason, "field", part.Why.Field, "detail", part.Why.Detail)
	c.pending.Add(1)
	sent := c.m.RejectNow(part, func(err error) {
		switch {
		case errors.Is(err, consumer.ErrAbandoned):
			c.failed.Store(true)
		case err != nil:
			c.m.BackOff()
		}
		c.done()
	})
	if !sent {
		c.m.Reject(part, 1)
		c.done()
	}
}
