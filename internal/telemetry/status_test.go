package telemetry

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

func newTestStatus() (*Metrics, *Health, *Status) {
	m, h := NewMetrics(time.Now), NewHealth(slog.New(slog.DiscardHandler))
	limits := Limits{HeldMessages: 10_000, HeldBytes: 1 << 27, Pollers: 8, WriteConcurrency: 8, DedupKeys: 100_000}
	m.Pipeline(limits, func() dedup.Stats { return dedup.Stats{Pending: 7, Written: 1234} })
	m.Priced(Prices{WriteUnits: 0.625, Requests: 0.4})
	s := NewStatus(m, h, Facts{Version: "v1.2.3", Queue: "https://sqs.example/1/predictions", Table: "cache", Limits: limits,
		Settings: []Setting{{"WORKER_TTL", "6h", "24h", "Life of a prediction."}}})
	return m, h, s
}

// A second of work: so many predictions written, a quarter as many duplicates, at this age.
func work(m *Metrics, n int, age time.Duration) {
	m.Received(n)
	for i := range n {
		m.Outcome(prediction.Written, 1, time.Now().Add(-age).UnixMilli())
		if i%4 == 0 {
			m.Outcome(prediction.Duplicate, 2, time.Now().UnixMilli())
		}
	}
	m.Batch(n, 0)
	m.Spent(float64(n))
	m.Call("BatchWriteItem", "", 10*time.Millisecond)
}

func TestStateInWords(t *testing.T) {
	denied := errors.New("BatchWriteItem: AccessDeniedException: not authorized")
	for name, test := range map[string]struct {
		do                  func(m *Metrics, h *Health)
		state, title, words string
	}{
		"starting": {func(_ *Metrics, h *Health) { h.SetReady(false) }, "idle", "Starting", "reads its queue and its table"},
		"idle": {func(m *Metrics, _ *Health) {
			nothing := func() dedup.Stats { return dedup.Stats{} }
			m.window.Store(&nothing)
		}, "idle", "Idle: nothing to receive", "One poller waits"},
		"receives wait for the writes": {func(*Metrics, *Health) {}, "good", "At work", "nothing has been written in the last minute"},
		"at work": {func(m *Metrics, _ *Health) {
			m.State(writer.Up)
			for range 30 {
				work(m, 20, 80*time.Millisecond)
				time.Sleep(time.Second)
			}
		}, "good", "Writing 18 predictions a second", "half of them were durable within 75 ms of being sent, and 99 % within 99 ms"},
		"the table is down": {func(m *Metrics, h *Health) {
			m.State(writer.Down)
			m.Held(1, 100)
			h.Report("ReceiveMessage", "", errors.New("later and less"))
			h.Report("the table", "", denied)
			time.Sleep(90 * time.Second)
		}, "critical", "The table can't be written", "For 1 min nothing has been received: 1 message is held"},
		"deletes fail": {func(_ *Metrics, h *Health) {
			h.Report("DeleteMessageBatch", "", denied)
			time.Sleep(5 * time.Second)
		}, "warning", "DeleteMessageBatch fails", "For 6 s now. It is tried again by itself"},
		"throttled": {func(m *Metrics, _ *Health) {
			m.State(writer.Up)
			m.Limit(8)
			time.Sleep(10 * time.Second)
			m.Limit(3)
			m.Received(10)
			m.Batch(25, 1200)
			m.Call("BatchWriteItem", "ProvisionedThroughputExceededException", time.Millisecond)
			time.Sleep(2 * time.Second)
		}, "warning", "Slowed down by the table", "sent back 1,200 items and throttled 1 call. The worker writes with 3 calls at once, of 8"},
		"draining": {func(_ *Metrics, h *Health) {
			time.Sleep(2 * time.Second)
			h.SetReady(false)
			time.Sleep(2 * time.Second)
		}, "idle", "Draining", "Nothing more is received"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, h, s := newTestStatus()
				h.SetReady(true)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				time.Sleep(500 * time.Millisecond) // between the ticks
				if name == "starting" {
					test.do(m, h)
				}
				go s.Run(ctx)
				time.Sleep(250 * time.Millisecond) // never at a tick
				if name != "starting" {
					test.do(m, h)
				}
				time.Sleep(1500 * time.Millisecond)
				s.mu.Lock()
				f := s.latest
				s.mu.Unlock()
				if f.State != test.state || f.Title != test.title || !strings.Contains(f.Text, test.words) {
					t.Errorf("%s, %q: %s", f.State, f.Title, f.Text)
				}
				if failing := strings.Contains(f.Text, "The reason:"); failing != (f.Reason != "") {
					t.Errorf("the reason is %q", f.Reason)
				}
			})
		})
	}
}

