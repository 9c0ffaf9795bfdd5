package cache

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/predcache/predcache/internal/item"
)

// Get returns the newest prediction of an id that has not expired and is not deleted, or ErrNotFound. Any other error means
// that the table could not be asked (it wraps the SDK's), that the item can't be read (an *ItemError), or that no item can have
// this id.
//
// It costs a GetItem in the latest-only layout. In the versioned one it is a Query of one item, and a second one only where
// that has expired or is a delete. In the expiry-sorted one it reads all live versions of the id, or one under UniformLife.
//
// With a front it costs nothing while the front holds the id and its age is below MaxAge; otherwise callers of one id share one
// read. See [Front] for how old an answer can be, and for what is returned while the table does not answer.
func (c *Cache) Get(ctx context.Context, id string, options ...Option) (*Prediction, error) {
	if c.front != nil && len(options) == 0 {
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
	return c.get(ctx, l, key, o)
}

// get returns the newest live prediction. key is as the id's items have it.
func (c *Cache) get(ctx context.Context, l *item.Layout, key string, o *options) (*Prediction, error) {
	if c.front != nil && !o.own {
		return c.front.get(ctx, l, key)
	}
	sent := c.mono()
	p, err := c.read(ctx, l, key, o, false)
	if err != nil {
		return nil, err
	}
	got := found{p: p, sent: sent, consistent: o.consistent}
	switch {
	case c.front != nil && o.refreshes(&c.defaults):
		p = c.front.store(key, got).p
	case !o.own:
		if k := c.computed.read(key, got, c.now()); k != nil {
			p = k.p
		}
	default: // it may have left out something newer
		p = c.computed.newer(key, p, o, c.now())
	}
	if p.shown() == nil {
		return nil, notFound(key, p)
	}
	return p, nil
}

// A miss is the error for an id without a live prediction.
type miss struct {
	key       string
	tombstone *Prediction // the newest, or nil if none was met
}

func notFound(key string, tombstone *Prediction) error { return &miss{key, tombstone} }

func (m *miss) Error() string { return fmt.Sprintf("%v of %q", ErrNotFound, m.key) }
func (m *miss) Unwrap() error { return ErrNotFound }

// refreshes tells whether what a call reads past the front may stand in it: it is what the front would read, consistently.
func (o *options) refreshes(d *options) bool {
	return o.consistent && o.limited == d.limited && len(o.where) == len(d.where) && o.skipForeign == d.skipForeign
}

// read returns the newest live version that the table has, which may be a tombstone, or nil. It counts what it finds.
func (c *Cache) read(ctx context.Context, l *item.Layout, key string, o *options, attempt bool) (*Prediction, error) {
	var p *Prediction
	var expired bool
	var err error
	switch {
	case l.Kind == item.LatestOnly:
		p, expired, err = c.getItem(ctx, l, key, o, attempt)
	case l.Kind == item.Versioned || o.uniform:
		p, expired, err = c.first(ctx, l, key, o, attempt)
	default:
		p, err = c.newest(ctx, l, key, o, attempt)
	}
	c.stats.read(p, expired, err, c.now())
	return p, err
}

func (c *Cache) getItem(ctx context.Context, l *item.Layout, key string, o *options, attempt bool) (_ *Prediction, expired bool, _ error) {
	keys := [1]string{key}
	r := &request{operation: getItem, reader: reader{cache: c, layout: l, options: o}, keys: keys[:], attempt: attempt}
	r.projection, r.names = projection(l, o)
	a, err := c.call(ctx, r)
	if err != nil {
		return nil, false, fmt.Errorf("reading %q: %w", key, err)
	}
	if len(a.results) == 0 {
		return nil, a.expired > 0, nil
	}
	return a.results[0].Prediction, false, a.results[0].err
}

// first returns the first live version by descending sort key: pages hold one item, then a few, then as many as fit, since the
// newest is nearly always live. After a tombstone it reads on to the first prediction, in the versioned layout only within the
// tombstone's sort unit, and returns the newer of the two.
func (c *Cache) first(ctx context.Context, l *item.Layout, key string, o *options, attempt bool) (_ *Prediction, expired bool, _ error) {
	q := c.query(l, key, o)
	q.one, q.attempt = true, attempt
	limits := []int32{1, 25, 0}
	if len(o.where) > 0 {
		limits = limits[1:]
	}
	var tombstone *Prediction
	floor := int64(math.MinInt64) // what is below this sort unit is hidden
	for page := 0; ; page++ {
		q.limit = limits[min(page, len(limits)-1)]
		a, more, err := q.next(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, r := range a.results {
			switch {
			case r.unit < floor:
				return tombstone, false, nil
			case r.err != nil:
				return nil, false, r.err
			case !r.deleted && older(tombstone, r.Prediction):
				return r.Prediction, false, nil
			case !r.deleted: // so are all that follow
				return tombstone, false, nil
			case older(tombstone, r.Prediction):
				tombstone = r.Prediction
				if l.Kind == item.Versioned {
					floor = max(floor, r.unit)
				}
			}
		}
		expired = expired || a.expired > 0
		if !more || floor > math.MinInt64 && !q.endAt(floor) {
			return tombstone, expired && tombstone == nil, nil
		}
	}
}

// newest returns the live version with the greatest event time, which need not be the one that expires last.
func (c *Cache) newest(ctx context.Context, l *item.Layout, key string, o *options, attempt bool) (newest *Prediction, err error) {
	q := c.query(l, key, o)
	q.attempt = attempt
	for more := true; more; {
		var a answer
		if a, more, err = q.next(ctx); err != nil {
			return nil, err
		}
		for _, r := range a.results {
			if r.err != nil {
				return nil, r.err
			}
			// Sorted by expiry, descending: of two of one event time, the one that lives longer came first.
			if older(newest, r.Prediction) {
				newest = r.Prediction
			}
		}
	}
	return newest, nil
}

// answered tells whether err is one that the table, or the id, is the reason of, so that the table has answered.
func answered(err error) bool {
	var bad *ItemError
	return err == nil || errors.As(err, &bad) || errors.Is(err, ErrNotFound)
}
