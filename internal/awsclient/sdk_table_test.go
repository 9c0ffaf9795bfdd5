package awsclient

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// An sdkBatchTable is the twin of BatchTable on the SDK's client.
type sdkBatchTable struct {
	*BatchTable
	clients *Clients
}

// Write implements writer.Table.
func (t *sdkBatchTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	requests := make([]types.WriteRequest, len(items))
	for i, it := range items {
		attributes, err := attributeValues(it.AppendJSON(nil))
		if err != nil {
			writer.SetAll(results, writer.Result{Kind: writer.Suspect, Err: err})
			return
		}
		requests[i].PutRequest = &types.PutRequest{Item: attributes}
	}
	out, err := t.clients.DynamoDB.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
		RequestItems:           map[string][]types.WriteRequest{t.name: requests},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		t.batchWritten(items, results, nil, 0, err)
		return
	}
	units := 0.0
	for i := range out.ConsumedCapacity {
		units += aws.ToFloat64(out.ConsumedCapacity[i].CapacityUnits)
	}
	var unprocessed []item.Key
	for _, requests := range out.UnprocessedItems {
		for _, r := range requests {
			if r.PutRequest == nil {
				r.PutRequest = &types.PutRequest{}
			}
			unprocessed = append(unprocessed, t.key(r.PutRequest.Item))
		}
	}
	t.batchWritten(items, results, unprocessed, units, nil)
}

// key is the key of an item that the service returned, whose numbers it may have written in another way.
func (t *sdkBatchTable) key(attributes map[string]types.AttributeValue) item.Key {
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

// An sdkPutTable is the twin of PutTable on the SDK's client.
type sdkPutTable struct {
	*PutTable
	clients *Clients
}

// Write implements writer.Table.
func (t *sdkPutTable) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	it := items[0]
	attributes, err := attributeValues(it.AppendJSON(nil))
	if err != nil {
		results[0] = writer.Result{Kind: writer.Invalid, Err: err}
		return
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
	units := 0.0
	if out != nil && out.ConsumedCapacity != nil {
		units = aws.ToFloat64(out.ConsumedCapacity.CapacityUnits)
	}
	results[0] = t.written("PutItem", it, units, err)
}
