// Package dedup tracks pending and recently written keys. It allows one write per key at a time, applies the versions of a
// key in order, and skips redundant writes.
package dedup

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A Waiter receives the outcome of a prediction. It is a message, which can't be deleted before.
type Waiter interface {
	// Resolve is called once for each admitted prediction, from any goroutine, without locks held. raw is the prediction's
	// original text. why is set for Rejected.
	Resolve(o prediction.Outcome, raw string, why *prediction.Reject)
}

// An Observer counts outcomes. units is the number of write units that writing the prediction costs, or would have cost.
// queued is item.Item.Queued.
type Observer interface {
	Outcome(o prediction.Outcome, units int, queued int64)
}

// Config configures a Window.
type Config struct {
	Size     int                       // maximum number of written keys to remember, 2 or more. At least half are remembered
	Submit   func(items ...*item.Item) // hands items to the write batcher
	Observer Observer
	// MaxAge is how long a written key is remembered at most, and half of it at least. Somebody may delete items by hand: what is
	// sent again after that time is written again. 0 is no limit.
	MaxAge time.Duration
	// Ordered says that the table keeps the sent time of each item and orders versions by it: see item.Layout. A duplicate that was
	// sent later is then written, so that the table knows it for newer than what was sent between the two.
	Ordered bool
	// Remove, if set, is called with each delete that is durable, a duplicate or superseded, without locks held. Its Done must be called
	// once, from any goroutine. If it is nil, deletes get their outcome at once.
	Remove func(d *Delete)
}

// A Window holds the pending writes and the recently written keys.
type Window struct {
	cfg  Config
	seed [2]maphash.Seed

	mu      sync.Mutex
	pending map[item.Key]*pending
	// Recently written keys, in two generations. When written is full it becomes before, and the previous before is dropped.
	written, before generation
	began           time.Time // when written began
	renewed         int       // keys in both generations

	pendingHits, writtenHits uint64
}

// Stats counts the keys in a Window, and the predictions that met such a key and needed no write of their own.
type Stats struct {
	Pending, Written         int
	PendingHits, WrittenHits uint64
}

// Stats returns the current counts.
func (w *Window) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{len(w.pending), len(w.written.entries) + len(w.before.entries) - w.renewed, w.pendingHits, w.writtenHits}
}

// NewWindow returns an empty Window.
func NewWindow(cfg Config) *Window {
	return &Window{
		cfg:     cfg,
		seed:    [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		pending: map[item.Key]*pending{},
		began:   time.Now(),
		written: generation{max: cfg.Size / 2},
		before:  generation{max: cfg.Size / 2},
	}
}

// Admit adds a prediction. It returns true if the caller must hand the item to the batcher. Otherwise the prediction shares
// the outcome of a pending write, or has been resolved.
func (w *Window) Admit(it *item.Item, to Waiter) (submit bool) {
	me := waiter{to, it, it.Raw, it.Queued, int32(it.Units()), prediction.Written, it.Version.Deleted, false}
	if me.deleted && it.Removal != item.NoRemoval {
		me.silent = true
	} else if me.deleted && w.cfg.Remove != nil {
		me.to, me.silent = &Delete{Key: it.Key, Version: it.Version, window: w, units: it.Units(), queued: me.queued, to: to}, true
	}
	known, submit := w.admit(it, me)
	if known != prediction.Written {
		me.outcome = known
		w.resolve(me, nil)
	}
	return submit
}

// admit does what Admit does, but returns the outcome of a prediction that is known, and Written for others.
func (w *Window) admit(it *item.Item, me waiter) (known prediction.Outcome, submit bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.Version.Deleted {
		it.Hold = 0
	}
	p := w.pending[it.Key]
	if p == nil || p.removes() {
		known, again := w.known(it)
		if known != prediction.Written {
			w.writtenHits++
			return known, false
		}
		if !again {
			it.Hold = 0 // most keys come once: only one that comes again is likely to have a newer version soon
		}
	}
	if p == nil {
		p = &pending{write: write{item: it, version: it.Version}}
		me.item = nil
		p.waiters = append(p.first[:0], me)
		w.pending[it.Key] = p
		return prediction.Written, true
	}
	w.pendingHits++ // saves a write, except in the case below that adds one
	last := p.last()
	newer := it.Version.Compare(last.version) > 0
	again := newer && w.cfg.Ordered // a duplicate that the table must have with its later sent time
	switch {
	case it.Version.SameContent(last.version) && (!again || last == p.next || !p.inFlight):
		if newer && (last == p.next || !p.inFlight) {
			*last.item = *it
		}
		last.repeat(me, it.Version)
	case it.Version.SameContent(p.version) && !again:
		// It duplicates the write in flight. If it is the newest version, the waiting write is redundant.
		if newer {
			p.overtake(p.next.waiters, p.next.item)
			p.next = nil
		}
		p.repeat(me, it.Version)
	case !newer:
		me.outcome = prediction.Superseded
		last.waiters = append(last.waiters, me)
	case p.next == nil && p.inFlight:
		w.pendingHits--
		me.item = nil
		p.next = &write{it, it.Version, []waiter{me}}
	default: // newer than a write that is not in flight
		me.item = nil
		last.replace(it, it.Version, []waiter{me})
	}
	return prediction.Written, false
}

// fallBack takes the superseded ones out of the waiters of a write that can't be made. second is the write of the newest of
// them, for which the others wait. What is known to be written, or older than that, is settled. It requires w.mu.
func (w *Window) fallBack(waiters []waiter) (left, settled []waiter, second *write) {
	var older []waiter
	for _, waiting := range waiters {
		if waiting.outcome == prediction.Superseded {
			older = append(older, waiting)
		} else {
			left = append(left, waiting)
		}
	}
	slices.SortStableFunc(older, func(a, b waiter) int { return b.item.Version.Compare(a.item.Version) }) // newest first
	for _, waiting := range older {
		switch {
		case second == nil:
			if waiting.outcome, _ = w.known(waiting.item); waiting.outcome != prediction.Written {
				settled = append(settled, waiting)
				continue
			}
			waiting.item.Hold = 0 // it has waited already
			second = &write{item: waiting.item, version: waiting.item.Version}
			waiting.item = nil
		case waiting.item.Version.SameContent(second.version):
			waiting.outcome = prediction.Duplicate
		}
		second.waiters = append(second.waiters, waiting)
	}
	return left, settled, second
}

// Hold returns the item's Hold. Others may replace the item meanwhile, so nobody else may read it.
func (w *Window) Hold(it *item.Item) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return it.Hold
}

