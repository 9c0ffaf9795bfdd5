package awstest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// once strikes at the first call of an operation.
func once(operation string, f awstest.Fault) awstest.FaultFunc {
	return func(c *awstest.Call) awstest.Fault {
		if c.Operation == operation && c.N == 1 {
			return f
		}
		return awstest.Fault{}
	}
}

func noRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// newTable makes a fake with one table, "t", whose key is k.
func newTable(t *testing.T) (*dynamodbfake.Service, *dynamodb.Client) {
	db := dynamodbfake.New()
	client := db.Client(noRetries)
	in := dynamodbfake.Keys("k:S")
	in.TableName, in.BillingMode = aws.String("tab"), types.BillingModePayPerRequest
	if _, err := client.CreateTable(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
	return db, client
}

func put(ctx context.Context, client *dynamodb.Client, keys ...string) (*dynamodb.BatchWriteItemOutput, error) {
	var requests []types.WriteRequest
	for _, k := range keys {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: item{"k": str(k)}}})
	}
	return client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"tab": requests}})
}

func TestFaultsOfAWrite(t *testing.T) {
	throttled := dynamodbfake.ProvisionedThroughputExceeded(dynamodbfake.ThrottlingReason{Reason: "TableWriteKeyRangeThroughputExceeded", Resource: "arn:x"})
	for _, test := range []struct {
		name    string
		fault   awstest.Fault
		error   string // part of the error; "" for none
		written int
		took    time.Duration
	}{
		{"none", awstest.Fault{}, "", 3, 0},
		{"delay", awstest.Fault{Delay: time.Second}, "", 3, time.Second},
		{"late answer", awstest.Fault{AnswerDelay: time.Second}, "", 3, time.Second},
		{"dropped before", awstest.Fault{Drop: true}, "EOF", 0, 0},
		{"answer lost", awstest.Fault{LoseAnswer: true}, "EOF", 3, 0},
		{"answer torn", awstest.Fault{TearAnswer: true}, "unexpected EOF", 3, 0},
		{"hang before", awstest.Fault{Hang: true}, "deadline", 0, 5 * time.Second},
		{"hang after", awstest.Fault{HangAnswer: true}, "deadline", 3, 5 * time.Second},
		{"slower than the client waits", awstest.Fault{Delay: 6 * time.Second}, "deadline", 3, 5 * time.Second},
		{"throttled", awstest.Fault{Err: throttled}, "ProvisionedThroughputExceededException", 0, 0},
		{"error after", awstest.Fault{ErrAfter: dynamodbfake.InternalServerError()}, "InternalServerError", 3, 0},
		{"unavailable", awstest.Fault{Err: awstest.ServiceUnavailable()}, "ServiceUnavailable", 0, 0},
		{"denied", awstest.Fault{Err: awstest.AccessDenied("dynamodb:BatchWriteItem")}, "AccessDeniedException", 0, 0},
		{"a page that is not JSON", awstest.Fault{Err: &awstest.Error{Status: 502, Raw: "<html>"}}, "502", 0, 0},
		{"unprocessed", awstest.Fault{Unprocessed: awstest.UnprocessedFrom(1)}, "", 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, client := newTable(t)
				db.SetFault(once("BatchWriteItem", test.fault))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				out, err := put(ctx, client, "a", "b", "c")
				if took := time.Since(start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if test.error == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.error) {
					t.Errorf("got error %v, want %q", err, test.error)
				}
				if err == nil && test.written < 3 {
					if left := out.UnprocessedItems["tab"]; len(left) != 3-test.written || left[0].PutRequest.Item["k"].(*types.AttributeValueMemberS).Value != "b" {
						t.Errorf("unprocessed: %v", out.UnprocessedItems)
					}
				}
				time.Sleep(time.Minute) // an effect may follow after the client has gone
				synctest.Wait()
				if n := db.ItemCount("tab"); n != test.written {
					t.Errorf("%d items are written, want %d", n, test.written)
				}
				applied := 0
				for _, w := range db.Writes() {
					if w.Applied {
						applied++
					}
				}
				if len(db.Writes()) != 3 || applied != test.written {
					t.Errorf("log has %d writes, %d applied; want 3 and %d", len(db.Writes()), applied, test.written)
				}
			})
		})
	}
}

func TestThrottlingReasonsReachTheSDK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, client := newTable(t)
		reason := dynamodbfake.ThrottlingReason{Reason: "TableWriteMaxOnDemandThroughputExceeded", Resource: "arn:aws:dynamodb:eu-west-1:000000000000:table/tab"}
		db.SetFault(once("BatchWriteItem", awstest.Fault{Err: dynamodbfake.ProvisionedThroughputExceeded(reason)}))
		_, err := put(t.Context(), client, "a")
		var exceeded *types.ProvisionedThroughputExceededException
		if !errors.As(err, &exceeded) || len(exceeded.ThrottlingReasons) != 1 || *exceeded.ThrottlingReasons[0].Reason != reason.Reason || *exceeded.ThrottlingReasons[0].Resource != reason.Resource {
			t.Fatalf("got %v, want the reason", err)
		}
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Err: dynamodbfake.Throttling(reason)} })
		_, err = put(t.Context(), client, "a")
		var throttled *types.ThrottlingException
		if !errors.As(err, &throttled) || len(throttled.ThrottlingReasons) != 1 || *throttled.ThrottlingReasons[0].Reason != reason.Reason {
			t.Fatalf("got %v, want the reason", err)
		}
	})
}

