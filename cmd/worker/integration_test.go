package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/workertest"
)

// A wire is a queue, a reject queue and a table on real services over the wire, and a worker's settings for them.
type wire struct {
	backend.Services
	queue, rejects, table string
}

func newWire(t *testing.T, b backend.Services, layout item.Kind, hash item.KeyType, fifo bool) *wire {
	attributes := map[string]string{"VisibilityTimeout": "10"}
	if fifo {
		attributes["FifoQueue"] = "true"
	}
	w := &wire{Services: b, queue: b.CreateQueue(t, attributes), rejects: b.CreateQueue(t, attributes), table: fmt.Sprintf("cache-%d", time.Now().UnixNano())}
	workertest.CreateTable(t, b.DynamoDB, w.table, layout, hash)
	t.Setenv("AWS_ENDPOINT_URL_SQS", b.SQSEndpoint)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", b.DynamoDBEndpoint)
	t.Setenv("WORKER_QUEUE_URL", w.queue)
	t.Setenv("WORKER_REJECT_QUEUE_URL", w.rejects)
	t.Setenv("WORKER_TABLE_NAME", w.table)
	t.Setenv("WORKER_RECEIVE_WAIT", "1s")
	return w
}

// consume runs a worker until its queue is empty.
func (w *wire) consume(t *testing.T) {
	t.Helper()
	consumeUntilEmpty(t, w.queue)
}

