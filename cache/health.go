package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/item"
)

const (
	// maxFailures is how many reads in a row fail before the table counts as away: one hot partition that throttles, or one
	// connection that breaks, must not fail every other id.
	maxFailures = 3
	probePause  = time.Second
)

// health is whether the table answers, for a Cache with a front: a circuit breaker that is closed by a probe.
type health struct {
	isAway   atomic.Bool
	failures atomic.Int32 // reads in a row

	mu   sync.Mutex
	last error  // guarded by mu: why the table is away
	next string // guarded by mu: the id that the next probe reads
}

// missed notes an id that was asked for while the table is away. The next probe reads it, so that one id whose partition is
// throttled does not keep all others away.
func (h *health) missed(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = key
}

func (h *health) toProbe() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

func (h *health) away() bool { return h.isAway.Load() }

func (h *health) cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// saw notes the outcome of a read of the table. Whatever answers, be it with an item that can't be read, is there.
func (h *health) saw(c *Cache, l *item.Layout, key string, err error) {
	if answered(err) {
		if h.failures.Load() != 0 {
			h.failures.Store(0)
		}
		if h.isAway.Load() {
			h.isAway.Store(false)
		}
		return
	}
	if c.closed() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.next = err, key
	if h.failures.Add(1) >= maxFailures && h.isAway.CompareAndSwap(false, true) {
		c.start(func() { h.probe(c, l) })
	}
}

// probe reads an id that could not be read, once a second at most, until the table answers or the Cache is closed.
func (h *health) probe(c *Cache, l *item.Layout) {
	pause := time.NewTicker(probePause)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-c.closing.Done():
			return
		}
		if !h.away() {
			return // a read that began before has been answered
		}
		key := h.toProbe()
		fl, owner := c.reads.join(key, c.mono())
		if !owner {
			continue // an earlier read of this id is still under way
		}
		c.stats.probes.Add(1)
		ctx, cancel := c.detached(context.Background(), c.setup.readTimeout)
		e, err := c.front.fetch(ctx, l, key, true)
		cancel()
		c.reads.land(fl, e, err)
	}
}
