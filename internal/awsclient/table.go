package awsclient

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// A BatchTable writes the items of one DynamoDB table by BatchWriteItem, up to 25 a call. A later write replaces an
// earlier one, whatever their versions.
type BatchTable struct {
	table
	prefix string // of a request's body
	write  *awsjson.Operation
}

// A PutTable writes the items of one DynamoDB table by PutItem, one a call, and only over a version that is not newer.
// Its layout is Ordered.
type PutTable struct {
	table
	put *awsjson.Operation
}

// A table is the common part of BatchTable and PutTable.
type table struct {
	name   string
	layout *item.Layout
	spent  func(units float64)
}

// NewTable returns the writer of a table: a PutTable if the layout is Ordered, else a BatchTable.
// spent is called with the write units of each call.
func NewTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) writer.Table {
	if layout.Ordered {
		return newPutTable(clients, name, layout, spent)
	}
	return newBatchTable(clients, name, layout, spent)
}

func newBatchTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) *BatchTable {
	s := awsjson.DynamoDB(clients.DynamoDB.Options(), name, clients.Clock)
	prefix := append(jsonscan.AppendQuoted([]byte(`{"RequestItems":{`), name), `:[`...)
	return &BatchTable{table{name, layout, spent}, string(prefix), s.Operation("BatchWriteItem")}
}

func newPutTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) *PutTable {
	s := awsjson.DynamoDB(clients.DynamoDB.Options(), name, clients.Clock)
	return &PutTable{table{name, layout, spent}, s.Operation("PutItem")}
}

// MaxItems implements writer.Table.
func (t *BatchTable) MaxItems() int { return writer.MaxItems }

// Write implements writer.Table.
func (t *BatchTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	c := t.write.Begin()
	defer t.write.End(c)
	b := append(c.Request, t.prefix...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if it.Removal != item.NoRemoval {
			b = append(it.AppendKey(append(b, `{"DeleteRequest":{"Key":`...)), `}}`...)
			continue
		}
		b = append(b, `{"PutRequest":{"Item":`...)
		b = append(it.AppendJSON(b), `}}`...)
	}
	c.Request = append(b, `]},"ReturnConsumedCapacity":"TOTAL"}`...)

	var unprocessed []item.Key
	var units float64
	err := t.write.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			switch name {
			case "UnprocessedItems":
				w.Object(func(string) { // the only table; its name in the answer doesn't matter
					w.Array(func() { unprocessed = append(unprocessed, t.readRequest(w)) })
				})
			case "ConsumedCapacity":
				w.Array(func() { units += readUnits(w) })
			}
		})
	})
	t.batchWritten(items, results, unprocessed, units, err)
}

// batchWritten sets the results of a call of BatchWriteItem.
func (t *table) batchWritten(items []*item.Item, results []writer.Result, unprocessed []item.Key, units float64, err error) {
	if err == nil {
		err = match(items, results, unprocessed)
	}
	if err != nil {
		writer.SetAll(results, resultOf("BatchWriteItem", err, len(items)))
		return
	}
	if units == 0 { // some stand-ins return none
		for i, it := range items {
			if results[i].Kind == writer.Written {
				units += float64(it.Units())
			}
		}
	}
	t.spent(units)
}

// match finds the unprocessed items among those sent, by their keys.
func match(items []*item.Item, results []writer.Result, unprocessed []item.Key) error {
	writer.SetAll(results, writer.Result{Kind: writer.Written})
	for _, key := range unprocessed {
		i := slices.IndexFunc(items, func(it *item.Item) bool { return it.Key == key })
		if i < 0 {
			return errors.New("an unprocessed item whose key was not sent")
		}
		results[i].Kind = writer.Unprocessed
	}
	return nil
}

