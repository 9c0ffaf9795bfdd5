package removal_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
)

// A world is a Remover with the real dedup window, a writer that takes random times, and a table in memory.
type world struct {
	*testing.T
	rand    *rand.Rand
	layout  *item.Layout
	window  *dedup.Window
	remover *removal.Remover
	ctx     context.Context

	resolving sync.Mutex // held while a delete or a prediction gets its outcome

	mu       sync.Mutex
	table    map[item.Key]item.Item
	inFlight map[item.Key]bool
	pages    int
	fail     func(page int) error       // of a Page
	deny     func(it *item.Item) bool   // of a removal
	last     map[string]int             // pages of each id
	removed  int                        // by the observer
	removing int                        // by the observer
	outcomes map[prediction.Outcome]int // by the observer
	stall    func(id string) bool       // of a delete
	stalled  map[string]bool            // ids
}

func newWorld(t *testing.T, seed uint64, l *item.Layout) *world {
	w := &world{
		T: t, rand: rand.New(rand.NewPCG(seed, 1)), layout: l, table: map[item.Key]item.Item{}, inFlight: map[item.Key]bool{}, last: map[string]int{},
		outcomes: map[prediction.Outcome]int{}, stalled: map[string]bool{},
	}
	w.window = dedup.NewWindow(dedup.Config{Size: 1000, Submit: w.submit, Observer: w, Ordered: l.Ordered, Remove: func(d *dedup.Delete) {
		w.remover.Remove(removal.Delete{Key: d.Key, Version: d.Version, Done: d.Done, Stall: d.Stall})
	}})
	w.remover = removal.New(removal.Config{
		Table: w, Layout: l, Observer: w, Concurrency: 3, CallTimeout: time.Second, Submit: w.submit,
		Admit: func(it *item.Item, to removal.Waiter) bool { return w.window.Admit(it, to) },
		Pending: func(id string, deleted prediction.Version) (found []removal.Found) {
			for _, o := range w.window.Older(id, deleted) {
				found = append(found, removal.Found{Key: o.Key, Event: o.Event})
			}
			return found
		},
	})
	return w
}

// get reads a number that other goroutines write.
func (w *world) get(n *int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *n
}

// sleep sleeps, and waits until what happens meanwhile has happened.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// run runs the Remover during a test.
func (w *world) run(test func()) {
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(w.Context())
	w.ctx = ctx
	running.Go(func() { _ = w.remover.Run(ctx) })
	test()
	stop()
	running.Wait()
	synctest.Wait()
}

func (w *world) Removed(items int)    { w.mu.Lock(); defer w.mu.Unlock(); w.removed += items }
func (w *world) Removing(deletes int) { w.mu.Lock(); defer w.mu.Unlock(); w.removing = deletes }
func (w *world) Outcome(o prediction.Outcome, _ int, _ int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes[o]++
}

// intN returns a random number.
func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// submit writes items, each after a random time, some in several attempts.
func (w *world) submit(items ...*item.Item) {
	for _, it := range items {
		go func() {
			for {
				time.Sleep(time.Duration(w.intN(50)) * time.Millisecond)
				w.window.Begin(it, 1<<30)
				w.fly(it.Key, true)
				time.Sleep(time.Duration(w.intN(20)) * time.Millisecond)
				if w.intN(4) > 0 {
					break
				}
				w.fly(it.Key, false)
				w.window.Requeue(it)
			}
			o := w.apply(it)
			w.fly(it.Key, false)
			var why *prediction.Reject
			if o == prediction.Rejected {
				why = prediction.Rejectf(prediction.ReasonTable, "", "denied")
			}
			w.window.Done(it, o, why)
		}()
	}
}

func (w *world) fly(k item.Key, begins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if begins && w.inFlight[k] {
		w.Errorf("two writes of %v are in flight", k)
	}
	w.inFlight[k] = begins
}

// apply writes an item as DynamoDB does.
func (w *world) apply(it *item.Item) prediction.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	there, found := w.table[it.Key]
	newer := found && there.Version.Compare(it.Version) > 0
	switch {
	case it.Removal != item.NoRemoval && w.deny != nil && w.deny(it):
		return prediction.Rejected
	case it.Removal == item.Unconditional:
		if newer {
			w.Errorf("a removal by %+v removed the newer %+v", it.Version, there.Version)
		}
		delete(w.table, it.Key)
	case (it.Removal == item.IfNotNewer || w.layout.Ordered) && newer:
		return prediction.Superseded
	case it.Removal == item.IfNotNewer:
		delete(w.table, it.Key)
	default:
		w.table[it.Key] = *it
	}
	return prediction.Written
}

