package cache_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// A store is a table of one layout, written by the worker's own parts and read by a Cache.
type store struct {
	name    string
	kind    item.Kind
	hash    item.KeyType
	unit    uint64
	client  *dynamodb.Client
	backend backend.Services // over the wire
	table   string
	layout  *item.Layout
	cache   *cache.Cache
}

var layouts = []store{
	{name: "versioned", kind: item.Versioned, hash: item.TypeS, unit: 1},
	{name: "versioned ms", kind: item.Versioned, hash: item.TypeS, unit: 1000},
	{name: "versioned N", kind: item.Versioned, hash: item.TypeN, unit: 1},
	{name: "expiry-sorted", kind: item.ExpirySorted, hash: item.TypeS, unit: 1},
	{name: "latest-only", kind: item.LatestOnly, hash: item.TypeS, unit: 1},
	{name: "latest-only N", kind: item.LatestOnly, hash: item.TypeN, unit: 1},
}

// overTheWire runs a test on each layout, on the fakes and on the stand-ins where they are.
func overTheWire(t *testing.T, test func(t *testing.T, s *store)) {
	for _, b := range backend.All(t) {
		for _, s := range layouts {
			for _, by := range []string{"signed", "client"} {
				t.Run(b.Name+"/"+s.name+"/"+by, func(t *testing.T) {
					s := s
					s.backend = b
					s.open(t, b.DynamoDB, func(in dynamodb.CreateTableInput, ttl string) string { return b.CreateTable(t, in, ttl) })
					if by == "client" {
						s.cache = openClient(s.client, s.table)
					}
					test(t, &s)
				})
			}
		}
	}
}

// fake opens a store of a layout on a fake without a network, for a bubble.
func fake(t *testing.T, name string) (*store, *dynamodbfake.Service) {
	for _, s := range layouts {
		if s.name == name {
			return &s, s.fake(t)
		}
	}
	t.Fatalf("no layout %q", name)
	return nil, nil
}

func (s *store) fake(t *testing.T) *dynamodbfake.Service {
	db := dynamodbfake.New()
	client := db.Client()
	s.open(t, client, func(in dynamodb.CreateTableInput, ttl string) string {
		table := "predictions"
		in.TableName, in.BillingMode = &table, types.BillingModePayPerRequest
		if _, err := client.CreateTable(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
		on := true
		if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &table,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl, Enabled: &on}}); err != nil {
			t.Fatal(err)
		}
		return table
	})
	return db
}

func (s *store) open(t *testing.T, client *dynamodb.Client, create func(in dynamodb.CreateTableInput, ttl string) string) {
	t.Helper()
	hash, ttl := "predictionId:"+string(s.hash), "expiresAt"
	switch s.kind {
	case item.Versioned:
		s.table = create(dynamodbfake.Keys(hash, "timestamp:N"), ttl)
	case item.ExpirySorted:
		s.table = create(dynamodbfake.Keys(hash, "timestamp:N"), "timestamp")
	default:
		s.table = create(dynamodbfake.Keys(hash), ttl)
	}
	s.client = client
	s.cache = open(client, s.table)
	s.encode(t, item.JSON)
}

// encode chooses how what is written from now on stores its payloads.
func (s *store) encode(t *testing.T, encoding item.Encoding) {
	t.Helper()
	out, err := s.client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := s.client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &s.table})
	if err != nil {
		t.Fatal(err)
	}
	s.layout, err = item.NewLayout(awsitem.Table(out.Table, ttl.TimeToLiveDescription), item.Options{PerSecond: s.unit, Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
}

// id is the i-th id, as the hash key's type wants it.
func (s *store) id(i int) string {
	if s.hash == item.TypeN {
		return fmt.Sprint(i)
	}
	return fmt.Sprint("user-", i)
}

// field is an id as a message's JSON has it.
func (s *store) field(id string) string {
	if s.hash == item.TypeN {
		return id
	}
	return fmt.Sprintf("%q", id)
}

// message is a prediction as a message has it; more is further members, each starting with a comma.
func (s *store) message(id string, event time.Time, life time.Duration, payload, more string) string {
	return fmt.Sprintf(`{"predictionId":%s,"timestamp":%q,"ttlSeconds":%d,"prediction":%s%s}`,
		s.field(id), event.UTC().Format(time.RFC3339Nano), int(life.Seconds()), payload, more)
}

// tombstone is a delete as a message has it.
func (s *store) tombstone(id string, event time.Time, life time.Duration) string {
	return fmt.Sprintf(`{"predictionId":%s,"timestamp":%q,"ttlSeconds":%d,"deleted":true}`,
		s.field(id), event.UTC().Format(time.RFC3339Nano), int(life.Seconds()))
}

// put writes messages as the worker does, one after the other, and returns their items.
func (s *store) put(t *testing.T, messages ...string) []*item.Item {
	t.Helper()
	items := s.items(t, messages...)
	w := awsclient.NewTable(&awsclient.Clients{DynamoDB: s.client}, s.table, s.layout, func(float64) {})
	for _, it := range items {
		results := make([]writer.Result, 1)
		if w.Write(t.Context(), []*item.Item{it}, results); results[0].Kind != writer.Written {
			t.Fatalf("writing: %v, %v", results[0].Kind, results[0].Err)
		}
	}
	return items
}

func (s *store) items(t *testing.T, messages ...string) (items []*item.Item) {
	t.Helper()
	d := prediction.NewDecoder(prediction.Config{
		Fields:     prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt", Deleted: "deleted"},
		Attributes: prediction.Attributes{All: true}, TTL: time.Second, // so that deletes may have short lives too
		MaxFuture: 5 * time.Minute, MaxDecodedBytes: 8 << 20,
	})
	var decoded prediction.Decoded
	d.Decode(&decoded, prediction.Message{Body: strings.Join(messages, "\n"), Sent: time.Now().UnixMilli()}, time.Now())
	if len(decoded.Rejected) > 0 {
		t.Fatal(decoded.Rejected[0].Why)
	}
	for i := range decoded.Predictions {
		it, why := s.layout.New(&decoded.Predictions[i])
		if why != nil {
			t.Fatal(why)
		}
		items = append(items, it)
	}
	return items
}

// putItem writes an item by hand, such as no worker would.
func (s *store) putItem(t *testing.T, attributes map[string]types.AttributeValue) {
	t.Helper()
	if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.table, Item: attributes}); err != nil {
		t.Fatal(err)
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n any) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

// queryOf asks for all items of an id, by hand.
func (s *store) queryOf(id string) *dynamodb.QueryInput {
	condition := "predictionId = :id"
	in := &dynamodb.QueryInput{TableName: &s.table, KeyConditionExpression: &condition, ExpressionAttributeValues: map[string]types.AttributeValue{":id": text(id)}}
	if s.hash == item.TypeN {
		in.ExpressionAttributeValues[":id"] = number(id)
	}
	return in
}
