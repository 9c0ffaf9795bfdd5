package telemetry

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

var update = flag.Bool("update", false, "write the generated parts of the documents")

// wired are the metrics as the worker has them.
func wired() *Metrics {
	m := NewMetrics(time.Now)
	m.Pipeline(Limits{HeldMessages: 10_000, HeldBytes: 1 << 27, Pollers: 8, WriteConcurrency: 8, DedupKeys: 100_000},
		func() dedup.Stats { return dedup.Stats{Pending: 3, Written: 40, PendingHits: 5, WrittenHits: 6} })
	m.Build("v1.2.3", func() bool { return true })
	m.TTL()(true)
	m.Signs()
	m.Priced(Prices{WriteUnits: 0.625, Requests: 0.4})
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(m, NewHealth(nil)).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != 200 {
		t.Fatalf("/metrics answers %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func TestMetricsTable(t *testing.T) {
	const file, begin, end = "../../docs/telemetry.md", "TestMetricsTable -update -->\n", "<!-- end -->"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(doc), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the document has no place for the table")
	}
	want := before + begin + "\n" + wired().Markdown() + "\n" + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(doc) != want {
		t.Error("docs/telemetry.md is not what the worker exports: make docs")
	}
}

// TestConventions holds the names to what Prometheus asks.
func TestConventions(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, wired()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "predcache_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	text := scrape(t, wired())
	for _, f := range wired().all {
		if len(f.labels) > 0 && len(f.values) == 0 {
			continue // calls, build_info
		}
		for _, value := range append([]string{""}, f.values...) {
			series := f.name
			if value != "" {
				series = fmt.Sprintf("%s{%s=%q}", f.name, f.labels[0], value)
			}
			if value == "" && len(f.values) > 0 {
				continue
			}
			if f.kind == "histogram" {
				series += "_count"
			}
			if !strings.Contains(text, "\n"+series+" ") {
				t.Errorf("%s is not there", series)
			}
		}
	}
	for _, line := range []string{
		`predcache_dedup_keys{state="written"} 40`, `predcache_dedup_hits_total{state="pending"} 5`, `predcache_held_bytes_limit 1.34217728e+08`,
		`predcache_build_info{version="v1.2.3"} 1`, `predcache_ready 1`, `predcache_calls_total{operation="BatchWriteItem"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not there", line)
		}
	}
}

func TestErrorCodesAreBounded(t *testing.T) {
	m := wired()
	for i := range 1000 {
		m.Call("BatchWriteItem", fmt.Sprintf("MadeUp%d", i), time.Millisecond)
	}
	text := scrape(t, m)
	if n := strings.Count(text, "\npredcache_call_errors_total{"); n != maxCodes+1 {
		t.Errorf("%d series of error codes", n)
	}
	if want := fmt.Sprintf(`predcache_call_errors_total{code="other",operation="BatchWriteItem"} %d`, 1000-maxCodes); !strings.Contains(text, want) {
		t.Errorf("no %s", want)
	}
}

// A queue that answers as it is told.
type queue struct {
	received []consumer.Received
	failures []consumer.Failure
	err      error
}

func (q *queue) Receive(context.Context, int, time.Duration) ([]consumer.Received, error) {
	return q.received, q.err
}
func (q *queue) Delete(context.Context, []string) ([]consumer.Failure, error) {
	return q.failures, q.err
}
func (q *queue) ChangeVisibility(context.Context, []consumer.Visibility) ([]consumer.Failure, error) {
	return q.failures, q.err
}
func (q *queue) Send(context.Context, []consumer.Outgoing) ([]consumer.Failure, error) {
	return q.failures, q.err
}

func TestQueueIsWatched(t *testing.T) {
	m, q := wired(), &queue{}
	watched, rejects := m.WatchQueue(q), m.WatchRejects(q)
	ctx := t.Context()
	q.received = []consumer.Received{{Receives: 1}, {Receives: 2}, {Receives: 9}}
	if got, err := watched.Receive(ctx, 10, 0); len(got) != 3 || err != nil {
		t.Fatal(got, err)
	}
	q.failures = []consumer.Failure{{Index: 0, SenderFault: true}, {Index: 2}}
	watched.Delete(ctx, make([]string, 5))
	q.failures, q.err = nil, errors.New("no answer")
	watched.Delete(ctx, make([]string, 4))
	watched.ChangeVisibility(ctx, make([]consumer.Visibility, 3))
	rejects.Send(ctx, make([]consumer.Outgoing, 2))
	text := scrape(t, m)
	for _, line := range []string{
		`predcache_messages_redelivered_total 2`,
		`predcache_settle_retries_total{operation="DeleteMessageBatch"} 5`,
		`predcache_settle_retries_total{operation="ChangeMessageVisibilityBatch"} 3`,
		`predcache_settle_retries_total{operation="SendMessageBatch"} 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not there", line)
		}
	}
}

// A table that shows how many writes are under way.
type table func()

func (t table) BatchWrite(context.Context, []*item.Item) ([]int, error) {
	t()
	return nil, nil
}

func TestTableIsWatched(t *testing.T) {
	m := wired()
	during := ""
	m.WatchTable(table(func() { during = scrape(t, m) })).BatchWrite(t.Context(), nil)
	if !strings.Contains(during, "predcache_writes_in_flight 1\n") || !strings.Contains(scrape(t, m), "predcache_writes_in_flight 0\n") {
		t.Error("the writes under way are not counted")
	}
}

// Counting happens for each prediction: it must not allocate.
func TestCountingAllocatesNothing(t *testing.T) {
	m, watched := wired(), wired().WatchQueue(&queue{})
	receipts := make([]string, 10)
	if n := testing.AllocsPerRun(100, func() {
		m.Outcome(prediction.Written, 1, 1_700_000_000_000)
		m.Outcome(prediction.Duplicate, 1, 1_700_000_000_000)
		m.Settled(consumer.Deleted, 1)
		m.Received(10)
		m.Held(10, 1000)
		m.Batch(25, 0)
		m.Call("BatchWriteItem", "", time.Millisecond)
		watched.Delete(context.Background(), receipts)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPrediction(b *testing.B) {
	m := wired()
	for b.Loop() {
		m.Outcome(prediction.Written, 1, 1_700_000_000_000)
		m.Settled(consumer.Deleted, 1)
	}
}