// Page implements removal.Table.
func (w *world) Page(ctx context.Context, tombstone item.Key, after *item.Key) (page removal.Page, err error) {
	time.Sleep(time.Duration(w.intN(30)) * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages++
	w.last[tombstone.ID]++
	if w.fail != nil {
		if err := w.fail(w.pages); err != nil {
			return page, err
		}
	}
	sorted := func(a, b item.Key) int { return cmp.Or(cmp.Compare(a.Sort, b.Sort), cmp.Compare(a.Frac, b.Frac)) }
	var keys []item.Key
	for k := range w.table {
		if k.ID == tombstone.ID && (after == nil || sorted(k, *after) > 0) && (w.layout.Kind != item.Versioned || sorted(k, tombstone) < 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, sorted)
	if len(keys) > removal.PageItems {
		keys = keys[:removal.PageItems]
		page.Next = &keys[removal.PageItems-1]
	}
	for _, k := range keys {
		if it := w.table[k]; !it.Version.Deleted {
			page.Found = append(page.Found, removal.Found{Key: k, Event: it.Version.Event})
		}
	}
	return page, ctx.Err()
}

// outcome is a Waiter.
type outcome struct {
	w  *world
	id string
	f  func(prediction.Outcome)
}

func (o outcome) Resolve(out prediction.Outcome, _ string, _ *prediction.Reject) {
	if o.f != nil {
		o.w.resolving.Lock()
		defer o.w.resolving.Unlock()
		o.f(out)
	}
}

func (o outcome) Stall() bool {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	if o.w.stall == nil || o.w.stall(o.id) {
		o.w.stalled[o.id] = true
		return true
	}
	return false
}

// send admits a prediction, or a delete, of an event time in milliseconds.
func (w *world) send(id string, ms, life int64, deleted bool, f func(prediction.Outcome)) *item.Item {
	it := w.item(id, ms, life, deleted)
	admitted := *it // before it is replaced in place
	if w.window.Admit(it, outcome{w, id, f}) {
		w.submit(it)
	}
	return &admitted
}

// item returns the item of a prediction, or a tombstone.
func (w *world) item(id string, ms, life int64, deleted bool) *item.Item {
	at := prediction.FromMillis(ms)
	p := &prediction.Prediction{ID: prediction.ID{Text: id}, EventTime: at, Expires: at.Sec + life, Raw: fmt.Sprint(id, ms, deleted)}
	p.Version = prediction.Version{Event: at, Sent: ms, Deleted: deleted, Hash: uint64(ms)}
	if !deleted {
		p.Payload = jsonscan.Value{Text: "1"}
	}
	it, why := w.layout.New(p)
	if why != nil {
		w.Fatal(why)
	}
	return it
}

// older returns the predictions of an id in the table that a delete hides.
func (w *world) older(id string, ms int64) (versions []prediction.Version) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, it := range w.table {
		if k.ID == id && !it.Version.Deleted && it.Version.Event.Compare(prediction.FromMillis(ms)) <= 0 {
			versions = append(versions, it.Version)
		}
	}
	return versions
}

func layout(kind item.Kind, ordered bool) *item.Layout {
	table := item.Table{HashKey: "id", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"}
	if kind == item.ExpirySorted {
		table.TTLAttribute = "timestamp"
	}
	l, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: ordered})
	if err != nil {
		panic(err)
	}
	return l
}

var layouts = map[string]*item.Layout{
	"versioned": layout(item.Versioned, false), "versioned, ordered": layout(item.Versioned, true), "expiry-sorted": layout(item.ExpirySorted, true),
}

