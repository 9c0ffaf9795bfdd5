package writer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A newestTable answers by a script and notes what is under way.
type newestTable struct {
	answer func(id string, attempt int) error

	mu       sync.Mutex
	attempts map[string]int
	underWay int
	most     int
}

func (f *newestTable) BatchWrite(context.Context, []*item.Item) ([]int, error) {
	return nil, errors.New("not conditional")
}

func (f *newestTable) PutNewest(ctx context.Context, it *item.Item) error {
	f.mu.Lock()
	f.attempts[it.Key.ID]++
	attempt := f.attempts[it.Key.ID]
	f.underWay++
	f.most = max(f.most, f.underWay)
	f.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	f.mu.Lock()
	f.underWay--
	f.mu.Unlock()
	return f.answer(it.Key.ID, attempt)
}

// outcomes is a Window that notes outcomes.
type outcomes struct {
	mu   sync.Mutex
	done map[string]prediction.Outcome
}

func (o *outcomes) Done(it *item.Item, outcome prediction.Outcome, _ *prediction.Reject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, twice := o.done[it.Key.ID]; twice {
		panic("two outcomes of " + it.Key.ID)
	}
	o.done[it.Key.ID] = outcome
}
func (*outcomes) Requeue(*item.Item) {}

type noObserver struct{}

func (noObserver) Batch(int, int) {}
func (noObserver) Limit(int)      {}

// writeNewest runs a Writer on n items, 0 to n-1, in a bubble, and returns the outcomes and the states it went through.
func writeNewest(t *testing.T, n, concurrency int, answer func(id string, attempt int) error) (*newestTable, map[string]prediction.Outcome, []State, time.Duration) {
	t.Helper()
	table := &newestTable{answer: answer, attempts: map[string]int{}}
	window := &outcomes{done: map[string]prediction.Outcome{}}
	var states []State
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{
			Table: table, Newest: table, Window: window, Observer: noObserver{}, Concurrency: concurrency, CallTimeout: time.Second, Now: time.Now,
			OnState: func(s State, _ error) { states = append(states, s) },
		}, func(*item.Item, int) (int, bool) { return 1, true })
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = w.Run(ctx) })
		start := time.Now()
		for i := range n {
			w.Submit(&item.Item{Key: item.Key{ID: fmt.Sprint(i)}, Expires: time.Now().Add(time.Hour).Unix(), Size: 100})
		}
		for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			window.mu.Lock()
			all := len(window.done) == n
			window.mu.Unlock()
			if all {
				break
			}
		}
		took = time.Since(start)
		stop()
		run.Wait()
	})
	return table, window.done, states, took
}

func TestNewestOutcomes(t *testing.T) {
	table, done, _, _ := writeNewest(t, 100, 4, func(id string, attempt int) error {
		switch {
		case id == "13":
			return fmt.Errorf("%w: too odd", ErrInvalid)
		case id[0] == '2':
			return ErrSuperseded
		case id[0] == '3' && attempt < 3:
			return ErrHotKeys
		case id[0] == '4' && attempt == 1:
			return ErrThrottled
		case id[0] == '5' && attempt == 1:
			return errors.New("connection reset")
		}
		return nil
	})
	for id, o := range done {
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
	if len(done) != 100 || table.attempts["13"] != 1 || table.attempts["30"] != 3 || table.attempts["60"] != 1 {
		t.Errorf("%d outcomes, attempts %v", len(done), table.attempts)
	}
	if most := 4 * PutsAtOnce; table.most > most {
		t.Errorf("%d calls were under way, of at most %d", table.most, most)
	}
}

func TestNewestStopsAndProbesLikeBatches(t *testing.T) {
	start := time.Now()
	_, done, states, took := writeNewest(t, 60, 4, func(_ string, attempt int) error {
		if attempt <= 3 {
			return errors.New("no route")
		}
		return nil
	})
	if len(done) != 60 {
		t.Fatalf("%d outcomes", len(done))
	}
	down := false
	for _, s := range states {
		down = down || s == Down
	}
	if !down || states[len(states)-1] != Up {
		t.Errorf("the states were %v, want down and then up (%v, %v)", states, took, time.Since(start))
	}
	_, _, states, _ = writeNewest(t, 60, 4, func(id string, attempt int) error {
		if id == "7" && attempt < 3 {
			return errors.New("no route") // of one item alone is no outage
		}
		return nil
	})
	if len(states) != 1 || states[0] != Up {
		t.Errorf("the states were %v, want up alone", states)
	}
}
