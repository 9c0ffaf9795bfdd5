package dedup_test

import (
	"testing"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A write is held only if a newer version of its key is likely to come soon: if the key has come before.
func TestHold(t *testing.T) {
	const hold = time.Second
	admit := func(w *world, it *item.Item) *item.Item {
		it.Hold = hold
		if !w.Admit(it, named{w, "a"}) {
			t.Fatal("the item was not submitted")
		}
		return it
	}
	write := func(w *world, it *item.Item) {
		w.Begin(it, 1<<20)
		w.Done(it, prediction.Written, nil)
	}
	want := func(w *world, it *item.Item, want time.Duration) {
		t.Helper()
		if got := w.Hold(it); got != want {
			t.Errorf("held for %v, want %v", got, want)
		}
	}

	w := newWorld(t, 100)
	first := admit(w, newItem(latestOnly, "user-1", 1, 1, "a"))
	want(w, first, 0)
	write(w, first)
	second := admit(w, newItem(latestOnly, "user-1", 2, 2, "b"))
	want(w, second, hold)

	// A version that waits for the write in flight is of a key that comes often, too.
	w.Begin(second, 1<<20)
	third := newItem(latestOnly, "user-1", 3, 3, "c")
	third.Hold = hold
	if w.Admit(third, named{w, "c"}) {
		t.Fatal("two writes of one key at once")
	}
	w.Done(second, prediction.Written, nil)
	if len(w.submitted) != 1 {
		t.Fatalf("%d items were submitted, want the waiting one", len(w.submitted))
	}
	want(w, w.submitted[0], hold)
	write(w, w.submitted[0])

	// What a held version superseded has waited already when that version can't be written.
	fourth := admit(w, newItem(latestOnly, "user-1", 4, 4, "d"))
	fifth := newItem(latestOnly, "user-1", 5, 5, "e")
	fifth.Hold = hold
	if w.Admit(fifth, named{w, "e"}) {
		t.Fatal("two writes of one key")
	}
	w.submitted = nil
	w.Begin(fourth, 1<<20)
	w.Done(fourth, prediction.Rejected, refused)
	if len(w.submitted) != 1 || w.submitted[0].Version.Event.Sec != 4 {
		t.Fatalf("submitted %v, want the version before", w.submitted)
	}
	want(w, w.submitted[0], 0)
	write(w, w.submitted[0])

	// A delete takes effect as soon as it can.
	want(w, admit(w, newDelete(latestOnly, "user-1", 6, 6)), 0)

	// Each event time has an item of its own.
	w = newWorld(t, 100)
	write(w, admit(w, newItem(versioned, "user-1", 1, 1, "a")))
	want(w, admit(w, newItem(versioned, "user-1", 2, 2, "b")), 0)

	// What was forgotten counts as new.
	w = newWorld(t, 100)
	write(w, admit(w, newItem(latestOnly, "user-1", 1, 1, "a")))
	w.Forget()
	want(w, admit(w, newItem(latestOnly, "user-1", 2, 2, "b")), 0)
}
