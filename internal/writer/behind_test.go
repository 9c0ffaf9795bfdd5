package writer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// slowTable answers each call after a time, and counts the items of urgent ids and of others.
type slowTable struct {
	takes time.Duration

	mu            sync.Mutex
	urgent, other int
}

func (*slowTable) MaxItems() int { return MaxItems }

func (f *slowTable) Write(_ context.Context, items []*item.Item, results []Result) {
	time.Sleep(f.takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	SetAll(results, Result{Kind: Written})
	for _, it := range items {
		if strings.HasPrefix(it.Key.ID, "urgent") {
			f.urgent++
		} else {
			f.other++
		}
	}
}

// twoWriters runs a Writer of urgent items and one behind it, for a time.
func twoWriters(t *testing.T, table *slowTable, change func(urgent, behind *Config), run func(urgent, behind *Writer)) {
	synctest.Test(t, func(t *testing.T) {
		window := &outcomes{done: map[string]prediction.Outcome{}, why: map[string]string{}}
		a := Config{Table: table, Window: window, Observer: noObserver{}, Concurrency: 2, CallTimeout: time.Minute, Now: time.Now}
		b := a
		change(&a, &b)
		take := func(*item.Item, int) (int, bool) { return 1, true }
		urgent := New(a, take)
		b.Behind = urgent
		behind := New(b, take)
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { _ = urgent.Run(ctx) })
		work.Go(func() { _ = behind.Run(ctx) })
		run(urgent, behind)
		stop()
		work.Wait()
	})
}

func itemsOf(kind string, n int) []*item.Item {
	items := make([]*item.Item, n)
	for i := range items {
		items[i] = &item.Item{Key: item.Key{ID: fmt.Sprintf("%s-%d", kind, i)}, Expires: time.Now().Add(time.Hour).Unix(), Size: 1000}
	}
	return items
}

func TestBehind(t *testing.T) {
	t.Run("gives way, and is not starved", func(t *testing.T) {
		table := &slowTable{takes: 100 * time.Millisecond}
		twoWriters(t, table, func(_, _ *Config) {}, func(urgent, behind *Writer) {
			urgent.Submit(itemsOf("urgent", 20_000)...) // 500 a second: they last for 40 s
			time.Sleep(time.Second)                     // until both know that the table works
			behind.Submit(itemsOf("other", 10_000)...)
			time.Sleep(20 * time.Second)
			table.mu.Lock()
			if table.other < 500 || table.other > 1500 {
				t.Errorf("%d items in 20 s, want about 25 a second and worker", table.other)
			}
			table.mu.Unlock()
			time.Sleep(40 * time.Second)
			table.mu.Lock()
			defer table.mu.Unlock()
			if table.urgent != 20_000 || table.other < 7000 {
				t.Errorf("%d and %d items a minute later: it still gives way", table.urgent, table.other)
			}
		})
	})
	t.Run("shares the limit of write units", func(t *testing.T) {
		table := &slowTable{takes: time.Millisecond}
		twoWriters(t, table, func(urgent, behind *Config) { urgent.MaxUnits, behind.MaxUnits = 100, 50 }, func(urgent, behind *Writer) {
			behind.Submit(itemsOf("other", 10_000)...)
			time.Sleep(10 * time.Second)
			table.mu.Lock()
			if table.other < 450 || table.other > 600 {
				t.Errorf("%d items in 10 s at 50 units a second", table.other)
			}
			before := table.other
			table.mu.Unlock()
			urgent.Submit(itemsOf("urgent", 10_000)...)
			time.Sleep(20 * time.Second)
			table.mu.Lock()
			defer table.mu.Unlock()
			if n := table.urgent + table.other - before; n > 2200 || table.urgent < 1000 {
				t.Errorf("%d items in 20 s at 100 units a second, %d of them urgent", n, table.urgent)
			}
		})
	})
}
