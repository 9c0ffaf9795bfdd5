package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// tableBugs are put between the writer and the table.
var tableBugs = []bug{
	{name: "unprocessed items are taken for written", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			_, err := next.BatchWrite(ctx, items)
			return nil, err
		})},
	{name: "a failed write is taken for a success", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			back, err := next.BatchWrite(ctx, items)
			if errors.Is(err, writer.ErrInvalid) {
				return back, err
			}
			return back, nil
		})},
	{name: "neighbours of a refused item are rejected with it", services: func(s seams) {
		var refused memory[item.Key, bool]
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			if slices.ContainsFunc(items, func(it *item.Item) bool { return refused.has(it.Key) }) {
				return nil, writer.ErrInvalid
			}
			back, err := next.BatchWrite(ctx, items)
			if errors.Is(err, writer.ErrInvalid) {
				for _, it := range items {
					refused.swap(it.Key, true)
				}
			}
			return back, err
		})(s)
	}},
	{name: "a slow write is made twice at once", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			var second sync.WaitGroup
			second.Go(func() {
				if sleep(ctx, time.Millisecond) {
					_, _ = next.BatchWrite(ctx, items)
				}
			})
			back, err := next.BatchWrite(ctx, items)
			second.Wait()
			return back, err
		})},
	{name: "throttled writes are repeated without a pause", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			for {
				back, err := next.BatchWrite(ctx, items)
				if !errors.Is(err, writer.ErrThrottled) {
					return back, err
				}
			}
		})},
	{name: "the breaker never opens", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			back, err := next.BatchWrite(ctx, items)
			if err != nil && !errors.Is(err, writer.ErrInvalid) {
				err = fmt.Errorf("%w: %w", writer.ErrHotKeys, errors.New("whatever it was"))
			}
			return back, err
		})},
	{name: "the breaker never closes", services: func(s seams) {
		var failed memory[bool, bool]
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			if failed.has(true) {
				return nil, writer.ErrRefused
			}
			back, err := next.BatchWrite(ctx, items)
			if err != nil && !errors.Is(err, writer.ErrInvalid) {
				failed.swap(true, true)
			}
			return back, err
		})(s)
	}},
}
