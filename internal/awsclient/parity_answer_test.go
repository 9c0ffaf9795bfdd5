package awsclient

import (
	"context"
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
	"unicode/utf8"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithy "github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/writer"
)

// An answer is what a service may answer to a call. It is a transport.
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

func TestParityAnswers(t *testing.T) {
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

// sameAnswer makes a call by both clients and compares the results. Texts of errors are compared if exact.
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

// empty returns nil for an empty result.
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

func TestUntrustedAnswers(t *testing.T) {
	_, versioned := layouts(t)
	said := &answer{}
	b := newBoth(t, said, versioned)
	for name, a := range map[string]answer{
		// The SDK takes both for success: by such an answer of a proxy, what was never written would be deleted.
		"empty":              {200, nil, ""},
		"with a wrong CRC32": {200, map[string]string{"X-Amz-Crc32": "1"}, "{}"},
	} {
		*said = a
		if _, err := b.operations(t, versioned)["BatchWriteItem"](t.Context(), 1); err == nil || Code(err) != "network" {
			t.Errorf("an answer that is %s: error %v", name, err)
		}
	}
}

// What an answer to a send doesn't name is not known to be sent. Its source must not be deleted.
func TestSend_unnamed_entry_failed(t *testing.T) {
	_, versioned := layouts(t)
	said := &answer{}
	b := newBoth(t, said, versioned)
	for body, want := range map[string][]consumer.Failure{
		`{}`: {{Index: 0, Code: "NoAnswer"}, {Index: 1, Code: "NoAnswer"}, {Index: 2, Code: "NoAnswer"}},
		`{"Successful":[{"Id":"0"}],"Failed":[{"Id":"2","SenderFault":true,"Code":"x"}]}`: {{Index: 2, SenderFault: true, Code: "x"}, {Index: 1, Code: "NoAnswer"}},
		`{"Successful":[{"Id":"2"},{"Id":"0"},{"Id":"1"}]}`:                               nil,
	} {
		*said = answer{status: 200, body: body}
		got, err := b.operations(t, versioned)["SendMessageBatch"](t.Context(), 1)
		if failures, _ := got.([]consumer.Failure); err != nil || !slices.Equal(failures, want) {
			t.Errorf("%s: failures %v, %v, want %v", body, got, err, want)
		}
	}
}

// FuzzAnswers has both clients read whatever a service may answer.
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

// tame excludes what no service sends and the two read differently: repeated names, and bytes that are not UTF-8. The SDK
// also accepts some texts that are not JSON.
func tame(body string) bool {
	return json.Valid([]byte(body)) && utf8.ValidString(body) && !repeats(json.NewDecoder(strings.NewReader(body)))
}

// repeats reports whether the next value, or one inside it, has a name twice.
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
