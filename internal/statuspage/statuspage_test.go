package statuspage

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/objects"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// A bench is a page with the metrics and the health behind it. The test decides how calls end.
type bench struct {
	*telemetry.Metrics
	health *telemetry.Health
	page   *Page
	queue  consumer.Queue
	table  writer.Table

	brings int   // messages of a receive
	fault  error // of a write
}

func newBench() *bench {
	b := &bench{health: telemetry.NewHealth(nil)}
	b.Metrics = telemetry.NewMetrics(telemetry.Options{
		Now: time.Now, Health: b.health, Prices: telemetry.Prices{WriteUnits: 0.625, Requests: 0.4},
		Limits: telemetry.Limits{HeldMessages: 10_000, HeldBytes: 1 << 27, Pollers: 8, WriteConcurrency: 8, DedupKeys: 100_000, Age: time.Minute},
	})
	b.SetWindow(func() dedup.Stats { return dedup.Stats{Pending: 7, Written: 1234} })
	b.page = New(b.Metrics, b.health, Facts{Version: "v1.2.3", Queue: "https://sqs.example/1/predictions", Rejects: "https://sqs.example/1/rejects", Table: "cache",
		Settings: []Setting{{"WORKER_TTL", "6h", "24h", "Life of a prediction."}}})
	b.queue, b.table = b.WatchQueue(services{b: b}), b.WatchTable(services{b: b}, telemetry.BatchWriteItem)
	return b
}

type services struct {
	consumer.Queue
	b *bench
}

func (s services) Receive(context.Context, int, time.Duration) ([]consumer.Received, error) {
	return make([]consumer.Received, s.b.brings), nil
}

func (services) MaxItems() int { return writer.MaxItems }

func (s services) Write(_ context.Context, _ []*item.Item, results []writer.Result) {
	writer.SetAll(results, writer.Result{Kind: writer.Failed, Err: s.b.fault})
	if s.b.fault == nil {
		writer.SetAll(results, writer.Result{Kind: writer.Written})
	}
}

func (b *bench) receive(messages int) {
	b.brings = messages
	_, _ = b.queue.Receive(context.Background(), 10, 0)
}

func (b *bench) write(fault error) {
	b.fault = fault
	b.table.Write(context.Background(), []*item.Item{{}}, make([]writer.Result, 1))
}

// coded is an error of a service.
type coded string

func (c coded) Error() string     { return string(c) }
func (c coded) ErrorCode() string { return string(c) }

// reject rejects predictions.
func (b *bench) reject(n int, reason prediction.Reason, field, detail string) {
	for range n {
		b.Rejected(prediction.Rejectf(reason, field, "%s", detail))
		b.Outcome(prediction.Rejected, 0, 0)
	}
}

// backlog works for a while on predictions of three minutes ago, and reads a queue with so many messages that changes by so many a
// second.
func (b *bench) backlog(d time.Duration, waiting, change float64) {
	b.State(writer.Up)
	for at := time.Duration(0); at < d; at += time.Second {
		if at%(10*time.Second) == 0 {
			b.Backlog(int(waiting+change*at.Seconds()), 100)
		}
		b.work(20, 3*time.Minute)
		time.Sleep(time.Second)
	}
}

