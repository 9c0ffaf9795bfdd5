package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// tableBugs act between the writer and the table, or on the requests to the table.
var tableBugs = []bug{
	{name: "unprocessed items are taken for written", services: onTable(taken(writer.Unprocessed, writer.Written))},
	{name: "a failed write is taken for a success", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			next.Write(ctx, items, results)
			for i := range results {
				if k := results[i].Kind; k != writer.Unprocessed && k != writer.Invalid && k != writer.Suspect {
					results[i] = writer.Result{Kind: writer.Written}
				}
			}
		})},
	{name: "a neighbour of a refused item is rejected with it", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			next.Write(ctx, items, results)
			if results[0].Kind == writer.Suspect {
				results[0].Kind = writer.Invalid
			}
		})},
	{name: "a slow write is made twice at once", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			var second sync.WaitGroup
			second.Go(func() {
				if sleep(ctx, time.Millisecond) {
					next.Write(ctx, items, make([]writer.Result, len(items)))
				}
			})
			next.Write(ctx, items, results)
			second.Wait()
		})},
	{name: "throttled writes are repeated without a pause", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			for {
				clear(results)
				next.Write(ctx, items, results)
				if results[0].Kind != writer.Throttled {
					return
				}
			}
		})},
	{name: "the breaker never opens", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			next.Write(ctx, items, results)
			for i := range results {
				if k := results[i].Kind; k == writer.Throttled || k == writer.Refused || k == writer.Failed {
					results[i].Kind = writer.HotKey
				}
			}
		})},
	{name: "the breaker never closes", services: func(s seams) {
		var failed memory[bool, bool]
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			if failed.has(true) {
				writer.SetAll(results, writer.Result{Kind: writer.Refused, Err: errors.New("refused for ever")})
				return
			}
			next.Write(ctx, items, results)
			if slices.ContainsFunc(results, func(r writer.Result) bool {
				return r.Kind == writer.Throttled || r.Kind == writer.Refused || r.Kind == writer.Failed
			}) {
				failed.swap(true, true)
			}
		})(s)
	}},
	{name: "results are given to the wrong items", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			next.Write(ctx, items, results)
			slices.Reverse(results)
		})},
	{name: "a refused item opens the breaker", services: onTable(taken(writer.Invalid, writer.Refused))},
	{name: "what is remembered outlives the table", services: func(s seams) {
		s.Watch = nil
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
			next.Write(ctx, items, results)
			for i := range results {
				if results[i].Kind == writer.Refused {
					results[i].Err = errors.New("refused for some reason")
				}
			}
		})(s)
	}},

	// For conditional writes only.
	{name: "a put is unconditional", request: onRequest("PutItem", unconditional)},
	{name: "a put is unconditional where the key is the expiry", request: onRequest("PutItem", func(body string) string {
		if strings.Contains(body, `"expiresAt"`) {
			return body // another layout
		}
		return unconditional(body)
	})},
	{name: "the condition is inverted", request: onRequest("PutItem", func(body string) string {
		return strings.Replace(body, `"ConditionExpression":"NOT `, `"ConditionExpression":"`, 1)
	})},
	{name: "the condition compares sent times alone", request: onRequest("PutItem", func(body string) string {
		return strings.Replace(body, "NOT (#created > :created OR (#created = :created AND #sent > :sent))", "NOT (#sent > :sent OR (#created < :created AND #created > :created))", 1)
	})},
	{name: "superseded is taken for a failure", services: onPuts(taken(writer.Superseded, writer.Failed))},
	{name: "a put without an answer is taken for superseded", services: onPuts(taken(writer.Failed, writer.Superseded))},
}

// unconditional removes the condition from a PutItem request.
func unconditional(body string) string {
	before, rest, found := strings.Cut(body, `"ConditionExpression":`)
	_, after, closed := strings.Cut(rest, `"ReturnConsumedCapacity"`)
	if !found || !closed {
		panic("no condition in " + body)
	}
	return before + `"ReturnConsumedCapacity"` + after
}
