package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/item"
)

// GetOrCompute returns the newest live prediction of an id or, on a miss, the result of compute. It returns that at once,
// remembers it for ComputedAge, and publishes it for the worker to write, which takes about a second. The caller never waits for
// the publish. If the Publisher's buffer is full, or the worker would reject the prediction, the failure goes to OnFailure, and the
// prediction is remembered all the same. Its ExpiresAt is zero until a read has found it in the table, unless compute sets it,
// since only the worker knows WORKER_TTL.
//
// One process reads and computes an id once at a time, for all callers that wait for it. compute's context has the first
// caller's values, but ends only with Close: a caller whose ctx ends gets its error at once, and the computation continues.
// compute must bound its own time. If it panics, every waiting caller panics.
//
// If the table or compute fails, GetOrCompute returns the error and publishes nothing, and the next call tries again. compute may
// leave the ID and the event time empty. GetOrCompute needs a Publisher: see WithPublisher. With EarlyCompute it computes a
// prediction again before it expires.
func (c *Cache) GetOrCompute(ctx context.Context, id string, compute func(ctx context.Context) (*Prediction, error), options ...Option) (*Prediction, error) {
	if c.setup.publisher == nil {
		return nil, errors.New("the cache has no publisher: give New WithPublisher")
	}
	if compute == nil {
		return nil, errors.New("compute is nil")
	}
	if c.front != nil && len(options) == 0 && !c.setup.early {
		if p := c.front.hit(ctx, id); p != nil {
			return p, nil
		}
	}
	o, err := c.with(options)
	if err != nil {
		return nil, err
	}
	l, key, err := c.key(ctx, id, o)
	if err != nil {
		return nil, err
	}
	g := &computation{Cache: c, layout: l, key: key, options: o, compute: compute}
	if p := g.known(ctx); p != nil {
		g.early(ctx, p)
		return p, nil
	}
	fl, owner := c.computing.join(variant(g.key, g.options), c.mono())
	if owner {
		g.start(ctx, fl, func(ctx context.Context) (*Prediction, error) { return g.run(ctx) })
	}
	select {
	case <-fl.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the prediction %q: %w", id, ctx.Err())
	}
	var fault *panicked
	if errors.As(fl.err, &fault) {
		panic(fault.value) // in the caller's goroutine, where it can be recovered as if there were no flight
	}
	if fl.err == nil {
		g.early(ctx, fl.value)
	}
	return fl.value, fl.err
}

// A computation is one GetOrCompute.
type computation struct {
	*Cache
	layout  *item.Layout
	key     string
	options *options
	compute func(context.Context) (*Prediction, error)
}

// known returns the prediction if no call is needed for it, or nil.
func (g *computation) known(ctx context.Context) *Prediction {
	if g.front != nil && !g.options.own {
		if e, s := g.front.look(ctx, g.key); s == fresh {
			return e.p
		}
		return nil
	}
	if g.options.consistent {
		return nil
	}
	p := g.computed.newer(g.key, nil, g.options, g.now())
	if p != nil {
		g.stats.computedHits.Add(1)
	}
	return p
}

// start runs work in a goroutine, which ends with work, and lands the flight even if work panics.
func (g *computation) start(ctx context.Context, fl *flight[*Prediction], work func(context.Context) (*Prediction, error)) {
	ctx, cancel := g.detached(ctx, 0)
	if !g.Cache.start(func() {
		defer cancel()
		var p *Prediction
		err := errGoexit // remains if work calls runtime.Goexit
		defer func() {
			if fault := recover(); fault != nil {
				err = &panicked{fault}
			}
			if err != nil {
				p = nil
			}
			g.computing.land(fl, p, err)
		}()
		p, err = work(ctx)
	}) {
		cancel()
		g.computing.land(fl, nil, errCacheClosed)
	}
}

var errGoexit = errors.New("compute ended its goroutine (runtime.Goexit)")

// panicked carries compute's panic to the waiting callers.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprint("panic: ", p.value) }

// run reads the id, and computes it if that is a miss.
func (g *computation) run(ctx context.Context) (*Prediction, error) {
	if p := g.known(ctx); p != nil {
		return p, nil // an earlier flight ended between this caller's look and its flight
	}
	checked := g.mono()
	bounded, cancel := context.WithTimeout(ctx, g.setup.readTimeout)
	p, err := g.get(bounded, g.layout, g.key, g.options)
	cancel()
	var m *miss
	if !errors.As(err, &m) {
		return p, err
	}
	return g.make(ctx, checked, m.tombstone)
}

