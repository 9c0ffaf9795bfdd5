package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/item"
)

// GetMany returns the newest live prediction of each id, in their order: nil is a miss. An id that is there twice is asked
// once. What can't be read is nil too, and is in the error, which joins one for each item that can't be read (*ItemError),
// and one for all ids whose calls failed; the others are returned all the same. No call begins after ctx has ended.
//
// In the latest-only layout it asks for a hundred ids a call; otherwise it makes a Get of each, 100 at a time: see
// Concurrency. With a front, only those ids are asked for that it does not hold.
func (c *Cache) GetMany(ctx context.Context, ids []string, options ...Option) ([]*Prediction, error) {
	o, err := c.with(options)
	if err != nil {
		return nil, err
	}
	l, err := c.layoutFor(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &many{
		Cache: c, layout: l, options: o, keys: make([]string, 0, len(ids)),
		places: make(map[string]int, len(ids)), before: make([]int, len(ids)), done: make([]bool, len(ids)), found: make([]*Prediction, len(ids)),
		bound: func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
	}
	for i, id := range ids {
		key, err := l.ReadKey(id)
		if err != nil {
			m.errs = append(m.errs, fmt.Errorf("the id %q: %w", abbreviated(id), err))
			continue
		}
		last, twice := m.places[key]
		if !twice {
			m.keys = append(m.keys, key)
			last = none
		}
		m.places[key], m.before[i] = i, last
	}
	if c.front != nil && !o.own {
		m.byFront(ctx)
	} else {
		m.ask(ctx, m.keys, m.direct)
		m.addComputed()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := c.now()
	for i, p := range m.found { // one may have expired while others were read
		if p.shown() == nil || !p.ExpiresAt.IsZero() && !p.ExpiresAt.After(now) {
			m.found[i] = nil
		}
	}
	if m.unread > 0 {
		m.errs = append(m.errs, fmt.Errorf("%d of %d ids were not read: %w", m.unread, len(m.keys), m.cause))
	}
	return m.found, errors.Join(m.errs...)
}

// many is one call of GetMany.
type many struct {
	*Cache
	layout  *item.Layout
	options *options
	keys    []string       // each once
	places  map[string]int // of a key in what was asked: the last one
	before  []int          // of a place, the one before with the same key, or none
	done    []bool         // of the last place of a key: it has its outcome. Each belongs to the key's batch
	// bound returns the context of a call that begins before ctx ends. The call may outlast ctx.
	bound func(ctx context.Context) (context.Context, context.CancelFunc)

	mu     sync.Mutex // guards what follows
	found  []*Prediction
	errs   []error // of ids that no item can have, and of items that can't be read
	unread int     // ids whose calls failed
	cause  error   // of the first of them
}

// none is the place before the first.
const none = -1

// have sets the version of a key at each of its places.
func (m *many) have(key string, p *Prediction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, asked := m.places[key]
	for asked && i != none {
		m.found[i] = p
		i = m.before[i]
	}
}

func (m *many) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if answered(err) {
		m.errs = append(m.errs, err)
		return
	}
	if m.unread++; m.cause == nil {
		m.cause = err
	}
}

// direct is the sink of reads that bypass the front.
func (m *many) direct(key string, p *Prediction, err error) {
	switch {
	case err != nil:
		m.failed(err)
	case p != nil:
		m.have(key, p)
	}
}

// addComputed replaces predictions by newer ones that this process has computed.
func (m *many) addComputed() {
	if m.computed.empty() {
		return
	}
	now := m.now()
	for _, key := range m.keys {
		p := m.found[m.places[key]]
		if newer := m.computed.newer(key, p, m.options, now); newer != p {
			m.have(key, newer)
		}
	}
}

// A sink takes the outcome of one key: a prediction, an error, or neither for a miss.
type sink func(key string, p *Prediction, err error)

// ask reads keys from the table. Each goes to the sink once, from any goroutine.
func (m *many) ask(ctx context.Context, keys []string, to sink) {
	if m.layout.Kind == item.LatestOnly && len(keys) <= maxBatchGet {
		if len(keys) > 0 {
			m.batch(ctx, keys, to)
		}
		return
	}
	var calls errgroup.Group
	calls.SetLimit(m.options.concurrency)
	if m.layout.Kind == item.LatestOnly {
		for chunk := range slices.Chunk(keys, maxBatchGet) {
			calls.Go(func() error { m.batch(ctx, chunk, to); return nil })
		}
	} else {
		for _, key := range keys {
			calls.Go(func() error {
				if ctx.Err() != nil {
					to(key, nil, abandoned(ctx))
					return nil
				}
				ctx, done := m.bound(ctx)
				defer done()
				p, err := m.read(ctx, m.layout, key, m.options, false)
				to(key, p, err)
				return nil
			})
		}
	}
	_ = calls.Wait() // errors go to the sink
}

// abandoned is the error of a call that was not begun, because ctx had ended.
func abandoned(ctx context.Context) error { return fmt.Errorf("%w: %w", errAbandoned, ctx.Err()) }

// maxBatchGet is how many items one call may ask for ("BatchGetItem").
const maxBatchGet = 100

// maxIdle is the maximum number of consecutive answers with no key processed: about 10 seconds with the pauses between them.
const maxIdle = 8

// batch reads up to a hundred keys, and retries those that come back unprocessed.
func (m *many) batch(ctx context.Context, keys []string, to sink) {
	b := &batchRead{many: m, keys: keys, open: len(keys), to: to}
	r := &request{operation: batchGetItem, reader: reader{cache: m.Cache, layout: m.layout, options: m.options}, keys: keys}
	r.projection, r.names = projection(m.layout, m.options)
	for idle := 0; len(r.keys) > 0; {
		if ctx.Err() != nil {
			b.end(r.keys, abandoned(ctx))
			return
		}
		inner, done := m.bound(ctx)
		a, err := m.call(inner, r)
		done()
		if err != nil {
			b.end(r.keys, fmt.Errorf("BatchGetItem: %w", err))
			return
		}
		now := m.now()
		for _, result := range a.results {
			b.outcome(result.key, result.Prediction, result.err, now)
		}
		m.stats.expiredOnly.Add(int64(a.expired))
		if idle++; len(a.left) < len(r.keys) {
			idle = 1
		}
		r.keys = a.left
		if len(a.left) == 0 {
			break
		}
		if idle > maxIdle {
			err = fmt.Errorf("BatchGetItem left them unprocessed %d times", idle)
		} else {
			err = pause(ctx, idle)
		}
		if err != nil {
			b.end(r.keys, err)
			return
		}
	}
	b.end(nil, nil)
}

// A batchRead tracks which keys of one batch have had their outcome.
type batchRead struct {
	*many
	keys []string
	open int // keys without an outcome
	to   sink
}

// outcome passes the first outcome of a key on. A client can return items twice, or ones that were not asked for.
func (b *batchRead) outcome(key string, p *Prediction, err error, now time.Time) {
	i, asked := b.places[key]
	if !asked || b.done[i] {
		if key == "" { // the item's own key can't be read
			b.failed(err)
		}
		return
	}
	b.done[i] = true
	b.open--
	if !errors.Is(err, errAbandoned) {
		b.stats.read(p, false, err, now)
	}
	b.to(key, p, err)
}

// end gives up on the keys in left. The other keys without an outcome are misses.
func (b *batchRead) end(left []string, err error) {
	now := b.now()
	for _, key := range left {
		b.outcome(key, nil, err, now)
	}
	for i := 0; b.open > 0 && i < len(b.keys); i++ {
		b.outcome(b.keys[i], nil, nil, now)
	}
}

// pause waits before another attempt: exponential with full jitter, as the SDK does before its own.
func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(rand.N(min(50*time.Millisecond<<(attempt-1), 5*time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
