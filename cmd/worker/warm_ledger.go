package main

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/prediction"
)

// A ledger knows how far a run has come for certain: outcomes come in any order, and only what has nothing open before it
// counts. It also bounds how much is under way.
type ledger struct {
	room *semaphore.Weighted // in bytes

	mu      sync.Mutex
	open    []*chunk // in the order of the lines
	durable position
	idle    chan struct{} // closed once nothing is under way; nil unless somebody waits
	pending int
}

// A chunk is some lines that were read together.
type chunk struct {
	ledger *ledger
	warmer *warmer
	end    position
	cost   int64
	left   atomic.Int32 // predictions without an outcome, and one more while the chunk is being read
	failed atomic.Bool

	done bool // guarded by ledger.mu
}

// begin makes room for a chunk and enters it.
func (l *ledger) begin(ctx context.Context, c *chunk) error {
	if err := l.room.Acquire(ctx, c.cost); err != nil {
		return err
	}
	c.left.Store(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, c)
	l.pending++
	return nil
}

// resolved notes an outcome of one of a chunk's predictions.
func (c *chunk) resolved() {
	if c.left.Add(-1) > 0 {
		return
	}
	l := c.ledger
	l.mu.Lock()
	c.done = true
	for len(l.open) > 0 && l.open[0].done && !l.open[0].failed.Load() {
		l.durable = l.open[0].end
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

// wait waits until nothing is under way.
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

// position is how far the run has come for certain.
func (l *ledger) position() position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// A line waits for the outcomes of its predictions.
type line struct {
	chunk  *chunk
	number int64
}

// Resolve implements dedup.Waiter.
func (l *line) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	switch o {
	case prediction.Failed:
		l.chunk.failed.Store(true)
	case prediction.Rejected:
		l.chunk.warmer.reject(l, raw, why)
	}
	l.chunk.resolved()
}
