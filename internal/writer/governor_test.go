package writer

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A loaded is a writer with more to write than its table takes.
type loaded struct {
	maxItems int
	answer   atomic.Pointer[Result] // of every item
	take     func([]Result)         // sets the results in its place
	call     time.Duration          // time of a call

	calls, written, submitted atomic.Int64
	most                      atomic.Int64 // items that were pending at once
	states                    []State
}

func (l *loaded) MaxItems() int { return l.maxItems }

func (l *loaded) Write(_ context.Context, _ []*item.Item, results []Result) {
	l.calls.Add(1)
	time.Sleep(l.call)
	if l.take != nil {
		l.take(results)
		return
	}
	SetAll(results, *l.answer.Load())
}

func (l *loaded) Done(_ *item.Item, o prediction.Outcome, _ *prediction.Reject) {
	if o == prediction.Written {
		l.written.Add(1)
	}
}
func (*loaded) Requeue(*item.Item) {}

// run starts the writer, calls test in a bubble, and stops.
func (l *loaded) run(t *testing.T, test func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{
			Table: l, Window: l, Observer: noObserver{}, Concurrency: 8, CallTimeout: time.Second, Now: time.Now,
			OnState: func(s State, _ error) { l.states = append(l.states, s) },
		}, func(*item.Item, int) (int, bool) { return 1, true })
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = w.Run(ctx) })
		run.Go(func() {
			for w.Ready(ctx) {
				for range 10 { // a receive
					n := l.submitted.Add(1)
					w.Submit(&item.Item{Key: item.Key{ID: strconv.FormatInt(n, 10)}, Expires: time.Now().Add(time.Hour).Unix(), Size: 100})
				}
				l.most.Store(max(l.most.Load(), l.submitted.Load()-l.written.Load()))
				time.Sleep(100 * time.Microsecond)
			}
		})
		test(t)
		stop()
		run.Wait()
	})
}

// during returns how many items a table wrote in a time, after its answer was set.
func (l *loaded) during(d time.Duration, answer Result) (items, calls int64) {
	l.answer.Store(&answer)
	items, calls = l.written.Load(), l.calls.Load()
	time.Sleep(d)
	return l.written.Load() - items, l.calls.Load() - calls
}

// TestThrottledTable has a table throttle everything for 40 s. It must get few calls, and be written at the full rate soon
// after that.
func TestThrottledTable(t *testing.T) {
	written, throttled := Result{Kind: Written}, Result{Throttled, errors.New("throttled")}
	tables(t, func(t *testing.T, maxItems int) {
		for _, refusal := range []Result{throttled, {Kind: Unprocessed}} {
			if maxItems == 1 && refusal.Kind == Unprocessed {
				continue // a call of one item is taken or throttled
			}
			l := loaded{maxItems: maxItems, call: time.Millisecond}
			l.run(t, func(t *testing.T) {
				l.during(2*time.Second, written)
				clean, _ := l.during(time.Second, written)
				_, calls := l.during(40*time.Second, refusal)
				most := int64(150)
				if maxItems < MaxItems {
					most *= CallsPerBatch // a batch is as many calls
				}
				if calls > most {
					t.Errorf("%v: %d calls in 40 s, want at most %d", refusal.Kind, calls, most)
				}
				l.during(2*time.Second, written)
				if again, _ := l.during(time.Second, written); again < clean*9/10 {
					t.Errorf("%v: %d items a second 2 s after the table takes writes, want about %d", refusal.Kind, again, clean)
				}
				if most := int64(2 * backlog * 8 * MaxItems); l.most.Load() > most { // see Writer.Ready
					t.Errorf("%v: %d items were pending, want at most %d", refusal.Kind, l.most.Load(), most)
				}
			})
		}
	})
}

// TestPauses has a table that throttles everything for less than what stops the writer.
func TestPauses(t *testing.T) {
	l := loaded{maxItems: MaxItems, call: time.Millisecond}
	l.run(t, func(t *testing.T) {
		l.during(2*time.Second, Result{Kind: Written})
		l.during(4*time.Second, Result{Throttled, errors.New("throttled")})
		_, calls := l.during(4*time.Second, Result{Throttled, errors.New("throttled")})
		if calls < 3 || calls > 12 {
			t.Errorf("%d calls in 4 s at the lowest rate, want one each 0.5 to 1 s", calls)
		}
		for _, s := range l.states {
			if s == Down {
				t.Error("the writer stopped")
			}
		}
	})
}

// TestProvisionedTable has a table that takes 1,000 units a second, a fiftieth of what the writer could write. It must be
// used, with few calls in vain.
func TestProvisionedTable(t *testing.T) {
	const perSecond, seconds = 1000, 20
	for _, partly := range []bool{false, true} {
		var mu sync.Mutex
		var since time.Time
		units, refused := 0.0, 0
		take := func(results []Result) {
			mu.Lock()
			defer mu.Unlock()
			units = min(units+perSecond*time.Since(since).Seconds(), perSecond)
			since = time.Now()
			need := float64(len(results))
			if partly {
				need = 1
			}
			if units < need {
				SetAll(results, Result{Throttled, errors.New("throttled")})
				refused++
				return
			}
			for i := range results {
				results[i].Kind = Unprocessed
				if units >= 1 {
					results[i].Kind = Written
					units--
				}
			}
		}
		l := loaded{maxItems: MaxItems, call: time.Millisecond, take: take}
		l.run(t, func(t *testing.T) {
			time.Sleep(seconds * time.Second)
			mu.Lock()
			defer mu.Unlock()
			got, most := l.written.Load(), int64(perSecond*seconds)
			if got < most*9/10 {
				t.Errorf("%d items in %d s, of %d that the table would take", got, seconds, most)
			}
			if refused > 150*seconds {
				t.Errorf("%d calls in vain in %d s", refused, seconds)
			}
		})
	}
}
