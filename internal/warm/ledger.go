package warm

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// A ledger records up to where a run is durable. Chunks are settled in any order, and the durable position is the end of the last chunk
// before the first unsettled one. The ledger also bounds the memory of the chunks in flight.
type ledger struct {
	run  *Run
	room *semaphore.Weighted // bytes

	mu      sync.Mutex
	open    []*chunk // not yet durable, in the order of the rows
	durable position
	passed  int64         // bytes of the sources up to durable
	idle    chan struct{} // closed when no chunk is pending; nil unless wait waits
	pending int           // chunks with predictions that have no outcome
}

// A chunk is a group of rows that are read, submitted and settled together.
type chunk struct {
	run    *Run
	index  int              // of the source
	rows   []records.Record // until they are submitted
	end    position
	passed int64 // bytes of the sources up to end
	cost   int64
	left   atomic.Int32 // predictions without an outcome, plus one until it is submitted
	failed atomic.Bool

	mu      sync.Mutex
	rejects []rejectedRow

	done bool // left is 0; guarded by ledger.mu
}

// begin waits for room for a chunk and adds it.
func (l *ledger) begin(ctx context.Context, c *chunk) error {
	if err := l.room.Acquire(ctx, c.cost); err != nil {
		return err //nolint:wrapcheck // ctx is done
	}
	c.left.Store(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, c)
	l.pending++
	return nil
}

// resolved records that one of a chunk's predictions has an outcome. When chunks become durable, it writes their rejects in the order
// of the rows, so that a resumed run writes no reject twice.
func (c *chunk) resolved() {
	if c.left.Add(-1) > 0 {
		return
	}
	l := &c.run.ledger
	l.mu.Lock()
	c.done = true
	for len(l.open) > 0 && l.open[0].done && !l.open[0].failed.Load() {
		first := l.open[0]
		if err := c.run.rejects.write(first.rejects); err != nil {
			first.failed.Store(true)
			c.run.fail(err)
			break
		}
		l.durable, l.passed = first.end, first.passed
		l.open[0] = nil
		l.open = l.open[1:]
	}
	if l.pending--; l.pending == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
	l.mu.Unlock()
	l.room.Release(c.cost)
}

// wait blocks until no chunk is pending, or ctx is done.
func (l *ledger) wait(ctx context.Context) {
	l.mu.Lock()
	if l.pending == 0 {
		l.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	l.idle = idle
	l.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// position returns the durable position, and the size of the rejects file and the bytes of the sources up to it.
func (l *ledger) position() (at position, rejects, passed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable, l.run.rejects.size, l.passed
}

// A row is the ingest's sink of one row.
type row struct {
	chunk  *chunk
	number int64
}

// Reserve implements ingest.Sink. It grants everything, since ledger.begin has waited for room for the chunk.
func (s *row) Reserve(context.Context, int) bool { return true }

// Admit implements ingest.Sink.
func (s *row) Admit(*item.Item) dedup.Waiter {
	s.chunk.left.Add(1)
	return s
}

// Reject implements ingest.Sink.
func (s *row) Reject(part prediction.RejectedPart, _ int) { s.reject(part.Raw, part.Why) }

// NoRoom implements ingest.Sink.
func (s *row) NoRoom() { s.chunk.failed.Store(true) }

// Done implements ingest.Sink.
func (s *row) Done(int) {}

// Resolve implements dedup.Waiter.
func (s *row) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		s.chunk.failed.Store(true)
	case prediction.Rejected:
		s.reject(raw, why)
	}
	s.chunk.resolved()
}

// reject keeps a reject until its chunk is durable.
func (s *row) reject(raw string, why *prediction.Reject) {
	c := s.chunk
	c.run.counts.reasons[why.Reason].Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejects = append(c.rejects, rejectedRow{c.end.File, s.number, why.Reason, why.Field, why.Detail, raw})
}
