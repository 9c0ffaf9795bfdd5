package awsclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// A Table is one DynamoDB table: the writer's table.
type Table struct {
	name   string
	layout *item.Layout
	spent  func(units float64)

	prefix string // of the body of a BatchWriteItem request
	write  *awsjson.Operation
	put    *awsjson.Operation
}

// NewTable returns the table of a name. spent is told the write units of each call.
func NewTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) *Table {
	s := awsjson.DynamoDB(clients.DynamoDB.Options(), name, clients.Clock)
	prefix := append(jsonscan.AppendQuoted([]byte(`{"RequestItems":{`), name), `:[`...)
	return &Table{name, layout, spent, string(prefix), s.Operation("BatchWriteItem"), s.Operation("PutItem")}
}

// BatchWrite implements writer.Table.
func (t *Table) BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
	c := t.write.Begin()
	defer t.write.End(c)
	b := append(c.Request, t.prefix...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"PutRequest":{"Item":`...)
		b = append(it.AppendJSON(b), `}}`...)
	}
	c.Request = append(b, `]},"ReturnConsumedCapacity":"TOTAL"}`...)

	var back []item.Key
	var units float64
	err = t.write.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			switch name {
			case "UnprocessedItems":
				w.Object(func(string) { // the one table, whatever the answer calls it
					w.Array(func() { back = append(back, t.readPut(w)) })
				})
			case "ConsumedCapacity":
				w.Array(func() { units += readUnits(w) })
			}
		})
	})
	if err != nil {
		return nil, classify(err)
	}
	unprocessed, err = t.match(items, back)
	t.count(units, items, unprocessed)
	return unprocessed, err
}

// count reports the write units of a call. Some stand-ins return none: then the items' own are counted.
func (t *Table) count(units float64, items []*item.Item, unprocessed []int) {
	if units == 0 {
		for _, it := range items {
			units += float64(it.Units())
		}
		for _, i := range unprocessed {
			units -= float64(items[i].Units())
		}
	}
	t.spent(units)
}

// match finds the items that came back, by their keys.
func (t *Table) match(items []*item.Item, back []item.Key) (indexes []int, err error) {
	if len(back) == 0 {
		return nil, nil
	}
	sent := make(map[item.Key]int, len(items))
	for i, it := range items {
		sent[it.Key] = i
	}
	for _, key := range back {
		index, found := sent[key]
		if !found {
			return nil, errors.New("an unprocessed item whose key was not sent")
		}
		indexes = append(indexes, index)
	}
	return indexes, nil
}

// readPut reads the key of an unprocessed item. It is empty, and so no key that was sent, if the item is no put.
func (t *Table) readPut(w *jsonscan.Walker) (k item.Key) {
	w.Object(func(name string) {
		if name != "PutRequest" {
			return
		}
		w.Object(func(name string) {
			if name == "Item" {
				k = t.readKey(w)
			}
		})
	})
	return k
}

// readKey reads the key of an item and skips the rest of it. The service may have written a number in another form than
// was sent.
func (t *Table) readKey(w *jsonscan.Walker) (k item.Key) {
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
				k.Sort, _ = strconv.ParseInt(readString(w), 10, 64) // a whole number was sent
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

// PutNewest implements writer.NewestTable.
func (t *Table) PutNewest(ctx context.Context, it *item.Item) error {
	c := t.put.Begin()
	defer t.put.End(c)
	b := append(jsonscan.AppendQuoted(append(c.Request, `{"TableName":`...), t.name), `,"Item":`...)
	b = append(it.AppendJSON(b), `,"ConditionExpression":"`...)
	b = append(b, notNewer...) // which needs no escapes
	b = append(b, `","ExpressionAttributeNames":{"#created":"`+item.AttrCreatedAt+`","#sent":"`+item.AttrSent+`"},"ExpressionAttributeValues":{":created":{"N":"`...)
	b = append(it.Version.Event.AppendSeconds(b), `"},":sent":{"N":"`...)
	c.Request = append(it.AppendSent(b), `"}},"ReturnConsumedCapacity":"TOTAL"}`...)

	var units float64
	err := t.put.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			if name == "ConsumedCapacity" {
				units += readUnits(w)
			}
		})
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		t.spent(float64(it.Units())) // the service does not report the cost: the write units of the item that is there, which is about as large
		return writer.ErrSuperseded
	}
	if err != nil {
		return classifyPut(err)
	}
	t.spent(units)
	return nil
}

func classifyPut(err error) error {
	switch Code(err) {
	case "TransactionConflictException", "ReplicatedWriteConflictException":
		// Somebody else is writing the key just now: it backs off by itself.
		return fmt.Errorf("%w: %w", writer.ErrHotKeys, brief("PutItem", err))
	}
	return classifyCall("PutItem", err)
}
