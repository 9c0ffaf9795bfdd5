package cache_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// canned answers every request with the same bytes, so that nothing but the client is measured.
type canned []byte

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(c)), ContentLength: int64(len(c)), Request: req}, nil
}

// benchItem is an item with a payload of 1 KB, a classifier's answer, and three attributes of its own, as DynamoDB's JSON.
func benchItem(id int) string {
	answer := fmt.Sprintf(`{"label":"class-%d","features":[{"name":"f0","weight":0.25}`, id)
	for n := 1; len(answer) < 1000; n++ {
		answer += fmt.Sprintf(`,{"name":"f%d","weight":%.4f}`, n, 1/float64(n))
	}
	payload, _ := json.Marshal(answer + "]}")
	return fmt.Sprintf(`{"predictionId":{"S":"user-%d"},"timestamp":{"N":"1795550700"},"expiresAt":{"N":"%d"},"createdAt":{"N":"1795550700.21"},"prediction":{"S":%s},`+
		`"model":{"S":"digits"},"modelVersion":{"N":"3"},"score":{"N":"0.98"}}`, id, time.Now().Add(time.Hour).Unix(), payload)
}

// byHand is what a service would write without the package: it reads, filters what has expired and takes out the payload and
// the model.
func byHand(attributes map[string]types.AttributeValue) (result, bool) {
	expires, ok := attributes["expiresAt"].(*types.AttributeValueMemberN)
	if !ok {
		return result{}, false
	}
	if at, err := strconv.ParseInt(expires.Value, 10, 64); err != nil || at <= time.Now().Unix() {
		return result{}, false
	}
	payload, ok := attributes["prediction"].(*types.AttributeValueMemberS)
	if !ok {
		return result{}, false
	}
	r := result{payload: json.RawMessage(payload.Value)}
	if model, ok := attributes["model"].(*types.AttributeValueMemberS); ok {
		r.model = model.Value
	}
	return r, true
}

type result struct {
	payload json.RawMessage
	model   string
}

// cpu is what this process has used so far, the collection of garbage included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead compares the package with the plain SDK, turn by turn, so that both see the same machine: times-sdk is the
// ratio of the CPU that they use, each with the garbage that it makes.
func BenchmarkRead(b *testing.B) {
	table := "predictions"
	one := benchItem(1)
	var hundred []string
	var ids []string
	for i := range 100 {
		hundred, ids = append(hundred, benchItem(i)), append(ids, fmt.Sprint("user-", i))
	}
	for _, c := range []struct {
		name   string
		turn   int // calls
		layout cache.Layout
		answer string
		ours   func(c *cache.Cache) error
		theirs func(c *dynamodb.Client) error
	}{
		{"Get/latest-only", 2000, cache.LatestOnly(), `{"Item":` + one + `}`,
			func(c *cache.Cache) error { _, err := c.Get(b.Context(), "user-1"); return err },
			func(c *dynamodb.Client) error {
				out, err := c.GetItem(b.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{"predictionId": text("user-1")}})
				if err == nil {
					byHand(out.Item)
				}
				return err
			}},
		{"Get/versioned", 2000, cache.Versioned(), `{"Items":[` + one + `],"Count":1,"ScannedCount":1}`,
			func(c *cache.Cache) error { _, err := c.Get(b.Context(), "user-1"); return err },
			func(c *dynamodb.Client) error {
				out, err := c.Query(b.Context(), &dynamodb.QueryInput{TableName: &table, Limit: aws.Int32(1), ScanIndexForward: aws.Bool(false),
					KeyConditionExpression: aws.String("predictionId = :id"), FilterExpression: aws.String("expiresAt > :now"),
					ExpressionAttributeValues: map[string]types.AttributeValue{":id": text("user-1"), ":now": number(time.Now().Unix())}})
				if err == nil {
					byHand(out.Items[0])
				}
				return err
			}},
		{"GetMany100/latest-only", 200, cache.LatestOnly(), `{"Responses":{"predictions":[` + strings.Join(hundred, ",") + `]},"UnprocessedKeys":{}}`,
			func(c *cache.Cache) error { _, err := c.GetMany(b.Context(), ids); return err },
			func(c *dynamodb.Client) error {
				keys := make([]map[string]types.AttributeValue, len(ids))
				for i, id := range ids {
					keys[i] = map[string]types.AttributeValue{"predictionId": text(id)}
				}
				out, err := c.BatchGetItem(b.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: keys}}})
				if err != nil {
					return err
				}
				found := make(map[string]result, len(ids))
				for _, attributes := range out.Responses[table] {
					if r, ok := byHand(attributes); ok {
						found[attributes["predictionId"].(*types.AttributeValueMemberS).Value] = r
					}
				}
				if len(found) != len(ids) {
					b.Fatal(len(found))
				}
				return nil
			}},
		{"GetMany100/versioned", 20, cache.Versioned(), `{"Items":[` + one + `],"Count":1,"ScannedCount":1}`,
			func(c *cache.Cache) error { _, err := c.GetMany(b.Context(), ids); return err },
			func(c *dynamodb.Client) error {
				for _, id := range ids {
					out, err := c.Query(b.Context(), &dynamodb.QueryInput{TableName: &table, Limit: aws.Int32(1), ScanIndexForward: aws.Bool(false),
						KeyConditionExpression: aws.String("predictionId = :id"), FilterExpression: aws.String("expiresAt > :now"),
						ExpressionAttributeValues: map[string]types.AttributeValue{":id": text(id), ":now": number(time.Now().Unix())}})
					if err != nil {
						return err
					}
					byHand(out.Items[0])
				}
				return nil
			}},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := dynamodb.NewFromConfig(awstest.Config(canned(c.answer)))
			reader := open(client, table, cache.WithLayout(c.layout))
			var ours, theirs time.Duration
			turn := func(call func() error) time.Duration {
				runtime.GC()
				start := cpu()
				for range c.turn {
					if err := call(); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				return cpu() - start
			}
			turns := 0
			for b.Loop() {
				theirs += turn(func() error { return c.theirs(client) })
				ours += turn(func() error { return c.ours(reader) })
				turns++
			}
			calls := float64(turns * c.turn)
			b.ReportMetric(float64(theirs.Microseconds())/calls, "sdk-cpu-µs")
			b.ReportMetric(float64(ours.Microseconds())/calls, "cache-cpu-µs")
			b.ReportMetric(float64(ours)/float64(theirs), "times-sdk")
			b.ReportMetric(0, "ns/op") // of turns: it says nothing
		})
	}
}
