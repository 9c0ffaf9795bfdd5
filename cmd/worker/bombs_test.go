package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/bombs"
	"github.com/predcache/predcache/internal/workertest/process"
)

var bombsMode = flag.String("bombs", "", "together: a few of all bombs at once in each scenario; each: every bomb by itself, as many as fill the memory")

// maxResident is what the worker may take at its default settings, whatever a queue delivers: docs/guarantees.md.
const maxResident = 256 << 20

// A bombScenario is a state of the services.
type bombScenario struct {
	name      string
	table     func(c *awstest.Call) awstest.Fault
	rejects   func(c *awstest.Call) awstest.Fault
	noRejects bool
	small     bool // the reject queue takes 64 KiB
}

var (
	healthy      = func(*awstest.Call) awstest.Fault { return awstest.Fault{} }
	slow         = func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 50 * time.Millisecond} }
	unavailable  = func(*awstest.Call) awstest.Fault { return awstest.Fault{Err: awstest.ServiceUnavailable()} }
	accessDenied = func(*awstest.Call) awstest.Fault {
		return awstest.Fault{Err: awstest.AccessDenied("sqs:SendMessage")}
	}
)

var bombScenarios = []bombScenario{
	{name: "healthy", table: healthy, rejects: healthy},
	{name: "table down", table: unavailable, rejects: healthy},
	{name: "slow table and reject queue", table: slow, rejects: slow},
	{name: "reject queue denied", table: healthy, rejects: accessDenied},
	{name: "small reject queue, table down", table: unavailable, rejects: healthy, small: true},
	{name: "no reject queue", table: healthy, noRejects: true},
}

// TestBombs floods the real worker with messages that try to take more memory than they should. It stays under its limit, what it
// holds is counted, and the good predictions beside them are written.
func TestBombs(t *testing.T) {
	if *bombsMode == "" {
		t.Skip("it takes a minute: make bombs")
	}
	path, err := process.Build{}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := bombs.All(time.Now())
	for _, s := range bombScenarios {
		t.Run(s.name, func(t *testing.T) {
			if *bombsMode != "each" {
				flood(t, path, s, all, 3)
				return
			}
			for _, b := range all {
				t.Run(b.Name, func(t *testing.T) { flood(t, path, s, []bombs.Bomb{b}, b.Count) })
			}
		})
	}
}

// flood sends so many messages of each bomb.
func flood(t *testing.T, path string, s bombScenario, kinds []bombs.Bomb, count int) {
	queues, tables := sqsfake.New(), dynamodbfake.New()
	defer queues.Close()
	defer tables.Close()
	queueServer, tableServer := httptest.NewServer(queues), httptest.NewServer(tables)
	defer queueServer.Close()
	defer tableServer.Close()
	queues.SetRecording(false)
	tables.SetRecording(false)
	queues.CreateQueue(workertest.QueueName, map[string]string{"MaximumMessageSize": "1048576"})
	rejectSize := "1048576"
	if s.small {
		rejectSize = "65536"
	}
	queues.CreateQueue(workertest.RejectName, map[string]string{"MaximumMessageSize": rejectSize})
	workertest.CreateTable(t, tables.Client(), workertest.TableName, item.Versioned, item.TypeS)
	good := send(t, queues, queueServer.URL, kinds, count)
	tables.SetFault(func(c *awstest.Call) awstest.Fault {
		if strings.HasPrefix(c.Operation, "Describe") {
			return awstest.Fault{}
		}
		return s.table(c)
	})
	queues.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation == "SendMessageBatch" {
			return s.rejects(c)
		}
		return awstest.Fault{}
	})
	settings := []string{
		"AWS_ENDPOINT_URL_SQS=" + queueServer.URL, "AWS_ENDPOINT_URL_DYNAMODB=" + tableServer.URL,
		"WORKER_QUEUE_URL=" + queueServer.URL + "/000000000000/" + workertest.QueueName, "WORKER_TABLE_NAME=" + workertest.TableName,
	}
	if !s.noRejects {
		settings = append(settings, "WORKER_REJECT_QUEUE_URL="+queueServer.URL+"/000000000000/"+workertest.RejectName)
	}
	w, err := process.Start(process.Config{Path: path, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	if err := w.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	var peak int64
	var worst heldHeap
	looked := time.Now()
	err = w.Until(ctx, func() bool {
		_, peak = w.Resident()
		visible, _, _ := queues.Counts(workertest.QueueName)
		if time.Since(looked) > time.Second {
			looked = time.Now()
			if at := collect(ctx, t, w); at.heap-1.3*at.held > worst.heap-1.3*worst.held {
				worst = at
			}
		}
		m, err := w.Metrics(ctx)
		return err == nil && (m.By("predcache_table_state", "state")["down"] == 1 || visible == 0 && tables.ItemCount(workertest.TableName) == good)
	})
	if err != nil {
		t.Errorf("%d of %d good predictions are in the table: %v\n%s", tables.ItemCount(workertest.TableName), good, err, w.Log().Tail(5))
	}
	t.Logf("%d MiB resident at most; the heap had %v where the difference was greatest", peak>>20, worst)
	if peak > maxResident {
		t.Errorf("%d MiB resident", peak>>20)
	}
	// Beside what is held: an idle worker's heap (8 MiB), eight requests of 2 MiB under way, one answer of 10 MiB with its messages.
	const own = 44 << 20
	if worst.heap > 1.3*worst.held+own {
		file := filepath.Join(t.ArtifactDir(), "heap.pprof")
		t.Errorf("the heap had %v: %s, %v", worst, file, os.WriteFile(file, worst.profile, 0o600))
	}
}

// A heldHeap is what the worker counts as held, and what its heap has after a forced collection.
type heldHeap struct {
	held, heap float64
	profile    []byte
}

func (h heldHeap) String() string {
	return fmt.Sprintf("%.1f MiB with %.1f MiB counted", h.heap/(1<<20), h.held/(1<<20))
}

// send puts so many messages of each kind into the queue, one kind after the other in turn, and returns how many good predictions
// they have.
func send(t *testing.T, queues *sqsfake.Service, url string, kinds []bombs.Bomb, count int) (good int) {
	t.Helper()
	client := queues.Client()
	queue := url + "/000000000000/" + workertest.QueueName
	for i := range count {
		for _, b := range kinds {
			m := b.Make(i)
			in := &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &m.Body, MessageAttributes: map[string]types.MessageAttributeValue{}}
			for name, value := range m.Attributes {
				in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
			}
			if _, err := client.SendMessage(t.Context(), in); err != nil {
				t.Fatalf("%s: %v", b.Name, err)
			}
			good += b.Good
		}
	}
	return good
}

// collect forces a collection. The counted bytes are read before it and after it, since the worker goes on: the greater counts.
func collect(ctx context.Context, t *testing.T, w *process.Process) heldHeap {
	t.Helper()
	before, err := w.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/heap?gc=1", w.Admin), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const counted = "predcache_held_bytes"
	return heldHeap{max(before.Value(counted), m.Value(counted)), m.Value("go_memstats_heap_alloc_bytes"), profile}
}
