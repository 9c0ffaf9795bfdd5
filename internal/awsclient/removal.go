package awsclient

import (
	"context"
	"strconv"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/writer"
)

// A DeleteTable makes removals in one DynamoDB table by DeleteItem, one a call, and only of a version that is not newer.
type DeleteTable struct {
	table
	delete *awsjson.Operation
}

// NewDeleteTable returns a DeleteTable. spent is called with the write units of each call.
func NewDeleteTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) *DeleteTable {
	s := awsjson.DynamoDB(clients.DynamoDB.Options(), name, clients.Clock)
	return &DeleteTable{table{name, layout, spent}, s.Operation("DeleteItem")}
}

// MaxItems implements writer.Table.
func (t *DeleteTable) MaxItems() int { return 1 }

// Write implements writer.Table. A removal that the role may not make says nothing of the table: see writer.Invalid.
func (t *DeleteTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	it := items[0]
	c := t.delete.Begin()
	defer t.delete.End(c)
	b := append(jsonscan.AppendQuoted(append(c.Request, `{"TableName":`...), t.name), `,"Key":`...)
	c.Request = appendNotNewer(it.AppendKey(b), it)
	units, err := sendWrite(ctx, t.delete, c)
	if results[0] = t.written("DeleteItem", it, units, err); results[0].Kind == writer.Refused {
		results[0].Kind = writer.Invalid
	}
}

// A VersionTable reads the items of an id from one DynamoDB table by Query, consistently.
type VersionTable struct {
	layout *item.Layout
	query  *awsjson.Operation
	prefix string // of a request's body
	spent  func(readUnits float64)
}

// NewVersionTable returns a VersionTable. spent is called with the read units of each call. The layout has a sort key. Items without a
// payload are filtered out: they are tombstones, or somebody else's, of which createdAt says nothing.
func NewVersionTable(clients *Clients, name string, layout *item.Layout, spent func(readUnits float64)) *VersionTable {
	s := awsjson.DynamoDB(clients.DynamoDB.Options(), name, clients.Clock)
	b := append(jsonscan.AppendQuoted([]byte(`{"TableName":`), name), `,"ConsistentRead":true,"ReturnConsumedCapacity":"TOTAL","Limit":`...)
	b = strconv.AppendInt(b, removal.PageItems, 10)
	b = append(b, `,"ProjectionExpression":"#sort,#created,#deleted","FilterExpression":"attribute_exists(#payload)","ExpressionAttributeNames":{"#created":"`+item.AttrCreatedAt+`","#deleted":"`+item.AttrDeleted+`","#payload":"`+item.AttrPayload+`","#id":`...)
	b = append(jsonscan.AppendQuoted(b, layout.HashKey), `,"#sort":`...)
	b = append(jsonscan.AppendQuoted(b, layout.SortKey), `},"KeyConditionExpression":"#id = :id`...)
	return &VersionTable{layout, s.Operation("Query"), string(b), spent}
}

// unitBytes is what a consistent read of one read unit covers ("DynamoDB read and write operations").
const unitBytes = 4 << 10

// Page implements removal.Table.
func (t *VersionTable) Page(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error) {
	c := t.query.Begin()
	defer t.query.End(c)
	c.Request = t.request(c.Request, tombstone, after)
	var page removal.Page
	var units float64
	scanned := 0
	err := t.query.Send(ctx, c, func(w *jsonscan.Walker) {
		var items awsitem.Reader
		var room [4]item.Field
		w.Object(func(name string) {
			switch name {
			case "Items":
				w.Array(func() {
					items.Reset()
					if found, ok := t.found(tombstone.ID, items.AppendItem(room[:0], w)); ok {
						page.Found = append(page.Found, found)
					}
				})
			case "ScannedCount":
				scanned, _ = strconv.Atoi(w.Skip()) // it is only for an estimate
			case "LastEvaluatedKey":
				items.Reset()
				fields := items.AppendItem(room[:0], w)
				if len(fields) == 0 || w.Failed() { // null: some stand-ins
					return
				}
				next := item.Key{ID: tombstone.ID}
				if next.SetSort(item.Find(fields, t.layout.SortKey).Text) != nil {
					w.Fail("a LastEvaluatedKey that is no key of the table")
				}
				page.Next = &next
			case "ConsumedCapacity":
				units += readUnits(w)
			}
		})
	})
	if err != nil {
		return removal.Page{}, brief("Query", err)
	}
	t.spent(units)
	if scanned > 0 {
		page.Size = int(units * unitBytes / float64(scanned))
	}
	return page, nil
}

// request appends the body of a request.
func (t *VersionTable) request(b []byte, tombstone item.Key, after *item.Key) []byte {
	b = append(b, t.prefix...)
	if t.layout.Kind == item.Versioned {
		b = append(b, ` AND #sort < :sort`...)
	}
	b = append(b, `","ExpressionAttributeValues":{":id":`...)
	b = t.layout.AppendID(b, tombstone.ID)
	if t.layout.Kind == item.Versioned {
		b = append(tombstone.AppendSort(append(b, `,":sort":{"N":"`...)), `"}`...)
	}
	b = append(b, '}')
	if after != nil {
		b = t.layout.AppendKey(append(b, `,"ExclusiveStartKey":`...), *after)
	}
	return append(b, '}')
}

// found returns a prediction's key and event time. It returns false for a tombstone, and for an item that the worker can't have
// written, of which it can't be said what it is.
func (t *VersionTable) found(id string, fields []item.Field) (removal.Found, bool) {
	f := removal.Found{Key: item.Key{ID: id}}
	created, deleted := item.Find(fields, item.AttrCreatedAt), item.Find(fields, item.AttrDeleted)
	var err error
	if f.Event, err = prediction.ParseSeconds(created.Text); err != nil || created.Type != "N" || deleted.Type == "BOOL" && deleted.Text == "true" {
		return f, false
	}
	return f, f.Key.SetSort(item.Find(fields, t.layout.SortKey).Text) == nil
}
