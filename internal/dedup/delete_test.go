package dedup_test

import (
	"testing"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// delete admits a delete of user-1.
func (w *world) delete(l *item.Layout, name string, event, sent int64) (*item.Item, bool) {
	it := newDelete(l, "user-1", event, sent)
	return it, w.Admit(it, named{w, name})
}

// A delete is a version like any other: newer than the predictions of its event time, whenever they were sent.
func TestDelete(t *testing.T) {
	t.Run("replaces what is not in flight", func(t *testing.T) {
		w := newWorld(t, 100)
		it := w.first("a", 10, 5)
		if _, submit := w.delete(latestOnly, "delete", 10, 1); submit {
			t.Error("a second write of the key was submitted")
		}
		w.join("b", 10, 9)
		w.end(it, prediction.Written)
		if !it.Version.Deleted {
			t.Error("the prediction was written")
		}
		w.expect("a superseded", "b superseded", "delete deleted")
		w.join("a again", 10, 5)
		w.expect("a again superseded")
		w.written("c", 11, 1)
		w.expect("c written")
	})

	t.Run("is remembered as a delete", func(t *testing.T) {
		w := newWorld(t, 100)
		it, _ := w.delete(latestOnly, "delete", 10, 5)
		w.end(it, prediction.Written)
		if _, submit := w.delete(latestOnly, "again", 10, 5); submit {
			t.Error("a redelivered delete was submitted")
		}
		w.join("late", 10, 99)
		w.expect("delete deleted", "again duplicate", "late superseded")
	})

	t.Run("whose removal finds a newer version", func(t *testing.T) {
		for _, o := range []prediction.Outcome{prediction.Superseded, prediction.Written} {
			w := newWorld(t, 100)
			w.written("newer", 10, 5)
			newer := newItem(latestOnly, "user-1", 10, 5, "newer")
			it := latestOnly.NewRemoval(newer.Key, prediction.Time{Sec: 7}, prediction.Version{Event: prediction.Time{Sec: 7}, Sent: 6, Deleted: true}, 100)
			if !w.Admit(it, named{w, "removal"}) {
				t.Fatal("not submitted")
			}
			w.end(it, o)
			w.join("older", 8, 9)
			got := w.log[len(w.log)-1]
			if got != "older superseded" {
				t.Errorf("after a removal that was %v: %s", o, got)
			}
		}
	})

	t.Run("whose removal is older than what is remembered", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("newest", 10, 5)
		key := newItem(latestOnly, "user-1", 10, 5, "newest").Key
		it := latestOnly.NewRemoval(key, prediction.Time{Sec: 7}, prediction.Version{Event: prediction.Time{Sec: 7}, Sent: 6, Deleted: true}, 100)
		if !w.Admit(it, named{w, "removal"}) {
			t.Fatal("not submitted")
		}
		w.join("between", 9, 6)
		w.join("newest", 10, 7)
		if it.Removal == item.NoRemoval {
			t.Error("an older version took the removal's place")
		}
		w.expect("newest written", "between superseded", "newest duplicate")
		w.begin(it)
		w.join("between again", 9, 8)
		w.expect("between again superseded")
	})

	t.Run("that the table has a newer version than", func(t *testing.T) {
		w := newWorld(t, 100)
		it, _ := w.delete(latestOnly, "delete", 10, 5)
		w.end(it, prediction.Superseded)
		w.expect("delete superseded")
	})

	t.Run("has a key of its own in the versioned layout", func(t *testing.T) {
		w := newWorld(t, 100)
		p := newItem(versioned, "user-1", 10, 1, "a")
		if !w.Admit(p, named{w, "a"}) {
			t.Fatal("not submitted")
		}
		it, submit := w.delete(versioned, "delete", 10, 2)
		if !submit || it.Key == p.Key {
			t.Fatalf("submitted %v, with the key %v beside %v", submit, it.Key, p.Key)
		}
		w.end(it, prediction.Written)
		w.end(p, prediction.Written)
		w.expect("a written", "delete deleted")
	})
}
