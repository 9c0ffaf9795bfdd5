package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/predcache/predcache/internal/item"
)

// A Front is a bounded memory of decoded predictions in the service's own process. The zero value of each field is its default.
//
// While the table answers, the front returns nothing older than MaxAge, counted from the time the read was sent. Every process
// therefore sees a newer version or a delete after at most MaxAge, or NegativeAge if the id was a miss. The front never returns
// an expired prediction, nor one older than its own live entry: if an eventually consistent read contradicts the entry, the
// front repeats the read consistently. It never caches errors.
//
// The front renews an entry in use in the background before it reaches MaxAge. Concurrent callers of one id share one read.
//
// After three failed reads in a row, the front treats the table as unavailable. Until the table answers again, it returns its
// entries at once, marked as Stale, for as long as StaleAge and their own expiry allow. Any other id fails at once with
// ErrUnavailable. One read a second probes the table. A process that could not read the table's layout at its start treats it
// as unavailable too. If a single read fails, or takes longer than Wait, the front also returns
// its entry as Stale.
//
// Returned predictions are shared with other callers and must not be changed. Where, Only, Consistent and SkipForeign in a call
// bypass the front, as History does; a Consistent Get refreshes it. As options of New they apply to the front's entries.
type Front struct {
	// MaxBytes bounds the memory of all entries, with their overhead: 1 MiB to 1 TiB, 64 MiB by default. The entries
	// least likely to be used again are evicted first (W-TinyLFU).
	MaxBytes int64
	// MaxAge is the maximum age of an answer while the table answers: 1 ms to 7 days, 10 s by default.
	MaxAge time.Duration
	// NegativeAge is how long a miss is remembered: up to MaxAge; 1 s by default, or MaxAge where that is less.
	NegativeAge time.Duration
	// StaleAge is the maximum age of an answer while the table does not answer: MaxAge or more. By default only the prediction's
	// own expiry limits it. A StaleAge equal to MaxAge disables stale answers.
	StaleAge time.Duration
	// Wait is how long a caller waits for the table if the front has only an entry older than MaxAge: 1 ms to 1 min, 500 ms by
	// default. The read then continues in the background and renews the entry.
	Wait time.Duration
}

func (f *Front) complete(o *options) {
	orElse(&f.MaxBytes, 64<<20)
	orElse(&f.MaxAge, 10*time.Second)
	orElse(&f.NegativeAge, min(time.Second, f.MaxAge))
	orElse(&f.Wait, 500*time.Millisecond)
	if f.MaxBytes < 1<<20 || f.MaxBytes > 1<<40 {
		o.fail("Front.MaxBytes is %d: take %d (1 MiB) to %d (1 TiB)", f.MaxBytes, 1<<20, int64(1)<<40)
	}
	if f.MaxAge < time.Millisecond || f.MaxAge > maxAge {
		o.fail("Front.MaxAge is %v: take 1ms to %v", f.MaxAge, maxAge)
		return // the others are bounded by it
	}
	if f.NegativeAge < 0 || f.NegativeAge > f.MaxAge {
		o.fail("Front.NegativeAge is %v: take 1ns to MaxAge (%v)", f.NegativeAge, f.MaxAge)
	}
	if f.StaleAge < 0 || f.StaleAge > 0 && f.StaleAge < f.MaxAge {
		o.fail("Front.StaleAge is %v: take MaxAge (%v) or more, or 0 for the prediction's own life", f.StaleAge, f.MaxAge)
	}
	if f.Wait < time.Millisecond || f.Wait > time.Minute {
		o.fail("Front.Wait is %v: take 1ms to 1m", f.Wait)
	}
}

// A front holds the entries of a Cache's Front.
type front struct {
	Front
	cache      *Cache
	entries    *otter.Cache[string, *entry]
	consistent options       // the cache's, with strongly consistent reads
	renewals   chan struct{} // holds a token for each renewal under way
}

// maxRenewals bounds concurrent renewals. An entry beyond it is read by a caller, once it has reached MaxAge.
const maxRenewals = 64

// An entry is the result of reading one id. It is immutable except for renew: another read makes another entry.
type entry struct {
	p       *Prediction  // nil for a remembered miss; a tombstone is one too
	sent    int64        // when its read was sent; see mono
	expires int64        // the end of p's life, in epoch seconds
	renew   atomic.Int64 // when a caller renews it; see mono
	weight  uint32       // bytes
}

