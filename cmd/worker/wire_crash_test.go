package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest/process"
)

var (
	crashKills = flag.Int("crash.kills", 6, "how often TestBinary kills or terminates a worker")
	crashRace  = flag.Bool("crash.race", false, "have TestBinary run workers with the race detector")
)

// startWorker starts the real worker with this test's settings; the test's end kills it if it still runs.
func startWorker(t *testing.T, path string, settings ...string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Config{Path: path, Settings: append(ownSettings(), settings...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// ownSettings are this test's variables that a worker reads.
func ownSettings() (own []string) {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "AWS_") || strings.HasPrefix(variable, "WORKER_") {
			own = append(own, variable)
		}
	}
	return own
}

// stopWorker sends SIGTERM. The end must come within the grace period, and cleanly.
func stopWorker(t *testing.T, p *process.Process, grace time.Duration) {
	t.Helper()
	if err := p.Stop(grace); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
}

// A load publishes predictions until it is stopped. Each has a key of its own, so that the table must in the end hold exactly
// these.
type load struct {
	client *sqs.Client
	queue  string

	mu        sync.Mutex
	published map[string]bool // id/milliseconds
	bad       map[string]bool
}

func (l *load) run(ctx context.Context, t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var repeat []string
	next := time.Now().UnixMilli()
	for n := 0; ctx.Err() == nil; {
		in := &sqs.SendMessageBatchInput{QueueUrl: &l.queue}
		keys, bad := map[string]bool{}, map[string]bool{}
		for i := range consumer.MaxBatch {
			var body string
			switch {
			case r.IntN(50) == 0:
				n++
				body = fmt.Sprintf(`{"bad":"%d."}`, n)
				bad[body] = true
			case len(repeat) > 0 && r.IntN(5) == 0:
				body = repeat[r.IntN(len(repeat))]
			default:
				var parts []string
				for range 1 + r.IntN(4) {
					n++
					next++
					id := fmt.Sprintf("id-%d", r.IntN(500))
					keys[fmt.Sprintf("%s/%d", id, next)] = true
					parts = append(parts, fmt.Sprintf(`{"predictionId":"%s","timestamp":%d,"prediction":%d}`, id, next, n))
				}
				body = "[" + strings.Join(parts, ",") + "]"
				repeat = append(repeat, body)
			}
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
		}
		// Noted before: a call that was cut off may have had its effect.
		l.mu.Lock()
		for k := range keys {
			l.published[k] = true
		}
		for b := range bad {
			l.bad[b] = true
		}
		l.mu.Unlock()
		out, err := l.client.SendMessageBatch(context.WithoutCancel(ctx), in)
		if err != nil || len(out.Failed) > 0 {
			t.Errorf("publishing: %v", err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestBinary runs the real worker as its own process: it is killed, terminated, and cut off from its services.
func TestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the worker")
	}
	path, err := process.Build{Race: *crashRace}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backends := backend.All(t)
	t.Run("drain", func(t *testing.T) { drain(t, path, backends[0]) })
	for _, b := range backends {
		t.Run("crash/"+b.Name, func(t *testing.T) { crash(t, path, b) })
	}
}

// redeliverSoon lets what a killed worker held come back after 5 s.
func (w *wire) redeliverSoon(t *testing.T) {
	t.Helper()
	if _, err := w.SQS.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &w.queue, Attributes: map[string]string{"VisibilityTimeout": "5"}}); err != nil {
		t.Fatal(err)
	}
}

// crash kills and terminates two workers, at random, while they work through a load with faults on the wire, and then compares
// the table with what was published. make crash KILLS=100 does it for longer.
func crash(t *testing.T, path string, b backend.Services) {
	const patience = 6 * time.Second
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	w.redeliverSoon(t)
	queues, queuesURL := newFaultProxy(t, b.SQSEndpoint, 1, 0.03)
	tables, tablesURL := newFaultProxy(t, b.DynamoDBEndpoint, 2, 0.10)
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + queuesURL, "AWS_ENDPOINT_URL_DYNAMODB=" + tablesURL, "WORKER_ADMIN_ADDR=",
		"WORKER_SORT_UNIT=ms", "WORKER_DRAIN_TIMEOUT=" + patience.String(), "WORKER_CALL_TIMEOUT=1s", "WORKER_POLLERS=2", "WORKER_WRITE_CONCURRENCY=4",
	}
	l := &load{client: b.SQS, queue: w.queue, published: map[string]bool{}, bad: map[string]bool{}}
	publishing, enough := context.WithCancel(t.Context())
	var publisher sync.WaitGroup
	publisher.Go(func() { l.run(publishing, t) })

	began := time.Now()
	workers := []*process.Process{startWorker(t, path, env...), startWorker(t, path, env...)}
	r := rand.New(rand.NewPCG(3, 4))
	kills, terms := 0, 0
	for range *crashKills {
		time.Sleep(time.Duration(200+r.IntN(800)) * time.Millisecond)
		i := r.IntN(len(workers))
		if r.IntN(4) == 0 {
			terms++
			stopWorker(t, workers[i], patience+3*time.Second)
		} else {
			kills++
			if err := workers[i].Kill(); err != nil {
				t.Error(err)
			}
		}
		workers[i] = startWorker(t, path, env...)
	}
	enough()
	publisher.Wait()
	waitUntilEmpty(t, b.SQS, w.queue, 2*time.Minute)
	for _, p := range workers {
		stopWorker(t, p, patience+3*time.Second)
	}
	took := time.Since(began)

	stored := keysOf(t, b.DynamoDB, w.table)
	missing, strange := 0, 0
	for k := range l.published {
		if !stored[k] {
			missing++
		}
	}
	for k := range stored {
		if !l.published[k] {
			strange++
		}
	}
	rejects := bodiesOf(t, b.SQS, w.rejects)
	lost := 0
	for body := range l.bad {
		if rejects[body] == 0 {
			lost++
		}
	}
	for body := range rejects {
		if !l.bad[body] {
			strange++
		}
	}
	if missing+strange+lost > 0 {
		t.Errorf("%d predictions are missing of %d, %d bad ones of %d; %d things are there that were not published", missing, len(l.published), lost, len(l.bad), strange)
	}
	t.Logf("%d kills and %d SIGTERMs in %v: %d predictions published and in the table, %d bad ones in the reject queue (%d times)", kills, terms, took.Round(time.Second), len(l.published), len(l.bad), total(rejects))
	t.Logf("faults on the wire: SQS %v, DynamoDB %v", queues.struck, tables.struck)
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// waitUntilEmpty waits until a queue has no message, visible or not.
func waitUntilEmpty(t *testing.T, client *sqs.Client, queue string, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		waiting, inFlight := out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"]
		if waiting == "0" && inFlight == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v the queue still has %s messages, and %s in flight", patience, waiting, inFlight)
			return
		}
	}
}

