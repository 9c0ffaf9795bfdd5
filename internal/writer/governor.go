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
	// failuresToDown is how many calls in a row must fail before the writer stops: one lost connection is no outage.
	failuresToDown = 3
	// throttledToDown is for how long every call may be throttled.
	throttledToDown = 10 * time.Second

	firstProbe = time.Second
	lastProbe  = 30 * time.Second

	// decrease is what throttling leaves of the concurrency, at most once in decreaseEvery: calls that were under way
	// together say the same thing.
	decrease      = 0.7
	decreaseEvery = 200 * time.Millisecond
)

// A governor sets how many batches may be under way. While the table takes them, it adds one for each round of calls;
// when it throttles, it takes away a share; when it can't be written, none goes but a probe from time to time.
type governor struct {
	max      int
	setLimit func(int)
	onState  func(State, error)
	observer Observer

	mu            sync.Mutex
	state         State
	reason        error
	limit         float64
	failures      int       // calls in a row without an answer
	throttled     time.Time // since when every call is throttled
	throttles     int       // and how many have been
	decreased     time.Time
	probeTimer    *time.Timer
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

// stop ends the timer, so that no probe starts after it.
func (g *governor) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	if g.probeTimer != nil {
		g.probeTimer.Stop()
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

// succeeded notes a call that the table answered, having taken some of its items.
func (g *governor) succeeded(items, unprocessed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures, g.throttled, g.throttles = 0, time.Time{}, 0
	if g.state != Up {
		g.up()
		return
	}
	// A hot key comes back in many batches while its neighbours are taken: that is no reason to slow the table down.
	if 2*unprocessed > items {
		g.slow()
		return
	}
	if g.limit < float64(g.max) {
		g.setTo(g.limit + 1/g.limit)
	}
}

// answered notes a call that was refused for what it held, or for its keys: the table is there.
func (g *governor) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures, g.throttled, g.throttles = 0, time.Time{}, 0
	if g.state != Up {
		g.up()
	}
}

// failed notes a batch of which nothing was written.
func (g *governor) failed(kind Kind, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Down {
		return // a call that was under way when it went down
	}
	now := time.Now()
	if kind == Throttled {
		if g.throttles++; g.throttles == 1 {
			g.throttled = now
		}
		if g.state == Up && (now.Sub(g.throttled) < throttledToDown || g.throttles < failuresToDown) {
			g.slow()
			return
		}
		err = fmt.Errorf("every write has been throttled since %s: %w", g.throttled.UTC().Format(time.TimeOnly), err)
	} else if g.failures++; g.state == Up && g.failures < failuresToDown && kind != Refused {
		return
	}
	g.down(err)
}

// up opens slowly: one batch at a time, then one more for each round. g.mu is held.
func (g *governor) up() {
	g.state, g.reason, g.probeIn, g.probeUnderWay = Up, nil, firstProbe, false
	g.limit = 1
	g.apply()
	g.tell()
}

// down stops writing until the next probe. g.mu is held.
func (g *governor) down(err error) {
	wait := g.probeIn/2 + rand.N(g.probeIn/2)
	g.probeIn = min(2*g.probeIn, lastProbe)
	g.state, g.reason, g.probeUnderWay = Down, err, false
	g.setLimit(0)
	if !g.stopped {
		g.probeTimer = time.AfterFunc(wait, g.probe)
	}
	g.tell()
}

func (g *governor) probe() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != Down || g.stopped {
		return
	}
	g.state = Probing
	g.setLimit(1)
	g.tell()
}

// slow takes away a share of the concurrency. g.mu is held.
func (g *governor) slow() {
	if now := time.Now(); now.Sub(g.decreased) >= decreaseEvery {
		g.decreased = now
		g.setTo(g.limit * decrease)
	}
}

// setTo changes the concurrency. g.mu is held.
func (g *governor) setTo(limit float64) {
	before := int(g.limit)
	g.limit = min(max(limit, 1), float64(g.max))
	if int(g.limit) != before {
		g.apply()
	}
}

// apply hands the concurrency to the batcher. g.mu is held.
func (g *governor) apply() {
	g.setLimit(int(g.limit))
	g.observer.Limit(int(g.limit))
}

// tell reports the state. g.mu is held, so that reports come in order: they must not call back.
func (g *governor) tell() { g.onState(g.state, g.reason) }
