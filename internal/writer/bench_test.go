package writer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// An instantTable takes everything; it is how many items a call may carry.
type instantTable int

func (t instantTable) MaxItems() int { return int(t) }
func (instantTable) Write(_ context.Context, _ []*item.Item, results []Result) {
	SetAll(results, Result{Kind: Written})
}

type blindWindow struct{}

func (blindWindow) Done(*item.Item, prediction.Outcome, *prediction.Reject) {}
func (blindWindow) Requeue(*item.Item)                                      {}

// BenchmarkHandle is the writer's part of a batch of 25 items.
func BenchmarkHandle(b *testing.B) {
	for _, ordered := range []bool{false, true} {
		b.Run(fmt.Sprintf("ordered=%v", ordered), func(b *testing.B) {
			cfg := Config{Table: instantTable(MaxItems), Window: blindWindow{}, Observer: noObserver{}, Concurrency: 4, CallTimeout: time.Second, Now: time.Now}
			if ordered {
				cfg.Table = instantTable(1)
			}
			w := New(cfg, func(*item.Item, int) (int, bool) { return 1, true })
			entries := make([]*batch.Entry[*item.Item], MaxItems)
			for i := range entries {
				entries[i] = &batch.Entry[*item.Item]{Value: &item.Item{Key: item.Key{ID: fmt.Sprint(i)}, Expires: time.Now().Add(time.Hour).Unix(), Size: 1000}}
			}
			b.ReportAllocs()
			for b.Loop() {
				w.handle(context.Background(), entries)
			}
		})
	}
}
