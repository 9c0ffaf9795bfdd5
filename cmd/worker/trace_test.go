package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// named are the spans of a name, in the order of their beginning.
func (c *collector) named(name string) (spans []collected) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b collected) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	return spans
}

// context is a span as a link names it.
func (s collected) context() string {
	return hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId)
}

func (s collected) links() (contexts []string) {
	for _, l := range s.Links {
		contexts = append(contexts, hex.EncodeToString(l.TraceId)+"-"+hex.EncodeToString(l.SpanId))
	}
	return contexts
}

func (s collected) attribute(name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			if n := a.Value.GetIntValue(); n != 0 {
				return fmt.Sprint(n)
			}
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// atHome starts fakes on loopback, as the worker's own settings name them.
func atHome(t *testing.T) (*sqsfake.Service, *dynamodbfake.Service) {
	queues, tables := sqsfake.New(), dynamodbfake.New()
	queueServer, tableServer := httptest.NewServer(queues), httptest.NewServer(tables)
	t.Cleanup(func() {
		queues.Close()
		tables.Close()
		queueServer.Close()
		tableServer.Close()
	})
	queues.CreateQueue(workertest.QueueName, nil)
	queues.CreateQueue(workertest.RejectName, nil)
	workertest.CreateTable(t, tables.Client(), workertest.TableName, item.Versioned, item.TypeS)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_SQS": queueServer.URL, "AWS_ENDPOINT_URL_DYNAMODB": tableServer.URL,
		"WORKER_QUEUE_URL": queueServer.URL + "/000000000000/" + workertest.QueueName, "WORKER_REJECT_QUEUE_URL": queueServer.URL + "/000000000000/" + workertest.RejectName,
		"WORKER_TABLE_NAME": workertest.TableName, "WORKER_RECEIVE_WAIT": "1s", "WORKER_HTTP_ADDR": "127.0.0.1:0", "WORKER_ADMIN_ADDR": "",
	} {
		t.Setenv(name, value)
	}
	return queues, tables
}

// publishAndWork publishes a file with worker publish, and runs worker run until the queue is empty.
func publishAndWork(t *testing.T, queues *sqsfake.Service, lines ...string) {
	file := filepath.Join(t.TempDir(), "predictions.ndjson")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dispatch(t.Context(), []string{"publish", "--unchecked", file}, nil, io.Discard, os.Stderr); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- dispatch(ctx, []string{"run"}, nil, io.Discard, io.Discard) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if visible, inFlight, _ := queues.Counts(workertest.QueueName); visible+inFlight == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Error("the queue is not empty after 20 s")
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTraceFromPublishToWrite follows predictions through two real commands and the collector's eyes.
func TestTraceFromPublishToWrite(t *testing.T) {
	queues, tables := atHome(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	// One item comes back unprocessed once.
	var once sync.Once
	tables.SetFault(func(call *awstest.Call) (f awstest.Fault) {
		if call.Operation == "BatchWriteItem" {
			once.Do(func() { f.Unprocessed = func(i int, _ awstest.Entry) bool { return i == 0 } })
		}
		return f
	})
	at := time.Now().UnixMilli()
	good := func(id string) string {
		return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":{"secret":42}}`, id, at)
	}
	publishAndWork(t, queues, good("a"), good("b"), good("a"), `{"predictionId":"bad","timestamp":"yesterday","prediction":1}`)

	sent, received, processed := c.named("send "+workertest.QueueName), c.named("receive "+workertest.QueueName), c.named("process "+workertest.QueueName)
	stored, written := c.named("store prediction"), c.named("BatchWriteItem "+workertest.TableName)
	if len(sent) != 1 || len(received) == 0 || len(processed) != 4 || len(stored) != 4 || len(written) < 2 {
		t.Fatalf("%d sent, %d received, %d processed, %d stored, %d written", len(sent), len(received), len(processed), len(stored), len(written))
	}
	if sent[0].service != "predcache-publisher" || sent[0].Kind != otlp.Span_SPAN_KIND_PRODUCER || sent[0].attribute("messaging.batch.message_count") != "4" {
		t.Errorf("the publisher's span is %v", sent[0])
	}
	for _, s := range append(processed, received...) {
		if s.service != "predcache-worker" || len(s.Links) == 0 || s.links()[0] != sent[0].context() || s.attribute("messaging.destination.name") != workertest.QueueName || s.attribute("messaging.system") != "aws_sqs" {
			t.Errorf("it is not linked to its sender: %v", s)
		}
	}
	parents := map[string]bool{}
	for _, s := range processed {
		parents[s.context()] = true
		if s.Kind != otlp.Span_SPAN_KIND_CONSUMER || len(s.ParentSpanId) > 0 {
			t.Errorf("the message's span is %v", s)
		}
	}
	outcomes := map[string]int{}
	var inWrites []string
	for _, w := range written {
		inWrites = append(inWrites, w.links()...)
		if w.Kind != otlp.Span_SPAN_KIND_CLIENT || w.attribute("db.operation.batch.size") == "" || w.attribute("db.collection.name") != workertest.TableName {
			t.Errorf("the write's span is %v", w)
		}
	}
	sentBack := 0
	for _, s := range stored {
		outcome := s.attribute("predcache.outcome")
		outcomes[outcome]++
		if !parents[hex.EncodeToString(s.TraceId)+"-"+hex.EncodeToString(s.ParentSpanId)] {
			t.Errorf("the prediction's span is no child of its message's: %v", s)
		}
		if failed := s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR; failed != (outcome == "rejected") {
			t.Errorf("a prediction that was %s has the status %v", outcome, s.Status)
		}
		if isIn := slices.Contains(inWrites, s.context()); isIn != (outcome == "written") {
			t.Errorf("a prediction that was %s: in a write is %v", outcome, isIn)
		}
		for _, e := range s.Events {
			if e.Name == "sent back unprocessed" {
				sentBack++
			}
		}
	}
	if fmt.Sprint(outcomes) != "map[duplicate:1 rejected:1 written:2]" || sentBack != 1 {
		t.Errorf("the outcomes are %v, and %d were sent back", outcomes, sentBack)
	}
	if text := fmt.Sprint(c.spans); strings.Contains(text, "secret") || strings.Contains(text, "yesterday") {
		t.Error("a payload is in a trace")
	}
	if t.Failed() || testing.Verbose() {
		for _, s := range c.spans {
			t.Logf("%-20s %-26s %s parent %q links %.16v %s %v", s.service, s.Name, s.context(), hex.EncodeToString(s.ParentSpanId), s.links(), s.attribute("predcache.outcome"), s.Status)
		}
	}
}

// What its sender did not sample isn't sampled here; and a worker without OTEL_* variables makes no trace.
func TestTracesThatNobodyWants(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"the publisher samples nothing": {"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
		"disabled":                      {"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"},
		"no variables":                  {},
	} {
		t.Run(name, func(t *testing.T) {
			queues, _ := atHome(t)
			c := newCollector(t)
			for name, value := range env {
				t.Setenv(name, strings.ReplaceAll(value, "URL", c.URL))
			}
			publishAndWork(t, queues, fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":1}`, time.Now().UnixMilli()))
			if len(c.spans) > 0 {
				t.Errorf("%d spans", len(c.spans))
			}
		})
	}
}
