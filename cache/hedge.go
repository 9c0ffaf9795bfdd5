package cache

import (
	"context"
	"math/bits"
	"sync"
	"time"
)

// hedging makes a call a second time when it takes long: a slow call is mostly its own trouble (a lost packet, a busy storage
// node), not the table's (Dean and Barroso, "The Tail at Scale", CACM 2013).
type hedging struct {
	mu     sync.Mutex
	recent [operations]latencies // guarded by mu
	budget float64               // guarded by mu: calls that may be made twice
}

const (
	hedgeBudget = 0.05 // of calls
	// hedgeBurst bounds what quiet times save up, so that a table that turns slow isn't asked for much more at once.
	hedgeBurst  = 2
	hedgeFactor = 1.5
	leastDelay  = time.Millisecond
)

func newHedging() *hedging { return &hedging{} }

// after is how long a call may take before it is hedged, or 0 while too little is known. It adds the call to the budget.
func (h *hedging) after(o operation) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget = min(h.budget+hedgeBudget, hedgeBurst)
	usual := h.recent[o].p95()
	if usual == 0 {
		return 0
	}
	return max(time.Duration(hedgeFactor*float64(usual)), leastDelay)
}

// take takes one hedge out of the budget.
func (h *hedging) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.budget < 1 {
		return false
	}
	h.budget--
	return true
}

func (h *hedging) took(o operation, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent[o].add(d)
}

// call makes a call, and makes it again beside the first when that takes long. What comes first counts, and ends the other one.
func (h *hedging) call(ctx context.Context, c *Cache, r *request) (answer, error) {
	after := h.after(r.operation)
	start := time.Now()
	if after == 0 {
		a, err := c.source.call(ctx, r)
		if err == nil {
			h.took(r.operation, time.Since(start))
		}
		return a, err
	}
	first, endFirst := context.WithCancel(ctx)
	defer endFirst()
	second, endSecond := context.WithCancel(ctx)
	defer endSecond()
	var won answer
	wins := false
	ended := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		defer close(ended)
		if !h.take() {
			return
		}
		c.stats.calls.Add(1)
		c.stats.hedges.Add(1)
		a, err := c.source.call(second, r)
		if err == nil {
			won, wins = a, true
			endFirst()
		}
	})
	a, err := c.source.call(first, r)
	switch {
	case timer.Stop():
	case err == nil:
		endSecond()
		<-ended
		c.stats.addUnits(won.units) // of an answer that came at the same time
	default: // ended by the second, or failed: the second is as good
		<-ended
		if wins {
			c.stats.hedgeWins.Add(1)
			a, err = won, nil
		}
	}
	if err == nil {
		h.took(r.operation, time.Since(start))
	}
	return a, err
}

// latencies are those of recent calls: a histogram whose buckets are a thirty-second of a power of two wide, and whose counts
// are halved each time that they reach a thousand.
type latencies struct {
	counts [64 << latencyBits]uint32
	sum    uint32
	since  uint32 // calls since the percentile was last computed
	cached time.Duration
}

const (
	latencyBits = 5
	minSamples  = 20
	maxSamples  = 1000
)

func latencyBucket(d time.Duration) int {
	n := uint64(max(d, 1))
	shift := max(bits.Len64(n)-1-latencyBits, 0)
	return shift<<latencyBits + int(n>>shift)
}

// latencyOf is the middle of a bucket.
func latencyOf(bucket int) time.Duration {
	shift := max(bucket>>latencyBits-1, 0)
	base := uint64(bucket - shift<<latencyBits)
	return time.Duration(base<<shift + 1<<shift/2)
}

func (l *latencies) add(d time.Duration) {
	l.counts[min(latencyBucket(d), len(l.counts)-1)]++
	l.since++
	if l.sum++; l.sum < maxSamples {
		return
	}
	l.sum = 0
	for i := range l.counts {
		l.counts[i] /= 2
		l.sum += l.counts[i]
	}
}

// p95 is the recent 95th percentile, or 0 while there are too few calls. It is computed again every few calls.
func (l *latencies) p95() time.Duration {
	if l.sum < minSamples {
		return 0
	}
	if l.since < minSamples && l.cached > 0 {
		return l.cached
	}
	l.since = 0
	above := l.sum / 20
	for i := len(l.counts) - 1; i >= 0; i-- {
		if l.counts[i] > above {
			l.cached = latencyOf(i)
			return l.cached
		}
		above -= l.counts[i]
	}
	return l.cached
}
