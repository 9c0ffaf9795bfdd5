package writer

import (
	"context"
	"sync"

	"github.com/predcache/predcache/internal/item"
)

// WithRemovals returns a Table that makes the removals with a condition by calls of their own: BatchWriteItem has no conditions. Other
// items go to t, which also makes unconditional removals. removals takes one item per call.
func WithRemovals(t, removals Table) Table { return &removingTable{t, removals} }

type removingTable struct {
	Table
	removals Table
}

// Write implements Table. The calls are concurrent.
func (t *removingTable) Write(ctx context.Context, items []*item.Item, results []Result) {
	rest := make([]*item.Item, 0, MaxItems)
	var places [MaxItems]int // of the rest among items
	var calls sync.WaitGroup
	for i, it := range items {
		if it.Removal == item.IfNotNewer {
			calls.Go(func() { t.removals.Write(ctx, items[i:i+1], results[i:i+1]) })
			continue
		}
		places[len(rest)] = i
		rest = append(rest, it)
	}
	switch len(rest) {
	case 0:
	case len(items):
		t.Table.Write(ctx, items, results)
	default:
		restResults := make([]Result, len(rest))
		t.Table.Write(ctx, rest, restResults)
		for i, r := range restResults {
			results[places[i]] = r
		}
	}
	calls.Wait()
}
