package awsclient

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// A Table is one DynamoDB table by the SDK's client: the writer's table.
type Table struct {
	clients *Clients
	name    string
	layout  *item.Layout
	spent   func(units float64)
}

// NewTable returns the table of a name. spent is told the write units of each call.
func NewTable(clients *Clients, name string, layout *item.Layout, spent func(units float64)) *Table {
	return &Table{clients, name, layout, spent}
}

// BatchWrite implements writer.Table.
func (t *Table) BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
	requests := make([]types.WriteRequest, len(items))
	for i, it := range items {
		attributes, err := attributeValues(it.AppendJSON(nil))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", writer.ErrInvalid, err)
		}
		requests[i].PutRequest = &types.PutRequest{Item: attributes}
	}
	start := time.Now()
	out, err := t.clients.DynamoDB.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
		RequestItems:           map[string][]types.WriteRequest{t.name: requests},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	t.clients.observe("BatchWriteItem", start, err)
	if err != nil {
		return nil, classify(err)
	}
	units := 0.0
	for i := range out.ConsumedCapacity {
		units += aws.ToFloat64(out.ConsumedCapacity[i].CapacityUnits)
	}
	unprocessed, err = t.match(items, out.UnprocessedItems)
	t.count(units, items, unprocessed)
	return unprocessed, err
}

// count notes the write units of a call. Some stand-ins don't tell them: then the items' own are counted.
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
func (t *Table) match(items []*item.Item, unprocessed map[string][]types.WriteRequest) (indexes []int, err error) {
	if len(unprocessed) == 0 {
		return nil, nil
	}
	sent := make(map[item.Key]int, len(items))
	for i, it := range items {
		sent[it.Key] = i
	}
	for _, requests := range unprocessed {
		for _, r := range requests {
			if r.PutRequest == nil {
				return nil, fmt.Errorf("an unprocessed item that is no put")
			}
			index, found := sent[t.key(r.PutRequest.Item)]
			if !found {
				return nil, fmt.Errorf("an unprocessed item whose key was not sent")
			}
			indexes = append(indexes, index)
		}
	}
	return indexes, nil
}

// key is the key of an item that the service returned, whose numbers it may have written in another way.
func (t *Table) key(attributes map[string]types.AttributeValue) item.Key {
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

// TableInfo is what the worker wants to know of a table.
type TableInfo struct {
	item.Table
	Status   string
	OnDemand bool
	Items    int64 // about
	Bytes    int64 // about
}

// DescribeTable reads a table's keys, indexes and TTL.
func DescribeTable(ctx context.Context, clients *Clients, name string) (*TableInfo, error) {
	what := fmt.Sprintf("the table %q", name)
	patiently := func(o *dynamodb.Options) { o.Retryer = patient() }
	out, err := clients.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name}, patiently)
	if err != nil {
		return nil, Remedy("DescribeTable", what, err)
	}
	ttl, err := clients.DynamoDB.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name}, patiently)
	if err != nil {
		return nil, Remedy("DescribeTimeToLive", "the TTL setting of "+what, err)
	}
	d := out.Table
	return &TableInfo{
		Table: awsitem.Table(d, ttl.TimeToLiveDescription), Status: string(d.TableStatus),
		OnDemand: d.BillingModeSummary != nil && d.BillingModeSummary.BillingMode == types.BillingModePayPerRequest,
		Items:    aws.ToInt64(d.ItemCount), Bytes: aws.ToInt64(d.TableSizeBytes),
	}, nil
}

// patient retries what the worker asks at its start, for which nobody else retries.
func patient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 4, 2*time.Second })
}

func redrivePolicy(text string) (target string, maxReceives int) {
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
		// A number, or a string with one: the API takes both and returns what it was given.
		MaxReceives json.RawMessage `json:"maxReceiveCount"`
	}
	if text == "" || json.Unmarshal([]byte(text), &policy) != nil {
		return "", 0
	}
	maxReceives, _ = strconv.Atoi(strings.Trim(string(policy.MaxReceives), `"`))
	return policy.Target, maxReceives
}
