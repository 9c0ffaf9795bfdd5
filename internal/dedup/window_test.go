package dedup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

var latestOnly, versioned = layout(""), layout("timestamp")

func layout(sortKey string) *item.Layout {
	l, err := item.NewLayout(item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: sortKey, SortType: item.TypeN, TTLAttribute: "expiresAt"},
		item.Options{PerSecond: 1, Encoding: item.JSON})
	if err != nil {
		panic(err)
	}
	return l
}

// newItem returns the item of a prediction with an event time in seconds and a sent time in milliseconds.
func newItem(l *item.Layout, id string, event, sent int64, content string) *item.Item {
	raw := fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%q}`, id, event, content)
	at := prediction.Time{Sec: event}
	it, why := l.New(&prediction.Prediction{
		ID: prediction.ID{Text: id}, EventTime: at, Expires: event + 3600, Raw: raw,
		Version: prediction.Version{Event: at, Sent: sent, Hash: xxhash.Sum64String(raw)},
		Payload: jsonscan.Value{Text: fmt.Sprintf("%q", content)},
	})
	if why != nil {
		panic(why)
	}
	it.Queued = sent
	return it
}

// newDelete returns the tombstone of a delete.
func newDelete(l *item.Layout, id string, event, sent int64) *item.Item {
	raw := fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"deleted":true}`, id, event)
	at := prediction.Time{Sec: event}
	it, why := l.New(&prediction.Prediction{
		ID: prediction.ID{Text: id}, EventTime: at, Expires: event + 3600, Raw: raw,
		Version: prediction.Version{Event: at, Sent: sent, Deleted: true, Hash: xxhash.Sum64String(raw)},
	})
	if why != nil {
		panic(why)
	}
	it.Queued = sent
	return it
}

// A world is a window with a batcher that the test plays, and a log of outcomes.
type world struct {
	*dedup.Window
	t         *testing.T
	submitted []*item.Item
	log       []string
	observed  []string
}

func newWorld(t *testing.T, size int) *world {
	w := &world{t: t}
	w.Window = dedup.NewWindow(dedup.Config{Size: size, Observer: w, Submit: func(items ...*item.Item) { w.submitted = append(w.submitted, items...) }})
	return w
}

// Outcome implements dedup.Observer.
func (w *world) Outcome(o prediction.Outcome, units int, queued int64) {
	w.observed = append(w.observed, fmt.Sprintf("%v %d units, queued %d", o, units, queued))
}

// A named waiter logs its outcomes.
type named struct {
	w    *world
	name string
}

// Resolve implements dedup.Waiter.
func (n named) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	n.w.Stats() // deadlocks if the window's lock is held
	text := fmt.Sprintf("%s %v", n.name, o)
	if o == prediction.Rejected {
		text += fmt.Sprintf(" for %s: %s", why.Reason, raw[strings.LastIndex(raw, ":"):])
	}
	n.w.log = append(n.w.log, text)
}

// admit admits a prediction whose content is the first word of its waiter's name.
func (w *world) admit(name string, event, sent int64) (*item.Item, bool) {
	content, _, _ := strings.Cut(name, " ")
	it := newItem(latestOnly, "user-1", event, sent, content)
	return it, w.Admit(it, named{w, name})
}

// first admits a prediction that must be submitted to the batcher.
func (w *world) first(name string, event, sent int64) *item.Item {
	w.t.Helper()
	it, submit := w.admit(name, event, sent)
	if !submit {
		w.t.Fatalf("%s was not submitted", name)
	}
	return it
}

// join admits a prediction that must not be submitted.
func (w *world) join(name string, event, sent int64) {
	w.t.Helper()
	if _, submit := w.admit(name, event, sent); submit {
		w.t.Fatalf("%s was submitted", name)
	}
}

func (w *world) begin(it *item.Item) {
	w.t.Helper()
	if size, fits := w.Begin(it, 1<<20); !fits || size != it.MaxJSONSize() {
		w.t.Fatalf("%d bytes, fits: %v", size, fits)
	}
}

// take returns the one item that the window has submitted by itself.
func (w *world) take() *item.Item {
	w.t.Helper()
	if len(w.submitted) != 1 {
		w.t.Fatalf("%d items submitted", len(w.submitted))
	}
	it := w.submitted[0]
	w.submitted = nil
	return it
}

