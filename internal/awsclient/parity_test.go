package awsclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// both are the two ways of the hot path, on one transport.
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

// settings are those of the SDK that a test has not set itself.
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
		// What the SDK adds to tell its attempts apart, new each time.
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

// latest is a layout of the least; versioned has a sort key.
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

// items makes items whose texts need every kind of escape.
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

// recorder keeps each request and gives an empty answer.
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

// operations are the hot path's calls.
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

func TestBothWaysSendTheSameRequest(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"plain":             {},
		"FIPS":              {"AWS_USE_FIPS_ENDPOINT": "true"},
		"dual stack":        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"another partition": {"AWS_REGION": "cn-north-1"},
		"own endpoint":      {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/under/path/"},
		"endpoint each":     {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "https://[::1]:2/"},
		"account":           {"AWS_ACCOUNT_ID": "123456789012"},
		"account off":       {"AWS_ACCOUNT_ID": "123456789012", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"},
		"session":           {"AWS_SESSION_TOKEN": "token/+="},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range env {
				t.Setenv(name, value)
			}
			settings(t)
			synctest.Test(t, func(t *testing.T) { // both sign at the same time
				latest, versioned := layouts(t)
				for _, l := range []*item.Layout{latest, versioned} {
					seen := &recorder{}
					b := newBothIn(t, seen, l)
					for operation, call := range b.operations(t, l) {
						seen.requests = nil
						for way := range ways {
							if _, err := call(t.Context(), way); err != nil {
								t.Fatalf("%s by %s: %v", operation, ways[way], err)
							}
						}
						sameRequest(t, operation, seen.requests[0], seen.requests[1])
					}
				}
			})
		})
	}
}

