package worker_test

import (
	"context"
	"fmt"
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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	name := workertest.TableName
	recreate := func(f *workertest.Fakes, layout item.Kind) {
		client := f.DynamoDB.Client()
		if _, err := client.DeleteTable(f.T.Context(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			f.T.Fatal(err)
		}
		workertest.CreateTable(f.T, client, name, layout, item.TypeS)
	}
	for _, test := range []struct {
		name      string
		change    func(f *workertest.Fakes)
		recreated int
		fatal     bool
		logged    string
	}{
		{"unchanged", func(*workertest.Fakes) {}, 0, false, ""},
		{"created again", func(f *workertest.Fakes) { recreate(f, item.Versioned) }, 1, false, "table deleted and created again"},
		{"created again with another key", func(f *workertest.Fakes) { recreate(f, item.LatestOnly) }, 1, true, "table deleted and created again"},
		{"TTL switched off", func(f *workertest.Fakes) {
			if _, err := f.DynamoDB.Client().UpdateTimeToLive(f.T.Context(), &dynamodb.UpdateTimeToLiveInput{
				TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(false)},
			}); err != nil {
				f.T.Fatal(err)
			}
		}, 0, false, "table TTL switched off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				w := newWatched(f)
				ctx, stop := context.WithCancel(f.T.Context())
				defer stop()
				watch := worker.NewTableWatch(f.Config, w.clients, w.resources, w.metrics.TableTTL, w.log)
				recreated := 0
				go func() { _ = worker.RunTableWatch(watch, ctx, func() { recreated++ }) }()
				time.Sleep(2 * time.Hour)
				if w.text.String() != "" {
					t.Errorf("logged about an unchanged table: %s", w.text.String())
				}
				test.change(f)
				time.Sleep(3 * time.Hour)
				if err := watch.Recheck(ctx); (err != nil) != test.fatal || recreated != test.recreated {
					t.Errorf("recheck: %v, %d times created again", err, recreated)
				}
				lines := strings.Count(w.text.String(), "level=WARN")
				if test.logged == "" && lines > 0 || test.logged != "" && (lines != 1 || !strings.Contains(w.text.String(), test.logged)) {
					t.Errorf("%d lines were logged, want one of %q: %s", lines, test.logged, w.text.String())
				}
				if ttl := w.shows("predcache_table_ttl_enabled 1"); ttl == strings.Contains(test.logged, "TTL") {
					t.Errorf("the metric says that TTL is on: %v", ttl)
				}
			})
		})
	}
}

// What was written into a table that is gone is no duplicate, and a changed index or TTL stops nobody.
func TestPipelineOnAChangedTable(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		again := workertest.Message("a", time.Minute, `1`)
		r := f.Start()
		f.Send(again)
		time.Sleep(time.Minute)
		f.WantItems(1)
		client := f.DynamoDB.Client()
		if _, err := client.DeleteTable(f.T.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(workertest.TableName)}); err != nil {
			t.Fatal(err)
		}
		workertest.CreateTable(f.T, client, workertest.TableName, item.Versioned, item.TypeS)
		time.Sleep(2 * time.Minute)
		f.Send(again)
		time.Sleep(time.Minute)
		f.WantItems(1)
		r.Stop()
		f.WantDeleted(2)
	})
}

// A worker that met no table has forgotten what it wrote to the former one. When it learned a minute later that it has another
// table, it forgot that one too, and an older version replaced what it had just written.
func TestPipelineRemembersANewTable(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
		r := f.Start()
		f.Send(workertest.Message("a", time.Hour, `1`))
		time.Sleep(10 * time.Second)
		client := f.DynamoDB.Client()
		if _, err := client.DeleteTable(f.T.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(workertest.TableName)}); err != nil {
			t.Fatal(err)
		}
		f.Send(workertest.Message("b", time.Minute, `"newer"`))
		time.Sleep(10 * time.Second)
		workertest.CreateTable(f.T, client, workertest.TableName, item.LatestOnly, item.TypeS)
		time.Sleep(2 * time.Minute)
		f.WantItems(1)
		f.Send(workertest.Message("b", time.Hour, `"older"`))
		time.Sleep(time.Minute)
		if got := f.DynamoDB.Item(workertest.TableName, "b").Text(item.AttrPayload); got != `"newer"` {
			t.Errorf("the table has %s, want the newer version", got)
		}
		r.Stop()
		f.WantDeleted(3)
	})
}

// An index that is added, or TTL that is switched off, while the worker runs costs the item that the table refuses, and nothing else.
func TestPipelineOnATableWithANewIndex(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		r := f.Start()
		f.Send(workertest.Message("before", time.Minute, `1`))
		time.Sleep(time.Minute)
		name := workertest.TableName
		client := f.DynamoDB.Client()
		if _, err := client.UpdateTable(f.T.Context(), &dynamodb.UpdateTableInput{
			TableName:            &name,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("model"), AttributeType: types.ScalarAttributeTypeS}},
			GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
				IndexName: aws.String("by-model"), KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("model"), KeyType: types.KeyTypeHash}},
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
			}}},
		}); err != nil {
			t.Fatal(err)
		}
		f.DynamoDB.SetTTL(name, "")
		at := time.Now().Unix()
		f.Send(
			fmt.Sprintf(`{"predictionId":"refused","timestamp":%d,"prediction":1,"model":7}`, at),
			fmt.Sprintf(`{"predictionId":"neighbour","timestamp":%d,"prediction":1,"model":"m"}`, at),
		)
		time.Sleep(time.Minute)
		f.Send(workertest.Message("after", time.Minute, `1`))
		time.Sleep(time.Minute)
		f.WantItems(3)
		rejects := f.SQS.Messages(workertest.RejectName)
		if len(rejects) != 1 || rejects[0].Attributes["predcache.reason"] != "table" || !strings.Contains(rejects[0].Body, "refused") {
			t.Errorf("rejects: %v", rejects)
		}
		if status, text := r.Probe("/readyz"); status != http.StatusOK {
			t.Errorf("/readyz says %q", text)
		}
		r.Stop()
		f.WantDeleted(4)
	})
}
