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
	Size     int                       // how many written keys are remembered at the most, 2 or more; at least half of it are
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
	// forgotten.
	written, before generation
	renewed         int // keys that are in both

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
	return Stats{len(w.pending), len(w.written.entries) + len(w.before.entries) - w.renewed, w.pendingHits, w.writtenHits}
}

// A fingerprint stands for a key: an id may have 2,048 bytes, and would keep its message's body in memory. Two hashes of the
// id, seeded, so that nobody can make ids that collide; and the sort key in both, so that those of one id never do.
type fingerprint [2]uint64

// pending is the write of a key that has been handed to the batcher, and the one that must wait for its end.
type pending struct {
	write
	underWay bool      // until then the item is replaced in place by a newer one
	next     *write    // of a newer version; nil unless one is under way
	first    [1]waiter // the memory of waiters, where there is but one
}

// A write is of one version, for all who wait for it.
type write struct {
	item    *item.Item
	version prediction.Version // the item's, or that of its newest repeat
	waiters []waiter
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
		written: generation{max: cfg.Size / 2},
		before:  generation{max: cfg.Size / 2},
	}
}

// Admit takes in a prediction. It returns true where the caller must hand the item to the batcher. Otherwise the
// prediction shares the fate of a write that is pending, or its outcome is known already.
func (w *Window) Admit(it *item.Item, to Waiter) (submit bool) {
	me := waiter{to, it.Raw, it.Version.Sent, int32(it.Units()), prediction.Written}
	w.mu.Lock()
	p := w.pending[it.Key]
	if p == nil {
		if me.outcome = w.known(it); me.outcome != prediction.Written {
			w.writtenHits++
			w.mu.Unlock()
			w.resolve(me, nil)
			return false
		}
		p = &pending{write: write{item: it, version: it.Version}}
		p.waiters = append(p.first[:0], me)
		w.pending[it.Key] = p
		w.mu.Unlock()
		return true
	}
	defer w.mu.Unlock()
	w.pendingHits++ // one write less, but where it has to wait for its turn
	last := &p.write
	if p.next != nil {
		last = p.next
	}
	newer := it.Version.Compare(last.version) > 0
	switch {
	case it.Version.SameContent(last.version):
		if newer && (last == p.next || !p.underWay) {
			*last.item = *it
		}
		last.repeat(me, it.Version)
	case it.Version.SameContent(p.version):
		// It repeats what is under way. If it is the newest, what waits for that one's end need not be written at all.
		if newer {
			p.overtake(p.next.waiters)
			p.next = nil
		}
		p.repeat(me, it.Version)
	case !newer:
		me.outcome = prediction.Superseded
		last.waiters = append(last.waiters, me)
	case p.next == nil && p.underWay:
		w.pendingHits--
		p.next = &write{it, it.Version, []waiter{me}}
	default: // newer than one that has not left
		last.replace(it, it.Version, []waiter{me})
	}
	return false
}

// known tells what becomes of a prediction whose key has been written lately: Duplicate or Superseded, else Written.
// w.mu is held.
func (w *Window) known(it *item.Item) prediction.Outcome {
	f := w.fingerprint(it.Key)
	e := w.written.find(f)
	if e == nil {
		e = w.before.find(f)
	}
	if e == nil {
		return prediction.Written
	}
	latest := e.version()
	newer := it.Version.Compare(latest) > 0
	switch {
	case it.Version.SameContent(latest):
		if newer {
			e.set(it.Version) // so that what was sent between the two is known to be older
		}
		return prediction.Duplicate
	case !newer:
		return prediction.Superseded
	}
	return prediction.Written
}

// repeat adds a waiter whose prediction is the one that is written.
func (r *write) repeat(me waiter, v prediction.Version) {
	me.outcome = prediction.Duplicate
	r.waiters = append(r.waiters, me)
	if v.Compare(r.version) > 0 {
		r.version = v
	}
}

// replace puts a newer version in the place of one that has not left.
func (r *write) replace(it *item.Item, v prediction.Version, waiters []waiter) {
	*r.item, r.version = *it, v
	waiters, r.waiters = r.waiters, waiters
	r.overtake(waiters)
}

// overtake adds waiters whose predictions are older than the one that is written.
func (r *write) overtake(older []waiter) {
	for i := range older {
		older[i].outcome = prediction.Superseded
	}
	r.waiters = append(r.waiters, older...)
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
	if p.next != nil {
		p.replace(p.next.item, p.next.version, p.next.waiters)
		p.next = nil
	}
}

// Done ends an item's write: Written, or Superseded where the table already had a newer version, or Expired or Rejected
// (with why) where it was not made, or Failed where it was given up and its messages must come back. What is remembered is
// that the table has this version or a newer one.
func (w *Window) Done(it *item.Item, o prediction.Outcome, why *prediction.Reject) {
	w.mu.Lock()
	p := w.pending[it.Key]
	if o == prediction.Written || o == prediction.Superseded {
		w.remember(it.Key, p.version)
	}
	waiters, next := p.waiters, p.next
	if next != nil && o == prediction.Failed {
		waiters = append(waiters, next.waiters...)
		next = nil
	}
	if next == nil {
		delete(w.pending, it.Key)
	} else {
		w.pending[it.Key] = &pending{write: *next} // a new one: waiters may be in p.first
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
		w.cfg.Submit(next.item)
	}
}

func (w *Window) resolve(me waiter, why *prediction.Reject) {
	w.cfg.Observer.Outcome(me.outcome, int(me.units), me.sent)
	me.to.Resolve(me.outcome, me.raw, why)
}

// remember notes what was written. w.mu is held.
func (w *Window) remember(k item.Key, v prediction.Version) {
	f := w.fingerprint(k)
	if e := w.written.find(f); e != nil {
		e.set(v)
		return
	}
	if w.written.full() {
		w.before.clear()
		w.written, w.before, w.renewed = w.before, w.written, 0
	}
	if w.before.find(f) != nil {
		w.renewed++
	}
	w.written.add(f, v)
}

func (w *Window) fingerprint(k item.Key) fingerprint {
	sort := uint64(k.Sort)
	return fingerprint{maphash.String(w.seed[0], k.ID) ^ sort, maphash.String(w.seed[1], k.ID) ^ sort}
}
