package dedup_test

import (
	"fmt"
	"testing"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// ignore ignores outcomes.
type ignore struct{}

func (ignore) Resolve(prediction.Outcome, string, *prediction.Reject) {}
func (ignore) Outcome(prediction.Outcome, int, int64)                 {}

func BenchmarkWindow(b *testing.B) {
	const size = 10_000
	items := make([]*item.Item, 4*size) // so that a key is forgotten before it is written again
	for i := range items {
		items[i] = newItem(latestOnly, fmt.Sprint("user-", i), 10, 1, "x")
	}
	write := func(w *dedup.Window, it *item.Item) {
		if !w.Admit(it, ignore{}) {
			b.Fatal("the key is remembered")
		}
		w.Begin(it, 1<<20)
		w.Done(it, prediction.Written, nil)
	}
	newWindow := func() *dedup.Window {
		return dedup.NewWindow(dedup.Config{Size: size, Observer: ignore{}, Submit: func(...*item.Item) {}})
	}
	b.Run("written", func(b *testing.B) {
		w := newWindow()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			write(w, items[i%len(items)])
		}
	})
	b.Run("duplicate-of-written", func(b *testing.B) {
		w := newWindow()
		write(w, items[0])
		b.ReportAllocs()
		for b.Loop() {
			if w.Admit(items[0], ignore{}) {
				b.Fatal("the key is not remembered")
			}
		}
	})
	b.Run("newer-over-pending", func(b *testing.B) {
		const versions = 100
		newer := make([]*item.Item, versions)
		for i := range newer {
			newer[i] = newItem(latestOnly, "user-1", 20+int64(i), 1, "x")
		}
		w := newWindow()
		oldest := newItem(latestOnly, "user-1", 10, 1, "x")
		held := *oldest
		w.Admit(&held, ignore{})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%versions == versions-1 {
				w.Done(&held, prediction.Failed, nil)
				held = *oldest
				w.Admit(&held, ignore{})
			}
			w.Admit(newer[i%versions], ignore{})
		}
	})
}
