package telemetry

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// WatchTable counts the calls of a table, what compression saves in them, and makes their spans. operation is the call that
// the table makes. Write units are counted where the answers are read. Whether the table can be written is for the writer to
// judge, so the health hears only that calls end.
func (m *Metrics) WatchTable(t writer.Table, operation Operation) writer.Table {
	return &watchedTable{t, m, m.call(operation, "")}
}

type watchedTable struct {
	writer.Table
	metrics *Metrics
	write   call
}

// Write implements writer.Table.
func (t *watchedTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	m := t.metrics
	m.writing.Inc()
	defer m.writing.Dec()
	ctx, done := m.tracer.write(ctx, t.write.operation, items)
	start := time.Now()
	t.Table.Write(ctx, items, results)
	t.write.ended(start, writer.CallError(results))
	if done != nil {
		done(results)
	}
	saved := 0
	for i, it := range items {
		if results[i].Kind == writer.Written {
			saved += it.UnitsSaved()
		}
	}
	if saved != 0 {
		m.compression.Add(float64(saved))
	}
}
