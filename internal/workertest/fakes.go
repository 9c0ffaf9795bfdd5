// Package workertest runs the worker in tests: its pipeline on fakes in one process, in simulated time.
package workertest

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
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
)

// Main runs a package's tests without the machine's own settings: the tests read the same environment as the worker.
func Main(m *testing.M) {
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

// The names of what WithFakes creates.
const (
	QueueName  = "predictions"
	RejectName = "rejects"
	TableName  = "cache"
)

// Fakes are a queue, a reject queue and a table inside a synctest bubble, for one or several workers.
type Fakes struct {
	T        *testing.T
	SQS      *sqsfake.Service
	DynamoDB *dynamodbfake.Service
	S3       *s3fake.Service // nil before AddObjects
	Config   *config.Config  // of the workers that Start starts
	// WrapAdmit wraps the window's Admit of the workers that Start starts. nil: as it is.
	WrapAdmit func(next worker.Admit) worker.Admit
}

// clockLead is slept at the start of a bubble. Its clock begins at 2000-01-01T00:00:00Z, before which event times are rejected.
const clockLead = 100 * 24 * time.Hour

// WithFakes runs a test in a synctest bubble, with a table of a layout.
func WithFakes(t *testing.T, layout item.Kind, test func(f *Fakes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(clockLead)
		f := &Fakes{T: t, SQS: sqsfake.New(), DynamoDB: dynamodbfake.New()}
		defer f.DynamoDB.Close()
		defer f.SQS.Close()
		f.SQS.SetRecording(true)
		f.DynamoDB.SetRecording(true)
		t.Setenv("WORKER_QUEUE_URL", f.SQS.CreateQueue(QueueName, nil))
		t.Setenv("WORKER_REJECT_QUEUE_URL", f.SQS.CreateQueue(RejectName, nil))
		t.Setenv("WORKER_TABLE_NAME", TableName)
		cfg, err := config.Load()
		if err != nil {
			t.Fatal(err)
		}
		f.Config = cfg
		CreateTable(t, f.DynamoDB.Client(), TableName, layout, item.TypeS)
		test(f)
	})
}

// CreateTable makes a table of a layout, with TTL.
func CreateTable(t testing.TB, client *dynamodb.Client, name string, layout item.Kind, hash item.KeyType) {
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

// Transport sends each request to the fake that it is for.
func (f *Fakes) Transport() http.RoundTripper {
	if f.S3 != nil {
		return awstest.Transport(awstest.With(f.S3, awstest.Both(f.SQS, f.DynamoDB)))
	}
	return awstest.Transport(awstest.Both(f.SQS, f.DynamoDB))
}

// A Replica is one running worker.
type Replica struct {
	*worker.Pipeline
	Health *telemetry.Health
	Log    *LogBuffer
	Stop   func() // does what SIGTERM does, and returns when the worker has ended
	Left   int    // messages still held then

	metrics *telemetry.Metrics
}

// A LogBuffer is a log that a test reads while the worker writes.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was logged.
func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Start starts a worker.
func (f *Fakes) Start() *Replica {
	f.T.Helper()
	r := &Replica{Log: &LogBuffer{}}
	log := slog.New(slog.NewTextHandler(r.Log, nil))
	clock := &awsclient.Clock{}
	metrics := telemetry.NewMetrics(telemetry.Options{Now: clock.Now, Health: telemetry.NewHealth(log), Limits: worker.Limits(f.Config)})
	r.metrics, r.Health = metrics, metrics.Health()
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: f.Transport(), Clock: clock})
	if err != nil {
		f.T.Fatal(err)
	}
	resources, err := worker.FindResources(context.Background(), f.Config, clients)
	if err != nil {
		f.T.Fatal(err)
	}
	services := worker.NewServices(f.Config, resources, clients, metrics, log)
	services.WrapAdmit = f.WrapAdmit
	r.Pipeline = worker.NewPipeline(services, f.Config, resources, metrics, log)
	intake, terminate := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		left, err := r.Run(intake)
		if err != nil {
			f.T.Error(err)
		}
		r.Left = left
	}()
	r.Stop = func() { terminate(); <-ended }
	return r
}

// Metrics are what the worker counts.
func (r *Replica) Metrics() *telemetry.Metrics { return r.metrics }

// Probe asks /livez or /readyz.
func (r *Replica) Probe(path string) (status int, text string) {
	rec := &probeRecorder{header: http.Header{}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody)
	if err != nil {
		panic(err)
	}
	telemetry.Handler(r.metrics).ServeHTTP(rec, req)
	return rec.status, rec.String()
}

type probeRecorder struct {
	bytes.Buffer
	header http.Header
	status int
}

func (r *probeRecorder) Header() http.Header    { return r.header }
func (r *probeRecorder) WriteHeader(status int) { r.status = status }

// Send sends messages to the queue.
func (f *Fakes) Send(bodies ...string) { f.SQS.Send(QueueName, bodies...) }

// Message is a plain prediction of an id, at an event time of so many seconds before now.
func Message(id string, age time.Duration, payload string) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%s}`, id, time.Now().Add(-age).Unix(), payload)
}

// States counts a queue's messages by state.
func (f *Fakes) States(queue string) map[sqsfake.MessageState]int {
	counts := map[sqsfake.MessageState]int{}
	for _, m := range f.SQS.Messages(queue) {
		counts[m.State]++
	}
	return counts
}

// WantDeleted checks that each message of the queue has been deleted.
func (f *Fakes) WantDeleted(messages int) {
	f.T.Helper()
	if got := f.States(QueueName); got[sqsfake.Deleted] != messages || len(got) > 1 {
		f.T.Errorf("messages by state: %v, want %d deleted and no other", got, messages)
	}
}

// WantItems checks how many items the table has.
func (f *Fakes) WantItems(n int) {
	f.T.Helper()
	if got := f.DynamoDB.ItemCount(TableName); got != n {
		f.T.Errorf("the table has %d items, want %d", got, n)
	}
}

// WantReceives checks that no message was received more often than so.
func (f *Fakes) WantReceives(most int) {
	f.T.Helper()
	for _, m := range f.SQS.Messages(QueueName) {
		if m.ReceiveCount > most {
			f.T.Errorf("message %s was received %d times, want at most %d", m.ID, m.ReceiveCount, most)
		}
	}
}
