package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
)

// The tests read the same environment as the worker; nothing of the machine's own may reach them.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "WORKER_") || strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

const (
	queueName  = "predictions"
	rejectName = "rejects"
	tableName  = "cache"
)

// A world is one queue, one reject queue and one table, for one or several workers, inside a synctest bubble.
type world struct {
	t      *testing.T
	queues *awstest.SQS
	tables *awstest.DynamoDB
	cfg    *config.Config
}

// inWorld runs a test in a bubble with a world of a layout.
func inWorld(t *testing.T, layout item.Kind, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, queues: awstest.NewSQS(), tables: awstest.NewDynamoDB()}
		defer w.tables.Close()
		defer w.queues.Close()
		w.queues.SetRecording(true)
		w.tables.SetRecording(true)
		t.Setenv("WORKER_QUEUE_URL", w.queues.CreateQueue(queueName, nil))
		t.Setenv("WORKER_REJECT_QUEUE_URL", w.queues.CreateQueue(rejectName, nil))
		t.Setenv("WORKER_TABLE_NAME", tableName)
		cfg, err := config.Load()
		if err != nil {
			t.Fatal(err)
		}
		w.cfg = cfg
		createTable(t, w.tables.Client(), tableName, layout, item.TypeS)
		test(w)
	})
}

// createTable makes a table of a layout, with TTL.
func createTable(t testing.TB, client *dynamodb.Client, name string, layout item.Kind, hash item.KeyType) {
	t.Helper()
	in := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("predictionId"), AttributeType: types.ScalarAttributeType(hash)}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("predictionId"), KeyType: types.KeyTypeHash}},
	}
	if layout != item.LatestOnly {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String("timestamp"), AttributeType: types.ScalarAttributeTypeN})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String("timestamp"), KeyType: types.KeyTypeRange})
	}
	ttl := "expiresAt"
	if layout == item.ExpirySorted {
		ttl = "timestamp"
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl, Enabled: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
}

// transport brings each request to the fake that it is for.
func (w *world) transport() http.RoundTripper {
	return awstest.Transport(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") {
			w.queues.ServeHTTP(rw, r)
		} else {
			w.tables.ServeHTTP(rw, r)
		}
	}))
}

// A replica is one worker at work.
type replica struct {
	*pipeline
	log  *logBuffer
	stop func() // as SIGTERM does; it returns when the worker has ended
	left int    // messages still held then
}

// A logBuffer is a log that a test reads while the worker writes.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start starts a worker.
func (w *world) start() *replica {
	w.t.Helper()
	r := &replica{log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	clock := &awsclient.Clock{}
	watch := observer{telemetry.NewMetrics(clock.Now), telemetry.NewHealth(log)}
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: w.transport(), Observer: watch, Clock: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := find(context.Background(), w.cfg, clients)
	if err != nil {
		w.t.Fatal(err)
	}
	r.pipeline = newPipeline(w.cfg, found, clients, watch, log)
	intake, terminate := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		left, err := r.Run(intake)
		if err != nil {
			w.t.Error(err)
		}
		r.left = left
	}()
	r.stop = func() { terminate(); <-ended }
	return r
}

// probe asks /livez or /readyz.
func (r *replica) probe(path string) (status int, text string) {
	rec := &probeRecorder{header: http.Header{}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody)
	if err != nil {
		panic(err)
	}
	telemetry.Handler(r.metrics, r.health).ServeHTTP(rec, req)
	return rec.status, rec.String()
}

type probeRecorder struct {
	bytes.Buffer
	header http.Header
	status int
}

func (r *probeRecorder) Header() http.Header    { return r.header }
func (r *probeRecorder) WriteHeader(status int) { r.status = status }

func (w *world) send(bodies ...string) { w.queues.Send(queueName, bodies...) }

// message is a plain prediction of an id, at an event time of so many seconds before now.
func message(id string, age time.Duration, payload string) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%s}`, id, time.Now().Add(-age).Unix(), payload)
}

// states counts a queue's messages by state.
func (w *world) states(queue string) map[awstest.MessageState]int {
	counts := map[awstest.MessageState]int{}
	for _, m := range w.queues.Messages(queue) {
		counts[m.State]++
	}
	return counts
}

// wantDeleted checks that each message of the queue has been deleted.
func (w *world) wantDeleted(messages int) {
	w.t.Helper()
	if got := w.states(queueName); got[awstest.Deleted] != messages || len(got) > 1 {
		w.t.Errorf("messages by state: %v, want %d deleted and no other", got, messages)
	}
}

// wantItems checks how many items the table has.
func (w *world) wantItems(n int) {
	w.t.Helper()
	if got := w.tables.ItemCount(tableName); got != n {
		w.t.Errorf("the table has %d items, want %d", got, n)
	}
}

// wantReceives checks that no message was received more often than so.
func (w *world) wantReceives(most int) {
	w.t.Helper()
	for _, m := range w.queues.Messages(queueName) {
		if m.ReceiveCount > most {
			w.t.Errorf("message %s was received %d times, want at most %d", m.ID, m.ReceiveCount, most)
		}
	}
}
