package warm

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A ledger knows how far a run is durable: outcomes come in any order, and only what has nothing open before it counts. It
// also bounds how much is under way.
type ledger struct {
	run  *Run
	room *semaphore.Weighted // bytes

	mu      sync.Mutex
	open    []*chunk // in the order of the lines
	durable position
	passed  int64         // bytes of the files up to durable
	idle    chan struct{} // closed once nothing is under way; nil unless somebody waits
	pending int
}

// A chunk is some lines that were read together.
type chunk struct {
	run    *Run
	end    position
	passed int64 // bytes of the files up to end
	cost   int64
	left   atomic.Int32 // predictions without an outcome, and one more while the chunk is being read
	failed atomic.Bool

	mu      sync.Mutex
	rejects []rejectedLine

	done bool // guarded by ledger.mu
}

// begin makes room for a chunk and enters it.
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

// resolved notes an outcome of one of a chunk's predictions. What becomes durable with it has its rejects written in the order of
// the lines, so that no reject is written twice by a run that is resumed.
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

// wait waits until nothing is under way, or ctx is done.
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

// position returns how far the run is durable, and the size of the rejects file that belongs to it.
func (l *ledger) position() (at position, rejects, passed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable, l.run.rejects.size, l.passed
}

// A line is the ingest's sink of one line. Its chunk waits for the outcomes of its predictions.
type line struct {
	chunk  *chunk
	number int64
}

// Reserve implements ingest.Sink. The ledger has made room for a chunk before it is read.
func (l *line) Reserve(context.Context, int) bool { return true }

// Admit implements ingest.Sink.
func (l *line) Admit(*item.Item) dedup.Waiter {
	l.chunk.left.Add(1)
	return l
}

// Reject implements ingest.Sink.
func (l *line) Reject(part prediction.RejectedPart, _ int) { l.reject(part.Raw, part.Why) }

// NoRoom implements ingest.Sink.
func (l *line) NoRoom() { l.chunk.failed.Store(true) }

// Done implements ingest.Sink.
func (l *line) Done(int) {}

// Resolve implements dedup.Waiter.
func (l *line) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		l.chunk.failed.Store(true)
	case prediction.Rejected:
		l.reject(raw, why)
	}
	l.chunk.resolved()
}

// reject keeps what can't be stored until its chunk is durable.
func (l *line) reject(raw string, why *prediction.Reject) {
	c := l.chunk
	c.run.counts.reasons[why.Reason].Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejects = append(c.rejects, rejectedLine{c.end.File, l.number, why.Reason, why.Field, why.Detail, raw})
}
