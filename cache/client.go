package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
)

// DynamoDB is what NewFromClient needs of a *dynamodb.Client, or of what stands in its place. Retries and timeouts are the
// client's.
type DynamoDB interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
}

// NewFromClient makes a Cache that reads with a client of the service's own: a wrapper, a mock, DAX. It calls nothing: the first
// read asks the table for its layout, unless WithLayout gives it. The options are the defaults of every call. New is faster.
func NewFromClient(client DynamoDB, table string, options ...Option) (*Cache, error) {
	c, err := newCache(table, options)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, errors.New("cache: the client is nil")
	}
	if c.setup.attemptTimeout != 0 {
		return nil, errors.New("cache: AttemptTimeout is for New: the timeouts of NewFromClient are its client's")
	}
	c.source = &clientSource{client, table}
	return c, nil
}

// A clientSource reads by a client of the service's own, in the SDK's types.
type clientSource struct {
	client DynamoDB
	table  string
}

// errNoAnswer is for a mock or a wrapper that returns nothing at all.
var errNoAnswer = errors.New("the client returned neither an answer nor an error")

func (s *clientSource) clock() time.Duration { return 0 }

func (s *clientSource) describe(ctx context.Context, attempt bool) (item.Table, error) {
	options := clientOptions(attempt)
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table}, options...)
	if err == nil && (out == nil || out.Table == nil) {
		err = errNoAnswer
	}
	if err != nil {
		return item.Table{}, fmt.Errorf("asking for the layout of the table %q: %w", s.table, err)
	}
	ttl, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.table}, options...)
	if err == nil && ttl == nil {
		err = errNoAnswer
	}
	if err != nil {
		return item.Table{}, fmt.Errorf("asking for the TTL attribute of the table %q: %w", s.table, err)
	}
	return awsitem.Table(out.Table, ttl.TimeToLiveDescription), nil
}

// clientOptions are the options of a call: a single attempt, or the client's retries.
func clientOptions(attempt bool) []func(*dynamodb.Options) {
	if !attempt {
		return nil
	}
	return []func(*dynamodb.Options){func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }}
}

func (s *clientSource) call(ctx context.Context, r *request) (answer, error) {
	options := clientOptions(r.attempt)
	switch r.operation {
	case getItem:
		return s.getItem(ctx, r, options)
	case batchGetItem:
		return s.batchGetItem(ctx, r, options)
	default:
		return s.query(ctx, r, options)
	}
}

func (s *clientSource) getItem(ctx context.Context, r *request, options []func(*dynamodb.Options)) (a answer, err error) {
	in := &dynamodb.GetItemInput{TableName: &s.table, Key: s.key(r.layout, r.keys[0]), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal}
	if r.options.consistent {
		in.ConsistentRead = aws.Bool(true)
	}
	in.ProjectionExpression, in.ExpressionAttributeNames = optional(r.projection), namesOf(r.names)
	out, err := s.client.GetItem(ctx, in, options...)
	if err == nil && out == nil {
		err = errNoAnswer
	}
	if err != nil {
		return a, err
	}
	a.units = unitsOf(out.ConsumedCapacity)
	r.item(&a, awsitem.Fields(out.Item))
	return a, nil
}

func (s *clientSource) batchGetItem(ctx context.Context, r *request, options []func(*dynamodb.Options)) (a answer, err error) {
	asked := types.KeysAndAttributes{Keys: make([]map[string]types.AttributeValue, len(r.keys))}
	for i, key := range r.keys {
		asked.Keys[i] = s.key(r.layout, key)
	}
	if r.options.consistent {
		asked.ConsistentRead = aws.Bool(true)
	}
	asked.ProjectionExpression, asked.ExpressionAttributeNames = optional(r.projection), namesOf(r.names)
	out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{s.table: asked}, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}, options...)
	if err == nil && out == nil {
		err = errNoAnswer
	}
	if err != nil {
		return a, err
	}
	for i := range out.ConsumedCapacity {
		a.units += unitsOf(&out.ConsumedCapacity[i])
	}
	for _, items := range out.Responses { // of the one table, whatever it is called in the answer
		for _, attributes := range items {
			r.item(&a, awsitem.Fields(attributes))
		}
	}
	for _, unprocessed := range out.UnprocessedKeys {
		for _, key := range unprocessed.Keys {
			v := awsitem.Value(key[r.layout.HashKey])
			a.left = append(a.left, v.Text)
		}
	}
	return a, nil
}

func (s *clientSource) query(ctx context.Context, r *request, options []func(*dynamodb.Options)) (a answer, err error) {
	in := &dynamodb.QueryInput{
		TableName: &s.table, KeyConditionExpression: &r.condition, FilterExpression: optional(r.filter),
		ProjectionExpression: optional(r.projection), ExpressionAttributeNames: namesOf(r.names),
		ExpressionAttributeValues: make(map[string]types.AttributeValue, len(r.values)),
		ScanIndexForward:          &r.forward, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
	for _, v := range r.values {
		in.ExpressionAttributeValues[v.alias] = attributeValue(v.kind, v.text)
	}
	if r.options.consistent {
		in.ConsistentRead = aws.Bool(true)
	}
	if r.limit > 0 {
		in.Limit = &r.limit
	}
	if r.after != nil {
		in.ExclusiveStartKey = s.key(r.layout, r.after.ID)
		in.ExclusiveStartKey[r.layout.SortKey] = attributeValue("N", string(r.after.AppendSort(nil)))
	}
	out, err := s.client.Query(ctx, in, options...)
	if err == nil && out == nil {
		err = errNoAnswer
	}
	if err != nil {
		return a, err
	}
	a.units, a.filtered = unitsOf(out.ConsumedCapacity), int(out.ScannedCount-out.Count)
	for _, attributes := range out.Items {
		r.item(&a, awsitem.Fields(attributes))
	}
	if len(out.LastEvaluatedKey) > 0 {
		next, err := r.layout.DecodeKey(awsitem.Fields(out.LastEvaluatedKey))
		if err != nil {
			return a, fmt.Errorf("the key at which the page ends: %w", err)
		}
		a.next = &next
	}
	return a, nil
}

func (s *clientSource) key(l *item.Layout, id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{l.HashKey: attributeValue(string(l.HashType), id)}
}

func attributeValue(kind, text string) types.AttributeValue {
	switch kind {
	case "N":
		return &types.AttributeValueMemberN{Value: text}
	case "BOOL":
		return &types.AttributeValueMemberBOOL{Value: text == "true"}
	}
	return &types.AttributeValueMemberS{Value: text}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func namesOf(names []alias) map[string]string {
	if len(names) == 0 {
		return nil
	}
	m := make(map[string]string, len(names))
	for _, n := range names {
		m[n.alias] = n.attribute
	}
	return m
}

func unitsOf(c *types.ConsumedCapacity) float64 {
	if c == nil {
		return 0
	}
	return aws.ToFloat64(c.CapacityUnits)
}
