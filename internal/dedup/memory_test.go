package dedup_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// written admits and writes a prediction.
func (w *world) written(name string, event, sent int64) {
	w.t.Helper()
	it := w.first(name, event, sent)
	w.begin(it)
	w.Done(it, prediction.Written, nil)
}

func TestWritten(t *testing.T) {
	t.Run("repeats are duplicates and older versions superseded", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("b", 20, 2)
		w.expect("b written")
		w.join("b again", 20, 2) // a redelivery
		w.join("b resent", 20, 9)
		w.join("a", 10, 9)
		w.expect("b again duplicate", "b resent duplicate", "a superseded")
		w.written("c", 30, 1)
		w.join("b late", 20, 10)
		w.expect("c written", "b late superseded")
	})

	t.Run("only what the table has is remembered", func(t *testing.T) {
		for _, o := range []prediction.Outcome{prediction.Expired, prediction.Rejected, prediction.Failed} {
			w := newWorld(t, 100)
			it := w.first("b", 20, 2)
			w.begin(it)
			w.Done(it, o, refused)
			w.log = nil
			w.written("b", 20, 2)
			w.expect("b written")
		}
		w := newWorld(t, 100)
		it := w.first("b", 20, 2)
		w.begin(it)
		w.Done(it, prediction.Superseded, nil) // the table has a newer version
		w.join("b again", 20, 2)
		w.join("a", 10, 9)
		w.expect("b superseded", "b again duplicate", "a superseded")
	})

	t.Run("a newer version is written", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("a", 10, 1)
		w.written("b", 10, 2)   // the same event time, sent later
		w.written("b", 10+1, 2) // the same value of another event
		w.written("b", 10+2, 1) // though sent earlier
		w.join("c", 10+1, 5)    // older by its event
		w.expect("a written", "b written", "b written", "b written", "c superseded")
	})
}

// A value that returns at the same event time: the table must end with the one sent last.
func TestReturningValue(t *testing.T) {
	t.Run("after both were written", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("a", 10, 1)
		w.written("b", 10, 2)
		w.written("a", 10, 3)
		w.expect("a written", "b written", "a written")
	})
	t.Run("before the other is in flight", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("a", 10, 1)
		it := w.first("b", 10, 2)
		w.join("a back", 10, 3)
		w.expectContent(it, "a")
	})
	t.Run("while the first is in flight and the other waits", func(t *testing.T) {
		w := newWorld(t, 100)
		it := w.first("a", 10, 1)
		w.begin(it)
		w.join("b", 10, 2)
		w.join("a back", 10, 3) // makes the waiting write redundant
		w.Done(it, prediction.Written, nil)
		w.expect("a written", "b superseded", "a back duplicate")
		if len(w.submitted) > 0 {
			t.Fatalf("%s was submitted", w.submitted[0].Raw)
		}
		w.join("b redelivered", 10, 2)
		w.expect("b redelivered superseded")
	})
	t.Run("while the first is in flight, sent before the other", func(t *testing.T) {
		w := newWorld(t, 100)
		it := w.first("a", 10, 1)
		w.begin(it)
		w.join("b", 10, 3)
		w.join("a late", 10, 2)
		w.Done(it, prediction.Written, nil)
		w.expect("a written", "a late duplicate")
		w.expectContent(w.take(), "b")
	})
	t.Run("supersedes what was sent before", func(t *testing.T) {
		w := newWorld(t, 100)
		w.written("a", 10, 1)
		w.join("a back", 10, 5)
		w.join("b", 10, 3)
		w.expect("a written", "a back duplicate", "b superseded")
		w.written("c", 10, 6)
		it := w.first("d", 20, 7)
		w.join("d again", 20, 9)
		w.join("e", 20, 8)
		w.begin(it)
		w.Done(it, prediction.Written, nil)
		w.expect("c written", "d written", "d again duplicate", "e superseded")
		if it.Version.Sent != 9 { // conditional writes compare it
			t.Errorf("written with sent time %d", it.Version.Sent)
		}
	})
}