// When a delete ends, nothing that it hides is in the table, or comes there later, of what was sent before it. Nothing newer is lost.
// Predictions and deletes of few ids and close event times are sent in any order, with pages and removals that fail.
func TestRemove(t *testing.T) {
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(150) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, l)
					w.fail = func(int) error {
						if w.rand.IntN(5) == 0 {
							return errors.New("throttled")
						}
						return nil
					}
					w.deny = func(*item.Item) bool { return w.rand.IntN(20) == 0 }
					w.run(func() { w.disorder(seed) })
					if w.removing != 0 {
						t.Errorf("seed %d: %d deletes are still being removed", seed, w.removing)
					}
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// disorder sends predictions and deletes, and checks each delete at its end, and the table at the end.
func (w *world) disorder(seed uint64) {
	type sent struct {
		it      item.Item
		outcome prediction.Outcome
		other   bool // by another worker
		late    bool // after the last delete that hides it
	}
	var mu sync.Mutex
	var all []*sent
	used := map[int64]bool{}
	const base = 1_000_000
	for range 5 + w.intN(60) {
		id := fmt.Sprint("id", w.intN(2))
		ms := int64(base + w.intN(4000)) // few seconds, so that many share a sort unit
		for used[ms] {
			ms++ // versions are told apart by it
		}
		used[ms] = true
		switch w.intN(12) {
		case 0, 1: // sometimes the same again
			ms = base + 500*int64(w.intN(8))
			before := map[prediction.Version]bool{} // what was sent before the delete
			mu.Lock()
			for _, s := range all {
				if s.it.Key.ID == id && s.it.Version.Event.Compare(prediction.FromMillis(ms)) <= 0 {
					before[s.it.Version], s.late = true, false
				}
			}
			mu.Unlock()
			w.send(id, ms, 100, true, func(o prediction.Outcome) {
				switch o {
				case prediction.Deleted, prediction.Duplicate, prediction.Superseded:
					for _, v := range w.older(id, ms) {
						if before[v] {
							w.Errorf("seed %d: the delete of %s at %d is %v, but the table has %v", seed, id, ms, o, v)
						}
					}
				default:
					w.Errorf("seed %d: the delete is %v", seed, o)
				}
			})
		case 2: // another worker's
			it := w.item(id, ms, int64(50+w.intN(3)), false)
			w.apply(it)
			mu.Lock()
			all = append(all, &sent{*it, prediction.NumOutcomes, true, true})
			mu.Unlock()
		default:
			s := &sent{outcome: prediction.NumOutcomes, late: true}
			it := w.send(id, ms, int64(50+w.intN(3)), false, func(o prediction.Outcome) { mu.Lock(); defer mu.Unlock(); s.outcome = o })
			s.it = *it
			mu.Lock()
			all = append(all, s)
			mu.Unlock()
		}
		w.sleep(time.Duration(w.intN(60)) * time.Millisecond)
	}
	w.sleep(10 * time.Minute)
	w.mu.Lock()
	defer w.mu.Unlock()
	var deletes []item.Item
	for _, it := range w.table {
		if it.Version.Deleted {
			deletes = append(deletes, it)
		}
	}
	for _, s := range all {
		hidden := slices.ContainsFunc(deletes, func(d item.Item) bool {
			return d.Key.ID == s.it.Key.ID && d.Version.Compare(s.it.Version) > 0
		})
		there, found := w.table[s.it.Key]
		// Without an order in the table, what another worker wrote may have replaced it, and then been removed.
		shared := !w.layout.Ordered && slices.ContainsFunc(all, func(o *sent) bool { return o.other && o.it.Key == s.it.Key })
		if shared {
			continue
		}
		if s.outcome == prediction.Written && !hidden && (!found || w.layout.Ordered && there.Version.Compare(s.it.Version) < 0) {
			w.Errorf("seed %d: %+v was written, no delete hides it, and it is gone", seed, s.it.Version)
		}
		if hidden && found && there.Version == s.it.Version && !s.late {
			w.Errorf("seed %d: %+v was sent before a delete that hides it, and is there", seed, s.it.Version)
		}
	}
}

// Ids take turns, so that one with many items does not delay others.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, layouts["versioned"])
		for i := range int64(10_000) {
			for id := range 3 {
				k := item.Key{ID: fmt.Sprint("large", id), Sort: i}
				w.table[k] = item.Item{Key: k, Version: prediction.Version{Event: prediction.Time{Sec: i}}}
			}
		}
		w.run(func() {
			ended := map[string]time.Duration{}
			start := time.Now()
			for id := range 3 { // as many as are removed at a time
				w.send(fmt.Sprint("large", id), 20_000_000, 100, true, func(prediction.Outcome) { ended["large"] = time.Since(start) })
			}
			w.sleep(time.Second)
			w.send("small", 20_000_000, 100, true, func(prediction.Outcome) { ended["small"] = time.Since(start) })
			w.sleep(time.Hour)
			if ended["small"] == 0 || ended["small"] > 3*time.Second || ended["large"] < 10*time.Second {
				t.Errorf("the deletes ended after %v", ended)
			}
			if w.get(&w.removed) != 30_000 {
				t.Errorf("%d items were counted as removed, want 30000", w.get(&w.removed))
			}
			if n := w.last["large0"]; n > 410 {
				t.Errorf("%d pages of an id of 400", n)
			}
		})
	})
}

