// Package dedup knows, by key, what is on its way to the table and what was written lately. It makes sure that one key
// is never in two writes at once, that its versions are applied in order, and that what need not be written isn't.
package dedup

import (
	"hash/maphash"
	"sync"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A Waiter is told what became of a prediction: a message that can't be deleted before.
type Waiter interface {
	// Resolve is called once for each admitted prediction, by any goroutine, with no lock held. raw is the prediction's text
	// as it came; why is set for Rejected.
	Resolve(o prediction.Outcome, raw string, why *prediction.Reject)
}

// An Observer counts outcomes. units is what writing the prediction costs, or would have cost; sent is in milliseconds
// since the epoch.
type Observer interface {
	Outcome(o prediction.Outcome, units int, sent int64)
}

// Config of a Window.
type Config struct {
	Size     int                       // how many written keys are remembered at the most; at least half of it are
	Submit   func(items ...*item.Item) // hands items to the write batcher
	Observer Observer
}

// A Window is the worker's memory of keys.
type Window struct {
	cfg  Config
	seed [2]maphash.Seed

	mu      sync.Mutex
	pending map[item.Key]*pending
	// What was written lately, in two generations: when the new one is full it becomes the old one, and the old one is
	// forgotten. That bounds the memory without a list beside the map, at 64 bytes a key or so.
	written, before map[fingerprint]prediction.Version

	pendingHits, writtenHits uint64
}

// Stats are what a Window knows of keys, and how many predictions met a key that it knew and needed no write of their own.
type Stats struct {
	Pending, Written         int
	PendingHits, WrittenHits uint64
}

// Stats returns the figures of this moment.
func (w *Window) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{len(w.pending), len(w.written) + len(w.before), w.pendingHits, w.writtenHits}
}

// A fingerprint stands for a key: an id may have 2,048 bytes, and would keep its message's body in memory. Its hashes are
// seeded, so that nobody can make ids that collide.
type fingerprint struct {
	id   [2]uint64
	sort int64
}

// pending is the write of a key that has been handed to the batcher, and the one that must wait for its end.
type pending struct {
	item     *item.Item // what the batcher holds; replaced in place while it has not left
	underWay bool
	waiters  []waiter
	next     *item.Item // newer than item, which is under way
	nextFor  []waiter
}

// A waiter shares the fate of a write: if that succeeds, outcome is what becomes of its prediction.
type waiter struct {
	to      Waiter
	raw     string
	sent    int64
	units   int32
	outcome prediction.Outcome
}

