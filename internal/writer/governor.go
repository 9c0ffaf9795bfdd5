package writer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A State is whether the table accepts writes, as far as the writer knows.
type State uint8

// The states.
const (
	// Probing: not known. The result of one batch, the probe, decides. A writer starts in this state.
	Probing State = iota
	// Up: the table accepts writes.
	Up
	// Down: it does not. Nothing is written until the next probe.
	Down
)

func (s State) String() string { return [...]string{"probing", "up", "down"}[s] }

const (
	// failuresToDown is the number of consecutive failed batches after which the writer goes down: one lost connection is no outage.
	failuresToDown = 3
	// throttledToDown is the time after which the writer goes down if every batch is throttled.
	throttledToDown = 10 * time.Second

	// firstProbe and lastProbe are the minimum and maximum wait for the next probe, which doubles with each failed one. A table that
	// only throttles can accept writes again at any moment, so it is always probed after firstProbe.
	firstProbe = time.Second
	lastProbe  = 30 * time.Second

	// decrease is the factor by which throttling reduces the limit. While the table accepts some batches, it is applied at most once
	// per decreaseEvery, since batches in flight together report the same condition. While the table accepts none, it is applied once
	// per round, which is as many batches as the limit allows.
	decrease      = 0.7
	decreaseEvery = 200 * time.Millisecond

	// Below a limit of one batch, there is a pause after each: pauseUnit at a limit of 0.5, and 0.96 s at slowest. A table that
	// throttles everything gets about 100 calls before slowest is reached, and then one per second.
	pauseUnit = 40 * time.Millisecond
	slowest   = 0.04
)

// A governor limits the number of batches in flight, and is the circuit breaker of the table. While the table accepts writes, it
// raises the limit by one per batch until the table first throttles, and then by one per round. When the table throttles, it reduces
// the limit by a share, down to less than one batch at a time. While the state is Down, it allows only probes.
type governor struct {
	max      int
	setLimit func(int)
	onState  func(State, error)
	observer Observer

	mu            sync.Mutex
	state         State
	reason        error
	limit         float64   // maximum batches in flight; below 1, one with a pause after each
	opening       bool      // the table has not throttled since the state became Up
	failures      int       // batches in a row without an answer
	throttled     time.Time // when throttles became 1
	throttles     int       // throttled batches in a row
	round         int       // throttled batches in a row since the last decrease
	decreased     time.Time
	timer         *time.Timer   // ends a pause, or starts the next probe
	probeIn       time.Duration // base of the wait for the next probe
	probeInFlight bool
	stopped       bool
}

func newGovernor(cfg Config, setLimit func(int)) *governor {
	g := &governor{max: cfg.Concurrency, setLimit: setLimit, onState: cfg.OnState, observer: cfg.Observer, probeIn: firstProbe, limit: 1}
	if g.onState == nil {
		g.onState = func(State, error) {}
	}
	g.setLimit(1)
	return g
}

// stop stops the timer, so that it starts no further batch.
func (g *governor) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	g.cancel()
}

// begin reports whether a batch may be written now. In the state Probing, only the first one may.
func (g *governor) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case Up:
		return true
	case Probing:
		if g.probeInFlight {
			return false
		}
		g.probeInFlight = true
		g.setLimit(0)
		return true
	default:
		return false
	}
}

// succeeded records a batch of which the table accepted at least one item.
func (g *governor) succeeded(items, unprocessed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer()
	// The item of a hot key comes back from many batches while the others are accepted. That is no reason to write less.
	if 2*unprocessed > items {
		g.slow()
		return
	}
	switch {
	case g.limit < 1: // try a whole batch at a time; if that is too much, the next round reduces it
		g.set(1)
	case g.opening:
		g.set(g.limit + 1)
	default:
		g.set(g.limit + 1/g.limit)
	}
}

// answered records a batch of which nothing was written because of its items or their keys: the table works.
func (g *governor) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer()
	g.set(g.limit)
}

// answer ends a series of failures, and sets the state to Up. It requires g.mu.
func (g *governor) answer() {
	g.failures, g.throttled, g.throttles, g.round = 0, time.Time{}, 0, 0
	if g.state != Up {
		g.state, g.reason, g.probeIn, g.probeInFlight = Up, nil, firstProbe, false
		g.limit, g.opening = 1, true
		g.apply()
		g.report()
	}
}

// failed records a batch of which nothing was written because of the table.
func (g *governor) failed(kind Kind, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Down {
		return // it was in flight when the state became Down
	}
	if kind != Throttled {
		if g.failures++; g.state == Up && g.failures < failuresToDown && kind != Refused {
			g.set(g.limit)
			return
		}
		g.down(err, min(2*g.probeIn, lastProbe))
		return
	}
	now := time.Now()
	g.round++
	if g.throttles++; g.throttles == 1 {
		g.throttled = now
	}
	if g.state == Up && (now.Sub(g.throttled) < throttledToDown || g.throttles < failuresToDown) {
		if g.round >= int(g.limit) {
			g.decreased = time.Time{}
		}
		g.slow()
		return
	}
	g.down(fmt.Errorf("every write has been throttled since %s: %w", g.throttled.UTC().Format(time.TimeOnly), err), firstProbe)
}

// down sets the state to Down and schedules the next probe. next is the base of the wait for the probe after it. It requires g.mu.
func (g *governor) down(err error, next time.Duration) {
	wait := g.probeIn/2 + rand.N(g.probeIn/2)
	g.state, g.reason, g.probeInFlight, g.probeIn = Down, err, false, next
	g.setLimit(0)
	g.after(wait, g.probe)
	g.report()
}

// after calls f with g.mu held after a wait. It replaces an earlier call of after. It requires g.mu.
func (g *governor) after(wait time.Duration, f func()) {
	g.cancel()
	if g.stopped {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.stopped && g.timer == timer {
			f()
		}
	})
	g.timer = timer
}

// cancel cancels the last call of after, even one that has begun and waits for g.mu. It requires g.mu.
func (g *governor) cancel() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}

// probe allows one batch. It requires g.mu.
func (g *governor) probe() {
	g.state = Probing
	g.setLimit(1)
	g.report()
}

// slow reduces the limit, at most once per decreaseEvery. It requires g.mu.
func (g *governor) slow() {
	g.opening = false
	now := time.Now()
	if now.Sub(g.decreased) < decreaseEvery {
		g.set(g.limit)
		return
	}
	g.decreased, g.round = now, 0
	g.set(g.limit * decrease)
}

// set changes the limit at the end of a batch. It requires g.mu.
func (g *governor) set(limit float64) {
	before := g.limit
	g.limit = min(max(limit, slowest), float64(g.max))
	if g.limit < 1 || int(g.limit) != int(before) {
		g.apply()
	}
}

// apply sets the batcher's limit, at once or after a pause. It requires g.mu.
func (g *governor) apply() {
	g.observer.Limit(int(g.limit))
	if g.limit >= 1 {
		g.cancel()
		g.setLimit(int(g.limit))
		return
	}
	pause := time.Duration((1/g.limit - 1) * float64(pauseUnit))
	g.setLimit(0)
	g.after(pause/2+rand.N(pause/2+1), func() { g.setLimit(1) })
}

// report calls onState. It requires g.mu, so that calls are in order; onState must not call the writer.
func (g *governor) report() { g.onState(g.state, g.reason) }
