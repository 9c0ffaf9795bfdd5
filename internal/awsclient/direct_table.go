package awsclient

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A DirectTable is one DynamoDB table by our own requests: the writer's table.
type DirectTable struct {
	*Table
	prefix string // of the request's body
	write  *awsjson.Operation
	put    *awsjson.Operation
}

// NewDirectTable is NewTable with writes by our own requests, by the settings of the SDK's client.
func NewDirectTable(t *Table) *DirectTable {
	s := awsjson.DynamoDB(t.clients.DynamoDB.Options(), t.name, t.clients.Clock)
	prefix := append(jsonscan.AppendQuoted([]byte(`{"RequestItems":{`), t.name), `:[`...)
	return &DirectTable{t, string(prefix), s.Operation("BatchWriteItem"), s.Operation("PutItem")}
}

// BatchWrite implements writer.Table.
func (t *DirectTable) BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
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

	var back map[string][]types.WriteRequest
	var units float64
	err = t.clients.send(ctx, t.write, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			switch name {
			case "UnprocessedItems":
				w.Object(func(string) {
					if back == nil {
						back = map[string][]types.WriteRequest{}
					}
					w.Array(func() { back[t.name] = append(back[t.name], t.readKey(w)) })
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

// readKey reads the key of an item that came back: the rest of it is not needed.
func (t *DirectTable) readKey(w *jsonscan.Walker) (r types.WriteRequest) {
	w.Object(func(name string) {
		if name != "PutRequest" {
			return
		}
		r.PutRequest = &types.PutRequest{Item: map[string]types.AttributeValue{}}
		w.Object(func(name string) {
			if name != "Item" {
				return
			}
			w.Object(func(name string) {
				if name != t.layout.HashKey && name != t.layout.SortKey {
					return
				}
				w.Object(func(kind string) {
					switch kind {
					case "S":
						r.PutRequest.Item[name] = &types.AttributeValueMemberS{Value: readString(w)}
					case "N":
						r.PutRequest.Item[name] = &types.AttributeValueMemberN{Value: readString(w)}
					}
				})
			})
		})
	})
	return r
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
