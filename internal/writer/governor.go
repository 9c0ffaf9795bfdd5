package writer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A State says whether the table can be written, as far as the writer knows.
type State uint8

// The states.
const (
	// Probing: not known. One batch may be written, and decides. A worker starts like this.
	Probing State = iota
	// Up: it can.
	Up
	// Down: it can't. Nothing is written until the next probe.
	Down
)

func (s State) String() string { return [...]string{"probing", "up", "down"}[s] }

const (
	// failuresToDown is how many batches in a row must fail before the writer stops: one lost connection is no outage.
	failuresToDown = 3
	// throttledToDown is for how long every batch must be throttled before the writer stops.
	throttledToDown = 10 * time.Second

	// firstProbe and lastProbe bound the wait for the next probe, which doubles with each that fails. A table that only
	// throttles answers, and takes writes again from one moment to the next: it is probed every firstProbe.
	firstProbe = time.Second
	lastProbe  = 30 * time.Second

	// decrease is what throttling leaves of the concurrency. While the table takes some batches, that happens at most once
	// in decreaseEvery, since batches that were under way together say the same thing. While it takes none, it happens
	// once for as many batches as may be under way.
	decrease      = 0.7
	decreaseEvery = 200 * time.Millisecond

	// Below one batch at a time there is a pause after each: pauseUnit at half a batch, and 0.96 s at the least. A table
	// that throttles everything gets about a hundred calls until then, and one a second from there.
	pauseUnit = 40 * time.Millisecond
	slowest   = 0.04
)

// A governor sets how many batches may be under way. While the table takes them, it adds one for each batch until the
// table first throttles, and then one for each round of batches. When the table throttles, it takes away a share, down to
// less than one batch at a time. While the table can't be written, nothing goes but a probe from time to time.
type governor struct {
	max      int
	setLimit func(int)
	onState  func(State, error)
	observer Observer

	mu            sync.Mutex
	state         State
	reason        error
	limit         float64   // batches under way; below 1 with a pause after each
	opening       bool      // the table has not throttled since it took writes
	failures      int       // batches in a row without an answer
	throttled     time.Time // since when every batch is throttled
	throttles     int       // and how many have been
	round         int       // of these, since the last decrease
	decreased     time.Time
	timer         *time.Timer // the end of a pause, or the next probe
	probeIn       time.Duration
	probeUnderWay bool
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

// stop ends the timer, so that no batch starts by it.
func (g *governor) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	if g.timer != nil {
		g.timer.Stop()
	}
}

// begin tells whether a batch may be written now.
func (g *governor) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case Up:
		return true
	case Probing:
		if g.probeUnderWay {
			return false
		}
		g.probeUnderWay = true
		g.setLimit(0)
		return true
	default:
		return false
	}
}

// succeeded notes a batch of which the table took some items.
func (g *governor) succeeded(items, unprocessed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer()
	// A hot key comes back in many batches while its neighbours are taken: that is no reason to slow the table down.
	if 2*unprocessed > items {
		g.slow()
		return
	}
	switch {
	case g.limit < 1: // there is more to be had: if not, the next rounds tell
		g.set(1)
	case g.opening:
		g.set(g.limit + 1)
	default:
		g.set(g.limit + 1/g.limit)
	}
}

// answered notes a batch that was refused for what it held, or for its keys: the table is there.
func (g *governor) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer()
	g.set(g.limit)
}

// answer ends what only a series of failures brings. It requires g.mu.
func (g *governor) answer() {
	g.failures, g.throttled, g.throttles, g.round = 0, time.Time{}, 0, 0
	if g.state != Up {
		g.state, g.reason, g.probeIn, g.probeUnderWay = Up, nil, firstProbe, false
		g.limit, g.opening = 1, true
		g.apply()
		g.tell()
	}
}

// failed notes a batch of which nothing was written.
func (g *governor) failed(kind Kind, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Down {
		return // a batch that was under way when it went down
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

// down stops writing until the next probe, and sets the wait for the one after it. It requires g.mu.
func (g *governor) down(err error, next time.Duration) {
	wait := g.probeIn/2 + rand.N(g.probeIn/2)
	g.state, g.reason, g.probeUnderWay, g.probeIn = Down, err, false, next
	g.setLimit(0)
	g.after(wait, g.probe)
	g.tell()
}

// after calls f with g.mu held, after a while, in place of what was to be called before. It requires g.mu.
func (g *governor) after(wait time.Duration, f func()) {
	if g.timer != nil {
		g.timer.Stop()
	}
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

// probe lets one batch go. It requires g.mu.
func (g *governor) probe() {
	g.state = Probing
	g.setLimit(1)
	g.tell()
}

// slow takes away a share of the concurrency. It requires g.mu.
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

// set changes the concurrency, at the end of a batch. It requires g.mu.
func (g *governor) set(limit float64) {
	before := g.limit
	g.limit = min(max(limit, slowest), float64(g.max))
	if g.limit < 1 || int(g.limit) != int(before) {
		g.apply()
	}
}

// apply hands the concurrency to the batcher, at once or after a pause. It requires g.mu.
func (g *governor) apply() {
	g.observer.Limit(int(g.limit))
	if g.limit >= 1 {
		if g.timer != nil {
			g.timer.Stop()
		}
		g.setLimit(int(g.limit))
		return
	}
	pause := time.Duration((1/g.limit - 1) * float64(pauseUnit))
	g.setLimit(0)
	g.after(pause/2+rand.N(pause/2+1), func() { g.setLimit(1) })
}

// tell reports the state. It requires g.mu, so that reports come in order: they must not call back.
func (g *governor) tell() { g.onState(g.state, g.reason) }