// end ends the flight of an item that was submitted.
func (w *world) end(it *item.Item, o prediction.Outcome) {
	w.t.Helper()
	w.begin(it)
	w.Done(it, o, refused)
}

func (w *world) expect(outcomes ...string) {
	w.t.Helper()
	slices.Sort(w.log)
	slices.Sort(outcomes)
	if !slices.Equal(w.log, outcomes) {
		w.t.Errorf("outcomes %q\n    want %q", w.log, outcomes)
	}
	w.log = nil
}

func (w *world) expectContent(it *item.Item, content string) {
	w.t.Helper()
	if !strings.HasSuffix(it.Raw, `"`+content+`"}`) {
		w.t.Errorf("the item is %s, want %s", it.Raw, content)
	}
}

var refused = prediction.Rejectf(prediction.ReasonTable, "", "refused")

func TestPending(t *testing.T) {
	t.Run("decides for its duplicates and older versions", func(t *testing.T) {
		for _, inFlight := range []bool{false, true} {
			for _, test := range []struct {
				outcome prediction.Outcome
				want    []string
			}{
				{prediction.Written, []string{"b written", "b again duplicate", "a superseded"}},
				{prediction.Expired, []string{"b expired", "b again expired"}}, // and a is written
				{prediction.Rejected, []string{`b rejected for table: :"b"}`, `b again rejected for table: :"b"}`}},
				{prediction.Failed, []string{"b failed", "b again failed", "a failed"}},
				{prediction.Superseded, []string{"b superseded", "b again superseded", "a superseded"}}, // by what the table has
			} {
				t.Run(fmt.Sprintf("in flight %v, %v", inFlight, test.outcome), func(t *testing.T) {
					w := newWorld(t, 100)
					it := w.first("b", 20, 1)
					if inFlight {
						w.begin(it)
					}
					w.join("b again", 20, 2)
					w.join("a", 10, 3)
					w.expect()
					if !inFlight {
						w.begin(it)
					}
					w.Done(it, test.outcome, refused)
					w.expect(test.want...)
					if test.outcome == prediction.Expired || test.outcome == prediction.Rejected {
						w.end(w.take(), prediction.Written)
						w.expect("a written")
					}
					if len(w.submitted) > 0 || w.Stats().Pending > 0 {
						t.Errorf("%d submitted, %d pending", len(w.submitted), w.Stats().Pending)
					}
				})
			}
		}
	})

	t.Run("a newer version replaces one that is not in flight", func(t *testing.T) {
		for _, test := range []struct {
			outcome prediction.Outcome
			want    []string
		}{
			{prediction.Written, []string{"c written", "b superseded", "a superseded", "a again superseded"}},
			{prediction.Expired, []string{"c expired"}}, // and b is written
			{prediction.Rejected, []string{`c rejected for table: :"c"}`}},
			{prediction.Failed, []string{"c failed", "b failed", "a failed", "a again failed"}},
		} {
			t.Run(test.outcome.String(), func(t *testing.T) {
				w := newWorld(t, 100)
				it := w.first("a", 10, 1)
				w.join("a again", 10, 2)
				w.join("b", 20, 3)
				w.join("c", 30, 4)
				w.expectContent(it, "c")
				w.begin(it)
				w.Done(it, test.outcome, refused)
				w.expect(test.want...)
				if test.outcome == prediction.Expired || test.outcome == prediction.Rejected {
					w.end(w.take(), prediction.Expired)
					w.expect("b expired")
					w.end(w.take(), prediction.Written)
					w.expect("a written", "a again duplicate")
				}
			})
		}
	})
}

