package awstest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// TestFaultsOverHTTP checks that closed connections look to net/http as they do in process.
func TestFaultsOverHTTP(t *testing.T) {
	db, _ := newTable(t)
	server := httptest.NewServer(db)
	t.Cleanup(server.Close)
	t.Cleanup(db.Close)
	faults := []awstest.Fault{{Drop: true}, {LoseAnswer: true}, {TearAnswer: true}, {}}
	db.SetFault(func(c *awstest.Call) awstest.Fault { return faults[c.N-1] })
	var got []string
	for range faults {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(`{"TableName":"tab"}`))
		req.Header.Set("X-Amz-Target", "DynamoDB_20120810.DescribeTable")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			got = append(got, "unexpected EOF")
		case errors.Is(err, io.EOF):
			got = append(got, "EOF")
		default:
			got = append(got, fmt.Sprint(err))
		}
	}
	if want := "[EOF EOF unexpected EOF <nil>]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestWhatIsNotARequest(t *testing.T) {
	db := dynamodbfake.New()
	for _, test := range []struct{ target, body, code string }{
		{"DynamoDB_20120810.DescribeTable", "{", "SerializationException"},
		{"DynamoDB_20120810.PutItem", `{"Item":{"k":{"S":1}}}`, "SerializationException"},
		{"DynamoDB_20120810.PutItem", `{"Item":{"k":{"S":"\ud800\udc00\x"}}}`, "SerializationException"},
		{"DynamoDB_20120810.PutItem", `{} trailing`, "SerializationException"},
		{"DynamoDB_20120810.PutItem", `{"ReturnItemCollectionMetrics":"SIZE"}`, "unknown parameter"},
		{"DynamoDB_20120810.Nonsense", `{}`, "UnknownOperationException"},
		{"AmazonSQS.SendMessage", `{}`, "UnknownOperationException"},
		{"DynamoDB_20120810.BatchWriteItem", `{"RequestItems":{"t":[` + strings.Repeat(" ", 16<<20) + `]}}`, "RequestEntityTooLargeException"},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
		req.Header.Set("X-Amz-Target", test.target)
		rec := httptest.NewRecorder()
		db.ServeHTTP(rec, req)
		if rec.Code < 400 || !strings.Contains(rec.Body.String(), test.code) {
			t.Errorf("%s %.40s: got %d %s, want %s", test.target, test.body, rec.Code, rec.Body, test.code)
		}
	}
}

// TestManyPollers checks that no message is lost or delivered twice between pollers that come and go, and that none sleeps
// over a message.
func TestManyPollers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 2_000
		queue := sqsfake.New()
		client := queue.Client(func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
		url := queue.CreateQueue("q", map[string]string{"VisibilityTimeout": "60"})
		var mu sync.Mutex
		seen := make(map[string]int)
		ctx, stop := context.WithCancel(t.Context())
		var pollers sync.WaitGroup
		for i := range 12 {
			pollers.Go(func() {
				for ctx.Err() == nil {
					// Some give up early, so that a waiter which was woken goes away with its turn.
					attempt, cancel := context.WithTimeout(ctx, time.Duration(i+1)*500*time.Millisecond)
					out, err := client.ReceiveMessage(attempt, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
					cancel()
					if err != nil {
						var api smithy.APIError
						if errors.As(err, &api) {
							t.Error(err)
						}
						continue
					}
					for _, m := range out.Messages {
						mu.Lock()
						seen[*m.Body]++
						mu.Unlock()
						if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for i := range messages {
			queue.Send("q", fmt.Sprint(i))
			if i%10 == 0 {
				time.Sleep(3 * time.Millisecond)
			}
		}
		time.Sleep(65 * time.Second) // what a cancelled receive took comes again after 60s
		stop()
		pollers.Wait()
		if visible, inFlight, _ := queue.Counts("q"); visible != 0 || inFlight != 0 || len(seen) != messages {
			t.Fatalf("%d of %d messages seen; %d visible, %d in flight", len(seen), messages, visible, inFlight)
		}
	})
}