// consumeUntilEmpty runs a worker until a queue is empty.
func consumeUntilEmpty(t *testing.T, queue string) {
	t.Helper()
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	clock := &awsclient.Clock{}
	metrics := telemetry.NewMetrics(telemetry.Options{Now: clock.Now, Health: telemetry.NewHealth(log)})
	clients, err := awsclient.New(t.Context(), awsclient.Config{Connections: 32, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	resources, err := worker.FindResources(t.Context(), cfg, clients)
	if err != nil {
		t.Fatal(err)
	}
	intake, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	go func() {
		defer stop()
		for range time.Tick(100 * time.Millisecond) {
			info, err := awsclient.DescribeQueue(intake, clients, "the queue", queue)
			if err != nil || info.Messages == 0 && info.InFlight == 0 {
				return
			}
		}
	}()
	left, err := worker.NewPipeline(worker.NewServices(cfg, resources, clients, metrics, log), cfg, resources, metrics, log).Run(intake)
	if err != nil || left > 0 {
		t.Fatalf("the worker ended with %d messages held and error %v", left, err)
	}
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// forms are messages of every form, and the ids of the predictions in them.
func forms(prediction func(id int) string) (bodies []string, attributes []map[string]types.MessageAttributeValue, ids []int, rejects int) {
	add := func(body string, attribute map[string]types.MessageAttributeValue, in ...int) {
		bodies, attributes, ids = append(bodies, body), append(attributes, attribute), append(ids, in...)
	}
	add(prediction(1), nil, 1)
	add("["+prediction(2)+","+prediction(3)+"]", nil, 2, 3)
	add(prediction(4)+"\n"+prediction(5)+"\n", nil, 4, 5)
	add(`{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":`+quoted(prediction(6))+`}`, nil, 6)
	add(`{"detail-type":"Prediction","source":"model","detail":`+prediction(7)+`}`, nil, 7)
	add(workertest.Gzip(prediction(8)+"\n"+prediction(9)), workertest.ContentEncoding("gzip"), 8, 9)
	add(workertest.Zstd("["+prediction(10)+"]"), workertest.ContentEncoding("zstd"), 10)
	add(`{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":`+quoted(workertest.Gzip(prediction(11)))+
		`,"MessageAttributes":{"Content-Encoding":{"Type":"String","Value":"gzip"}}}`, nil, 11)
	add(prediction(1), nil)                                            // a repeat
	add(`{"prediction":"without an id"}`+"\n"+prediction(12), nil, 12) // a neighbour
	add("not JSON", nil)
	add("not base64", workertest.ContentEncoding("gzip"))
	return bodies, attributes, ids, 3
}

func TestOverTheWire(t *testing.T) {
	type variant struct {
		layout   item.Kind
		hash     item.KeyType
		encoding item.Encoding
		fifo     bool
	}
	variants := []variant{
		{item.Versioned, item.TypeS, item.JSON, false},
		{item.Versioned, item.TypeN, item.Map, true},
		{item.ExpirySorted, item.TypeS, item.Zstd, false},
		{item.LatestOnly, item.TypeS, item.JSON, true},
		{item.LatestOnly, item.TypeN, item.Zstd, false},
	}
	for _, b := range backend.All(t) {
		for _, v := range variants {
			t.Run(fmt.Sprintf("%s/%s-%s-%s-fifo=%v", b.Name, v.layout, v.hash, v.encoding, v.fifo), func(t *testing.T) {
				w := newWire(t, b, v.layout, v.hash, v.fifo)
				t.Setenv("WORKER_PAYLOAD_ENCODING", string(v.encoding))
				now := time.Now().Unix()
				bodies, attributes, ids, rejects := forms(func(id int) string {
					name := strconv.Itoa(id)
					if v.hash == item.TypeS {
						name = quoted(name)
					}
					return fmt.Sprintf(`{"predictionId":%s,"timestamp":%d,"prediction":{"n":%d,"score":0.1234567890123456789,"text":"größer \"\\ \n"},"model":"m"}`, name, now, id)
				})
				for i := range bodies {
					in := &sqs.SendMessageInput{QueueUrl: &w.queue, MessageBody: &bodies[i], MessageAttributes: attributes[i]}
					if v.fifo {
						in.MessageGroupId, in.MessageDeduplicationId = aws.String(strconv.Itoa(i%3)), aws.String(strconv.Itoa(i))
					}
					if _, err := w.SQS.SendMessage(t.Context(), in); err != nil {
						t.Fatal(err)
					}
				}
				w.consume(t)
				w.wantIDs(t, ids)
				w.wantRejects(t, rejects)
			})
		}
	}
}

// wantIDs checks that the table has exactly these ids, with their payloads' numbers as they were sent.
func (w *wire) wantIDs(t *testing.T, ids []int) {
	t.Helper()
	out, err := w.DynamoDB.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]bool{}
	for _, attributes := range out.Items {
		var id int
		switch key := attributes["predictionId"].(type) {
		case *ddbtypes.AttributeValueMemberS:
			id, _ = strconv.Atoi(key.Value)
		case *ddbtypes.AttributeValueMemberN:
			id, _ = strconv.Atoi(key.Value)
		}
		got[id] = true
		switch payload := attributes["prediction"].(type) {
		case *ddbtypes.AttributeValueMemberS:
			if want := fmt.Sprintf(`{"n":%d,"score":0.1234567890123456789,"text":"größer \"\\ \n"}`, id); payload.Value != want {
				t.Errorf("payload of %d: %s, want %s", id, payload.Value, want)
			}
		case *ddbtypes.AttributeValueMemberM:
			score, _ := payload.Value["score"].(*ddbtypes.AttributeValueMemberN)
			text, _ := payload.Value["text"].(*ddbtypes.AttributeValueMemberS)
			if score == nil || score.Value != "0.1234567890123456789" || text == nil || text.Value != "größer \"\\ \n" {
				t.Errorf("payload of %d: %v", id, payload.Value)
			}
		default:
			t.Errorf("payload of %d: %T", id, payload)
		}
	}
	if gotIDs := slices.Sorted(maps.Keys(got)); !slices.Equal(gotIDs, ids) || len(out.Items) != len(ids) {
		t.Errorf("the table has %d items with the ids %v, want one for each of %v", len(out.Items), gotIDs, ids)
	}
}

func (w *wire) wantRejects(t *testing.T, want int) {
	t.Helper()
	var reasons []string
	for range 20 {
		out, err := w.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &w.rejects, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range out.Messages {
			reasons = append(reasons, aws.ToString(out.Messages[i].MessageAttributes["predcache.reason"].StringValue))
			// Deleted, so that the next of its group comes where the queue is FIFO.
			if _, err := w.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &w.rejects, ReceiptHandle: out.Messages[i].ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		if len(reasons) >= want {
			break
		}
	}
	slices.Sort(reasons)
	if !slices.Equal(reasons, []string{"encoding", "missing_field", "syntax"}) {
		t.Errorf("reasons in the reject queue: %v", reasons)
	}
}

func TestStart_refuses_unusable_table(t *testing.T) {
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			if b.FakeDynamoDB != nil {
				b.FakeDynamoDB.SetTTL(w.table, "") // an hour too early for a call
			} else if _, err := b.DynamoDB.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
				TableName: &w.table, TimeToLiveSpecification: &ddbtypes.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(false)},
			}); err != nil {
				t.Fatal(err)
			}
			wantProblem(t, "TTL is off")
			t.Setenv("WORKER_TABLE_NAME", "no-such-table")
			wantProblem(t, `the table "no-such-table" does not exist`)
			t.Setenv("WORKER_QUEUE_URL", w.queue+"-not")
			wantProblem(t, "the queue does not exist")
		})
	}
}

// wantProblem checks that `worker check` fails with a line that says so.
func wantProblem(t *testing.T, want string) {
	t.Helper()
	var out bytes.Buffer
	err := dispatch(t.Context(), []string{"check"}, nil, &out, &out)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("worker check: error %v, want %q", err, want)
	}
}
