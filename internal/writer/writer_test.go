package writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A scriptedTable answers each call after 10 ms, by a script, and notes the calls.
type scriptedTable struct {
	maxItems int
	// answer returns the result of an item in its nth attempt, from 1. A call with a Suspect is refused as a whole.
	answer func(id string, attempt int) Result

	mu       sync.Mutex
	attempts map[string]int
	calls    int
	underWay int
	most     int // calls under way at once
}

func (f *scriptedTable) MaxItems() int { return f.maxItems }

func (f *scriptedTable) Write(_ context.Context, items []*item.Item, results []Result) {
	f.mu.Lock()
	f.calls++
	f.underWay++
	f.most = max(f.most, f.underWay)
	suspect := false
	for i, it := range items {
		f.attempts[it.Key.ID]++
		results[i] = f.answer(it.Key.ID, f.attempts[it.Key.ID])
		suspect = suspect || results[i].Kind == Suspect
	}
	if suspect {
		SetAll(results, Result{Suspect, errors.New("one of them is too odd")})
		if len(items) == 1 {
			results[0].Kind = Invalid
		}
	}
	f.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	f.mu.Lock()
	f.underWay--
	f.mu.Unlock()
}

// outcomes is a Window that notes outcomes.
type outcomes struct {
	mu   sync.Mutex
	done map[string]prediction.Outcome
	why  map[string]string
}

func (o *outcomes) Done(it *item.Item, outcome prediction.Outcome, why *prediction.Reject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, twice := o.done[it.Key.ID]; twice {
		panic("two outcomes of " + it.Key.ID)
	}
	o.done[it.Key.ID] = outcome
	if why != nil {
		o.why[it.Key.ID] = why.Detail
	}
}
func (*outcomes) Requeue(*item.Item) {}

func (o *outcomes) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.done)
}

type noObserver struct{}

func (noObserver) Batch(int, int) {}
func (noObserver) Limit(int)      {}

// A bench is a writer on a scripted table.
type bench struct {
	table  scriptedTable
	window outcomes
	states []State
	took   time.Duration

	items, concurrency int
	recheck            error
	within             time.Duration // 2 minutes if 0
}

// run writes items, 0 to items-1, in a bubble, until each has an outcome.
func (b *bench) run(t *testing.T) {
	t.Helper()
	b.table.attempts = map[string]int{}
	b.window = outcomes{done: map[string]prediction.Outcome{}, why: map[string]string{}}
	if b.within == 0 {
		b.within = 2 * time.Minute
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{
			Table: &b.table, Window: &b.window, Observer: noObserver{}, Concurrency: b.concurrency, CallTimeout: time.Second, Now: time.Now,
			Recheck: func(context.Context) error { return b.recheck },
			OnState: func(s State, _ error) { b.states = append(b.states, s) },
		}, func(*item.Item, int) (int, bool) { return 1, true })
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = w.Run(ctx) })
		start := time.Now()
		for i := range b.items {
			w.Submit(&item.Item{Key: item.Key{ID: strconv.Itoa(i)}, Expires: time.Now().Add(time.Hour).Unix(), Size: 100})
		}
		for b.window.count() < b.items && time.Since(start) < b.within {
			time.Sleep(5 * time.Millisecond)
		}
		b.took = time.Since(start)
		stop()
		run.Wait()
	})
}

// tables are a table that takes batches and one that takes single items.
func tables(t *testing.T, test func(t *testing.T, maxItems int)) {
	for _, n := range []int{1, 4, MaxItems} {
		t.Run(fmt.Sprintf("%d items a call", n), func(t *testing.T) { test(t, n) })
	}
}