// What fails for long is tried once in a while, and the deletes that wait for it are announced. Those that may not wait end.
func TestStall(t *testing.T) {
	t.Run("reads fail", func(t *testing.T) { testStall(t, true) })
	t.Run("removals fail", func(t *testing.T) { testStall(t, false) })
}

func testStall(t *testing.T, reads bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, layouts["versioned"])
		var denied atomic.Bool
		denied.Store(true)
		w.fail = func(int) error {
			if denied.Load() && reads {
				return errors.New("denied")
			}
			return nil
		}
		w.deny = func(*item.Item) bool { return denied.Load() && !reads }
		for i := range 10 {
			it := w.item(fmt.Sprint("id", i), 1, 100, false)
			w.table[it.Key] = *it
		}
		w.stall = func(id string) bool { return len(w.stalled) < 4 || w.stalled[id] }
		w.run(func() {
			outcomes := map[prediction.Outcome]int{}
			for i := range 10 {
				w.send(fmt.Sprint("id", i), 1000, 100, true, func(o prediction.Outcome) { outcomes[o]++ })
				if i == 5 {
					w.sleep(time.Minute)
				}
			}
			w.sleep(time.Minute)
			if outcomes[prediction.Failed] != 6 || w.get(&w.removing) != 4 {
				t.Errorf("outcomes %v, %d wait, want 6 failed and 4", outcomes, w.get(&w.removing))
			}
			pages := w.get(&w.pages)
			w.sleep(time.Hour)
			if n := w.get(&w.pages) - pages; n > 600 || n < 60 {
				t.Errorf("%d calls in an hour without permission", n)
			}
			denied.Store(false)
			w.sleep(2 * time.Minute)
			if outcomes[prediction.Deleted] != 4 || w.get(&w.removing) != 0 {
				t.Errorf("outcomes %v, %d wait, want 4 deleted", outcomes, w.get(&w.removing))
			}
		})
	})
}

// Deletes that are in progress when the Remover stops end as failed, and so do later ones.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, layouts["versioned"])
		w.fail = func(int) error { return errors.New("throttled") }
		outcomes := map[prediction.Outcome]int{}
		w.run(func() {
			for i := range 5 {
				w.send(fmt.Sprint("id", i), 1000, 100, true, func(o prediction.Outcome) { outcomes[o]++ })
			}
			w.sleep(time.Minute)
		})
		w.send("later", 1000, 100, true, func(o prediction.Outcome) { outcomes[o]++ })
		w.sleep(time.Minute)
		if outcomes[prediction.Failed] != 6 {
			t.Errorf("outcomes %v, want 6 failed", outcomes)
		}
	})
}

// Where no delete may wait, later ones show that removals work again.
func TestStall_without_waiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, layouts["versioned"])
		var denied atomic.Bool
		denied.Store(true)
		w.fail = func(int) error {
			if denied.Load() {
				return errors.New("denied")
			}
			return nil
		}
		w.stall = func(string) bool { return false }
		w.run(func() {
			outcomes := map[prediction.Outcome]int{}
			send := func(n int) {
				for i := range n {
					w.send(fmt.Sprint("id", i), time.Now().Unix(), 100, true, func(o prediction.Outcome) { outcomes[o]++ })
					w.sleep(time.Minute)
				}
			}
			send(20)
			if outcomes[prediction.Failed] != 20 || w.get(&w.removing) != 0 {
				t.Errorf("outcomes %v, %d wait, want 20 failed", outcomes, w.get(&w.removing))
			}
			denied.Store(false)
			send(20)
			if outcomes[prediction.Deleted] != 20 {
				t.Errorf("outcomes %v, want 20 deleted", outcomes)
			}
		})
	})
}