// NewWindow makes an empty Window.
func NewWindow(cfg Config) *Window {
	return &Window{
		cfg:     cfg,
		seed:    [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		pending: map[item.Key]*pending{},
		written: map[fingerprint]prediction.Version{},
		before:  map[fingerprint]prediction.Version{},
	}
}

// Admit takes in a prediction. It returns true where the caller must hand the item to the batcher. Otherwise the
// prediction shares the fate of a write that is pending, or its outcome is known already.
func (w *Window) Admit(it *item.Item, to Waiter) (submit bool) {
	me := waiter{to, it.Raw, it.Version.Sent, int32(it.Units()), prediction.Written}
	w.mu.Lock()
	p := w.pending[it.Key]
	if p == nil {
		if latest, found := w.latest(it.Key); found && (it.Version.SameContent(latest) || it.Version.Compare(latest) < 0) {
			w.writtenHits++
			w.mu.Unlock()
			me.outcome = prediction.Superseded
			if it.Version.SameContent(latest) {
				me.outcome = prediction.Duplicate
			}
			w.resolve(me, nil)
			return false
		}
		w.pending[it.Key] = &pending{item: it, waiters: []waiter{me}}
		w.mu.Unlock()
		return true
	}
	defer w.mu.Unlock()
	w.pendingHits++ // one write less, but where it has to wait for its turn
	newest, waiters := p.item, &p.waiters
	if p.next != nil {
		newest, waiters = p.next, &p.nextFor
	}
	switch {
	case it.Version.SameContent(p.item.Version):
		// Also where a newer one waits behind it: what it repeats is the write under way.
		me.outcome = prediction.Duplicate
		p.waiters = append(p.waiters, me)
	case it.Version.SameContent(newest.Version):
		me.outcome = prediction.Duplicate
		*waiters = append(*waiters, me)
	case it.Version.Compare(newest.Version) < 0:
		me.outcome = prediction.Superseded
		*waiters = append(*waiters, me)
	case p.next == nil && p.underWay:
		w.pendingHits--
		p.next, p.nextFor = it, []waiter{me}
	default: // newer than one that has not left
		supersede(*waiters)
		*newest = *it
		*waiters = append(*waiters, me)
	}
	return false
}

func supersede(waiters []waiter) {
	for i := range waiters {
		waiters[i].outcome = prediction.Superseded
	}
}

// Begin marks an item as under way, unless its encoded size exceeds room. From then on it is not replaced.
func (w *Window) Begin(it *item.Item, room int) (size int, fits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size = it.MaxJSONSize(); size > room {
		return 0, false
	}
	w.pending[it.Key].underWay = true
	return size, true
}

// Requeue takes back an item whose write was not accepted and that stays with the batcher to be tried again. A newer
// version that waited for it takes its place.
func (w *Window) Requeue(it *item.Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[it.Key]
	p.underWay = false
	if p.next == nil {
		return
	}
	supersede(p.waiters)
	*it = *p.next
	p.waiters = append(p.waiters, p.nextFor...)
	p.next, p.nextFor = nil, nil
}

// Done ends an item's write: Written, or Superseded where the table already had a newer version, or Expired or Rejected
// (with why) where it was not made, or Failed where it was given up and its messages must come back. What is remembered is
// that the table has this version or a newer one.
func (w *Window) Done(it *item.Item, o prediction.Outcome, why *prediction.Reject) {
	w.mu.Lock()
	p := w.pending[it.Key]
	if o == prediction.Written || o == prediction.Superseded {
		w.remember(it)
	}
	waiters, next := p.waiters, p.next
	if next != nil && o != prediction.Failed {
		*p = pending{item: next, waiters: p.nextFor}
	} else {
		waiters = append(waiters, p.nextFor...)
		delete(w.pending, it.Key)
		next = nil
	}
	w.mu.Unlock()

	for _, waiting := range waiters {
		switch o {
		case prediction.Written:
		case prediction.Superseded: // also those that it superseded or that repeat it
			if waiting.outcome == prediction.Written {
				waiting.units = 0 // a write that the table refused for its condition is paid for: it saves nothing
			}
			waiting.outcome = prediction.Superseded
		default:
			if waiting.outcome == prediction.Superseded {
				// What superseded it was not written, so it must come back to be written itself.
				waiting.outcome = prediction.Failed
			} else {
				waiting.outcome = o
			}
		}
		w.resolve(waiting, why)
	}
	if next != nil {
		w.cfg.Submit(next)
	}
}

func (w *Window) resolve(me waiter, why *prediction.Reject) {
	w.cfg.Observer.Outcome(me.outcome, int(me.units), me.sent)
	me.to.Resolve(me.outcome, me.raw, why)
}

// latest is the version of a key that was written last, as far as it is remembered. w.mu is held.
func (w *Window) latest(k item.Key) (prediction.Version, bool) {
	f := w.fingerprint(k)
	if v, found := w.written[f]; found {
		return v, true
	}
	v, found := w.before[f]
	return v, found
}

// remember notes what was written. w.mu is held.
func (w *Window) remember(it *item.Item) {
	if len(w.written) >= w.cfg.Size/2 {
		clear(w.before)
		w.written, w.before = w.before, w.written
	}
	w.written[w.fingerprint(it.Key)] = it.Version
}

func (w *Window) fingerprint(k item.Key) fingerprint {
	return fingerprint{[2]uint64{maphash.String(w.seed[0], k.ID), maphash.String(w.seed[1], k.ID)}, k.Sort}
}
