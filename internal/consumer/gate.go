package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/cond"
)

// A Mode sets how much may be received.
type Mode uint8

// The modes.
const (
	// ModeProbe admits one receive, and only while no prediction waits to be written: its messages show whether the table can be
	// written. Messages that wait for SQS alone, such as for a reject queue that is down, say nothing about the table.
	ModeProbe Mode = iota
	// ModeOpen admits as many receives as the backlog needs.
	ModeOpen
	// ModeClosed admits none.
	ModeClosed
)

// A gate admits pollers: one on an empty queue, more while receives return full.
type gate struct {
	max  int
	full int // number of messages of a full receive

	mu      sync.Mutex
	changed *sync.Cond
	mode    Mode
	wanted  int // number of pollers that the backlog needs
	away    int // pollers that read what they have received for longer than maxAway
	// unsettled is the number of messages with predictions that have no outcome.
	unsettled int
	admitted  int // pollers between wait and received or skipped
}

func newGate(pollers, full int) *gate {
	g := &gate{max: pollers, full: full, wanted: 1}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// wait blocks until poller i may receive. It returns false if ctx is done.
func (g *gate) wait(ctx context.Context, i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil || !cond.Wait(ctx, g.changed, func() bool { return g.admits(i, 0) }) {
		return false
	}
	g.admitted++
	return true
}

// admits reports whether poller i may receive. In ModeProbe it may only if the given number of pollers are admitted: 0 before it
// is one of them, 1 after. It requires g.mu.
func (g *gate) admits(i, admitted int) bool {
	return i < g.wanted+g.away && (g.mode == ModeOpen || g.mode == ModeProbe && g.unsettled == 0 && g.admitted == admitted)
}

// received records the number of messages of a receive, and whether a backlog is left: this adds a poller. A receive with less than half
// of a full one removes one.
func (g *gate) received(n int, backlog bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted--
	switch {
	case backlog:
		g.wanted = min(g.wanted+1, g.max)
	case n < (g.full+1)/2:
		g.wanted = max(g.wanted-1, 1)
	}
	g.changed.Broadcast()
}

// A large or compressed message takes tens of milliseconds to read, and longer to submit, while others wait on the queue. Another
// poller takes the place of one that has received more than longRead bytes, or reads for longer than maxAway.
const (
	maxAway  = 5 * time.Millisecond
	longRead = 64 << 10
)

// read runs a poller's reading of what it has received. If that takes long, another poller may receive meanwhile.
func (g *gate) read(bytes int64, messages func()) {
	move := func(by int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.away += by
		g.changed.Broadcast()
	}
	if bytes > longRead {
		move(1)
		defer move(-1)
		messages()
		return
	}
	timer := time.AfterFunc(maxAway, func() { move(1) })
	defer func() {
		if !timer.Stop() {
			move(-1)
		}
	}()
	messages()
}

// skipped is called in place of received by a poller that made no receive.
func (g *gate) skipped() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted--
	g.changed.Broadcast() // in ModeProbe, another poller may wait for this
}

// recheck reports whether an admitted poller may still receive, after it has waited for something else.
func (g *gate) recheck(i int) bool {
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
	if g.mode == ModeClosed || m == ModeProbe {
		g.wanted = 1 // open up slowly
	}
	g.mode = m
	g.changed.Broadcast()
}

func (g *gate) setUnsettled(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsettled = n
	if g.mode == ModeProbe {
		g.changed.Broadcast()
	}
}

// A budget bounds the messages and bytes held.
type budget struct {
	maxMessages int
	maxBytes    int64
	pressed     func(bool) // Config.Pressed

	mu       sync.Mutex
	freed    *sync.Cond
	messages int
	bytes    int64
	waiting  int // calls of reserve that wait
}

func newBudget(maxMessages int, maxBytes int64, pressed func(bool)) *budget {
	if pressed == nil {
		pressed = func(bool) {}
	}
	b := &budget{maxMessages: maxMessages, maxBytes: maxBytes, pressed: pressed}
	b.freed = sync.NewCond(&b.mu)
	return b
}

// reserve blocks until there is room: for the messages, and for the bytes within limit. It returns false if ctx is done first.
func (b *budget) reserve(ctx context.Context, messages int, bytes, limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	fits := func() bool { return b.messages+messages <= b.maxMessages && b.bytes+bytes <= limit }
	if !fits() {
		if b.waiting++; b.waiting == 1 {
			b.pressed(true)
		}
		held := cond.Wait(ctx, b.freed, fits)
		if b.waiting--; b.waiting == 0 {
			b.pressed(false)
		}
		if !held {
			return false
		}
	}
	b.messages += messages
	b.bytes += bytes
	return true
}

// take adds bytes, even beyond the limit.
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
