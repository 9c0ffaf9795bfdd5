package awsclient

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// version makes an item of the key "a" with an event time in seconds as text, a sent time and a place.
func version(t *testing.T, layout *item.Layout, event string, sent int64, place int) *item.Item {
	t.Helper()
	return decoded(t, layout, fmt.Sprintf(`{"id":"a","at":%s,"p":"%s/%d/%d"}`, event, event, sent, place), sent, place)
}

// tombstone makes a tombstone in the place of a version.
func tombstone(t *testing.T, layout *item.Layout, event string, sent int64, place int) *item.Item {
	t.Helper()
	return decoded(t, layout, fmt.Sprintf(`{"id":"a","at":%s,"deleted":true}`, event), sent, place)
}

func decoded(t *testing.T, layout *item.Layout, text string, sent int64, place int) *item.Item {
	t.Helper()
	d := prediction.NewDecoder(prediction.Config{
		Fields: prediction.Fields{ID: "id", Timestamp: "at", Payload: "p", Deleted: "deleted"}, TTL: 24 * time.Hour, MaxFuture: 1 << 62, MaxDecodedBytes: 1 << 20,
	})
	var decoded prediction.Decoded
	filler := strings.Repeat(`{"id":"b","at":1,"p":1}`+"\n", place)
	d.Decode(&decoded, prediction.Message{Body: filler + text, Sent: sent}, time.Now())
	if len(decoded.Predictions) != place+1 {
		t.Fatal(decoded.Rejected[0].Why)
	}
	it, why := layout.New(&decoded.Predictions[place])
	if why != nil {
		t.Fatal(why)
	}
	return it
}

func TestPutTable(t *testing.T) {
	layout, err := item.NewLayout(item.Table{HashKey: "id", HashType: item.TypeS, TTLAttribute: "ttl"}, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	at := func(fraction string) string { return fmt.Sprint(now, fraction) }
	type v struct {
		event string
		sent  int64
		place int
		gone  bool // a delete
	}
	itemOf := func(v v) (*item.Item, string) {
		if v.gone {
			return tombstone(t, layout, v.event, v.sent, v.place), "deleted"
		}
		return version(t, layout, v.event, v.sent, v.place), fmt.Sprintf(`"%s/%d/%d"`, v.event, v.sent, v.place)
	}
	for _, b := range backend.All(t) {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprint(b.Name, "/direct ", direct), func(t *testing.T) {
				name := b.CreateTable(t, dynamodbfake.Keys("id:S"), "ttl")
				clients, spent := &Clients{DynamoDB: b.DynamoDB}, 0.0
				count := func(units float64) { spent += units }
				batches := newBatchTable(clients, name, layout, count)
				var puts writer.Table = newPutTable(clients, name, layout, count)
				if !direct {
					puts = &sdkPutTable{newPutTable(clients, name, layout, count), clients}
				}
				write := func(table writer.Table, it *item.Item) writer.Result {
					var results [1]writer.Result
					table.Write(t.Context(), []*item.Item{it}, results[:])
					return results[0]
				}
				payload := func() string {
					out, err := b.DynamoDB.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &name, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "a"}}})
					if err != nil {
						t.Fatal(err)
					}
					if deleted, ok := out.Item["deleted"].(*types.AttributeValueMemberBOOL); ok && deleted.Value && out.Item["prediction"] == nil {
						return "deleted"
					}
					return out.Item["prediction"].(*types.AttributeValueMemberS).Value
				}
				for _, c := range []struct {
					name       string
					there, put v
					replaced   bool
				}{
					{"newer", v{at(""), 5, 0, false}, v{at(".000000000000000001"), 1, 0, false}, true},
					{"older", v{at(".5"), 1, 0, false}, v{at(".499999999999999999"), 9, 0, false}, false},
					{"older in seconds, longer in digits", v{at(""), 1, 0, false}, v{fmt.Sprint(now-1, ".999999999999999999"), 1, 0, false}, false},
					{"the same again", v{at(".25"), 5, 0, false}, v{at(".25"), 5, 0, false}, true},
					{"one event time, sent later", v{at(".25"), 5, 0, false}, v{at(".25"), 6, 0, false}, true},
					{"one event time, sent earlier", v{at(".25"), 50, 0, false}, v{at(".25"), 6, 0, false}, false},
					{"one message, a later place", v{at(".25"), 5, 2, false}, v{at(".25"), 5, 10, false}, true},
					{"one message, an earlier place", v{at(".25"), 5, 10, false}, v{at(".25"), 5, 2, false}, false},
					{"a place doesn't reach the next sent time", v{at(".25"), 6, 0, false}, v{at(".25"), 5, 99, false}, false},
					{"a delete of one event time, sent earlier", v{at(".25"), 5, 9, false}, v{at(".25"), 1, 0, true}, true},
					{"a delete of an earlier event time", v{at(".25"), 5, 0, false}, v{at(".249"), 9, 0, true}, false},
					{"a delete again", v{at(".25"), 5, 0, true}, v{at(".25"), 5, 0, true}, true},
					{"a delete, sent earlier", v{at(".25"), 5, 0, true}, v{at(".25"), 4, 9, true}, false},
					{"a late prediction of the delete's event time", v{at(".25"), 5, 0, true}, v{at(".25"), 1 << 50, 9, false}, false},
					{"a prediction after the delete", v{at(".25"), 5, 0, true}, v{at(".250000000000000001"), 1, 0, false}, true},
				} {
					there, want := itemOf(c.there)
					put, replacement := itemOf(c.put)
					if r := write(batches, there); r.Kind != writer.Written {
						t.Fatal(r)
					}
					spent = 0
					r := write(puts, put)
					kind := writer.Superseded
					if c.replaced {
						kind = writer.Written
						want = replacement
					}
					if got := payload(); got != want || r.Kind != kind {
						t.Errorf("%s: the table has %s, want %s (%v, %v)", c.name, got, want, r.Kind, r.Err)
					}
					if spent != 1 {
						t.Errorf("%s: %v units were counted, want 1", c.name, spent)
					}
				}
				// What the worker can't have written is replaced: it would otherwise stay for ever.
				for what, created := range map[string]types.AttributeValue{"no event time": nil, "text for the event time": &types.AttributeValueMemberS{Value: "soon"}} {
					foreign := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "a"}, "prediction": &types.AttributeValueMemberS{Value: "foreign"}}
					if created != nil {
						foreign["createdAt"] = created
					}
					if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: foreign}); err != nil {
						t.Fatal(err)
					}
					if r := write(puts, version(t, layout, at(""), 1, 0)); r.Kind != writer.Written || payload() == "foreign" {
						t.Errorf("%s: %s, %v, %v", what, payload(), r.Kind, r.Err)
					}
				}
			})
		}
	}
}