func newFront(c *Cache, settings Front) *front {
	f := &front{Front: settings, cache: c, consistent: c.defaults, renewals: make(chan struct{}, maxRenewals)}
	f.consistent.consistent = true
	f.entries = otter.Must(&otter.Options[string, *entry]{
		MaximumWeight:    uint64(settings.MaxBytes),
		Weigher:          func(_ string, e *entry) uint32 { return e.weight },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, *entry]) time.Duration { return f.life(e.Value) }),
	})
	return f
}

func (f *front) close() {
	f.entries.InvalidateAll()
	f.entries.StopAllGoroutines()
}

func (f *front) size() (entries int, bytes int64) {
	f.entries.CleanUp() // takes in what was read and written last
	return f.entries.EstimatedSize(), int64(f.entries.WeightedSize())
}

// life returns how long an entry can still be used. It is evicted after that. A tombstone is a miss for NegativeAge only, but
// is kept for as long as it hides anything: an eventually consistent read that misses it must not bring back what it hides.
func (f *front) life(e *entry) time.Duration {
	age := time.Duration(f.cache.mono() - e.sent)
	if e.p == nil {
		return max(f.NegativeAge-age, 1)
	}
	life := time.Unix(e.expires, 0).Sub(f.cache.now())
	if f.StaleAge > 0 {
		life = min(life, f.StaleAge-age)
	}
	return max(life, 1)
}

// mono returns the monotonic time in nanoseconds since the Cache was made. Clock adjustments do not change it.
func (c *Cache) mono() int64 { return int64(time.Since(c.made)) }

// hit returns a prediction that is younger than MaxAge and not expired, or nil. Most calls end here; it allocates nothing.
func (f *front) hit(ctx context.Context, id string) *Prediction {
	e, found := f.entries.GetIfPresent(id)
	if !found || e.p.shown() == nil {
		return nil
	}
	now := time.Now()
	mono := int64(now.Sub(f.cache.made))
	age := time.Duration(mono - e.sent)
	if age >= f.MaxAge || now.Add(f.cache.source.clock()).Unix() >= e.expires {
		return nil
	}
	if due := e.renew.Load(); mono >= due {
		f.renew(ctx, e, due, mono)
	}
	f.cache.stats.frontAges.add(age)
	return e.p
}

// A state says how an entry can be used.
type state int

const (
	absent state = iota // no entry, or an expired one
	fresh               // younger than MaxAge
	missed              // a remembered miss
	aged                // older than MaxAge, but usable as a stale answer
)

func (f *front) state(e *entry, age time.Duration) state {
	hidden := e.p.shown() == nil
	switch {
	case hidden && age < f.NegativeAge:
		return missed
	case hidden || !f.live(e):
		return absent
	case age < f.MaxAge:
		return fresh
	case f.StaleAge == 0 || age < f.StaleAge:
		return aged
	}
	return absent
}

// live reports whether an entry has a version that is not over, perhaps a tombstone.
func (f *front) live(e *entry) bool { return e.p != nil && f.cache.now().Unix() < e.expires }

// answer returns what a caller gets of an entry: a live prediction, or nil.
func (f *front) answer(e *entry) *Prediction {
	if !f.live(e) {
		return nil
	}
	return e.p.shown()
}

// look returns the entry of a key and its state, from the front or from the predictions that this process has computed. It counts
// a fresh entry and a remembered miss as answers.
func (f *front) look(ctx context.Context, key string) (*entry, state) {
	c := f.cache
	e, found := f.entries.GetIfPresent(key)
	s := absent
	mono := c.mono()
	if found {
		s = f.state(e, time.Duration(mono-e.sent))
	}
	switch s {
	case fresh:
		if due := e.renew.Load(); mono >= due {
			f.renew(ctx, e, due, mono)
		}
		c.stats.frontAges.add(time.Duration(mono - e.sent))
		return e, s
	case missed:
		c.stats.negative.Add(1)
		return e, s
	}
	// The front may have evicted a prediction that was computed here and is not in the table yet.
	if k := c.computed.get(key, c.now()); k != nil && (!found || !f.live(e) || older(e.p, k.p)) {
		e = k.entry(c)
		s = f.state(e, time.Duration(mono-e.sent))
		if s == fresh {
			c.stats.computedHits.Add(1)
		}
	}
	return e, s
}