// make computes, remembers and publishes a prediction. A read sent at checked was a miss, or not newer than the prediction to
// replace. tombstone is the one that it found, or nil.
func (g *computation) make(ctx context.Context, checked int64, tombstone *Prediction) (*Prediction, error) {
	began := g.mono()
	failed := true
	defer func() {
		if failed {
			g.stats.computeErrors.Add(1)
		}
	}()
	made, err := g.compute(ctx)
	switch {
	case err != nil:
		return nil, err
	case made == nil:
		return nil, fmt.Errorf("no prediction was computed for %q", g.key)
	}
	p := *made
	p.Stale, p.partial = false, false
	if p.ID == "" {
		p.ID = g.key
	}
	if key, err := g.layout.ReadKey(p.ID); err != nil || key != g.key {
		return nil, fmt.Errorf("the prediction computed for %q has the id %q", g.key, p.ID)
	}
	p.ID = strings.Clone(g.key) // the key may be a substring of a large string
	if p.EventTime.IsZero() {
		p.EventTime = g.now().UTC()
		if tombstone != nil && !p.EventTime.After(tombstone.EventTime) { // deletes may be a little ahead of the clock
			p.EventTime = tombstone.EventTime.Add(1)
		}
	}
	p.created = eventTime(&p)
	failed = false
	g.stats.computed.Add(1)
	live := p.ExpiresAt.IsZero() || p.ExpiresAt.After(g.now())
	if hidden := tombstone != nil && older(&p, tombstone); live && !hidden {
		k := g.computed.put(p.ID, &p, began, checked, g.now())
		if g.front != nil {
			g.front.add(k)
		}
		if g.options.own { // separately: a call with other conditions must not replace it
			g.computed.put(variant(g.key, g.options), &p, began, checked, g.now())
		}
	}
	publisher := g.setup.publisher
	if err := publisher.tryPublish(&p, g.layout); err != nil {
		publisher.failed.Add(1)
		publisher.cfg.OnFailure(Failure{Err: fmt.Errorf("publishing %q: %w", g.key, err), Predictions: 1, Body: string(p.Payload)})
	}
	return &p, nil
}

// earlyRetry is how long after a failed early computation the next one may begin.
const earlyRetry = time.Second

// early computes an id again in the background if its prediction expires soon.
func (g *computation) early(ctx context.Context, p *Prediction) {
	if !g.setup.early || p.Stale || !g.due(p) || g.mono() < g.noEarly.Load() {
		return
	}
	fl, owner := g.computing.join(variant(g.key, g.options), g.mono())
	if !owner {
		return
	}
	g.start(ctx, fl, func(ctx context.Context) (_ *Prediction, err error) {
		ok := false
		defer func() {
			if !ok {
				g.noEarly.Store(g.mono() + int64(earlyRetry))
			}
		}()
		checked := g.mono()
		newest, err := g.again(ctx)
		if err == nil && (newest.shown() == nil || !older(p, newest)) {
			g.stats.early.Add(1)
			newest, err = g.make(ctx, checked, newest)
		}
		ok = err == nil
		return newest, err
	})
}

// again reads the id from the table even if the front has it: another process may have computed a newer version.
func (g *computation) again(ctx context.Context) (*Prediction, error) {
	ctx, cancel := context.WithTimeout(ctx, g.setup.readTimeout)
	defer cancel()
	if g.front == nil || g.options.own {
		return g.read(ctx, g.layout, g.key, g.options, false)
	}
	fl, owner := g.reads.join(g.key, g.mono())
	if owner {
		e, err := g.front.fetch(ctx, g.layout, g.key, false)
		g.reads.land(fl, e, err)
	} else if err := g.front.wait(ctx, fl, absent); err != nil {
		return nil, err
	}
	if fl.err != nil {
		return nil, fl.err
	}
	return fl.value.p, nil
}

// earlyFactor spreads the processes' random times over several write lags. With 6, the expected number of other processes that
// begin before the first result is visible is about e^(1/6) - 1 = 0.18 per life, however many processes there are.
const earlyFactor = 6

// due reports whether it is time for this process to compute a version again. The time is random, before the version's expiry,
// and fixed for each process and version, so that it does not depend on how often callers ask.
func (g *computation) due(p *Prediction) bool {
	if p.ExpiresAt.IsZero() {
		return false
	}
	left := p.ExpiresAt.Sub(g.now())
	if left <= 0 || left > p.ExpiresAt.Sub(p.EventTime)/2 {
		return false
	}
	lag := g.setup.earlyLag
	if lag == 0 {
		lag = g.computed.lag.get()
	}
	return left.Seconds() < earlyFactor*lag.Seconds()*g.draw(p)
}

// draw returns a random number of the exponential distribution with mean 1. It is constant for one version in one process.
func (g *computation) draw(p *Prediction) float64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	h.WriteString(p.ID)
	maphash.WriteComparable(&h, p.created)
	return -math.Log((float64(h.Sum64()>>11) + 1) / (1 << 53))
}