func TestTwoWritesOfOneKeyUnderWayAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, client := newTable(t)
		db.SetFault(once("BatchWriteItem", awstest.Fault{Delay: 10 * time.Second}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		put(ctx, client, "a", "b") // times out, but goes on
		if _, err := put(t.Context(), client, "b", "c"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := put(t.Context(), client, "b"); err != nil {
			t.Fatal(err)
		}
		pairs := db.OverlappingWrites()
		if len(pairs) != 1 || pairs[0][0].Key != "b" || pairs[0][0].Call+pairs[0][1].Call != 3 {
			t.Fatalf("overlapping writes: %+v, want one pair of calls 1 and 2 on b", pairs)
		}
	})
}

func TestFaultsOfSQSEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := sqsfake.New()
		client := queue.Client()
		url := queue.CreateQueue("q", nil)
		queue.Send("q", "a", "b")
		queue.SetFault(func(c *awstest.Call) awstest.Fault {
			switch {
			case c.Operation == "ReceiveMessage" && c.N == 1:
				return awstest.Fault{Redeliver: func(e awstest.Entry) bool { return e.Body == "b" }}
			case c.Operation == "DeleteMessageBatch":
				return awstest.Fault{FailEntry: func(i int, e awstest.Entry) *awstest.EntryError {
					if i == 0 {
						return &awstest.EntryError{Code: "InternalError", Message: "try again"}
					}
					return nil
				}}
			}
			return awstest.Fault{}
		})
		receive := func() []sqstypes.Message {
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			return out.Messages
		}
		first, second := receive(), receive()
		if got := fmt.Sprint(bodies(first), bodies(second)); got != "[a b] [b]" {
			t.Fatalf("received %s, want b twice", got)
		}
		out, err := client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []sqstypes.DeleteMessageBatchRequestEntry{
			{Id: aws.String("a"), ReceiptHandle: first[0].ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: second[0].ReceiptHandle}}})
		if err != nil || len(out.Failed) != 1 || *out.Failed[0].Code != "InternalError" || out.Failed[0].SenderFault || len(out.Successful) != 1 {
			t.Fatalf("got %+v, %v", out, err)
		}
		states := ""
		for _, m := range queue.Messages("q") {
			states += fmt.Sprintf("%s %s after %d; ", m.Body, m.State, m.ReceiveCount)
		}
		if states != "a in flight after 1; b deleted after 2; " {
			t.Fatalf("states: %s", states)
		}
	})
}

func TestALostReceiveHidesItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := sqsfake.New()
		client := queue.Client(func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
		url := queue.CreateQueue("q", nil)
		queue.Send("q", "a")
		queue.SetFault(once("ReceiveMessage", awstest.Fault{LoseAnswer: true}))
		in := &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}
		if out, err := client.ReceiveMessage(t.Context(), in); err == nil {
			t.Fatalf("got %v, want an error", out)
		}
		start := time.Now()
		for range 2 {
			out, err := client.ReceiveMessage(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Messages) == 1 {
				break
			}
		}
		if waited := time.Since(start); waited != 30*time.Second {
			t.Fatalf("came again after %v, want the visibility timeout of 30s", waited)
		}
	})
}

func TestAbandonedPollsTakeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := sqsfake.New()
		queue.SetAbandonedPolls(true)
		client := queue.Client()
		url := queue.CreateQueue("q", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}); err == nil {
			t.Fatal("want a deadline")
		}
		queue.Send("q", "a")
		synctest.Wait()
		if visible, inFlight, _ := queue.Counts("q"); visible != 0 || inFlight != 1 {
			t.Fatalf("%d visible, %d in flight; want the message with nobody", visible, inFlight)
		}
	})
}

func TestASkewedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, _ := newTable(t)
		db.SetSkew(90 * time.Second)
		resp, err := awstest.Transport(db).RoundTrip(httptest.NewRequest(http.MethodPost, "http://x/", strings.NewReader("{}")))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		at, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil || time.Until(at) != 90*time.Second {
			t.Fatalf("Date is %v (%v), want 90s from now", at, err)
		}
	})
}

func TestCallsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, client := newTable(t)
		db.SetFault(once("BatchWriteItem", awstest.Fault{Err: dynamodbfake.Throttling(), Delay: time.Second}))
		put(t.Context(), client, "a")
		put(t.Context(), client, "a")
		if n := db.CallCount("BatchWriteItem"); n != 2 || db.CallCount("") != 3 {
			t.Fatalf("%d of %d calls", n, db.CallCount(""))
		}
		calls := db.Calls("BatchWriteItem")
		if len(calls) != 2 || calls[0].Code != "ThrottlingException" || calls[1].Code != "" || calls[0].End.Sub(calls[0].Start) != time.Second ||
			len(calls[0].Entries) != 1 || calls[0].Resource != "tab" {
			t.Fatalf("calls: %+v", calls)
		}
	})
}

func TestTTLExpiryOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, client := newTable(t)
		if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: aws.String("tab"),
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)}}); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for k, v := range map[string]types.AttributeValue{"over": num(now.Unix() - 1), "now": num(now.Unix()), "later": num(now.Unix() + 1), "text": str("1"),
			"ancient": num(now.AddDate(-6, 0, 0).Unix()), "milliseconds": num(now.UnixMilli())} {
			if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("tab"), Item: item{"k": str(k), "expiresAt": v}}); err != nil {
				t.Fatal(err)
			}
		}
		if n := db.ExpireTTL("tab", now); n != 2 || db.Item("tab", "over") != nil || db.Item("tab", "now") != nil || db.ItemCount("tab") != 4 {
			t.Fatalf("%d items expired, %d left", n, db.ItemCount("tab"))
		}
	})
}