func TestSize(t *testing.T) {
	t.Run("bounds the written keys", func(t *testing.T) {
		const size, half = 100, 50
		w := newWorld(t, size)
		write := func(id int) {
			it := newItem(latestOnly, fmt.Sprint("user-", id), 10, 1, "a")
			if !w.Admit(it, named{w, "a"}) {
				t.Fatalf("user-%d is remembered", id)
			}
			w.begin(it)
			w.Done(it, prediction.Written, nil)
		}
		known := func(id int) bool {
			it := newItem(latestOnly, fmt.Sprint("user-", id), 10, 1, "a")
			if !w.Admit(it, named{w, "a"}) {
				return true
			}
			w.Done(it, prediction.Failed, nil)
			return false
		}
		for id := range 10 * size {
			write(id)
			if n := w.Stats().Written; n > size {
				t.Fatalf("%d keys are remembered", n)
			}
			for back := range min(half, id+1) {
				if !known(id - back) {
					t.Fatalf("of %d written keys, the last but %d is forgotten", id+1, back)
				}
			}
		}
		if known(10*size - 1 - size) {
			t.Errorf("the last but %d is remembered", size)
		}
	})

	t.Run("a frequent key does not evict others", func(t *testing.T) {
		w := newWorld(t, 4)
		other := newItem(latestOnly, "user-2", 10, 1, "a")
		w.Admit(other, named{w, "other"})
		w.begin(other)
		w.Done(other, prediction.Written, nil)
		for version := range int64(20) {
			w.written("a", version, 1)
		}
		w.log = nil
		w.Admit(newItem(latestOnly, "user-2", 10, 1, "a"), named{w, "other again"})
		w.expect("other again duplicate")
		if n := w.Stats().Written; n != 2 {
			t.Errorf("%d keys are remembered, of 2", n)
		}
	})
}

func TestStats(t *testing.T) {
	w := newWorld(t, 100)
	it := w.first("a", 10, 1)
	w.join("a again", 10, 2)
	w.begin(it)
	w.join("b", 20, 3) // needs a write
	w.join("c", 30, 4)
	w.Done(it, prediction.Written, nil)
	if got, want := w.Stats(), (dedup.Stats{Pending: 1, Written: 1, PendingHits: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	next := w.take()
	w.begin(next)
	w.Done(next, prediction.Written, nil)
	w.join("c again", 30, 5)
	w.join("a", 10, 6)
	if got, want := w.Stats(), (dedup.Stats{Written: 1, PendingHits: 2, WrittenHits: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// counter counts outcomes from many goroutines.
type counter struct {
	outcomes [prediction.NumOutcomes]atomic.Int64
	open     sync.WaitGroup
}

func (c *counter) Outcome(prediction.Outcome, int, int64) {}

func (c *counter) Resolve(o prediction.Outcome, _ string, _ *prediction.Reject) {
	c.outcomes[o].Add(1)
	c.open.Done() // panics if there are too many
}

func TestConcurrency(t *testing.T) {
	const admitters, writers, each, keys = 4, 4, 500, 20
	var c counter
	queue := make(chan *item.Item, admitters*each)
	w := dedup.NewWindow(dedup.Config{Size: 10, Observer: &c, Submit: func(items ...*item.Item) {
		for _, it := range items {
			queue <- it
		}
	}})
	c.open.Add(admitters * each)
	var goroutines sync.WaitGroup
	for a := range admitters {
		goroutines.Go(func() {
			for i := range each {
				it := newItem(latestOnly, fmt.Sprint("user-", (i*7+a)%keys), int64(i/10), int64(a), "x")
				if w.Admit(it, &c) {
					queue <- it
				}
			}
		})
	}
	for range writers {
		goroutines.Go(func() {
			attempts := 0
			for it := range queue {
				for w.Begin(it, 1<<20); attempts%3 == 2; w.Begin(it, 1<<20) {
					attempts++
					w.Requeue(it)
				}
				attempts++
				_ = it.AppendJSON(nil) // as a writer does while others admit
				w.Done(it, prediction.Written, nil)
			}
		})
	}
	c.open.Wait()
	close(queue)
	goroutines.Wait()
	if failed := c.outcomes[prediction.Failed].Load(); failed > 0 || w.Stats().Pending > 0 {
		t.Errorf("%d failed, %d pending", failed, w.Stats().Pending)
	}
}
