package warm

import (
	"context"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// A dryTable accepts every item and writes nothing.
type dryTable struct{ counts *counts }

// MaxItems implements writer.Table.
func (t *dryTable) MaxItems() int { return writer.MaxItems }

// Write implements writer.Table.
func (t *dryTable) Write(_ context.Context, items []*item.Item, results []writer.Result) {
	for _, it := range items {
		t.counts.bytes.Add(int64(it.Size))
		t.counts.spent(float64(it.Units()))
	}
	writer.SetAll(results, writer.Result{Kind: writer.Written})
}

// A countedTable counts the bytes that are written to a table.
type countedTable struct {
	writer.Table
	counts *counts
}

// Write implements writer.Table.
func (t *countedTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	t.Table.Write(ctx, items, results)
	for i, it := range items {
		if results[i].Kind == writer.Written {
			t.counts.bytes.Add(int64(it.Size))
		}
	}
}
