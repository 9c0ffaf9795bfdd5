package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
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

	mu      sync.Mutex
	last    error  // guarded by mu: why the breaker is open
	next    string // guarded by mu: the id that the next probe reads
	probing bool   // guarded by mu: a goroutine probes the table
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

// answered records that the table works. Any answer shows that, even an item that can't be read.
func (h *health) answered() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
	if h.isAway.Load() {
		h.isAway.Store(false)
	}
}

// saw records the outcome of a read of the table.
func (h *health) saw(c *Cache, key string, err error) {
	if answered(err) {
		h.answered()
		return
	}
	if c.closed() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.next = err, key
	if h.failures.Add(1) >= maxFailures {
		h.open(c)
	}
}

// unknown records that the table's layout could not be read.
func (h *health) unknown(c *Cache, err error) {
	if c.closed() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err
	h.open(c)
}

// open opens the breaker. It requires that h.mu is held.
func (h *health) open(c *Cache) {
	h.isAway.Store(true)
	if !h.probing { // else the last probe has not noticed yet that the breaker was closed for a moment
		h.probing = c.start(func() { h.probe(c) })
	}
}

// closed reports whether the breaker has closed, and the probe ends.
func (h *health) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = h.away()
	return !h.probing
}

// probe asks the table once a second at most, until it answers or the Cache is closed: for an id that could not be read, or
// for its layout as long as that is not known.
func (h *health) probe(c *Cache) {
	pause := time.NewTicker(probePause)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-c.closing.Done():
			return
		}
		if h.closed() {
			return // an earlier read has been answered
		}
		l := c.layout.Load()
		if l == nil {
			c.stats.probes.Add(1)
			ctx, cancel := c.detached(context.Background(), c.setup.readTimeout)
			_, _ = c.find(ctx, true) // it has recorded an error
			cancel()
			continue
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
