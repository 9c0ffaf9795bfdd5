package warm

import (
	"context"
	"slices"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// A dryTable takes everything and writes nothing.
type dryTable struct{ counts *counts }

// BatchWrite implements writer.Table.
func (t *dryTable) BatchWrite(_ context.Context, items []*item.Item) ([]int, error) {
	for _, it := range items {
		t.counts.bytes.Add(int64(it.Size))
		t.counts.spent(float64(it.Units()))
	}
	return nil, nil
}

// countedBatches counts the bytes that a table takes.
type countedBatches struct {
	writer.Table
	counts *counts
}

// BatchWrite implements writer.Table.
func (t *countedBatches) BatchWrite(ctx context.Context, items []*item.Item) ([]int, error) {
	unprocessed, err := t.Table.BatchWrite(ctx, items)
	if err != nil {
		return unprocessed, err //nolint:wrapcheck // the writer goes by it
	}
	for i, it := range items {
		if !slices.Contains(unprocessed, i) {
			t.counts.bytes.Add(int64(it.Size))
		}
	}
	return unprocessed, nil
}

// countedPuts counts the bytes that a table takes.
type countedPuts struct {
	writer.NewestTable
	counts *counts
}

// PutNewest implements writer.NewestTable.
func (t *countedPuts) PutNewest(ctx context.Context, it *item.Item) error {
	err := t.NewestTable.PutNewest(ctx, it)
	if err == nil {
		t.counts.bytes.Add(int64(it.Size))
	}
	return err //nolint:wrapcheck // the writer goes by it
}
