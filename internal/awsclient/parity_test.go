package awsclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// both are the hot path on the SDK's clients and by our own requests, on one transport.
type both struct {
	queues [2]interface {
		consumer.Queue
		consumer.RejectQueue
	}
	tables [2]writer.Table
	puts   [2]writer.Table
	units  [2]float64
}

var ways = [2]string{"sdk", "direct"}

func newBoth(t testing.TB, transport http.RoundTripper, layout *item.Layout) *both {
	settings(t)
	return newBothIn(t, transport, layout)
}

// settings sets the SDK's environment, but for what the test has set.
func settings(t testing.TB) {
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": "", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SQS": "", "AWS_ENDPOINT_URL_DYNAMODB": "",
	} {
		t.Setenv(name, value)
	}
}

func newBothIn(t testing.TB, transport http.RoundTripper, layout *item.Layout) *both {
	b := &both{}
	for way := range ways {
		clients, err := New(context.Background(), Config{Transport: transport, Clock: &Clock{}})
		if err != nil {
			t.Fatal(err)
		}
		// The SDK adds an id that is new for each attempt.
		plain := func(s *middleware.Stack) error {
			_, err := s.Build.Remove("ClientRequestID")
			return err
		}
		clients.SQS = sqs.New(clients.SQS.Options(), func(o *sqs.Options) {
			o.APIOptions = append(o.APIOptions, plain)
			o.DisableMessageChecksumValidation = true // see awsjson.Operation.Send
		})
		clients.DynamoDB = dynamodb.New(clients.DynamoDB.Options(), func(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, plain) })
		url := "https://sqs.eu-west-1.amazonaws.com/000000000000/predictions"
		spent := func(units float64) { b.units[way] += units }
		batches, puts := newBatchTable(clients, "predictions", layout, spent), newPutTable(clients, "predictions", layout, spent)
		if ways[way] == "sdk" {
			b.queues[way], b.tables[way], b.puts[way] = newSDKQueue(clients, url), &sdkBatchTable{batches, clients}, &sdkPutTable{puts, clients}
		} else {
			b.queues[way], b.tables[way], b.puts[way] = NewQueue(clients, url), batches, puts
		}
	}
	return b
}

// layouts returns a layout without a sort key and one with it.
func layouts(t testing.TB) (latest, versioned *item.Layout) {
	table := item.Table{HashKey: "predictionId", HashType: item.TypeS, TTLAttribute: "expiresAt"}
	latest, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON})
	if err != nil {
		t.Fatal(err)
	}
	table.SortKey, table.SortType = "timestamp", item.TypeN
	versioned, err = item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON})
	if err != nil {
		t.Fatal(err)
	}
	return latest, versioned
}

// items returns items whose texts need every kind of escape.
func items(t testing.TB, l *item.Layout, n int) []*item.Item {
	d := prediction.NewDecoder(prediction.Config{
		Fields: prediction.Fields{ID: "id", Timestamp: "at", Payload: "p"}, Attributes: prediction.Attributes{All: true},
		TTL: time.Hour, MaxDecodedBytes: 1 << 20,
	})
	var decoded prediction.Decoded
	var all []*item.Item
	for i := range n {
		body := fmt.Sprintf(`{"id":"a\"<&>é %d\u2028","at":1700000000.%d,"p":{"x":[1.50, "t\\ \"q\" é😀"],"n":12345678901234567890},"model":"m/\u0001","list":[true,null,{"k":1e5}]}`, i, i+1)
		d.Decode(&decoded, prediction.Message{Body: body, Sent: 1}, time.Unix(1_700_000_001, 0))
		if len(decoded.Predictions) != 1 {
			t.Fatalf("%+v", decoded.Rejected)
		}
		it, why := l.New(&decoded.Predictions[0])
		if why != nil {
			t.Fatal(why)
		}
		all = append(all, it)
	}
	return all
}

// A recorder keeps each request and gives an empty answer.
type recorder struct{ requests []recorded }

type recorded struct {
	*http.Request
	text string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body.Close()
	kept := req.Clone(context.Background())
	r.requests = append(r.requests, recorded{kept, string(text)})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2, Request: req}, nil
}

// operations returns the calls of the hot path, by name.
func (b *both) operations(t testing.TB, l *item.Layout) map[string]func(ctx context.Context, way int) (any, error) {
	batch := items(t, l, 3)
	return map[string]func(ctx context.Context, way int) (any, error){
		"ReceiveMessage": func(ctx context.Context, way int) (any, error) { return b.queues[way].Receive(ctx, 10, 20*time.Second) },
		"DeleteMessageBatch": func(ctx context.Context, way int) (any, error) {
			return b.queues[way].Delete(ctx, []string{"AQEB+/=", `r"2\`, "r3"})
		},
		"ChangeMessageVisibilityBatch": func(ctx context.Context, way int) (any, error) {
			return b.queues[way].ChangeVisibility(ctx, []consumer.Visibility{{Receipt: "r1", Timeout: 0}, {Receipt: "r2", Timeout: 300 * time.Second}})
		},
		"SendMessageBatch": func(ctx context.Context, way int) (any, error) {
			return b.queues[way].Send(ctx, []consumer.Outgoing{
				{Body: "plain", GroupID: "g", DeduplicationID: "d"},
				{Body: "\"<&>é\n😀\u2028", Attributes: []consumer.Attribute{{Name: "Reason", Type: "String", Value: "t\"x"}}, GroupID: "g", DeduplicationID: "e"},
				{Body: "z", Attributes: []consumer.Attribute{{Name: "n", Type: "Number.int", Value: "12"}, {Name: "b", Type: "Binary", Value: "\x00\x01\xff"}}},
			})
		},
		"BatchWriteItem": func(ctx context.Context, way int) (any, error) {
			results := make([]writer.Result, len(batch))
			b.tables[way].Write(ctx, batch, results)
			return kinds(results), writer.CallError(results)
		},
		"PutItem": func(ctx context.Context, way int) (any, error) {
			results := make([]writer.Result, 1)
			b.puts[way].Write(ctx, batch[:1], results)
			return kinds(results), writer.CallError(results)
		},
	}
}

func kinds(results []writer.Result) []writer.Kind {
	var out []writer.Kind
	for _, r := range results {
		out = append(out, r.Kind)
	}
	return out
}