func sameRequest(t *testing.T, operation string, sdk, direct recorded) {
	t.Helper()
	if sdk.Method != direct.Method || sdk.URL.String() != direct.URL.String() || sdk.Host != direct.Host && sdk.Host != "" {
		t.Errorf("%s: %s %s (%s) by the SDK, %s %s (%s) directly", operation, sdk.Method, sdk.URL, sdk.Host, direct.Method, direct.URL, direct.Host)
	}
	headers := func(r recorded) http.Header {
		h := maps.Clone(r.Header)
		for _, name := range []string{"Authorization", "User-Agent", "Content-Length", "Amz-Sdk-Request"} { // see below; a name; net/http's; the attempt's number
			h.Del(name)
		}
		return h
	}
	if s, d := headers(sdk), headers(direct); !reflect.DeepEqual(s, d) {
		t.Errorf("%s: headers\n%v by the SDK\n%v directly", operation, s, d)
	}
	if s, d := decode(t, sdk.text), decode(t, direct.text); !reflect.DeepEqual(s, d) {
		t.Errorf("%s: body\n%s by the SDK\n%s directly", operation, sdk.text, direct.text)
	}
	if sdk.ContentLength != int64(len(sdk.text)) || direct.ContentLength != int64(len(direct.text)) {
		t.Errorf("%s: a length of %d by the SDK, %d directly", operation, sdk.ContentLength, direct.ContentLength)
	}
	// Their bodies are written in different orders, so their signatures differ: each must be right by itself.
	for way, r := range []recorded{sdk, direct} {
		if got, want := r.Header.Get("Authorization"), authorization(r); got != want {
			t.Errorf("%s by %s: signed as %s, want %s", operation, ways[way], got, want)
		}
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// authorization signs a request anew, by "Create a signed AWS API request" of the IAM User Guide, over the headers that it says
// it signed.
func authorization(r recorded) string {
	auth := r.Header.Get("Authorization")
	between := func(after, before string) string {
		_, rest, _ := strings.Cut(auth, after)
		value, _, _ := strings.Cut(rest, before)
		return value
	}
	signed := strings.Split(between("SignedHeaders=", ","), ";")
	credential := between("Credential=", ",")
	scope := strings.SplitN(credential, "/", 2)[1]
	parts := strings.Split(scope, "/") // date, region, service, aws4_request

	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.URL.Host
		case "content-length":
			value = fmt.Sprint(len(r.text))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	digest := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(signed, ";"), digest(r.text))
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + digest(canonical.String())
	key := []byte("AWS4secret")
	for _, part := range append(parts, toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%x", credential, strings.Join(signed, ";"), key)
}

// answer is what a service may say.
type answer struct {
	status int
	header map[string]string
	body   string
}

// RoundTrip implements http.RoundTripper.
func (a *answer) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	req.Body.Close()
	h := http.Header{"X-Amzn-Requestid": {"4fd1a1a8"}}
	for name, value := range a.header {
		h.Set(name, value)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: req}, nil
}

const message1 = `{"MessageId":"m1","ReceiptHandle":"AQEB+/=","MD5OfBody":"","Body":"{\"a\":\"\u00e9\\u00e9 \/ \ud83d\ude00\n\"}","Attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1700000000123","MessageGroupId":"g\"1"},"MessageAttributes":{"Content-Encoding":{"DataType":"String","StringValue":"gzip"},"n":{"DataType":"Number.int","StringValue":"12"},"b":{"DataType":"Binary","BinaryValue":"AAEC/w=="}}}`

var answers = map[string][]answer{
	"ReceiveMessage": {
		{200, nil, `{"Messages":[` + strings.ReplaceAll(message1, `"MD5OfBody":"",`, "") + `]}`},
		{200, nil, `{"Messages":[{"MessageId":"m1","ReceiptHandle":"r","Body":""},{"MessageId":"m2","ReceiptHandle":"r2","Body":"x","Attributes":{"SentTimestamp":"x"},"Unknown":[1,{"a":null}]}]}`},
		{200, nil, `{}`},
		{200, nil, `{"Messages":[]}`},
		{200, nil, `{"Messages":null}`},
		{200, nil, ` { "Messages" : [ { "Body" : "b" , "MessageId" : null } ] } `},
		{200, nil, `{"Messages":[{"Body":"`},
		{200, nil, `<html>`},
		{200, nil, `{"Mess\u0061ges":[{"Body":"\ud800 lone"}]}`},
		{400, map[string]string{"X-Amzn-Query-Error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`},
		{403, nil, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User is not authorized"}`},
		{403, nil, `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`},
		{400, nil, `{"__type":"com.amazonaws.sqs#OverLimit","message":"Too many messages in flight"}`},
		{503, nil, `<html>busy</html>`},
		{500, nil, ``},
		{500, map[string]string{"X-Amzn-Errortype": "InternalFailure:http://x/"}, `{}`},
	},
	"DeleteMessageBatch": {
		{200, nil, `{"Successful":[{"Id":"0"},{"Id":"1"}],"Failed":[{"Id":"2","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Message":"The input receipt handle is invalid."}]}`},
		{200, nil, `{"Failed":[{"Id":"1","SenderFault":false,"Code":"InternalError"},{"Id":"0","Code":"x"}]}`},
		{200, nil, `{"Failed":[{"Id":"77"}]}`},
		{200, nil, `{"Failed":[{}]}`},
		{200, nil, `{}`},
		{429, nil, `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
	},
	"ChangeMessageVisibilityBatch": {
		{200, nil, `{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","SenderFault":true,"Code":"InvalidParameterValue"}]}`},
		{400, map[string]string{"X-Amzn-Query-Error": "InvalidParameterValue;Sender"}, `{"__type":"com.amazonaws.sqs#InvalidParameterValue","message":"Value is invalid"}`},
	},
	"SendMessageBatch": {
		{200, nil, `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"x"}],"Failed":[{"Id":"2","SenderFault":true,"Code":"InvalidMessageContents","Message":"x"}]}`},
		{400, map[string]string{"X-Amzn-Query-Error": "AWS.SimpleQueueService.BatchRequestTooLong;Sender"}, `{"__type":"com.amazonaws.sqs#BatchRequestTooLong","message":"Batch requests cannot be longer than 1048576 bytes"}`},
	},
	"BatchWriteItem": {
		{200, nil, `{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"predictions","CapacityUnits":3.0}]}`},
		{200, nil, `{"ConsumedCapacity":[{"CapacityUnits":1.5},{"CapacityUnits":2e0}]}`},
		{200, nil, `{"UnprocessedItems":{"predictions":[{"PutRequest":{"Item":{"predictionId":{"S":"a\"<&>\u00e9 1\u2028"},"timestamp":{"N":"1700000000"},"prediction":{"S":"x"},"list":{"L":[{"BOOL":true},{"NULL":true}]}}}}]}}`},
		{200, nil, `{"UnprocessedItems":{"predictions":[{"PutRequest":{"Item":{"predictionId":{"S":"never sent"},"timestamp":{"N":"1"}}}}]}}`},
		{200, nil, `{"UnprocessedItems":{"predictions":[{"DeleteRequest":{"Key":{"predictionId":{"S":"k"}}}}]}}`},
		{200, map[string]string{"X-Amz-Crc32": fmt.Sprint(crc32.ChecksumIEEE([]byte(`{}`)))}, `{}`},
		{200, map[string]string{"X-Amz-Crc32": "no number"}, `{}`},
		{400, nil, `{"__type":"com.amazon.coral.validate#ValidationException","message":"Provided list of item keys contains duplicates"}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found"}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput for the table was exceeded","ThrottlingReasons":[{"reason":"TableWriteKeyRangeThroughputExceeded","resource":"arn"}]}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"x"}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#RequestLimitExceeded","message":"x"}`},
		{400, nil, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token included in the request is invalid."}`},
		{400, nil, `{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"Signature expired: 20261124T000000Z"}`},
		{413, nil, ``},
		{429, nil, `{}`},
		{413, nil, `{}`},
		{500, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"Internal server error"}`},
	},
}

func init() {
	answers["PutItem"] = append([]answer{
		{200, nil, `{"ConsumedCapacity":{"TableName":"predictions","CapacityUnits":3.0}}`},
		{200, nil, `{"ConsumedCapacity":null}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"x"}`},
		{400, nil, `{"__type":"com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException","message":"x"}`},
	}, answers["BatchWriteItem"][5:]...)
}

func TestBothWaysReadTheSameAnswer(t *testing.T) {
	_, versioned := layouts(t)
	said := &answer{}
	b := newBoth(t, said, versioned)
	for operation, call := range b.operations(t, versioned) {
		for _, a := range answers[operation] {
			*said = a
			sameAnswer(t, b, operation, call, a, true)
		}
	}
	if b.units[0] != b.units[1] || b.units[0] == 0 {
		t.Errorf("%v write units by the SDK, %v directly", b.units[0], b.units[1])
	}
}

// sameAnswer calls both ways and compares what they make of the answer. Texts of errors are compared where exact.
func sameAnswer(t *testing.T, b *both, operation string, call func(context.Context, int) (any, error), a answer, exact bool) {
	t.Helper()
	var results [2]any
	var errs [2]error
	for way := range ways {
		results[way], errs[way] = call(context.Background(), way)
		sortAttributes(results[way])
	}
	var mistyped *smithy.DeserializationError
	if !exact && a.status/100 == 2 && errors.As(errs[0], &mistyped) {
		return // values of other types than documented, in parts that we may not even read
	}
	if (errs[0] == nil) != (errs[1] == nil) {
		t.Errorf("%s, %d %s: error %v by the SDK, %v directly", operation, a.status, a.body, errs[0], errs[1])
		return
	}
	if s, ok := results[0].([]writer.Kind); ok && !slices.Equal(s, results[1].([]writer.Kind)) {
		t.Errorf("%s, %d %s: results %v by the SDK, %v directly", operation, a.status, a.body, s, results[1])
	}
	if errs[0] == nil {
		if !reflect.DeepEqual(empty(results[0]), empty(results[1])) {
			t.Errorf("%s, %s:\n%#v by the SDK\n%#v directly", operation, a.body, results[0], results[1])
		}
		return
	}
	if s, d := Code(errs[0]), Code(errs[1]); s != d {
		t.Errorf("%s, %d %s: code %q by the SDK, %q directly", operation, a.status, a.body, s, d)
	}
	if exact && a.status != 200 {
		if s, d := errs[0].Error(), errs[1].Error(); s != d {
			t.Errorf("%s, %d %s:\n%s by the SDK\n%s directly", operation, a.status, a.body, s, d)
		}
		var s, d *awshttp.ResponseError
		if !errors.As(errs[0], &s) || !errors.As(errs[1], &d) || s.RequestID != d.RequestID || s.HTTPStatusCode() != d.HTTPStatusCode() || reflect.TypeOf(s.Err) != reflect.TypeOf(d.Err) {
			t.Errorf("%s, %d %s:\n%#v by the SDK\n%#v directly", operation, a.status, a.body, s, d)
		}
	}
}

// empty makes no difference between nothing and none.
func empty(v any) any {
	if reflect.ValueOf(v).Len() == 0 {
		return nil
	}
	if received, ok := v.([]consumer.Received); ok {
		for i := range received {
			if len(received[i].Attributes) == 0 {
				received[i].Attributes = nil
			}
		}
	}
	return v
}

func sortAttributes(v any) {
	received, _ := v.([]consumer.Received)
	for i := range received {
		slices.SortFunc(received[i].Attributes, func(a, b consumer.Attribute) int { return strings.Compare(a.Name, b.Name) })
	}
}

func TestTheDirectWayTakesNoAnswerThatMayNotBeTheServices(t *testing.T) {
	_, versioned := layouts(t)
	said := &answer{}
	b := newBoth(t, said, versioned)
	for name, a := range map[string]answer{
		// The SDK takes both for success: a proxy on the way could so have everything deleted that was never written.
		"empty":              {200, nil, ""},
		"with a wrong CRC32": {200, map[string]string{"X-Amz-Crc32": "1"}, "{}"},
	} {
		*said = a
		if _, err := b.operations(t, versioned)["BatchWriteItem"](t.Context(), 1); err == nil || Code(err) != "network" {
			t.Errorf("an answer that is %s: error %v", name, err)
		}
	}
}

// FuzzAnswers has both ways read whatever a service may say.
func FuzzAnswers(f *testing.F) {
	operations := slices.Sorted(maps.Keys(answers))
	for i, operation := range operations {
		for _, a := range answers[operation] {
			f.Add(uint8(i), a.status, a.body)
		}
	}
	_, versioned := layouts(f)
	said := &answer{}
	b := newBoth(f, said, versioned)
	calls := b.operations(f, versioned)
	f.Fuzz(func(t *testing.T, which uint8, status int, body string) {
		operation := operations[int(which)%len(operations)]
		if status < 200 || status > 599 || !tame(body) {
			t.Skip()
		}
		*said = answer{status: status, body: body}
		sameAnswer(t, b, operation, calls[operation], *said, false)
	})
}

// tame leaves out what the two may read in different ways, since no service says it: names that are there twice, and bytes that
// aren't UTF-8. The SDK takes some texts that are no JSON; we don't.
func tame(body string) bool {
	return json.Valid([]byte(body)) && utf8.ValidString(body) && !repeats(json.NewDecoder(strings.NewReader(body)))
}

// repeats tells whether a name is there twice in the next value, or in one that it holds.
func repeats(d *json.Decoder) bool {
	switch token, _ := d.Token(); token {
	case json.Delim('['):
		for d.More() {
			if repeats(d) {
				return true
			}
		}
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			name, _ := d.Token()
			if text, _ := name.(string); seen[text] || repeats(d) {
				return true
			} else { //nolint:revive // text belongs to the condition
				seen[text] = true
			}
		}
	default:
		return false
	}
	_, _ = d.Token() // the closing bracket
	return false
}