// readRequest reads the key of an unprocessed item. It is empty, and so matches no item that was sent, if the request is neither a put
// nor a removal.
func (t *BatchTable) readRequest(w *jsonscan.Walker) (k item.Key) {
	w.Object(func(name string) {
		if name != "PutRequest" && name != "DeleteRequest" {
			return
		}
		w.Object(func(name string) {
			if name == "Item" || name == "Key" {
				k = t.readKey(w)
			}
		})
	})
	return k
}

// readKey reads the key of an item and skips the rest of it. The service may have written a number in another form than
// was sent.
func (t *BatchTable) readKey(w *jsonscan.Walker) (k item.Key) {
	w.Object(func(name string) {
		if name != t.layout.HashKey && name != t.layout.SortKey {
			return
		}
		hash := name == t.layout.HashKey
		w.Object(func(kind string) {
			switch {
			case hash && kind == "S":
				k.ID = readString(w)
			case hash && kind == "N":
				text := readString(w)
				if number, err := jsonscan.Parse(text); err == nil && number.Kind() == jsonscan.Number {
					k.ID = string(jsonscan.ParseDecimal(text).Append(nil))
				}
			case !hash && kind == "N":
				if k.SetSort(readString(w)) != nil {
					w.Fail("a sort key that was not sent")
				}
			}
		})
	})
	return k
}

func readUnits(w *jsonscan.Walker) (units float64) {
	w.Object(func(name string) {
		if name == "CapacityUnits" {
			text := w.Skip()
			var err error
			if units, err = strconv.ParseFloat(text, 64); err != nil && text != "null" {
				w.Fail("a capacity that is not a number")
			}
		}
	})
	return units
}

// notNewer is true if the table's version of a key is not newer than the one to write: by event time at full precision,
// then by sent time and place. It is a negation because a comparison with a missing attribute is false: so it is true if
// there is no item, or one that the worker can't have written. A version is not newer than itself, so a write whose answer
// was lost, or that is redelivered, succeeds again.
const notNewer = "NOT (#created > :created OR (#created = :created AND #sent > :sent))"

// appendNotNewer appends the condition notNewer and the rest of a request's body.
func appendNotNewer(b []byte, it *item.Item) []byte {
	b = append(b, `,"ConditionExpression":"`...)
	b = append(b, notNewer...) // it needs no escapes
	b = append(b, `","ExpressionAttributeNames":{"#created":"`+item.AttrCreatedAt+`","#sent":"`+item.AttrSent+`"},"ExpressionAttributeValues":{":created":{"N":"`...)
	b = append(it.Version.Event.AppendSeconds(b), `"},":sent":{"N":"`...)
	return append(it.AppendSent(b), `"}},"ReturnConsumedCapacity":"TOTAL"}`...)
}

// MaxItems implements writer.Table.
func (t *PutTable) MaxItems() int { return 1 }

// Write implements writer.Table.
func (t *PutTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	it := items[0]
	c := t.put.Begin()
	defer t.put.End(c)
	b := append(jsonscan.AppendQuoted(append(c.Request, `{"TableName":`...), t.name), `,"Item":`...)
	c.Request = appendNotNewer(it.AppendJSON(b), it)
	units, err := sendWrite(ctx, t.put, c)
	results[0] = t.written("PutItem", it, units, err)
}

// sendWrite makes a call that writes one item, and returns the write units that it took.
func sendWrite(ctx context.Context, o *awsjson.Operation, c *awsjson.Call) (units float64, err error) {
	err = o.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			if name == "ConsumedCapacity" {
				units += readUnits(w)
			}
		})
	})
	return units, err
}

// written returns the result of a conditional write of one item.
func (t *table) written(operation string, it *item.Item, units float64, err error) writer.Result {
	var newer *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		t.spent(units)
		return writer.Result{Kind: writer.Written}
	case errors.As(err, &newer):
		// The service does not report the cost: the write units of the item that is there, which is about as large.
		t.spent(float64(it.Units()))
		return writer.Result{Kind: writer.Superseded}
	}
	return resultOf(operation, err, 1)
}
