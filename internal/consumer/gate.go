package consumer

import (
	"context"
	"sync"

	"github.com/predcache/predcache/internal/cond"
)

// A Mode says how much may be received.
type Mode uint8

// The modes.
const (
	// One: a receive only while no prediction waits to be written, to find out with it whether the table can be. What waits
	// for SQS alone, such as a reject queue that is down, is no probe of the table.
	One Mode = iota
	Open
	Closed
)

// A gate decides which pollers may receive: fewer when the queue is empty, more when it is not.
type gate struct {
	max int

	mu      sync.Mutex
	changed *sync.Cond
	mode    Mode
	wanted  int // pollers that the backlog asks for
	// unsettled is how many messages have predictions without an outcome.
	unsettled int
	asking    int // pollers between wait and received
}

func newGate(pollers int) *gate {
	g := &gate{max: pollers, wanted: 1}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// wait blocks poller i until it may receive; false means that ctx has ended.
func (g *gate) wait(ctx context.Context, i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil || !cond.Wait(ctx, g.changed, func() bool { return g.admits(i, 0) }) {
		return false
	}
	g.asking++
	return true
}

// admits tells whether poller i may receive while so many ask, of which it may be one. g.mu is held.
func (g *gate) admits(i, asking int) bool {
	return i < g.wanted && (g.mode == Open || g.mode == One && g.unsettled == 0 && g.asking == asking)
}

// received notes what a receive brought: a full one asks for a poller more, a nearly empty one for one less.
func (g *gate) received(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	switch {
	case n == MaxBatch:
		g.wanted = min(g.wanted+1, g.max)
	case n < MaxBatch/2:
		g.wanted = max(g.wanted-1, 1)
	}
	g.changed.Broadcast()
}

// skipped is instead of received for a poller that made no receive.
func (g *gate) skipped() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
	g.changed.Broadcast() // one that may ask only while nobody else does may be waiting for just this
}

// still tells whether poller i may receive after it has waited for something else.
func (g *gate) still(i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admits(i, 1)
}

func (g *gate) pollers() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wanted
}

func (g *gate) setMode(m Mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == Closed || m == One {
		g.wanted = 1 // open up slowly
	}
	g.mode = m
	g.changed.Broadcast()
}

func (g *gate) setUnsettled(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsettled = n
	if g.mode == One {
		g.changed.Broadcast()
	}
}

// A budget bounds what is held.
type budget struct {
	maxMessages int
	maxBytes    int64

	mu       sync.Mutex
	freed    *sync.Cond
	messages int
	bytes    int64
}

func newBudget(maxMessages int, maxBytes int64) *budget {
	b := &budget{maxMessages: maxMessages, maxBytes: maxBytes}
	b.freed = sync.NewCond(&b.mu)
	return b
}

// reserve waits for room; of the bytes only so many may be in use then. False means that ctx has ended.
func (b *budget) reserve(ctx context.Context, messages int, bytes, limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !cond.Wait(ctx, b.freed, func() bool { return b.messages+messages <= b.maxMessages && b.bytes+bytes <= limit }) {
		return false
	}
	b.messages += messages
	b.bytes += bytes
	return true
}

// take uses so many bytes, whether there is room or not.
func (b *budget) take(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += bytes
}

func (b *budget) release(messages int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages -= messages
	b.bytes -= bytes
	b.freed.Broadcast()
}

func (b *budget) used() (messages int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages, b.bytes
}
