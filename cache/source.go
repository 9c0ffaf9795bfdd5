package cache

import (
	"context"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/item"
)

// A source makes the calls of one table. There are two: clientSource on the SDK's types, and signedSource on signed requests
// of our own.
type source interface {
	// describe asks for the table's keys and its TTL attribute; attempt is as in a request.
	describe(ctx context.Context, attempt bool) (item.Table, error)
	// call makes one call, with the retries of the source, or a single attempt where the request says so.
	call(ctx context.Context, r *request) (answer, error)
	// clock is how far the service's clock is ahead of this host's, as far as it is known.
	clock() time.Duration
}

type operation int

const (
	getItem operation = iota
	batchGetItem
	query
	operations // their number
)

func (o operation) String() string { return [operations]string{"GetItem", "BatchGetItem", "Query"}[o] }

// A request is one call of the table.
type request struct {
	operation
	reader
	keys    []string // hash keys, as the items have them: one, or of BatchGetItem up to 100
	attempt bool     // a single one

	// projection names the attributes to return, by their aliases; empty for all.
	projection string
	names      []alias

	// Of Query:
	condition, filter string
	values            []bound
	limit             int32 // items to look at; 0 is as many as fit into 1 MB
	forward           bool
	after             *item.Key // continue there
}

// An alias stands for an attribute's name in an expression.
type alias struct{ alias, attribute string }

// A bound stands for a value in an expression.
type bound struct{ alias, kind, text string }

// An answer is what a call brought.
type answer struct {
	results  []result
	expired  int       // items that were left out because they are expired
	filtered int       // items that a Query's filter left out
	next     *item.Key // where a Query stopped before its end
	left     []string  // keys that BatchGetItem did not get to
	units    float64   // read units, where the service says so
	now      int64     // by which items expire, in epoch seconds: when the answer came
}

// A result is a live prediction, a live tombstone, or an item that can't be read.
type result struct {
	*Prediction
	key  string // of the item; empty if that can't be read either
	unit int64  // the whole part of the item's sort key
	err  error
}

// A reader decodes the items that a call brings.
type reader struct {
	cache   *Cache
	layout  *item.Layout
	options *options
	one     bool // the first that is not a tombstone will do
}

// done reports whether an answer needs no more items.
func (r *reader) done(a *answer) bool {
	last := len(a.results) - 1
	return r.one && last >= 0 && (a.results[last].err != nil || !a.results[last].deleted)
}

// item decodes an item into the answer. fields are read, not kept.
func (r *reader) item(a *answer, fields []item.Field) {
	if len(fields) == 0 || r.done(a) {
		return
	}
	if a.now == 0 {
		a.now = r.cache.now().Unix()
	}
	switch p, unit, expired, err := r.cache.decode(r.layout, fields, r.options, a.now); {
	case err != nil:
		failed := result{err: err}
		if key, err := r.layout.DecodeKey(fields); err == nil {
			failed.key, failed.unit = strings.Clone(key.ID), key.Sort
		}
		a.results = append(a.results, failed)
	case p != nil:
		a.results = append(a.results, result{Prediction: p, key: p.ID, unit: unit})
	case expired:
		a.expired++
	}
}

// call makes a call, hedges and counts it.
func (c *Cache) call(ctx context.Context, r *request) (answer, error) {
	c.stats.calls.Add(1)
	var a answer
	var err error
	if c.hedges != nil && !r.attempt {
		a, err = c.hedges.call(ctx, c, r)
	} else {
		a, err = c.source.call(ctx, r)
	}
	c.stats.addUnits(a.units)
	if err != nil {
		err = c.explained(err)
	}
	return a, err
}

// now is the time by the service's clock, as far as it is known.
func (c *Cache) now() time.Time { return time.Now().Add(c.source.clock()) }
