package telemetry

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/writer"
)

// WatchTable counts the calls of a table, what compression saves in them, and makes their spans. operation is the call that
// the table makes. Write units are counted where the answers are read. Whether the table can be written is for the writer to
// judge, so the health hears only that calls end.
func (m *Metrics) WatchTable(t writer.Table, operation Operation) writer.Table {
	return &watchedTable{t, m, m.call(operation, "")}
}

// WatchRemovals does for a table of removals by DeleteItem what WatchTable does for others. The writer does not judge these calls: they
// may be denied while others are not.
func (m *Metrics) WatchRemovals(t writer.Table) writer.Table {
	return &watchedTable{t, m, m.call(DeleteItem, PartDeleteItem)}
}

// WatchVersions counts the calls that find what a delete hides.
func (m *Metrics) WatchVersions(t removal.Table) removal.Table {
	return &watchedVersions{t, m.call(Query, PartQuery)}
}

type watchedVersions struct {
	next removal.Table
	page call
}

// Page implements removal.Table.
func (t *watchedVersions) Page(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error) {
	start := time.Now()
	page, err := t.next.Page(ctx, tombstone, after)
	t.page.ended(start, err)
	return page, err
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
