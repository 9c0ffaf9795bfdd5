package worker_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/workertest"
)

// watched is what the watches of a worker need.
type watched struct {
	clients   *awsclient.Clients
	resources *worker.Resources
	metrics   *telemetry.Metrics
	text      workertest.LogBuffer
	log       *slog.Logger
}

func newWatched(f *workertest.Fakes) *watched {
	f.T.Helper()
	w := &watched{}
	clock := &awsclient.Clock{}
	w.log = slog.New(slog.NewTextHandler(&w.text, nil))
	w.metrics = telemetry.NewMetrics(telemetry.Options{Now: clock.Now, Health: telemetry.NewHealth(w.log)})
	var err error
	if w.clients, err = awsclient.New(context.Background(), awsclient.Config{Transport: f.Transport(), Clock: clock}); err != nil {
		f.T.Fatal(err)
	}
	if w.resources, err = worker.FindResources(context.Background(), f.Config, w.clients); err != nil {
		f.T.Fatal(err)
	}
	return w
}

// shows reports whether /metrics has a line.
func (w *watched) shows(line string) bool {
	rec := httptest.NewRecorder()
	telemetry.Handler(w.metrics).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return strings.Contains(rec.Body.String(), "\n"+line+"\n")
}

func TestQueueWatch(t *testing.T) {
	t.Run("messages near their retention", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			w := newWatched(f)
			watch := worker.NewQueueWatch(f.Config, w.resources, w.clients, w.metrics, w.log)
			queue := worker.WatchReceives(watch, awsclient.NewQueue(w.clients, f.Config.QueueURL))
			receive := func() {
				if _, err := queue.Receive(f.T.Context(), 10, time.Second); err != nil {
					t.Error(err)
				}
			}
			f.Send("a", "b")
			receive()
			if !w.shows("predcache_messages_near_retention_total 0") {
				t.Error("fresh messages are counted as old")
			}
			time.Sleep(w.resources.Queue.Retention * 4 / 5)
			for range 5 {
				receive()
				time.Sleep(w.resources.Queue.Visibility)
			}
			if !w.shows("predcache_messages_near_retention_total 10") {
				t.Error("10 receives of old messages were not counted")
			}
			if n := strings.Count(w.text.String(), "near the end of their retention"); n < 1 || n > 5 {
				t.Errorf("%d lines were logged:\n%s", n, w.text.String())
			}
		})
	})
	t.Run("in-flight limit", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			w := newWatched(f)
			ctx, stop := context.WithCancel(f.T.Context())
			defer stop()
			var inFlight atomic.Int32
			inFlight.Store(500)
			f.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
				if c.Operation == "GetQueueAttributes" {
					return awstest.Fault{Err: &awstest.Error{Status: 200, Raw: `{"Attributes":{"ApproximateNumberOfMessages":"7","ApproximateNumberOfMessagesNotVisible":"` + strconv.Itoa(int(inFlight.Load())) + `"}}`}}
				}
				return awstest.Fault{}
			})
			watch := worker.NewQueueWatch(f.Config, w.resources, w.clients, w.metrics, w.log)
			go func() { _ = worker.RunQueueWatch(watch, ctx) }()
			time.Sleep(90 * time.Second)
			if !w.shows("predcache_in_flight_limit_reached 0") || w.text.String() != "" {
				t.Errorf("at %d in flight: %s", inFlight.Load(), w.text.String())
			}
			inFlight.Store(119_950)
			time.Sleep(10 * time.Minute)
			if n := strings.Count(w.text.String(), "in-flight limit of the queue reached"); !w.shows("predcache_in_flight_limit_reached 1") || n != 1 {
				t.Errorf("at %d in flight %d lines were logged, want one: %s", inFlight.Load(), n, w.text.String())
			}
			if !w.shows("predcache_sqs_requests_total 11") {
				t.Error("the requests of 11 minutes are not counted as billed")
			}
		})
	})
}

func TestTableWatch(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		w := newWatched(f)
		ctx, stop := context.WithCancel(f.T.Context())
		defer stop()
		watch := worker.NewTableWatch(f.Config, w.clients, w.log, w.resources.Table, func(bool) {})
		go func() { _ = worker.RunTableWatch(watch, ctx) }()
		time.Sleep(3 * time.Hour)
		if w.text.String() != "" {
			t.Errorf("logged about an unchanged table: %s", w.text.String())
		}
		client := f.DynamoDB.Client()
		if _, err := client.DeleteTable(f.T.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(workertest.TableName)}); err != nil {
			t.Fatal(err)
		}
		workertest.CreateTable(f.T, client, workertest.TableName, item.LatestOnly, item.TypeS)
		time.Sleep(3 * time.Hour)
		if n := strings.Count(w.text.String(), "table keys or indexes changed"); n != 1 {
			t.Errorf("%d lines were logged, want one: %s", n, w.text.String())
		}
	})
}
