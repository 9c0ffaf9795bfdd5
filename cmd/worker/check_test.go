package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

// attributes are a queue's.
type attributes map[string]string

func TestCheck(t *testing.T) {
	const arn = "arn:aws:sqs:eu-west-1:000000000000:"
	healthy := attributes{"VisibilityTimeout": "30", "RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `dead","maxReceiveCount":50}`}
	b := backend.All(t)[0]
	b.FakeSQS.CreateQueue("dead", nil)
	for _, test := range []struct {
		name           string
		queue, rejects attributes // in addition to those of a healthy queue
		env            map[string]string
		want           string // in the output
		problem        string // in the error; the status is 1 then, and otherwise 0
	}{
		{name: "nothing wrong", want: "No problem was found: `worker run` will start."},
		{name: "the queue", want: "standard, messages up to 1024 KiB, kept for 4d\n  visibility timeout   30s\n  dead-letter queue    " + arn + "dead after 50 receives\n"},
		{name: "the table", want: "layout               versioned, as the table says\n"},
		{name: "the TTL", want: "by the attribute \"expiresAt\"\n"},
		{name: "what the table takes now", want: "capacity             4,000 write units a second now\n"},
		{name: "no dead-letter queue", queue: attributes{"RedrivePolicy": ""}, want: "! the queue has no dead-letter queue"},
		{name: "a dead-letter queue after few receives", queue: attributes{"RedrivePolicy": strings.Replace(healthy["RedrivePolicy"], "50", "3", 1)}, want: "! a message goes to the dead-letter queue after 3 receives"},
		{name: "no reject queue", env: map[string]string{"WORKER_REJECT_QUEUE_URL": ""}, want: "No reject queue\n  ! without WORKER_REJECT_QUEUE_URL"},
		{name: "no visibility timeout", queue: attributes{"VisibilityTimeout": "0"}, problem: "the queue's visibility timeout is 0"},
		{name: "a visibility timeout as short as a call", queue: attributes{"VisibilityTimeout": "5"}, problem: "the queue's visibility timeout is 5s, and one call may take 5s (WORKER_CALL_TIMEOUT)"},
		{name: "a short visibility timeout", queue: attributes{"VisibilityTimeout": "29"}, want: "twice: set VisibilityTimeout to 30s or"},
		{name: "a visibility timeout that fits the call timeout", queue: attributes{"VisibilityTimeout": "6"}, env: map[string]string{"WORKER_CALL_TIMEOUT": "1s"}, want: "visibility timeout   6s\n  dead-letter"},
		{name: "an encrypted queue", queue: attributes{"KmsMasterKeyId": "alias/predictions"}, want: "! the queue is encrypted with the key alias/predictions, and no call but a receive shows"},
		{name: "what is not verified", want: "  sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility on the queue\n  dynamodb:BatchWriteItem on the table\n  sqs:SendMessage on the reject queue\n  ! to verify them"},
		{name: "what is not verified with conditional writes and no reject queue", env: map[string]string{"WORKER_ORDERING": "newest", "WORKER_REJECT_QUEUE_URL": ""}, want: "on the queue\n  dynamodb:PutItem on the table\n  ! to verify them"},
		{name: "what is not verified of removal", env: map[string]string{"WORKER_DELETES": "remove"}, want: "  dynamodb:BatchWriteItem on the table\n  dynamodb:Query, dynamodb:DeleteItem on the table\n"},
		{name: "removal from a table that can't be used", env: map[string]string{"WORKER_DELETES": "remove", "WORKER_TABLE_NAME": "none"}, problem: `the table "none" does not exist`},
		{name: "what is not verified of an encrypted queue", queue: attributes{"KmsMasterKeyId": "k1"}, rejects: attributes{"KmsMasterKeyId": "k2"}, want: "  kms:Decrypt on k1\n  kms:GenerateDataKey, kms:Decrypt on k2\n"},
		{name: "a queue encrypted with SQS's own key", queue: attributes{"KmsMasterKeyId": "alias/aws/sqs"}, want: "after 50 receives\n  now"},
		{name: "an encrypted reject queue", rejects: attributes{"KmsMasterKeyId": "k1"}, want: "role may use it: allow kms:GenerateDataKey and kms:Decrypt on it (worker-key.json)\nTable"},
		{name: "a smaller reject queue", rejects: attributes{"MaximumMessageSize": "262144"}, problem: "the reject queue takes messages of up to 262144 bytes, and the queue of up to 1048576"},
		{name: "a reject queue with a redrive policy", rejects: attributes{"RedrivePolicy": healthy["RedrivePolicy"]}, problem: "so 50 lists move them to " + arn + "dead: remove the redrive policy"},
		{name: "a reject queue that forgets sooner", rejects: attributes{"MessageRetentionPeriod": "86400"}, want: "! the reject queue keeps messages for 24 hours, and the queue for 96"},
		{name: "a misspelt setting", env: map[string]string{"WORKER_TLL": "1h"}, problem: "WORKER_TLL is not a setting: did you mean WORKER_TTL?"},
		{name: "a variable like no setting", env: map[string]string{"WORKER_NAME": "a"}, problem: "WORKER_NAME is not a setting: remove it, or correct its name (worker config lists them)"},
		{name: "two mistakes", env: map[string]string{"WORKER_TLL": "1h", "WORKER_TTL": "soon"}, problem: "\n  - WORKER_TLL is not a setting: did you mean WORKER_TTL?\n  - WORKER_TTL is \"soon\""},
		{name: "a queue that does not exist", env: map[string]string{"WORKER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/000000000000/none"}, problem: "the queue does not exist"},
		{name: "an objects queue that does not exist", env: map[string]string{"WORKER_OBJECTS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/000000000000/none", "WORKER_OBJECTS": "scores"}, problem: "the objects queue does not exist"},
		{name: "a table that does not exist", env: map[string]string{"WORKER_TABLE_NAME": "none"}, problem: `the table "none" does not exist`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			set := func(url string, all ...attributes) {
				for _, some := range all {
					if some == nil {
						continue
					}
					if _, err := b.SQS.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: some}); err != nil {
						t.Fatal(err)
					}
				}
			}
			set(w.queue, healthy, test.queue)
			set(w.rejects, test.rejects)
			status, stdout, stderr := invoke(t, "", "check")
			if !strings.Contains(stdout, test.want) || !strings.Contains(stderr, test.problem) {
				t.Errorf("prints %s\n%s\nwant %q and %q", stdout, stderr, test.want, test.problem)
			}
			if found := test.problem != ""; found != (status == 1) || found != (stderr != "") || found == strings.Contains(stdout, "No problem was found") {
				t.Errorf("status %d, and prints %s\n%s", status, stdout, stderr)
			}
		})
	}
}

func TestCheck_backlog(t *testing.T) {
	b := backend.All(t)[0]
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	for _, size := range []int{1500, 3500} { // 2,500 bytes on average are 3 write units
		if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: map[string]types.AttributeValue{
			"predictionId": &types.AttributeValueMemberS{Value: strings.Repeat("a", size/1000)}, "timestamp": &types.AttributeValueMemberN{Value: "1"},
			"prediction": &types.AttributeValueMemberS{Value: strings.Repeat("x", size)},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.DynamoDB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName: &w.table, WarmThroughput: &types.WarmThroughput{WriteUnitsPerSecond: aws.Int64(5000), ReadUnitsPerSecond: aws.Int64(12_000)},
	}); err != nil {
		t.Fatal(err)
	}
	bodies := make([]string, 20_000)
	for i := range bodies {
		bodies[i] = "{}"
	}
	b.FakeSQS.Send(w.queue[strings.LastIndexByte(w.queue, '/')+1:], bodies...)
	_, stdout, _ := invoke(t, "", "check")
	for _, want := range []string{"about 20,000 messages waiting, 0 in flight", "5,000 write units a second now", "backlog              needs about 12s at that rate, at one prediction a message and 3 write units each"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("prints %s\nwant %q", stdout, want)
		}
	}
}

func TestCheck_unreachable(t *testing.T) {
	page := func(status int, contentType, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	html, xml := page(http.StatusOK, "text/html; charset=utf-8", "<html>sign in</html>"), page(http.StatusForbidden, "application/xml", "<Error/>")
	const queue = "https://sqs.eu-west-1.amazonaws.com/1/q"
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"no region", map[string]string{"AWS_REGION": ""}, "no AWS region is set: set AWS_REGION"},
		{"the queue's region", map[string]string{"AWS_REGION": "", "WORKER_QUEUE_URL": queue, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "check the network"},
		{"another region", map[string]string{"AWS_REGION": "us-east-1", "WORKER_QUEUE_URL": queue}, "the queue is in the region eu-west-1, but the region of AWS calls is us-east-1: set AWS_REGION to eu-west-1"},
		{"no credentials", map[string]string{"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials were found"},
		{"no service", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "check the network, AWS_REGION and AWS_ENDPOINT_URL"},
		{"a page", map[string]string{"AWS_ENDPOINT_URL": html}, "the queue can't be used: the endpoint answers in HTML, as no AWS service does"},
		{"XML", map[string]string{"AWS_ENDPOINT_URL": xml}, `the table "cache" can't be used: the endpoint answers in XML, as no AWS service does`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range map[string]string{"WORKER_QUEUE_URL": "http://127.0.0.1:1/1/q", "WORKER_TABLE_NAME": "cache", "WORKER_CALL_TIMEOUT": "500ms"} {
				t.Setenv(name, value)
			}
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if status, _, stderr := invoke(t, "", "check"); status != 1 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, %q, want %q", status, stderr, test.want)
			}
		})
	}
}

func TestCheckComparesTheSortUnit(t *testing.T) {
	w := newWire(t, backend.All(t)[0], item.Versioned, item.TypeS, false)
	w.publish(t, fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":1}`, time.Now().Unix()))
	w.consume(t)
	if out, err := runCommand(t, "check"); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	t.Setenv("WORKER_SORT_UNIT", "ms")
	if out, err := runCommand(t, "check"); err == nil || !strings.Contains(err.Error(), "WORKER_SORT_UNIT is ms, but the table has items whose sort key is in s: set it to s, or use a new table") {
		t.Errorf("%s, %v", out, err)
	}
}
