package dedup

import (
	"hash/maphash"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A fingerprint identifies a key in 16 bytes. An id may have 2,048 bytes, and keeping it would keep its message's body in
// memory. It has two seeded hashes of the id, so that nobody can construct collisions. The sort key is in both, and its fraction in one,
// so that the keys of one id never collide.
type fingerprint [2]uint64

// known returns Duplicate or Superseded for a prediction whose key was recently written with this or a newer version, and
// Written if it must be written. again reports that an older version of the key was written. It requires w.mu.
func (w *Window) known(it *item.Item) (o prediction.Outcome, again bool) {
	if it.Removal != item.NoRemoval {
		return prediction.Written, false // the table has the item, whatever this worker wrote
	}
	w.forgetOld()
	e := w.find(it.Key)
	if e == nil {
		return prediction.Written, false
	}
	latest := e.version()
	newer := it.Version.Compare(latest) > 0
	switch {
	case it.Version.SameContent(latest) && (!newer || !w.cfg.Ordered):
		if newer {
			e.set(it.Version) // versions sent between the two are older
		}
		return prediction.Duplicate, false
	case !newer:
		return prediction.Superseded, false
	}
	return prediction.Written, true
}

// remembersNewer reports whether a newer version of a removal's key was written. Then the removal removed nothing, or what another
// worker had put over that version. Its own version must not be remembered: older ones would follow the newer one. It requires w.mu.
func (w *Window) remembersNewer(k item.Key, removal prediction.Version) bool {
	e := w.find(k)
	return e != nil && e.version().Compare(removal) > 0
}

// find returns what is remembered of a key, or nil. It requires w.mu.
func (w *Window) find(k item.Key) *entry {
	f := w.fingerprint(k)
	if e := w.written.find(f); e != nil {
		return e
	}
	return w.before.find(f)
}

// remember records a written version. It requires w.mu.
func (w *Window) remember(k item.Key, v prediction.Version) {
	w.forgetOld() // first: an entry of a generation that is due would be forgotten at once
	f := w.fingerprint(k)
	if e := w.written.find(f); e != nil {
		e.set(v)
		return
	}
	if w.written.full() {
		w.rotate(time.Now())
	}
	if w.before.find(f) != nil {
		w.renewed++
	}
	w.written.add(f, v)
}

// rotate begins a generation at a time, and forgets the one before the last. It requires w.mu.
func (w *Window) rotate(at time.Time) {
	w.before.clear()
	w.written, w.before, w.renewed = w.before, w.written, 0
	w.began = at
}

// forgetOld rotates a generation after half of the maximum age, so that none lives longer than the whole. It requires w.mu.
func (w *Window) forgetOld() {
	if w.cfg.MaxAge == 0 {
		return
	}
	now := time.Now()
	age := now.Sub(w.began)
	if age >= w.cfg.MaxAge/2 {
		w.rotate(w.began.Add(w.cfg.MaxAge / 2)) // when it was due
	}
	if age >= w.cfg.MaxAge {
		w.rotate(now)
	}
}

// Forget forgets the written keys: the table that has them is gone. Pending writes stay.
func (w *Window) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rotate(time.Now())
	w.rotate(time.Now())
}

func (w *Window) fingerprint(k item.Key) fingerprint {
	sort := uint64(k.Sort)
	return fingerprint{maphash.String(w.seed[0], k.ID) ^ sort, maphash.String(w.seed[1], k.ID) ^ sort ^ k.Frac}
}