// get returns the prediction of a key for one caller.
func (f *front) get(ctx context.Context, l *item.Layout, key string) (*Prediction, error) {
	c := f.cache
	for {
		e, s := f.look(ctx, key)
		switch {
		case s == fresh:
			return e.p, nil
		case s == missed:
			return nil, notFound(key, e.p)
		case c.health.away():
			return f.unanswered(key, e, s, nil)
		case ctx.Err() != nil:
			return f.unanswered(key, e, s, ctx.Err())
		}
		now := c.mono()
		fl, owner := c.reads.join(key, now)
		if owner {
			f.launch(ctx, l, key, fl)
		} else {
			c.stats.shared.Add(1)
		}
		// A flight that began MaxAge ago or earlier may return what is too old for this caller.
		young := owner || time.Duration(now-fl.sent) < f.MaxAge
		if err := f.wait(ctx, fl, s); err != nil {
			return f.unanswered(key, e, s, err)
		}
		switch {
		case errors.Is(fl.err, errAbandoned):
		case fl.err != nil && answered(fl.err):
			return nil, fl.err
		case fl.err != nil:
			return f.unanswered(key, e, s, fl.err)
		case young:
			if p := f.answer(fl.value); p != nil {
				return p, nil
			}
			return nil, notFound(key, fl.value.p)
		}
	}
}

// wait blocks until a flight has landed: for at most Wait if there is a stale answer, else until ctx is done.
func (f *front) wait(ctx context.Context, fl *flight[*entry], s state) error {
	var patience <-chan time.Time
	if s == aged {
		timer := time.NewTimer(f.Wait)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-fl.done:
		return nil
	case <-patience:
		return errSlow
	case <-ctx.Done():
		return fmt.Errorf("waiting for a read: %w", ctx.Err())
	}
}

// errSlow is why a caller gets a stale answer when Wait is over.
var errSlow = errors.New("the table is slow")

// unanswered answers without the table: with a stale entry if there is one, else with an error. cause is nil if the table was
// not read.
func (f *front) unanswered(key string, e *entry, s state, cause error) (*Prediction, error) {
	if cause == nil {
		f.cache.health.missed(key)
	}
	switch {
	case s == aged && f.live(e) && !errors.Is(cause, context.Canceled) && !errors.Is(cause, ErrClosed):
		f.cache.stats.stale.Add(1)
		p := *e.p
		p.Stale = true
		return &p, nil
	case cause == nil:
		f.cache.stats.unavailable.Add(1)
		return nil, fmt.Errorf("reading %q: %w: %w", key, ErrUnavailable, f.cache.health.cause())
	}
	return nil, cause
}

// launch starts the read of a flight in the background, so that it outlives the caller that began it.
func (f *front) launch(ctx context.Context, l *item.Layout, key string, fl *flight[*entry]) {
	c := f.cache
	if !c.start(func() {
		ctx, cancel := c.detached(ctx, c.setup.readTimeout)
		defer cancel()
		e, err := f.fetch(ctx, l, key, false)
		c.reads.land(fl, e, err)
	}) {
		c.reads.land(fl, nil, errCacheClosed)
	}
}

// renew reads an entry in use again, in the background, before it reaches MaxAge. Several callers may find the entry due; the one
// that advances e.renew starts the read.
func (f *front) renew(ctx context.Context, e *entry, due, now int64) {
	c := f.cache
	if c.health.away() || !e.renew.CompareAndSwap(due, now+int64(f.MaxAge/10)) {
		return
	}
	select {
	case f.renewals <- struct{}{}:
	default:
		return
	}
	fl, owner := c.reads.join(e.p.ID, now)
	if !owner {
		<-f.renewals
		return
	}
	c.stats.refreshes.Add(1)
	if !c.start(func() {
		defer func() { <-f.renewals }()
		ctx, cancel := c.detached(ctx, c.setup.readTimeout)
		defer cancel()
		e, err := f.fetch(ctx, c.layout.Load(), e.p.ID, false)
		c.reads.land(fl, e, err)
	}) {
		<-f.renewals
		c.reads.land(fl, nil, errCacheClosed)
	}
}

// renewAt returns when an entry is due: at a random time between 75 % and 90 % of MaxAge, so that entries that were read together
// are not renewed together.
func (f *front) renewAt(sent int64) int64 {
	return sent + int64(float64(f.MaxAge)*(0.75+0.15*rand.Float64()))
}