func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, s := newTestStatus()
		h.SetReady(true)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		time.Sleep(500 * time.Millisecond)
		go s.Run(ctx)
		time.Sleep(250 * time.Millisecond) // never at a tick
		for range 100 {
			work(m, 20, 80*time.Millisecond)
			m.Rejected(prediction.ReasonSyntax)
			time.Sleep(time.Second)
		}
		m.Settled(consumer.Deleted, 2000)
		m.Call("BatchWriteItem", "timeout", time.Second)
		time.Sleep(time.Second)
		answer := httptest.NewRecorder()
		s.JSON(answer, httptest.NewRequest(http.MethodGet, "/status.json", nil))
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
		// 2,000 units for 2,500 predictions; 1,000 units saved.
		if c := f.Cost; c.PerMillion != 0.5 || c.Spent != 0.00125 || c.Saved != 0.000625 {
			t.Errorf("cost: %+v", c)
		}
		if f.Counts[2].Name != "deleted" || f.Counts[2].N != 2000 {
			t.Errorf("counts: %v", f.Counts)
		}
		points := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.points)
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
	m, h, s := newTestStatus()
	h.SetReady(true)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := make(chan bool, 10)
	s.Found("versioned", func(context.Context) (int, int, error) { asked <- true; return 12, 3, nil })
	at := time.Now()
	for i := range 400 { // twenty minutes' points
		m.Received(10)
		s.tick(at.Add(time.Duration(i-400) * step))
	}
	if len(asked) > 0 {
		t.Error("the queue is asked while nobody looks")
	}
	go s.Run(ctx)
	server := httptest.NewServer(AdminHandler(s))
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
	for seen["figures"] < 3 && lines.Scan() {
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
		if name == "figures" && v.Title == "" {
			t.Errorf("the figures are %s", data)
		}
	}
	<-asked
	document, _ := page()
	if whole := bytes + len(document); whole > 100_000 {
		t.Errorf("the page has %d bytes with its first figures", whole)
	} else {
		t.Logf("the page has %d bytes; with its first facts and three seconds of figures, %d", len(document), whole)
	}
}

func TestViewersAreBounded(t *testing.T) {
	_, _, s := newTestStatus()
	for range maxViewers {
		s.viewers[make(chan []byte)] = true
	}
	answer := httptest.NewRecorder()
	s.Events(answer, httptest.NewRequest(http.MethodGet, "/events", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("one viewer too many gets %d", answer.Code)
	}
	s.tick(time.Now()) // none of them reads
	s.tick(time.Now())
	if len(s.viewers) != 0 {
		t.Errorf("%d viewers that don't read are kept", len(s.viewers))
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	_, _, s := newTestStatus()
	answer := httptest.NewRecorder()
	AdminHandler(s).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
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
		AdminHandler(s).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, answer.Code)
		}
	}
}

// A page of somebody else's that makes its name mean 127.0.0.1 gets nothing.
func TestForeignNamesAreRefused(t *testing.T) {
	_, _, s := newTestStatus()
	server := httptest.NewServer(AdminHandler(s))
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

func TestQuantile(t *testing.T) {
	d := distribution{bounds: []float64{1, 2, 4}, counts: []uint64{50, 90, 99}, count: 100, sum: 160}
	for q, want := range map[float64]float64{.25: .5, .5: 1, .9: 2, .945: 3, .999: 4} {
		if got := d.quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if got := (distribution{}).quantile(.5); !math.IsNaN(got) {
		t.Errorf("a quantile of nothing is %v", got)
	}
	later := distribution{bounds: d.bounds, counts: []uint64{50, 100, 109}, count: 110, sum: 180}
	if got := later.since(d); got.count != 10 || got.mean() != 2 || got.quantile(.5) != 1.5 {
		t.Errorf("the difference is %+v", got)
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
	m, _, s := newTestStatus()
	work(m, 1000, time.Second)
	at := time.Now()
	for b.Loop() {
		at = at.Add(time.Second)
		s.tick(at)
	}
}
