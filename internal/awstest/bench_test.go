package awstest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// call posts a request straight to a fake, so that only the fake's own work is measured.
func call(b *testing.B, h http.Handler, target, body string) []byte {
	rec := &answer{header: make(http.Header)}
	h.ServeHTTP(rec, &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: http.Header{"X-Amz-Target": {target}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))})
	if rec.status != http.StatusOK {
		b.Fatalf("%s: %s", target, rec.body)
	}
	return rec.body
}

// answer is an http.ResponseWriter that copies nothing.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { a.body = b; return len(b), nil }

// BenchmarkSQS sends, receives and deletes messages of 1 KB by tens: each iteration is ten messages.
func BenchmarkSQS(b *testing.B) {
	queue := sqsfake.New()
	queue.SetRecording(false)
	address := queue.CreateQueue("q", nil)
	body, _ := json.Marshal(strings.Repeat(`{"a":1}`, 146))
	var entries []string
	for i := range 10 {
		entries = append(entries, fmt.Sprintf(`{"Id":"%d","MessageBody":%s}`, i, body))
	}
	send := fmt.Sprintf(`{"QueueUrl":%q,"Entries":[%s]}`, address, strings.Join(entries, ","))
	receive := fmt.Sprintf(`{"QueueUrl":%q,"MaxNumberOfMessages":10,"WaitTimeSeconds":20,"MessageSystemAttributeNames":["All"]}`, address)
	for range 10_000 { // a backlog, which must not matter
		call(b, queue, "AmazonSQS.SendMessageBatch", send)
	}
	var deletes string
	b.Run("SendMessageBatch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			call(b, queue, "AmazonSQS.SendMessageBatch", send)
		}
	})
	b.Run("ReceiveMessage+DeleteMessageBatch", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if v, _, _ := queue.Counts("q"); v < 10 {
				b.StopTimer()
				for range 10_000 {
					call(b, queue, "AmazonSQS.SendMessageBatch", send)
				}
				b.StartTimer()
			}
			answer := call(b, queue, "AmazonSQS.ReceiveMessage", receive)
			deletes = deletes[:0]
			for rest := string(answer); ; {
				_, after, found := strings.Cut(rest, `"ReceiptHandle":"`)
				if !found {
					break
				}
				handle, _, _ := strings.Cut(after, `"`)
				rest = after
				deletes += `,{"Id":"` + handle[len(handle)-12:len(handle)-2] + `","ReceiptHandle":"` + handle + `"}`
			}
			deletes = `{"QueueUrl":"` + address + `","Entries":[` + deletes[1:] + `]}`
			call(b, queue, "AmazonSQS.DeleteMessageBatch", deletes)
		}
	})
}

// BenchmarkBatchWriteItem writes 25 items of 1 KB: each iteration is one call.
func BenchmarkBatchWriteItem(b *testing.B) {
	db := dynamodbfake.New()
	db.SetRecording(false)
	call(b, db, "DynamoDB_20120810.CreateTable", `{"TableName":"predictions","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"predictionId","AttributeType":"S"},{"AttributeName":"timestamp","AttributeType":"N"}],
		"KeySchema":[{"AttributeName":"predictionId","KeyType":"HASH"},{"AttributeName":"timestamp","KeyType":"RANGE"}]}`)
	payload, _ := json.Marshal(strings.Repeat(`{"a":1}`, 130))
	var requests []string
	for i := range 400 {
		var req strings.Builder
		req.WriteString(`{"RequestItems":{"predictions":[`)
		for j := range 25 {
			if j > 0 {
				req.WriteByte(',')
			}
			fmt.Fprintf(&req, `{"PutRequest":{"Item":{"predictionId":{"S":"p%d"},"timestamp":{"N":"%d"},"expiresAt":{"N":"1800000000"},"createdAt":{"N":"1700000000.123"},"prediction":{"S":%s}}}}`,
				(i*25+j)%10_000, 1700000000+i, payload)
		}
		req.WriteString(`]},"ReturnConsumedCapacity":"TOTAL"}`)
		requests = append(requests, req.String())
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		call(b, db, "DynamoDB_20120810.BatchWriteItem", requests[i%len(requests)])
	}
}