func TestOutcomes(t *testing.T) {
	tables(t, func(t *testing.T, maxItems int) {
		b := bench{items: 100, concurrency: 4, table: scriptedTable{maxItems: maxItems, answer: func(id string, attempt int) Result {
			switch {
			case id == "13":
				return Result{Kind: Suspect}
			case id[0] == '2':
				return Result{Kind: Superseded}
			case id[0] == '3' && attempt < 3:
				return Result{HotKey, errors.New("hot")}
			case id[0] == '4' && attempt == 1:
				return Result{Throttled, errors.New("throttled")}
			case id[0] == '5' && attempt == 1:
				return Result{Failed, errors.New("connection reset")}
			case id[0] == '6' && attempt == 1:
				return Result{Kind: Unprocessed}
			case id[0] == '7' && attempt == 1:
				return Result{}
			}
			return Result{Kind: Written}
		}}}
		b.run(t)
		if len(b.window.done) != 100 {
			t.Fatalf("%d outcomes", len(b.window.done))
		}
		for id, o := range b.window.done {
			want := prediction.Written
			switch {
			case id == "13":
				want = prediction.Rejected
			case id[0] == '2':
				want = prediction.Superseded
			}
			if o != want {
				t.Errorf("%s is %v, want %v", id, o, want)
			}
		}
		if n := b.table.attempts["30"]; n < 3 {
			t.Errorf("a hot key was written by %d attempts", n)
		}
		if n := b.table.attempts["13"]; maxItems == 1 && n != 1 {
			t.Errorf("an invalid item alone in its call was tried %d times", n)
		}
		if why := b.window.why["13"]; why != "DynamoDB refused the item: one of them is too odd" {
			t.Errorf("rejected as %q", why)
		}
		most := 4
		if maxItems < MaxItems {
			most *= CallsPerBatch
		}
		if b.table.most > most {
			t.Errorf("%d calls were under way, of at most %d", b.table.most, most)
		}
	})
}

func TestStates(t *testing.T) {
	tables(t, func(t *testing.T, maxItems int) {
		for _, c := range []struct {
			name   string
			answer func(id string, attempt int) Result
			want   []State
		}{
			{"an outage", func(_ string, attempt int) Result {
				if attempt <= 3 {
					return Result{Failed, errors.New("no route")}
				}
				return Result{Kind: Written}
			}, []State{Down, Probing, Up}},
			{"no results", func(_ string, attempt int) Result {
				if attempt <= 3 {
					return Result{}
				}
				return Result{Kind: Written}
			}, []State{Down, Probing, Up}},
			{"one item fails", func(id string, attempt int) Result {
				if id == "7" && attempt < 3 {
					return Result{Failed, errors.New("no route")}
				}
				return Result{Kind: Written}
			}, []State{Up}},
			{"hot keys", func(_ string, attempt int) Result {
				if attempt < 5 {
					return Result{HotKey, errors.New("hot")}
				}
				return Result{Kind: Written}
			}, []State{Up}},
			{"superseded", func(string, int) Result { return Result{Kind: Superseded} }, []State{Up}},
		} {
			b := bench{items: 60, concurrency: 4, table: scriptedTable{maxItems: maxItems, answer: c.answer}}
			b.run(t)
			if len(b.window.done) != 60 {
				t.Errorf("%s: %d outcomes", c.name, len(b.window.done))
			}
			if got := slices.Compact(b.states); got[len(got)-1] != Up || slices.Contains(c.want, Down) != slices.Contains(got, Down) {
				t.Errorf("%s: the states were %v, want %v", c.name, got, c.want)
			}
		}
	})
}

// TestAnotherKey has a table that refuses every item, because it has another key than at the start.
func TestAnotherKey(t *testing.T) {
	tables(t, func(t *testing.T, maxItems int) {
		b := bench{items: 50, concurrency: 4, recheck: errors.New("another key"), within: time.Minute, table: scriptedTable{maxItems: maxItems,
			answer: func(string, int) Result { return Result{Kind: Suspect} }}}
		b.run(t)
		if slices.Contains(b.states, Up) || b.states[0] != Down || b.table.calls > 20*MaxItems {
			t.Errorf("the states were %v, %d calls", b.states, b.table.calls)
		}
		for id, o := range b.window.done { // at the end of the run
			if o != prediction.Failed {
				t.Errorf("%s is %v", id, o)
			}
		}
	})
}

func TestCallError(t *testing.T) {
	fault := errors.New("fault")
	for _, c := range []struct {
		name    string
		results []Result
		want    error
	}{
		{"nothing", nil, nil},
		{"written", []Result{{Kind: Written}}, nil},
		{"one of two", []Result{{Failed, fault}, {Kind: Written}}, nil},
		{"superseded", []Result{{Kind: Superseded}}, nil},
		{"unprocessed", []Result{{Kind: Unprocessed}, {Kind: Unprocessed}}, nil},
		{"all failed", []Result{{Failed, fault}, {Failed, fault}}, fault},
		{"no results", []Result{{}, {}}, errNoResult},
	} {
		if got := CallError(c.results); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