func TestInFlight(t *testing.T) {
	t.Run("a newer version waits", func(t *testing.T) {
		for _, test := range []struct {
			outcome  prediction.Outcome // of the one in flight
			want     []string
			followed bool
		}{
			{prediction.Written, []string{"a written"}, true},
			{prediction.Superseded, []string{"a superseded"}, true},
			{prediction.Expired, []string{"a expired"}, true},
			{prediction.Rejected, []string{`a rejected for table: :"a"}`}, true},
			{prediction.Failed, []string{"a failed", "b failed", "c failed", "c again failed"}, false}, // the next one can't be written now either
		} {
			t.Run(test.outcome.String(), func(t *testing.T) {
				w := newWorld(t, 100)
				it := w.first("a", 10, 1)
				w.begin(it)
				w.join("b", 20, 2)
				w.join("c", 30, 3) // replaces b, which is not in flight
				w.join("c again", 30, 4)
				w.expectContent(it, "a")
				w.Done(it, test.outcome, refused)
				w.expect(test.want...)
				if !test.followed {
					if test.outcome == prediction.Expired || test.outcome == prediction.Rejected {
						w.end(w.take(), prediction.Written)
						w.expect("a written")
					}
					if len(w.submitted) > 0 || w.Stats().Pending > 0 {
						t.Errorf("%d submitted, %d pending", len(w.submitted), w.Stats().Pending)
					}
					return
				}
				next := w.take()
				w.expectContent(next, "c")
				w.begin(next)
				w.Done(next, prediction.Written, nil)
				w.expect("b superseded", "c written", "c again duplicate")
			})
		}
	})

	t.Run("an older version waits for the newest", func(t *testing.T) {
		w := newWorld(t, 100)
		it := w.first("b", 20, 1)
		w.begin(it)
		w.join("c", 30, 2)
		w.join("a", 10, 3)
		w.Done(it, prediction.Written, nil)
		w.expect("b written")
		next := w.take()
		w.begin(next)
		w.Done(next, prediction.Written, nil)
		w.expect("c written", "a superseded")
	})
}

func TestRequeue(t *testing.T) {
	w := newWorld(t, 100)
	it := w.first("a", 10, 1)
	w.begin(it)
	w.join("a again", 10, 2)
	w.join("b", 20, 3)
	w.Requeue(it)
	w.expectContent(it, "b")
	w.join("c", 30, 4) // it is not in flight again
	w.expectContent(it, "c")
	w.begin(it)
	w.join("d", 40, 5)
	w.expectContent(it, "c")
	w.Requeue(it)
	w.begin(it)
	w.Requeue(it) // none waits
	w.begin(it)
	w.Done(it, prediction.Written, nil)
	w.expect("d written", "c superseded", "b superseded", "a superseded", "a again superseded")
	if len(w.submitted) > 0 || w.Stats().Pending > 0 {
		t.Errorf("%d submitted, %d pending", len(w.submitted), w.Stats().Pending)
	}
}

func TestBegin(t *testing.T) {
	t.Run("false leaves the item pending", func(t *testing.T) {
		w := newWorld(t, 100)
		it := w.first("a", 10, 1)
		if _, fits := w.Begin(it, it.MaxJSONSize()-1); fits {
			t.Fatal("Begin accepted too little room")
		}
		w.join("b", 20, 2)
		w.expectContent(it, "b")
		if _, fits := w.Begin(it, it.MaxJSONSize()); !fits {
			t.Fatal("Begin refused enough room")
		}
	})
}

func TestKeys(t *testing.T) {
	w := newWorld(t, 100)
	for _, it := range []*item.Item{
		newItem(versioned, "user-1", 10, 1, "a"), newItem(versioned, "user-1", 20, 1, "a"), newItem(versioned, "user-2", 10, 1, "a"), // the same content
	} {
		if !w.Admit(it, named{w, "a"}) {
			t.Errorf("%+v shares another key's write", it.Key)
		}
	}
	if pending := w.Stats().Pending; pending != 3 {
		t.Errorf("%d pending", pending)
	}
}

func TestObserver(t *testing.T) {
	w := newWorld(t, 100)
	long := strings.Repeat("x", 3000)
	it := w.first(long, 10, 1)
	w.join(long+" again", 10, 2)
	w.begin(it)
	w.Done(it, prediction.Written, nil)
	w.join("older", 5, 3)
	if want := []string{"written 3 units, queued 1", "duplicate 3 units, queued 2", "superseded 1 units, queued 3"}; !slices.Equal(w.observed, want) {
		t.Errorf("%q", w.observed)
	}
	w.observed = nil
	it = w.first("newer", 20, 4)
	w.join("older", 15, 5)
	w.begin(it)
	w.Done(it, prediction.Superseded, nil)
	// DynamoDB bills the failed condition of the first, so only the second is saved.
	if want := []string{"superseded 0 units, queued 4", "superseded 1 units, queued 5"}; !slices.Equal(w.observed, want) {
		t.Errorf("%q", w.observed)
	}
}

