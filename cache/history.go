package cache

import (
	"context"
	"iter"
	"math"
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
// What a delete hides is left out. In the versioned layout a range with an end, or OldestFirst, therefore begins with a Query
// for the newest delete, which reads the id's items from the newest down to the end of the range, or with OldestFirst to its
// beginning.
//
// In the expiry-sorted layout all live versions of the id are read and put in order first, unless UniformLife says that
// they are, newest first. In the latest-only layout there is at most one.
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
	layout    *item.Layout
	id        string
	options   *options
	from, to  prediction.Time
	tombstone *Prediction // the newest that was met
	yield     func(*Prediction, error) bool
}

func (h *history) run(ctx context.Context) {
	switch h.layout.Kind {
	case item.LatestOnly:
		p, _, err := h.getItem(ctx, h.layout, h.id, h.options, false)
		if err != nil {
			h.yield(nil, err)
		} else if p.shown() != nil && h.in(p) {
			h.yield(p, nil)
		}
	case item.Versioned:
		if err := h.versions(ctx); err != nil {
			h.yield(nil, err)
		}
	default:
		h.byExpiry(ctx)
	}
}

// versions yields the range in the versioned layout. It returns an error of its first calls.
func (h *history) versions(ctx context.Context) error {
	perSecond, err := h.unit(ctx)
	if err != nil || perSecond == 0 { // without a unit there is no item
		return err
	}
	lo, hi := h.from.In(perSecond), h.to.In(perSecond)
	// The range does not meet the tombstones above its end, and, oldest first, meets its own too late.
	above, unseen := hi, h.to.Sec < lastSecond
	if h.options.oldestFirst {
		above, unseen = lo, true
	}
	if unseen {
		unit, err := h.newestTombstone(ctx, above)
		if err != nil {
			return err
		}
		if lo = max(lo, min(unit, hi)); h.tombstone != nil && h.tombstone.created.Compare(h.to) >= 0 {
			return nil
		}
	}
	q := h.query(h.layout, h.id, h.options)
	q.between(lo, hi)
	h.pages(ctx, q, h.yield)
	return nil
}

// newestTombstone finds the newest tombstone of the id whose sort unit is not below unit, and returns its unit.
func (h *history) newestTombstone(ctx context.Context, unit int64) (int64, error) {
	q := h.query(h.layout, h.id, h.forKeys())
	q.from(unit)
	q.tombstones()
	q.filter += " AND #d = :true"
	for more := true; more; {
		var a answer
		var err error
		if a, more, err = q.next(ctx); err != nil {
			return 0, err
		}
		for _, r := range a.results {
			if r.err != nil {
				return 0, r.err
			}
			h.tombstone = r.Prediction
			return r.unit, nil
		}
	}
	return 0, nil
}

// byExpiry yields the range in the expiry-sorted layout. Under UniformLife the versions come newest first, and each tombstone
// before what it hides; otherwise, and oldest first, they are put in order.
func (h *history) byExpiry(ctx context.Context) {
	q := h.query(h.layout, h.id, h.options)
	if h.options.uniform && !h.options.oldestFirst {
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
		if older(h.tombstone, p) && !h.yield(p, nil) {
			return
		}
	}
}

func (h *history) in(p *Prediction) bool {
	return p.created.Compare(h.from) >= 0 && p.created.Compare(h.to) < 0
}

// pages yields the range of each page, without what a tombstone hides that came before. It returns false if it was told to stop,
// or failed.
func (h *history) pages(ctx context.Context, q *pager, yield func(*Prediction, error) bool) bool {
	versioned := h.layout.Kind == item.Versioned
	q.forward = versioned && h.options.oldestFirst
	inOrder := h.layout.Kind == item.ExpirySorted && h.options.uniform && !h.options.oldestFirst
	floor := int64(math.MinInt64) // below this sort unit all is hidden
	for more := true; more; {
		var a answer
		var err error
		if a, more, err = q.next(ctx); err != nil {
			yield(nil, err)
			return false
		}
		for _, r := range a.results {
			switch {
			case r.unit < floor:
				return true
			case r.err != nil:
				if !yield(nil, r.err) {
					return false
				}
			case r.deleted:
				if older(h.tombstone, r.Prediction) {
					h.tombstone = r.Prediction
				}
				if versioned && !q.forward {
					floor = max(floor, r.unit)
				}
			case !older(h.tombstone, r.Prediction):
				if inOrder {
					return true // what follows is older
				}
			case h.in(r.Prediction) && !yield(r.Prediction, nil):
				return false
			}
		}
		if floor > math.MinInt64 && !q.endAt(floor) {
			return true
		}
	}
	return true
}

// unit returns the number of sort units in a second, which only items tell. It is 0 if no item of the id does.
func (h *history) unit(ctx context.Context) (uint64, error) {
	if n := h.perSecond.Load(); n != 0 {
		return n, nil
	}
	q := h.query(h.layout, h.id, h.forKeys())
	q.condition, q.filter, q.values = "#h = :h", "", q.values[:1]
	q.names = slices.DeleteFunc(q.names, func(n alias) bool { return n.alias == "#t" })
	q.limit = 1
	var unreadable error
	for more := true; more && h.perSecond.Load() == 0; q.limit = 0 {
		var a answer
		var err error
		if a, more, err = q.next(ctx); err != nil {
			return 0, err
		}
		if len(a.results) > 0 && unreadable == nil {
			unreadable = a.results[0].err
		}
	}
	if n := h.perSecond.Load(); n != 0 { // decode has stored it, even if the item has expired
		return n, nil
	}
	return 0, unreadable
}

// forKeys returns the options of a read whose payloads do not matter.
func (h *history) forKeys() *options {
	return &options{consistent: h.options.consistent, skipForeign: h.options.skipForeign, limited: true}
}
