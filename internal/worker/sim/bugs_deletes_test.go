package sim

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

// deleteBugs are about tombstones and removals.
var deleteBugs = []bug{
	{name: "a tombstone has the sort key of its unit", as: hidden, request: tombstones(func(text string) string {
		return fractionalKey.ReplaceAllString(text, `"timestamp":{"N":"$1"}`)
	})},
	{name: "a tombstone is no newer than a prediction of its event time", as: hidden, request: tombstones(func(text string) string {
		return tombstoneSent.ReplaceAllString(text, `{"N":"$1"}`)
	})},
	{name: "a late older version replaces a tombstone", as: hidden, request: onRequest("PutItem", func(body string) string {
		return strings.Replace(body, `"ConditionExpression":"NOT `, `"ConditionExpression":"attribute_exists(deleted) OR NOT `, 1)
	})},
	{name: "items are removed before the tombstone is written", as: removalDue, services: func(s seams) {
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			if it.Version.Deleted && it.Removal == item.NoRemoval && s.Versions != nil {
				removeEarly(s, it)
			}
			return next(it, to)
		})(s)
	}},
	{name: "nothing is removed", as: removalLast, services: onPages(
		func(ctx context.Context, next removal.Table, tombstone item.Key, after *item.Key) (removal.Page, error) {
			page, err := next.Page(ctx, tombstone, after)
			page.Found, page.Next = nil, nil
			return page, err
		})},
	{name: "only the first page of an id is removed", as: removalLast, services: func(s seams) {
		var seen memory[item.Key, bool]
		onPages(func(ctx context.Context, next removal.Table, tombstone item.Key, after *item.Key) (removal.Page, error) {
			page, err := next.Page(ctx, tombstone, after)
			if err == nil && seen.first(tombstone, false) {
				return removal.Page{}, nil
			}
			if err == nil {
				seen.swap(tombstone, true)
				page.Next = nil
			}
			return page, err
		})(s)
	}},
	{name: "what can't be read is not removed", as: removalLast, services: onPages(
		func(ctx context.Context, next removal.Table, tombstone item.Key, after *item.Key) (removal.Page, error) {
			page, _ := next.Page(ctx, tombstone, after)
			return page, nil
		})},
	{name: "a failed removal is taken for made", as: removalLast, services: onRemovals(func(r *writer.Result) {
		if r.Kind != writer.Superseded {
			*r = writer.Result{Kind: writer.Written}
		}
	})},
	{name: "a removal that is denied opens the breaker", services: onRemovals(func(r *writer.Result) {
		if r.Kind == writer.Invalid {
			r.Kind = writer.Refused
		}
	})},
	{name: "what is newer than a delete is removed", as: newerStays, request: onRequest("DeleteItem", unconditional), services: onPages(
		func(ctx context.Context, next removal.Table, tombstone item.Key, after *item.Key) (removal.Page, error) {
			page, err := next.Page(ctx, tombstone, after)
			for i := range page.Found {
				page.Found[i].Event = prediction.Time{}
			}
			return page, err
		})},
	{name: "removals have no condition", as: newerStays, request: onRequest("DeleteItem", unconditional)},
}

var (
	fractionalKey = regexp.MustCompile(`"timestamp":\{"N":"(\d+)\.\d+"\}`)
	// tombstoneSent finds a sent time that has 10^19 added, in milliseconds of this decade.
	tombstoneSent = regexp.MustCompile(`\{"N":"1000000(\d{13}(\.\d+)?)"\}`)
)

// tombstones changes the requests that write items.
func tombstones(change func(text string) string) func(operation, body string) string {
	return func(operation, body string) string {
		if operation == "PutItem" || operation == "BatchWriteItem" {
			return change(body)
		}
		return body
	}
}

// removeEarly removes the first page of what a delete hides.
func removeEarly(s seams, tombstone *item.Item) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	page, err := s.Versions.Page(ctx, tombstone.Key, nil)
	if err != nil {
		return
	}
	for _, f := range page.Found {
		if f.Event.Compare(tombstone.Version.Event) <= 0 {
			it := s.resources.Layout.NewRemoval(f.Key, f.Event, tombstone.Version, page.Size)
			s.Table.Write(ctx, []*item.Item{it}, make([]writer.Result, 1))
		}
	}
}

// onPages installs a bug between the remover and the table, if items are removed.
func onPages(page func(ctx context.Context, next removal.Table, tombstone item.Key, after *item.Key) (removal.Page, error)) func(seams) {
	return func(s seams) {
		if next := s.Versions; next != nil {
			s.Versions = pagesFunc(func(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error) {
				return page(ctx, next, tombstone, after)
			})
		}
	}
}

// A pagesFunc is a removal.Table.
type pagesFunc func(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error)

// Page implements removal.Table.
func (f pagesFunc) Page(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error) {
	return f(ctx, tombstone, after)
}

// onRemovals installs a bug in the results of removals.
func onRemovals(change func(r *writer.Result)) func(seams) {
	return onTable(func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
		next.Write(ctx, items, results)
		for i, it := range items {
			if it.Removal != item.NoRemoval {
				change(&results[i])
			}
		}
	})
}