// work is a second of work: so many predictions written, a quarter as many duplicates, at this age.
func (b *bench) work(n int, age time.Duration) {
	b.receive(n)
	for i := range n {
		b.Outcome(prediction.Written, 1, time.Now().Add(-age).UnixMilli())
		if i%4 == 0 {
			b.Outcome(prediction.Duplicate, 2, time.Now().UnixMilli())
		}
	}
	b.Batch(n, 0)
	b.Spent(float64(n))
	b.write(nil)
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.health.SetReady(true)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		time.Sleep(500 * time.Millisecond)
		go b.page.Run(ctx)
		time.Sleep(250 * time.Millisecond) // never at a tick
		for range 100 {
			b.work(20, 80*time.Millisecond)
			b.Rejected(prediction.Rejectf(prediction.ReasonSyntax, "", "the message is not JSON: nothing at byte 0"))
			time.Sleep(time.Second)
		}
		b.Settled(consumer.Deleted, 2000)
		b.write(context.DeadlineExceeded)
		time.Sleep(time.Second)
		answer := httptest.NewRecorder()
		b.page.json(answer, httptest.NewRequest(http.MethodGet, "/status.json", nil))
		var f struct {
			Outcomes []struct {
				Name        string
				Total, Rate float64
			}
			Rejects []struct {
				Reason, Meaning string
				Total, Recent   float64
			}
			Calls []struct {
				Operation string
				Failures  map[string]float64
				Recent    float64
			}
			Batch struct{ Items float64 }
			Units struct {
				Used  float64
				Saved map[string]float64
			}
			Held   struct{ Keys, KeysLimit int }
			Counts []struct {
				Name string
				N    float64
			}
			Cost struct{ PerMillion, Spent, Saved float64 }
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &f); err != nil {
			t.Fatal(err, answer.Body)
		}
		if o := f.Outcomes[prediction.Written]; o.Total != 2000 || math.Abs(o.Rate-18) > 2 {
			t.Errorf("written: %v", o)
		}
		if r := f.Rejects; len(r) != 1 || r[0].Total != 100 || math.Abs(r[0].Recent-60) > 2 || r[0].Meaning != "not JSON" {
			t.Errorf("rejects: %v", r)
		}
		if c := f.Calls[4]; c.Operation != "BatchWriteItem" || c.Failures["timeout"] != 1 || c.Recent != 1 {
			t.Errorf("calls: %v", c)
		}
		if f.Batch.Items != 20 || f.Units.Used != 2000 || f.Units.Saved["duplicate"] != 1000 || f.Held.Keys != 1234 || f.Held.KeysLimit != 100_000 {
			t.Errorf("%+v", f)
		}
		// 2,000 units and 100 receives for 2,500 predictions; 1,000 units saved.
		if c := f.Cost; c.PerMillion != 0.516 || c.Spent != 0.00129 || c.Saved != 0.000625 {
			t.Errorf("cost: %+v", c)
		}
		if f.Counts[2].Name != "messages deleted" || f.Counts[2].N != 2000 {
			t.Errorf("counts: %v", f.Counts)
		}
		points := func() int {
			b.page.mu.Lock()
			defer b.page.mu.Unlock()
			return len(b.page.points)
		}
		if n := points(); n < 33 || n > 35 {
			t.Errorf("%d points in 100 s", n)
		}
		time.Sleep(time.Hour)
		if n := points(); n != int(window/step)+1 {
			t.Errorf("%d points in an hour", n)
		}
	})
}

// Every reason has words for somebody who sees it for the first time.
func TestMeanings(t *testing.T) {
	for _, r := range prediction.Reasons {
		if meanings[r] == "" {
			t.Errorf("%s has no meaning", r)
		}
	}
}

