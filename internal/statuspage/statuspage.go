// Package statuspage serves the state of one worker as a page, as events for the page, and as JSON. It reads the metrics and the
// health of package telemetry.
package statuspage

import (
	"context"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/telemetry"
)

// A Page samples the metrics and serves them.
type Page struct {
	metrics *telemetry.Metrics
	health  *telemetry.Health
	started time.Time

	mu    sync.Mutex
	facts Facts
	ask   AskBacklog
	// The objects queue, if there is one.
	askObjects     AskBacklog
	objectsBacklog *Backlog
	asked          time.Time
	values         []*telemetry.Values // of the last minute, one a second, newest last
	points         []Point             // one a step, newest last
	working        bool                // the worker has been working
	rejecting      bool                // the headline is about rejects
	latest         *Snapshot
	viewers        map[chan []byte]bool
}

// Facts don't change while the worker runs.
type Facts struct {
	Worker   Identity  `json:"worker"`
	Version  string    `json:"version"`
	Queue    string    `json:"queue"`
	Rejects  string    `json:"rejects"`
	Table    string    `json:"table"`
	Layout   string    `json:"layout"`
	Region   string    `json:"region"`
	Settings []Setting `json:"settings"`
}

// A Setting is a setting with its value in force.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Meaning string `json:"meaning"`
}

// AskBacklog reads the queue's approximate backlog.
type AskBacklog func(context.Context) (waiting, inFlight int, err error)

// New returns a Page. Run samples the metrics.
func New(m *telemetry.Metrics, h *telemetry.Health, facts Facts) *Page {
	return &Page{metrics: m, health: h, started: time.Now(), facts: facts, viewers: map[chan []byte]bool{}}
}

// SetResources adds the table's layout, which the worker reads at its start, and the function that reads the queue's backlog. The
// Page calls ask at most every ten seconds, and only while a viewer is connected.
func (p *Page) SetResources(layout string, ask AskBacklog) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.facts.Layout, p.ask = layout, ask
	p.reconnect()
}

// SetIdentity replaces who the worker is, which may take a call to find out.
func (p *Page) SetIdentity(worker Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.facts.Worker = worker
	p.reconnect()
}

// reconnect disconnects the open pages: they reconnect and get the new facts. It requires that p.mu is held.
func (p *Page) reconnect() {
	for viewer := range p.viewers {
		close(viewer)
		delete(p.viewers, viewer)
	}
}

// SetObjects adds the function that reads the backlog of the objects queue. Call it before SetResources.
func (p *Page) SetObjects(ask AskBacklog) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.askObjects = ask
}

// Run reads the metrics each second until ctx is done.
func (p *Page) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		p.tick(time.Now())
		if ask := p.dueBacklog(time.Now()); ask != nil {
			asking.Go(func() { p.readBacklog(ctx, ask) })
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// backlogEvery is the interval of backlog reads while a viewer is connected. A call costs as much as a receive.
const backlogEvery = 10 * time.Second

func (p *Page) dueBacklog(now time.Time) AskBacklog {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ask == nil || len(p.viewers) == 0 || now.Sub(p.asked) < backlogEvery {
		return nil
	}
	p.asked = now
	return p.ask
}

func (p *Page) readBacklog(ctx context.Context, ask AskBacklog) {
	ctx, cancel := context.WithTimeout(ctx, backlogEvery/2)
	defer cancel()
	if waiting, inFlight, err := ask(ctx); err == nil {
		p.metrics.Backlog(waiting, inFlight)
	}
	p.mu.Lock()
	askObjects := p.askObjects
	p.mu.Unlock()
	if askObjects == nil {
		return
	}
	var backlog *Backlog // an old number would look current
	if waiting, inFlight, err := askObjects(ctx); err == nil {
		backlog = &Backlog{Waiting: waiting, InFlight: inFlight, Time: time.Now().UnixMilli()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objectsBacklog = backlog
}

// tick reads the metrics and sends a snapshot of them to the viewers.
func (p *Page) tick(at time.Time) {
	now := p.metrics.Values(at)
	failing, working := p.health.Conditions()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values = append(p.values, now)
	if keep := int(time.Minute/time.Second) + 1; len(p.values) > keep {
		p.values = append(p.values[:0], p.values[len(p.values)-keep:]...)
	}
	p.working = p.working || working
	minute := p.before(time.Minute)
	s := p.snapshot(now, p.before(10*time.Second), minute)
	s.Failing = failing
	if s.Objects != nil {
		s.Objects.Backlog = p.objectsBacklog
	}
	p.headline(s, now, minute, working)
	p.latest = s
	event := struct {
		*Snapshot
		Point *Point `json:"point,omitempty"`
	}{Snapshot: s}
	if len(p.points) == 0 || at.UnixMilli()-p.points[len(p.points)-1].Time >= (step-step/10).Milliseconds() {
		next := point(now, p.before(step))
		p.points = append(p.points, next)
		if most := int(window/step) + 1; len(p.points) > most {
			p.points = append(p.points[:0], p.points[len(p.points)-most:]...)
		}
		event.Point = &next
	}
	if len(p.viewers) > 0 {
		p.send(marshal("snapshot", event))
	}
}

// before returns the newest values that are at least d old, or the oldest ones. It requires that p.mu is held.
func (p *Page) before(d time.Duration) *telemetry.Values {
	now := p.values[len(p.values)-1].Time
	for i := len(p.values) - 1; i >= 0; i-- {
		if now.Sub(p.values[i].Time) >= d-50*time.Millisecond {
			return p.values[i]
		}
	}
	return p.values[0]
}