// Begin marks an item as in flight, after which it is not replaced. If its encoded size exceeds room it does nothing and
// returns false.
func (w *Window) Begin(it *item.Item, room int) (size int, fits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size = it.MaxJSONSize(); size > room {
		return 0, false
	}
	w.pending[it.Key].inFlight = true
	return size, true
}

// Requeue ends the flight of an item that the batcher will retry. A newer version that waited for it replaces it.
func (w *Window) Requeue(it *item.Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[it.Key]
	p.inFlight = false
	if p.next != nil {
		p.replace(p.next.item, p.next.version, p.next.waiters)
		p.next = nil
	}
}

// Done ends the write of an item. The outcome is Written; Superseded if the table already had a newer version; Expired or
// Rejected (with why) if it was not written; or Failed if it was abandoned and its messages must be received again. After
// Written and Superseded the window remembers that the table has this version or a newer one.
func (w *Window) Done(it *item.Item, o prediction.Outcome, why *prediction.Reject) {
	w.mu.Lock()
	p := w.pending[it.Key]
	if o == prediction.Written || o == prediction.Superseded {
		if it.Removal == item.NoRemoval || !w.remembersNewer(it.Key, p.version) {
			w.remember(it.Key, p.version)
		}
	}
	waiters, next := p.waiters, p.next
	var settled []waiter
	switch {
	case next != nil && o == prediction.Failed:
		waiters = append(waiters, next.waiters...)
		next = nil
	case o == prediction.Expired || o == prediction.Rejected:
		// What it superseded has to be written after all, unless a newer version is.
		var second *write
		if waiters, settled, second = w.fallBack(waiters); second != nil && next != nil {
			next.overtake(second.waiters, second.item)
		} else if second != nil {
			next = second
		}
	}
	if next == nil {
		delete(w.pending, it.Key)
	} else {
		w.pending[it.Key] = &pending{write: *next} // not p, whose first may hold the waiters
	}
	w.mu.Unlock()

	for _, waiting := range settled {
		w.resolve(waiting, nil)
	}
	for _, waiting := range waiters {
		switch o {
		case prediction.Written:
		case prediction.Superseded: // for its duplicates and those that it superseded too
			if waiting.outcome == prediction.Written {
				waiting.units = 0 // DynamoDB bills a failed condition, so nothing was saved
			}
			waiting.outcome = prediction.Superseded
		default:
			waiting.outcome = o
		}
		w.resolve(waiting, why)
	}
	if next != nil {
		w.cfg.Submit(next.item)
	}
}

func (w *Window) resolve(me waiter, why *prediction.Reject) {
	if me.deleted && me.outcome == prediction.Written {
		me.outcome = prediction.Deleted
	}
	if !me.silent {
		w.cfg.Observer.Outcome(me.outcome, int(me.units), me.queued)
	}
	me.to.Resolve(me.outcome, me.raw, why)
}
