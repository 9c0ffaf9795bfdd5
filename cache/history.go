package cache

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// History returns the live predictions of an id whose event time is from from on and before to, newest first, or oldest
// first by OldestFirst. A zero time is no bound. It reads page by page as it is ranged over:
//
//	for p, err := range c.History(ctx, "user-42", time.Now().Add(-time.Hour), time.Time{}) {
//
// An item that can't be read is an *ItemError, after which the range goes on; any other error ends it.
//
// In the expiry-sorted layout all live versions of the id are read and put in order first, unless UniformLife says that
// they are. In the latest-only layout there is at most one.
func (c *Cache) History(ctx context.Context, id string, from, to time.Time, options ...Option) iter.Seq2[*Prediction, error] {
	return func(yield func(*Prediction, error) bool) {
		o, err := c.with(options)
		if err != nil {
			yield(nil, err)
			return
		}
		l, key, err := c.key(ctx, id, o)
		if err != nil {
			yield(nil, err)
			return
		}
		h := &history{Cache: c, layout: l, id: key, options: o, yield: yield, to: prediction.Time{Sec: lastSecond}}
		if from.After(time.Unix(0, 0)) {
			h.from = prediction.FromTime(from)
		}
		if to.Before(time.Unix(0, 0)) && !to.IsZero() {
			return
		}
		if !to.IsZero() {
			h.to = prediction.FromTime(to)
		}
		if h.from.Compare(h.to) >= 0 {
			return // DynamoDB refuses a range that ends before it starts
		}
		h.run(ctx)
	}
}

// lastSecond is past every event time, and in milliseconds an int64.
const lastSecond = 1e12

// history is one range over a History.
type history struct {
	*Cache
	layout   *item.Layout
	id       string
	options  *options
	from, to prediction.Time
	yield    func(*Prediction, error) bool
}

func (h *history) run(ctx context.Context) {
	switch h.layout.Kind {
	case item.LatestOnly:
		p, _, err := h.getItem(ctx, h.layout, h.id, h.options, false)
		if err != nil {
			h.yield(nil, err)
		} else if p != nil && h.in(p) {
			h.yield(p, nil)
		}
		return
	case item.Versioned:
		perSecond, err := h.unit(ctx)
		if err != nil {
			h.yield(nil, err)
			return
		}
		if perSecond == 0 {
			return // there is nothing
		}
		q := h.query(h.layout, h.id, h.options)
		q.between(h.from.In(perSecond), h.to.In(perSecond))
		h.pages(ctx, q, h.yield)
		return
	}
	q := h.query(h.layout, h.id, h.options)
	if h.options.uniform {
		h.pages(ctx, q, h.yield)
		return
	}
	var all []*Prediction
	if !h.pages(ctx, q, func(p *Prediction, err error) bool {
		if p == nil {
			return h.yield(p, err)
		}
		all = append(all, p)
		return true
	}) {
		return
	}
	slices.SortStableFunc(all, func(a, b *Prediction) int {
		if h.options.oldestFirst {
			a, b = b, a
		}
		return b.created.Compare(a.created)
	})
	for _, p := range all {
		if !h.yield(p, nil) {
			return
		}
	}
}

func (h *history) in(p *Prediction) bool {
	return p.created.Compare(h.from) >= 0 && p.created.Compare(h.to) < 0
}

// pages hands on what is asked for of each page. It returns false where it was told to stop, or had to.
func (h *history) pages(ctx context.Context, q *pager, yield func(*Prediction, error) bool) bool {
	q.forward = h.options.oldestFirst
	for more := true; more; {
		var a answer
		var err error
		if a, more, err = q.next(ctx); err != nil {
			yield(nil, err)
			return false
		}
		for _, r := range a.results {
			if r.err == nil && !h.in(r.Prediction) {
				continue
			}
			if !yield(r.Prediction, r.err) {
				return false
			}
		}
	}
	return true
}

// unit is how many sort units a second has, which the table can't say: its items can. It is 0 where the id has none.
func (h *history) unit(ctx context.Context) (uint64, error) {
	if n := h.perSecond.Load(); n != 0 {
		return n, nil
	}
	q := h.query(h.layout, h.id, &options{consistent: h.options.consistent, limited: true})
	q.condition, q.filter, q.values = "#h = :h", "", q.values[:1]
	q.names = slices.DeleteFunc(q.names, func(n alias) bool { return n.alias == "#t" })
	q.limit = 1
	a, _, err := q.next(ctx)
	if err == nil && len(a.results) > 0 {
		err = a.results[0].err
	}
	return h.perSecond.Load(), err // decode has stored it, even if the item has expired
}