// keysOf reads the keys of a table, each as id/sort.
func keysOf(t *testing.T, client *dynamodb.Client, table string) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			id, _ := it["predictionId"].(*ddbtypes.AttributeValueMemberS)
			at, _ := it["timestamp"].(*ddbtypes.AttributeValueMemberN)
			if id == nil || at == nil {
				t.Fatalf("an item without its key: %v", it)
			}
			keys[id.Value+"/"+at.Value] = true
		}
	}
	return keys
}

// bodiesOf takes all messages out of a queue, and counts their bodies.
func bodiesOf(t *testing.T, client *sqs.Client, queue string) map[string]int {
	t.Helper()
	bodies := map[string]int{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies[*m.Body]++
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// drain sends SIGTERM to a worker at work, and counts what SQS saw of it: no receive that began after it, nothing left hidden,
// nothing received twice.
func drain(t *testing.T, path string, b backend.Services) {
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	// Slow writes, so that there is much to drain.
	defer b.FakeDynamoDB.SetFault(nil)
	b.FakeDynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation == "BatchWriteItem" {
			return awstest.Fault{Delay: 100 * time.Millisecond}
		}
		return awstest.Fault{}
	})
	bodies := make([]string, 2000)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"predictionId":"id-%d","prediction":%d}`, i, i)
	}
	name := w.queue[strings.LastIndexByte(w.queue, '/')+1:]
	b.FakeSQS.Send(name, bodies...)
	p := startWorker(t, path, "WORKER_ADMIN_ADDR=", "WORKER_DRAIN_TIMEOUT=5s", "WORKER_WRITE_CONCURRENCY=2", "WORKER_POLLERS=4")
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.Until(patience, func() bool { return b.FakeDynamoDB.ItemCount(w.table) >= 100 }); err != nil {
		t.Fatalf("waiting for writes: %v\n%s", err, p.Log())
	}
	sent := time.Now()
	stopWorker(t, p, 8*time.Second)

	deleted := 0
	for _, c := range b.FakeSQS.Calls("DeleteMessageBatch") {
		deleted += len(c.Entries)
	}
	for _, c := range b.FakeSQS.Calls("ReceiveMessage") {
		if c.Start.After(sent.Add(500 * time.Millisecond)) { // a signal takes its time on a busy machine
			t.Errorf("a receive began %v after SIGTERM", c.Start.Sub(sent))
		}
	}
	ended, visible, twice := 0, 0, 0
	for _, m := range b.FakeSQS.Messages(name) {
		switch m.State {
		case sqsfake.Deleted:
			ended++
		case sqsfake.Visible:
			visible++
		default:
			t.Errorf("message %s is left %s", m.ID, m.State)
		}
		if m.ReceiveCount > 1 {
			twice++
		}
	}
	if items := b.FakeDynamoDB.ItemCount(w.table); ended != deleted || items < ended || twice > 0 || ended+visible != len(bodies) {
		t.Errorf("%d messages deleted by %d entries, %d visible of %d, %d received twice; %d items", ended, deleted, visible, len(bodies), twice, items)
	}
	t.Logf("SIGTERM to exit: %d of %d messages written and deleted, %d never taken or released", ended, len(bodies), visible)
}