func TestOrdered(t *testing.T) {
	ordered := func() *world {
		w := &world{t: t}
		w.Window = dedup.NewWindow(dedup.Config{Size: 100, Observer: w, Ordered: true, Submit: func(items ...*item.Item) { w.submitted = append(w.submitted, items...) }})
		return w
	}
	write := func(w *world, it *item.Item) {
		w.begin(it)
		w.Done(it, prediction.Written, nil)
	}
	t.Run("a duplicate that was sent later is written", func(t *testing.T) {
		w := ordered()
		write(w, w.first("x", 10, 1))
		write(w, w.first("x again", 10, 3))
		w.join("y", 10, 2) // between the two: the table knows that it is older
		w.expect("x written", "x again written", "y superseded")
	})
	t.Run("a redelivery is not", func(t *testing.T) {
		w := ordered()
		write(w, w.first("x", 10, 1))
		w.join("x again", 10, 1)
		w.expect("x written", "x again duplicate")
	})
	t.Run("while the first is pending it replaces it", func(t *testing.T) {
		w := ordered()
		it := w.first("x", 10, 1)
		w.join("x again", 10, 3)
		if it.Version.Sent != 3 {
			t.Errorf("the item was sent at %d", it.Version.Sent)
		}
		write(w, it)
		w.expect("x written", "x again duplicate")
	})
	t.Run("while the first is in flight it waits for its turn", func(t *testing.T) {
		w := ordered()
		it := w.first("x", 10, 1)
		w.begin(it)
		w.join("x again", 10, 3)
		w.join("x once more", 10, 4)
		w.join("y", 10, 2)
		w.Done(it, prediction.Written, nil)
		write(w, w.take())
		w.expect("x written", "x again written", "x once more duplicate", "y superseded")
	})
	t.Run("it replaces what waits behind the first", func(t *testing.T) {
		w := ordered()
		it := w.first("x", 10, 1)
		w.begin(it)
		w.join("y", 10, 2)
		w.join("x again", 10, 3)
		w.Done(it, prediction.Written, nil)
		next := w.take()
		w.expectContent(next, "x")
		write(w, next)
		w.expect("x written", "x again written", "y superseded")
	})
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		w.Window = dedup.NewWindow(dedup.Config{Size: 100, Observer: w, MaxAge: time.Hour})
		write := func(name string) {
			it := w.first(name, 10, 1)
			w.begin(it)
			w.Done(it, prediction.Written, nil)
		}
		write("x")
		time.Sleep(29 * time.Minute)
		w.join("x again", 10, 2)
		time.Sleep(30 * time.Minute) // 59 minutes
		w.join("x again", 10, 3)
		time.Sleep(2 * time.Minute) // 61 minutes
		write("x after an hour")
		time.Sleep(24 * time.Hour)
		write("x after a day")
		w.join("x again", 10, 4)
		if n := w.Stats().Written; n != 1 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

// What a long outage wrote at its end is remembered, though its key was known from before the outage.
func TestMaxAge_write_longer_than_a_generation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		w.Window = dedup.NewWindow(dedup.Config{Size: 100, Observer: w, MaxAge: time.Hour})
		before := w.first("x", 10, 1)
		w.begin(before)
		w.Done(before, prediction.Written, nil)
		during := w.first("x newer", 20, 2)
		w.begin(during)
		time.Sleep(61 * time.Minute)
		w.Done(during, prediction.Written, nil)
		w.join("x again", 10, 3)
		w.expect("x written", "x newer written", "x again superseded")
	})
}

func TestForget(t *testing.T) {
	w := newWorld(t, 4)
	it := w.first("x", 10, 1)
	w.begin(it)
	w.Done(it, prediction.Written, nil)
	w.join("x again", 10, 2)
	w.Forget()
	if n := w.Stats().Written; n != 0 {
		t.Errorf("%d keys are remembered", n)
	}
	w.first("x in a new table", 10, 3)
}
