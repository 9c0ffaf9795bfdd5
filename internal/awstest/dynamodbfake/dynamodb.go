// Package dynamodbfake is a fake of Amazon DynamoDB that enforces the service's rules. See package awstest.
package dynamodbfake

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// Service is a fake of DynamoDB: an http.Handler whose state is in memory. Make it with [New]; inside a bubble, if it is to
// be used there.
type Service struct {
	*awstest.Server

	mu       sync.Mutex // guards what follows
	tables   map[string]*table
	writes   []writeRecord
	effect   func(c *awstest.Call, i int, old attribute.Item)
	discards bool
}

// New makes a fake without tables.
func New() *Service {
	s := &Service{tables: make(map[string]*table)}
	s.Server = awstest.NewServer(awstest.Protocol{
		Target: "DynamoDB_20120810", CRC32: true, Ended: s.recordUnapplied,
		MaxBody: 16 << 20, // "Quotas in Amazon DynamoDB", BatchWriteItem
		Operations: map[string]awstest.Operation{
			"CreateTable":        awstest.Handle(s.createTable),
			"UpdateTable":        awstest.Handle(s.updateTable),
			"DeleteTable":        awstest.Handle(s.deleteTable),
			"DescribeTable":      awstest.Handle(s.describeTable),
			"UpdateTimeToLive":   awstest.Handle(s.updateTimeToLive),
			"DescribeTimeToLive": awstest.Handle(s.describeTimeToLive),
			"BatchWriteItem":     awstest.Handle(s.batchWriteItem),
			"BatchGetItem":       awstest.Handle(s.batchGetItem),
			"PutItem":            awstest.Handle(s.putItem),
			"GetItem":            awstest.Handle(s.getItem),
			"DeleteItem":         awstest.Handle(s.deleteItem),
			"Query":              awstest.Handle(s.query),
			"Scan":               awstest.Handle(s.scan),
		},
	})
	return s
}

// Client is an SDK client of the fake, with no network between them. It retries as the SDK does by default.
func (s *Service) Client(options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.NewFromConfig(awstest.Config(awstest.Transport(s)), options...)
}

// Keys is the definition of a table's primary key, each attribute as "name:type", e.g. Keys("predictionId:S", "timestamp:N").
func Keys(hash string, sort ...string) dynamodb.CreateTableInput {
	var in dynamodb.CreateTableInput
	for i, definition := range append([]string{hash}, sort...) {
		name, kind, _ := strings.Cut(definition, ":")
		role := types.KeyTypeHash
		if i > 0 {
			role = types.KeyTypeRange
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeType(kind)})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &name, KeyType: role})
	}
	return in
}

// table finds a table. It requires that s.mu be held.
func (s *Service) table(name string) (*table, *awstest.Error) {
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	return nil, resourceNotFound("Requested resource not found")
}

// Items returns the items of a table, in the order of their hash keys and then their sort keys.
func (s *Service) Items(table string) []attribute.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil {
		return nil
	}
	items := make([]attribute.Item, 0, t.count)
	for _, hash := range slices.Sorted(maps.Keys(t.partitions)) {
		for _, r := range t.partitions[hash].rows {
			items = append(items, r.item)
		}
	}
	return items
}

// ItemCount returns the number of items of a table.
func (s *Service) ItemCount(table string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[table]; t != nil {
		return t.count
	}
	return 0
}

// Item finds an item by the text of its key: the hash key's and, where the table has one, the sort key's. A number may be
// in any notation. Item returns nil if there is none.
func (s *Service) Item(table, hash string, sort ...string) attribute.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil {
		return nil
	}
	k := rowKey{hash: attribute.Scalar(t.types[t.keys.hash], hash).SortKey()}
	if t.keys.sort != "" {
		k.sort = attribute.Scalar(t.types[t.keys.sort], strings.Join(sort, "")).SortKey()
	}
	if r := t.get(k); r != nil {
		return r.item
	}
	return nil
}

// ExpireTTL deletes the items whose TTL attribute is a number of seconds that is over at now, as the service does some time
// within days. It leaves alone what ended over five years ago ("Using time to live (TTL) in DynamoDB"). It returns the
// number of items deleted.
func (s *Service) ExpireTTL(table string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil || t.ttl == "" {
		return 0
	}
	var expired []rowKey
	for _, p := range t.partitions {
		for _, r := range p.rows {
			v := r.item[t.ttl]
			if v.Type() != "N" {
				continue
			}
			if end := v.SortKey(); end <= secondsKey(now) && end > secondsKey(now.AddDate(-5, 0, 0)) {
				expired = append(expired, t.key(r.item))
			}
		}
	}
	for _, k := range expired {
		t.remove(k)
	}
	return len(expired)
}

func secondsKey(at time.Time) string {
	return attribute.Scalar("N", decimal(at.Unix())).SortKey()
}
