package cache

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/predcache/predcache/internal/item"
)

// A pager reads the items of an id, page by page, newest sort key first. What has expired, or isn't asked for, is left out by
// the service already where that is cheap to say; decode decides.
type pager struct {
	request
	id string
}

func (c *Cache) query(l *item.Layout, id string, o *options) *pager {
	q := &pager{id: id, request: request{operation: query, reader: reader{cache: c, layout: l, options: o}, keys: []string{id}}}
	q.projection, q.names = projection(l, o)
	q.name("#h", l.HashKey)
	q.values = []bound{{":h", string(l.HashType), id}, {":now", "N", strconv.FormatInt(c.now().Unix(), 10)}}
	q.condition = "#h = :h"
	if l.Kind == item.ExpirySorted {
		q.name("#s", l.SortKey)
		q.condition = "#h = :h AND #s > :now"
	} else {
		// Not "#t > :now": an item without a readable expiry must be seen, to be reported.
		q.name("#t", l.TTLAttribute)
		q.filter = "NOT #t <= :now"
	}
	if len(o.where) > 0 {
		q.where(o.where)
	}
	return q
}

// where leaves out the predictions that don't match. A tombstone has no attributes, but hides predictions that match.
func (q *pager) where(conditions []condition) {
	if q.filter != "" {
		q.filter += " AND "
	}
	q.filter += "("
	for i, c := range conditions {
		n := strconv.Itoa(i)
		q.name("#w"+n, c.name)
		q.values = append(q.values, bound{":w" + n, c.kind, c.raw})
		if i > 0 {
			q.filter += " AND "
		}
		q.filter += "#w" + n + " = :w" + n
	}
	q.tombstones()
	q.filter += " OR #d = :true)"
}

// tombstones defines the names of a filter on tombstones.
func (q *pager) tombstones() {
	q.name("#d", item.AttrDeleted)
	q.values = append(q.values, bound{":true", "BOOL", "true"})
}

func (q *pager) name(short, attribute string) { q.names = append(q.names, alias{short, attribute}) }

// between takes only sort keys from lo to hi, in the versioned layout.
func (q *pager) between(lo, hi int64) {
	q.name("#s", q.layout.SortKey)
	q.condition = "#h = :h AND #s BETWEEN :lo AND :hi"
	q.values = append(q.values, bound{":lo", "N", strconv.FormatInt(lo, 10)}, bound{":hi", "N", strconv.FormatInt(hi, 10)})
}

// endAt ends a range that goes down with a sort unit, in the versioned layout. A tombstone hides what is older, and its sort key
// is in the unit of its event time, above that of a prediction: what it does not hide is in its unit or in later ones. endAt
// returns false if the next page would begin below the unit.
func (q *pager) endAt(unit int64) bool {
	if q.after == nil || q.after.Sort < unit || q.after.Sort == unit && q.after.Frac == 0 {
		return false
	}
	q.from(unit)
	return true
}

// from takes only sort keys from lo on, in the versioned layout.
func (q *pager) from(lo int64) {
	text := strconv.FormatInt(lo, 10)
	if i := slices.IndexFunc(q.values, func(b bound) bool { return b.alias == ":lo" }); i >= 0 {
		q.values[i].text = text
		return
	}
	q.name("#s", q.layout.SortKey)
	q.condition = "#h = :h AND #s >= :lo"
	q.values = append(q.values, bound{":lo", "N", text})
}

// next reads a page, and tells whether there are more.
func (q *pager) next(ctx context.Context) (a answer, more bool, err error) {
	a, err = q.cache.call(ctx, &q.request)
	if err != nil {
		return a, false, fmt.Errorf("reading %q: %w", q.id, err)
	}
	if len(q.options.where) == 0 {
		a.expired += a.filtered // the filter leaves out nothing else
	}
	q.after = a.next
	return a, a.next != nil, nil
}

// projection names the attributes to be read, where that isn't all: those asked for, and those without which an item can't
// be decoded or compared.
func projection(l *item.Layout, o *options) (string, []alias) {
	if !o.limited {
		return "", nil
	}
	wanted := []string{l.HashKey, l.TTLAttribute, item.AttrCreatedAt, item.AttrDeleted}
	if l.SortKey != "" && l.SortKey != l.TTLAttribute {
		wanted = append(wanted, l.SortKey)
	}
	if o.withPayload() {
		wanted = append(wanted, item.AttrEncoding)
	}
	wanted = append(wanted, o.only...)
	for i := range o.where {
		wanted = append(wanted, o.where[i].name)
	}
	var text strings.Builder
	var names []alias
	seen := map[string]bool{}
	for _, name := range wanted {
		if seen[name] {
			continue
		}
		seen[name] = true
		if len(names) > 0 {
			text.WriteByte(',')
		}
		short := "#p" + strconv.Itoa(len(names))
		text.WriteString(short)
		names = append(names, alias{short, name})
	}
	return text.String(), names
}