func TestEvents(t *testing.T) {
	b := newBench()
	b.health.SetReady(true)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := make(chan bool, 10)
	b.page.SetResources("versioned", func(context.Context) (int, int, error) { asked <- true; return 12, 3, nil })
	at := time.Now()
	for i := range 400 { // twenty minutes' points
		b.receive(10)
		b.page.tick(at.Add(time.Duration(i-400) * step))
	}
	if len(asked) > 0 {
		t.Error("the queue is asked while nobody looks")
	}
	go b.page.Run(ctx)
	server := httptest.NewServer(b.page.Handler())
	defer server.Close()
	answer, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("the type is %q", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	name, bytes, seen := "", 0, map[string]int{}
	for seen["snapshot"] < 3 && lines.Scan() {
		line := lines.Text()
		bytes += len(line)
		if n, found := strings.CutPrefix(line, "event: "); found {
			name = n
		}
		data, found := strings.CutPrefix(line, "data: ")
		if !found {
			continue
		}
		seen[name]++
		var v struct {
			Version, Layout string
			Points          map[string][]any
			Backlog         *Backlog
			Title           string
		}
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "facts" && (v.Version != "v1.2.3" || v.Layout != "versioned" || len(v.Points["p99"]) < 300) {
			t.Errorf("the facts are %.300s", data)
		}
		if name == "snapshot" && v.Title == "" {
			t.Errorf("the snapshot is %s", data)
		}
	}
	<-asked
	document, _ := page()
	if whole := bytes + len(document); whole > 100_000 {
		t.Errorf("the page has %d bytes with its first snapshot", whole)
	} else {
		t.Logf("the page has %d bytes; with its first facts and three snapshots, %d", len(document), whole)
	}
}

func TestViewersAreBounded(t *testing.T) {
	b := newBench()
	for range maxViewers {
		b.page.viewers[make(chan []byte)] = true
	}
	answer := httptest.NewRecorder()
	b.page.events(answer, httptest.NewRequest(http.MethodGet, "/events", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("one viewer too many gets %d", answer.Code)
	}
	b.page.tick(time.Now()) // none of them reads
	b.page.tick(time.Now())
	if len(b.page.viewers) != 0 {
		t.Errorf("%d viewers that don't read are kept", len(b.page.viewers))
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	b := newBench()
	answer := httptest.NewRecorder()
	b.page.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatal(answer.Code, err)
	}
	for _, outside := range []string{"http://", "https://", "//cdn", "@import", "<link rel=\"stylesheet"} {
		text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "")
		if strings.Contains(text, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	if policy := answer.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	for _, path := range []string{"/nothing", "/index.html"} {
		answer := httptest.NewRecorder()
		b.page.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, answer.Code)
		}
	}
}

// A page of somebody else's that makes its name mean 127.0.0.1 gets nothing.
func TestForeignNamesAreRefused(t *testing.T) {
	b := newBench()
	server := httptest.NewServer(b.page.Handler())
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	for host, want := range map[string]int{
		"127.0.0.1" + port: http.StatusOK, "localhost" + port: http.StatusOK, "[::1]" + port: http.StatusOK, "a.localhost": http.StatusOK,
		"evil.example" + port: http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden, "localhost.evil.example": http.StatusForbidden,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s gets %d", host, answer.StatusCode)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 1.0 / 3: "0.3333", 12345.678: "12346", 1e9: "1000000000", .000123456: "0.0001235", math.NaN(): "null", math.Inf(1): "null"} {
		if got, _ := json.Marshal(number(n)); string(got) != want {
			t.Errorf("%v is %s, not %s", n, got, want)
		}
	}
}

func BenchmarkTick(b *testing.B) {
	page := newBench()
	page.work(1000, time.Second)
	at := time.Now()
	for b.Loop() {
		at = at.Add(time.Second)
		page.page.tick(at)
	}
}

// Objects of S3 are on the page of a worker that reads them.
func TestObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := telemetry.NewMetrics(telemetry.Options{Now: time.Now})
		page := New(metrics, metrics.Health(), Facts{})
		page.tick(time.Now())
		if page.latest.Objects != nil {
			t.Errorf("a worker that reads none: %+v", page.latest.Objects)
		}
		o := metrics.Objects()
		page.SetObjects(func(context.Context) (int, int, error) { return 7, 3, nil })
		page.readBacklog(t.Context(), func(context.Context) (int, int, error) { return 1, 2, nil })
		for range 20 {
			o.Rows(100)
			time.Sleep(time.Second)
			page.tick(time.Now())
		}
		o.Left(2, 5000)
		o.Object(objects.RangeRead)
		page.tick(time.Now())
		f := page.latest.Objects
		if f.Rows != 2000 || math.Abs(float64(f.Rate)-100) > 15 || f.Reading != 2 || f.Left != 5000 || f.Backlog == nil || f.Backlog.Waiting != 7 || page.latest.Backlog.Waiting != 1 {
			t.Errorf("%+v", f)
		}
		if c := f.Outcomes[2]; c.Name != "range" || c.N != 1 {
			t.Errorf("outcomes: %v", f.Outcomes)
		}
	})
}
