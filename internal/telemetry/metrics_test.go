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
	"github.com/predcache/predcache/internal/writer"
)

var update = flag.Bool("update", false, "write the generated parts of the documents")

// wired are the metrics as the worker has them.
func wired() *Metrics {
	h := NewHealth(nil)
	h.SetReady(true)
	m := NewMetrics(Options{
		Now: time.Now, Health: h, Version: "v1.2.3", Prices: Prices{WriteUnits: 0.625, Requests: 0.4},
		Limits: Limits{HeldMessages: 10_000, HeldBytes: 1 << 27, Pollers: 8, WriteConcurrency: 8, DedupKeys: 100_000},
	})
	m.SetWindow(func() dedup.Stats { return dedup.Stats{Pending: 3, Written: 40, PendingHits: 5, WrittenHits: 6} })
	m.TableTTL(true)
	m.Backlog(70, 5)
	m.Objects()
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(m).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
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
	for _, d := range wired().declared {
		if len(d.labels) > 0 && len(d.values) == 0 {
			continue // error codes, the version
		}
		name := prefix + d.name
		if d.kind == "histogram" {
			name += "_count"
		}
		series := []string{name}
		if len(d.values) > 0 {
			series = nil
			for _, value := range d.values {
				series = append(series, fmt.Sprintf("%s{%s=%q}", name, d.labels[0], value))
			}
		}
		for _, s := range series {
			if !strings.Contains(text, "\n"+s+" ") {
				t.Errorf("%s is not there", s)
			}
		}
	}
	for _, line := range []string{
		`predcache_dedup_keys{state="written"} 40`, `predcache_dedup_hits_total{state="pending"} 5`, `predcache_held_bytes_limit 1.34217728e+08`,
		`predcache_build_info{version="v1.2.3"} 1`, `predcache_ready 1`, `predcache_calls_total{operation="BatchWriteItem"} 0`,
		`predcache_table_ttl_enabled 1`, `predcache_table_state{state="probing"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not there", line)
		}
	}
}

// A worker that may not ask for the TTL setting must not look like one whose TTL is off.
func TestTTLIsThereOnceKnown(t *testing.T) {
	m := NewMetrics(Options{Now: time.Now})
	if text := scrape(t, m); strings.Contains(text, "ttl_enabled") {
		t.Error("the TTL setting is told before it is known")
	}
	m.TableTTL(true)
	m.TableTTL(false)
	if text := scrape(t, m); !strings.Contains(text, "\npredcache_table_ttl_enabled 0\n") {
		t.Error("the TTL setting is not told")
	}
}

// coded is an error of a service.
type coded string

func (c coded) Error() string     { return string(c) }
func (c coded) ErrorCode() string { return string(c) }

func TestErrorCode(t *testing.T) {
	for want, err := range map[string]error{
		"":                                   nil,
		"ThrottlingException":                fmt.Errorf("BatchWriteItem: %w", coded("ThrottlingException")),
		"timeout":                            fmt.Errorf("receiving: %w", context.DeadlineExceeded),
		"canceled":                           context.Canceled,
		"network":                            errors.New("connection reset"),
		"unknown":                            coded(""),
		"bad__code_":                         coded("bad\xff code\n"),
		"Sim\u00f8n":                         coded("Sim\u00f8n"),
		strings.Repeat("x", maxCodeLength-1): coded(strings.Repeat("x", maxCodeLength-1) + "\u00f8"),
	} {
		if got := errorCode(err); got != want {
			t.Errorf("%v has the code %q, want %q", err, got, want)
		}
	}
}

// What a service, or a proxy before it, sends as an error code is a label: it must be clean, and there must not be many.
func TestErrorCodesAreCleanAndBounded(t *testing.T) {
	m := wired()
	broken := &queue{}
	watched := m.WatchQueue(broken)
	fail := func(code string) {
		broken.err = coded(code)
		_, _ = watched.Delete(t.Context(), []string{"r"})
	}
	fail("\xff\xfe" + strings.Repeat("long", 1000))
	for i := range 999 {
		fail(fmt.Sprintf("MadeUp%d", i))
	}
	text := scrape(t, m)
	if n := strings.Count(text, "\npredcache_call_errors_total{"); n != maxCodes+1 {
		t.Errorf("%d series of error codes", n)
	}
	if want := fmt.Sprintf(`predcache_call_errors_total{code="other",operation="DeleteMessageBatch"} %d`, 1000-maxCodes); !strings.Contains(text, want) {
		t.Errorf("no %s", want)
	}
	if n := len(m.Values(time.Now()).Failures); n != maxCodes+1 {
		t.Errorf("%d kinds of failures", n)
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

// A table gives every item the same result.
type table func() writer.Result

func (table) MaxItems() int { return writer.MaxItems }
func (t table) Write(_ context.Context, _ []*item.Item, results []writer.Result) {
	writer.SetAll(results, t())
}

func TestTableIsWatched(t *testing.T) {
	m := wired()
	during := ""
	var answer writer.Result
	fake := table(func() writer.Result { during = scrape(t, m); return answer })
	m.WatchTable(fake, BatchWriteItem).Write(t.Context(), nil, nil)
	if !strings.Contains(during, "predcache_writes_in_flight 1\n") || !strings.Contains(scrape(t, m), "predcache_writes_in_flight 0\n") {
		t.Error("the writes under way are not counted")
	}
	puts := m.WatchTable(fake, PutItem)
	answer.Kind = writer.Superseded
	puts.Write(t.Context(), []*item.Item{{}}, make([]writer.Result, 1))
	answer = writer.Result{Kind: writer.Throttled, Err: coded("ThrottlingException")}
	puts.Write(t.Context(), []*item.Item{{}}, make([]writer.Result, 1))
	v := m.Values(time.Now())
	if got := v.Calls[5]; got.Operation != PutItem || got.Total != 2 {
		t.Errorf("calls: %+v", got)
	}
	if got := v.Failures; len(got) != 1 || got[Failure{PutItem, "ThrottlingException"}] != 1 {
		t.Errorf("failures: %v; one that was superseded is none", got)
	}
}

// Counting happens for each prediction: it must not allocate.
func TestCountingAllocatesNothing(t *testing.T) {
	m := wired()
	watched, written := m.WatchQueue(&queue{}), m.WatchTable(table(func() writer.Result { return writer.Result{Kind: writer.Written} }), BatchWriteItem)
	receipts := make([]string, 10)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		m.Outcome(prediction.Written, 1, 1_700_000_000_000)
		m.Outcome(prediction.Duplicate, 1, 1_700_000_000_000)
		m.Settled(consumer.Deleted, 1)
		m.Held(10, 1000)
		m.Batch(25, 0)
		_, _ = watched.Receive(ctx, 10, 0)
		_, _ = watched.Delete(ctx, receipts)
		written.Write(ctx, nil, nil)
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

func BenchmarkCall(b *testing.B) {
	watched := wired().WatchQueue(&queue{})
	ctx, receipts := context.Background(), make([]string, 10)
	for b.Loop() {
		_, _ = watched.Delete(ctx, receipts)
	}
}

// TestCompressionIsCounted counts what compression saves in items that were written, by either call.
func TestCompressionIsCounted(t *testing.T) {
	layout, err := item.NewLayout(item.Table{HashKey: "id", HashType: item.TypeS, TTLAttribute: "ttl"}, item.Options{PerSecond: 1, Encoding: item.Zstd})
	if err != nil {
		t.Fatal(err)
	}
	d := prediction.NewDecoder(prediction.Config{Fields: prediction.Fields{ID: "id", Payload: "p"}, TTL: time.Hour, MaxDecodedBytes: 1 << 20})
	var decoded prediction.Decoded
	now := time.Now()
	d.Decode(&decoded, prediction.Message{Body: `{"id":"a","p":"` + strings.Repeat("x", 4000) + `"}`, Sent: now.UnixMilli()}, now)
	it, why := layout.New(&decoded.Predictions[0])
	if why != nil {
		t.Fatal(why)
	}
	for _, operation := range []Operation{BatchWriteItem, PutItem} {
		m := wired()
		var answer writer.Result
		watched := m.WatchTable(table(func() writer.Result { return answer }), operation)
		for _, answer.Kind = range []writer.Kind{writer.Written, writer.Superseded, writer.Unprocessed, writer.Throttled, writer.Written} {
			watched.Write(t.Context(), []*item.Item{it}, make([]writer.Result, 1))
		}
		if text := scrape(t, m); !strings.Contains(text, "predcache_write_units_saved_by_compression_total 6\n") {
			t.Errorf("%s: two items that were written save %d units each", operation, it.UnitsSaved())
		}
	}
}
