package cache

import (
	"context"
	"errors"
	"time"
)

// An asking is a key of a GetMany that the front can't answer without the table.
type asking struct {
	key    string
	flight *flight[*entry]
	held   *entry // the front's entry, usable as a stale answer if state is aged
	state  state
	young  bool // the flight began recently enough to answer this call
}

// byFront answers from the front and reads the rest from the table. It shares the reads that other callers have under way.
func (m *many) byFront(ctx context.Context) {
	f := m.front
	var waits []*asking
	own := map[string]*flight[*entry]{}
	var keys []string
	for _, key := range m.keys {
		e, s := f.look(ctx, key)
		switch {
		case s == fresh:
			m.have(key, e.p)
			continue
		case s == missed:
			continue
		case m.health.away():
			m.take(f.unanswered(key, e, s, nil))
			continue
		}
		now := m.mono()
		fl, owner := m.reads.join(key, now)
		waits = append(waits, &asking{key, fl, e, s, owner || time.Duration(now-fl.sent) < f.MaxAge})
		if owner {
			own[key] = fl
			keys = append(keys, key)
		} else {
			m.stats.shared.Add(1)
		}
	}
	if len(keys) > 0 {
		m.launch(ctx, keys, own)
	}
	patience := time.NewTimer(f.Wait)
	defer patience.Stop()
	slow := false
	for _, w := range waits {
		err := m.wait(ctx, w, patience.C, &slow)
		switch fl := w.flight; {
		case err != nil:
			m.take(f.unanswered(w.key, w.held, w.state, err))
		case errors.Is(fl.err, errAbandoned) || fl.err == nil && !w.young:
			m.take(f.get(ctx, m.layout, w.key))
		case fl.err != nil && !answered(fl.err):
			m.take(f.unanswered(w.key, w.held, w.state, fl.err))
		case fl.err != nil:
			m.failed(fl.err)
		default:
			m.have(w.key, f.answer(fl.value))
		}
	}
}

// take records the result that Get would return.
func (m *many) take(p *Prediction, err error) {
	switch {
	case err == nil:
		m.have(p.ID, p)
	case !errors.Is(err, ErrNotFound):
		m.failed(err)
	}
}

// wait blocks until a flight has landed. If there is a stale answer, Wait bounds the time for all flights together.
func (m *many) wait(ctx context.Context, w *asking, patience <-chan time.Time, slow *bool) error {
	select {
	case <-w.flight.done:
		return nil
	default:
	}
	if w.state != aged {
		patience = nil
	} else if *slow {
		return errSlow
	}
	select {
	case <-w.flight.done:
		return nil
	case <-patience:
		*slow = true
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}

// launch reads keys in the background and lands their flights. When the caller's ctx ends, a call under way continues, since
// others may wait for it, and no further call begins.
func (m *many) launch(ctx context.Context, keys []string, own map[string]*flight[*entry]) {
	c, f, sent := m.Cache, m.front, m.mono()
	m.bound = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return c.detached(ctx, c.setup.readTimeout)
	}
	land := func(key string, p *Prediction, err error) { // own is only read
		fl := own[key]
		if fl == nil {
			return // the client returned an item that it was not asked for
		}
		if errors.Is(err, errAbandoned) {
			c.reads.land(fl, nil, err)
			return
		}
		c.health.saw(c, key, err)
		if err != nil {
			c.reads.land(fl, nil, err)
			return
		}
		got := found{p: p, sent: sent, consistent: m.options.consistent}
		if !got.consistent && f.contradicted(key, p) {
			inner, cancel := c.detached(ctx, c.setup.readTimeout)
			defer cancel()
			e, err := f.confirm(inner, m.layout, key)
			c.reads.land(fl, e, err)
			return
		}
		c.reads.land(fl, f.store(key, got), nil)
	}
	if !c.start(func() { m.ask(ctx, keys, land) }) {
		for _, key := range keys {
			c.reads.land(own[key], nil, errCacheClosed)
		}
	}
}
