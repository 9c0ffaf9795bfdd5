package awsclient

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// PutNewest implements writer.NewestTable.
func (t *DirectTable) PutNewest(ctx context.Context, it *item.Item) error {
	c := t.put.Begin()
	defer t.put.End(c)
	b := append(jsonscan.AppendQuoted(append(c.Request, `{"TableName":`...), t.name), `,"Item":`...)
	b = append(it.AppendJSON(b), `,"ConditionExpression":"`...)
	b = append(b, *notNewer...) // which needs no escapes
	b = append(b, `","ExpressionAttributeNames":{"#created":"`+item.AttrCreatedAt+`","#sent":"`+item.AttrSent+`"},"ExpressionAttributeValues":{":created":{"N":"`...)
	b = append(it.Version.Event.AppendSeconds(b), `"},":sent":{"N":"`...)
	c.Request = append(it.AppendSent(b), `"}},"ReturnConsumedCapacity":"TOTAL"}`...)

	start := time.Now()
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
		t.spent(float64(it.Units())) // see Table.PutNewest
		t.clients.observe("PutItem", start, nil)
		return writer.ErrSuperseded
	}
	t.clients.observe("PutItem", start, err)
	if err != nil {
		return classifyPut(err)
	}
	t.spent(units)
	return nil
}
