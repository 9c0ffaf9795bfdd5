package awsclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// An sdkTable is the twin of Table on the SDK's client.
type sdkTable struct {
	*Table
	clients *Clients
}

// BatchWrite implements writer.Table.
func (t *sdkTable) BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
	requests := make([]types.WriteRequest, len(items))
	for i, it := range items {
		attributes, err := attributeValues(it.AppendJSON(nil))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", writer.ErrInvalid, err)
		}
		requests[i].PutRequest = &types.PutRequest{Item: attributes}
	}
	out, err := t.clients.DynamoDB.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
		RequestItems:           map[string][]types.WriteRequest{t.name: requests},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return nil, classify(err)
	}
	units := 0.0
	for i := range out.ConsumedCapacity {
		units += aws.ToFloat64(out.ConsumedCapacity[i].CapacityUnits)
	}
	var keys []item.Key
	for _, requests := range out.UnprocessedItems {
		for _, r := range requests {
			if r.PutRequest == nil {
				r.PutRequest = &types.PutRequest{}
			}
			keys = append(keys, t.key(r.PutRequest.Item))
		}
	}
	unprocessed, err = t.match(items, keys)
	t.count(units, items, unprocessed)
	return unprocessed, err
}

// key is the key of an item that the service returned, whose numbers it may have written in another way.
func (t *sdkTable) key(attributes map[string]types.AttributeValue) item.Key {
	var k item.Key
	switch v := attributes[t.layout.HashKey].(type) {
	case *types.AttributeValueMemberS:
		k.ID = v.Value
	case *types.AttributeValueMemberN:
		if number, err := jsonscan.Parse(v.Value); err == nil && number.Kind() == jsonscan.Number {
			k.ID = string(jsonscan.ParseDecimal(v.Value).Append(nil))
		}
	}
	if v, ok := attributes[t.layout.SortKey].(*types.AttributeValueMemberN); ok {
		k.Sort, _ = strconv.ParseInt(v.Value, 10, 64) // we sent a whole number
	}
	return k
}

var notNewerNames = map[string]string{"#created": item.AttrCreatedAt, "#sent": item.AttrSent}

// PutNewest implements writer.NewestTable.
func (t *sdkTable) PutNewest(ctx context.Context, it *item.Item) error {
	attributes, err := attributeValues(it.AppendJSON(nil))
	if err != nil {
		return fmt.Errorf("%w: %w", writer.ErrInvalid, err)
	}
	out, err := t.clients.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name, Item: attributes,
		ConditionExpression: aws.String(notNewer), ExpressionAttributeNames: notNewerNames,
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
		return writer.ErrSuperseded
	}
	if err != nil {
		return classifyPut(err)
	}
	if out.ConsumedCapacity != nil {
		t.spent(aws.ToFloat64(out.ConsumedCapacity.CapacityUnits))
	}
	return nil
}
