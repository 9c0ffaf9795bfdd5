package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// WatchTable counts a table's calls and what compression saves in them, and makes their spans. Write units are counted where
// the answers are read. Whether the table can be written is the writer's to judge, so the health hears nothing but that
// calls end.
func (m *Metrics) WatchTable(t writer.Table) writer.Table {
	return &watchedTable{t, m, m.call(BatchWriteItem, "")}
}

type watchedTable struct {
	next    writer.Table
	metrics *Metrics
	write   call
}

// BatchWrite implements writer.Table.
func (t *watchedTable) BatchWrite(ctx context.Context, items []*item.Item) ([]int, error) {
	m := t.metrics
	m.writing.Inc()
	defer m.writing.Dec()
	ctx, done := m.tracer.write(ctx, BatchWriteItem, items)
	start := time.Now()
	unprocessed, err := t.next.BatchWrite(ctx, items)
	t.write.ended(start, err)
	if done != nil {
		done(unprocessed, err)
	}
	if err == nil {
		saved := 0
		for _, it := range items {
			saved += it.UnitsSaved()
		}
		for _, i := range unprocessed {
			saved -= items[i].UnitsSaved()
		}
		m.compression.Add(float64(saved))
	}
	return unprocessed, err
}

// WatchNewest does for conditional writes what WatchTable does for batches.
func (m *Metrics) WatchNewest(t writer.NewestTable) writer.NewestTable {
	return &watchedNewest{t, m, m.call(PutItem, "")}
}

type watchedNewest struct {
	next    writer.NewestTable
	metrics *Metrics
	put     call
}

// PutNewest implements writer.NewestTable.
func (t *watchedNewest) PutNewest(ctx context.Context, it *item.Item) error {
	m := t.metrics
	m.writing.Inc()
	defer m.writing.Dec()
	ctx, done := m.tracer.write(ctx, PutItem, []*item.Item{it})
	start := time.Now()
	err := t.next.PutNewest(ctx, it)
	fault := err
	if errors.Is(err, writer.ErrSuperseded) {
		fault = nil // an answer
	}
	t.put.ended(start, fault)
	if done != nil {
		done(nil, fault)
	}
	if err == nil {
		m.compression.Add(float64(it.UnitsSaved()))
	}
	return err
}
