package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/item"
)

const (
	// maxFailures is the number of consecutive failed reads after which the table counts as unavailable: a throttled hot
	// partition, or one broken connection, must not fail all other ids.
	maxFailures = 3
	probePause  = time.Second
)

// health is a circuit breaker for the reads of a Cache with a front. A probe closes it.
type health struct {
	isAway   atomic.Bool
	failures atomic.Int32 // consecutive failed reads

	mu   sync.Mutex
	last error  // guarded by mu: why the breaker is open
	next string // guarded by mu: the id that the next probe reads
}

// missed records an id that was requested while the breaker is open. The next probe reads it, so that one id in a throttled
// partition does not keep the breaker open for all others.
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

// saw records the outcome of a read of the table. Any answer shows that the table works, even an item that can't be read.
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
			return // an earlier read has been answered
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
