package awsclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// notNewer holds where the table's version of a key is not newer than the one to be written: by event time at full precision,
// then by sent time and place. It is put as a negation, since a comparison with an attribute that isn't there is false: it so
// holds where there is no item, or one that the worker can't have written. A version is not newer than itself, so that a write
// whose answer was lost, or that is redelivered, succeeds again.
var notNewer = aws.String("NOT (#created > :created OR (#created = :created AND #sent > :sent))")

var notNewerNames = map[string]string{"#created": item.AttrCreatedAt, "#sent": item.AttrSent}

// PutNewest implements writer.NewestTable.
func (t *Table) PutNewest(ctx context.Context, it *item.Item) error {
	attributes, err := attributeValues(it.AppendJSON(nil))
	if err != nil {
		return fmt.Errorf("%w: %w", writer.ErrInvalid, err)
	}
	start := time.Now()
	out, err := t.clients.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name, Item: attributes,
		ConditionExpression: notNewer, ExpressionAttributeNames: notNewerNames,
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":created": &types.AttributeValueMemberN{Value: string(it.Version.Event.AppendSeconds(nil))},
			":sent":    &types.AttributeValueMemberN{Value: string(it.AppendSent(nil))},
		},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		// The service doesn't say what it cost: the write units of the item that is there, which is about as large.
		t.spent(float64(it.Units()))
		t.clients.observe("PutItem", start, nil)
		return writer.ErrSuperseded
	}
	t.clients.observe("PutItem", start, err)
	if err != nil {
		return classifyPut(err)
	}
	if out.ConsumedCapacity != nil {
		t.spent(aws.ToFloat64(out.ConsumedCapacity.CapacityUnits))
	}
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
