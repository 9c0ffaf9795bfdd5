package dedup

import (
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// pending is the write of a key that the batcher has, and the next one, which waits for it.
type pending struct {
	write
	inFlight bool      // before that, a newer version replaces the item in place
	next     *write    // of a newer version; nil unless inFlight
	first    [1]waiter // storage for a single waiter
}

// last returns the write of the newest version.
func (p *pending) last() *write {
	if p.next != nil {
		return p.next
	}
	return &p.write
}

// removes reports whether all writes are removals. A put is newer than what is remembered of its key, which a removal may not be.
func (p *pending) removes() bool {
	return p.item.Removal != item.NoRemoval && p.last().item.Removal != item.NoRemoval
}

// A write is one version of a key, and everyone who waits for it.
type write struct {
	item    *item.Item
	version prediction.Version // the item's, or that of its newest duplicate
	waiters []waiter
}

// A waiter waits for a write. outcome is the outcome of its prediction if the write succeeds. It keeps the prediction's item in
// case that what supersedes it can't be written; the one whose item is being written has none.
type waiter struct {
	to      Waiter
	item    *item.Item
	raw     string
	queued  int64
	units   int32
	outcome prediction.Outcome
	deleted bool // its prediction is a delete
	// silent waiters are not reported to the Observer: removals, which are no predictions, and a Delete, which reports itself later.
	silent bool
}

// repeat adds a waiter whose prediction duplicates the written one.
func (r *write) repeat(me waiter, v prediction.Version) {
	me.outcome = prediction.Duplicate
	r.waiters = append(r.waiters, me)
	if v.Compare(r.version) > 0 {
		r.version = v
	}
}

// replace replaces a version that is not in flight by a newer one.
func (r *write) replace(it *item.Item, v prediction.Version, waiters []waiter) {
	older := *r.item
	*r.item, r.version = *it, v
	waiters, r.waiters = r.waiters, waiters
	r.overtake(waiters, &older)
}

// overtake adds the waiters of a write of an older version.
func (r *write) overtake(waiters []waiter, older *item.Item) {
	for i := range waiters {
		if waiters[i].item == nil {
			waiters[i].item = older
		}
		waiters[i].outcome = prediction.Superseded
	}
	r.waiters = append(r.waiters, waiters...)
}
