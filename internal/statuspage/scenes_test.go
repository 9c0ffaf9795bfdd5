package statuspage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// record is a folder. dev/page looks at the scenes in a browser, and gets them there.
var record = flag.String("record", "", "a folder to put the scenes into, for dev/page")

// A scene is a quarter of an hour of a worker's life that ends in a state. It runs in simulated time, and the page shows a recording of
// its end: nobody waits for a backlog to become old, and the pictures are the same each time.
type scene struct {
	// What the page must say at the end: parts of the title, the text, the reason and the remedy.
	Name, State, Level, Title, Text, Reason, Remedy string

	phases []phase
	// finally happens two seconds before the end.
	finally func(*world)
}

// A phase is a part of a scene.
type phase struct {
	lasts    time.Duration
	rate     float64       // predictions a second that arrive and are written
	age      time.Duration // the median age at the beginning
	ageAfter time.Duration // at the end; 0: the same
	waiting  [2]float64    // messages in the queue at the beginning and at the end
	held     float64
	rejects  float64 // share of the predictions
	returned float64 // share of the items that the table sends back
	throttle bool    // it throttles whole calls, too
	writers  int     // that the table allows; 0: all
	down     bool    // the table can't be written
}

const quarter = 15 * time.Minute

func steady(lasts time.Duration) phase {
	return phase{lasts: lasts, rate: 640, age: 18 * time.Millisecond, waiting: [2]float64{3, 3}, held: 120, rejects: .0008, returned: .001}
}

var errDenied = remediable{
	errors.New("BatchWriteItem: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/predcache/i-0f3 is not authorized to perform: dynamodb:BatchWriteItem on resource: arn:aws:dynamodb:eu-west-1:123456789012:table/predictions"),
	"allow it in the policy of the role that calls, and in the policies of the queue and of the VPC endpoint if they have one",
}

// scenes are all states of docs/operations.md, except some warnings that look alike.
var scenes = []scene{
	{
		Name: "starting", State: "starting", Level: "idle", Title: "Starting", Text: "reads its queue and its table",
		phases: []phase{{lasts: 5 * time.Second}}, finally: func(w *world) { w.Health().SetReady(false) },
	},
	{
		Name: "idle", State: "idle", Level: "idle", Title: "Idle: nothing to receive", Text: "waits for messages",
		phases: []phase{steady(9 * time.Minute), {lasts: 6 * time.Minute}},
	},
	{
		Name: "writing", State: "writing", Level: "good", Title: "predictions a second", Text: "half of them were durable within",
		phases: []phase{steady(quarter)},
	},
	{
		Name: "behind-catching-up", State: "behind", Level: "warning", Title: "Behind by about 3 min, caught up in about", Text: "falling by", Remedy: "add workers",
		phases: []phase{
			steady(5 * time.Minute),
			{lasts: 6 * time.Minute, rate: 1900, age: time.Second, ageAfter: 4 * time.Minute, waiting: [2]float64{2_200_000, 2_100_000}, held: 3000},
			{lasts: 4 * time.Minute, rate: 2100, age: 4 * time.Minute, ageAfter: 150 * time.Second, waiting: [2]float64{2_100_000, 1_750_000}, held: 3000},
		},
	},
	{
		Name: "behind-growing", State: "behind", Level: "warning", Title: "Behind by about", Text: "rising by", Remedy: "raise the table's write capacity",
		phases: []phase{
			steady(4 * time.Minute),
			{lasts: 11 * time.Minute, rate: 240, age: 2 * time.Second, ageAfter: 9 * time.Minute, waiting: [2]float64{0, 231_000}, held: 9600, returned: .3, throttle: true, writers: 3},
		},
	},
	{
		Name: "outage", State: "outage", Level: "critical", Title: "The table can't be written", Text: "nothing has been received", Reason: "AccessDeniedException", Remedy: "allow it",
		phases: []phase{steady(11 * time.Minute), {lasts: 4 * time.Minute, down: true, held: 2140, waiting: [2]float64{0, 154_000}}},
	},
	{
		Name: "throttled", State: "throttled", Level: "warning", Title: "Slowed down by the table", Text: "DynamoDB sent back", Remedy: "raise the table's write capacity",
		phases: []phase{
			steady(13 * time.Minute),
			{lasts: 2 * time.Minute, rate: 560, age: 400 * time.Millisecond, waiting: [2]float64{30, 60}, held: 700, returned: .12, throttle: true, writers: 3},
		},
	},
	{
		Name: "rejecting", State: "rejecting", Level: "warning", Title: "Rejecting", Text: "could not be stored", Reason: "missing_field: predictionId is missing", Remedy: "worker redrive",
		phases: []phase{steady(12 * time.Minute), {lasts: 3 * time.Minute, rate: 640, age: 18 * time.Millisecond, waiting: [2]float64{3, 3}, held: 120, rejects: .12}},
	},
	{
		Name: "draining", State: "draining", Level: "idle", Title: "Draining", Text: "Nothing more is received",
		phases: []phase{steady(quarter)}, finally: func(w *world) { w.Health().SetReady(false) },
	},
}

// A world is the worker of a scene: what it counts, without the worker.
type world struct {
	keys, pending atomic.Int64 // read by the page
	*telemetry.Metrics
	random *rand.Rand
	queue  consumer.Queue
	table  writer.Table
	pause  time.Duration // of the next call
	fault  error         // of the next write
	brings int           // messages of the next receive
	hurry  float64       // by how much calls are shortened, so that those of a second fit into it
}

func newWorld(cfg *config.Config) *world {
	w := &world{random: rand.New(rand.NewPCG(7, 11))}
	w.Metrics = telemetry.NewMetrics(telemetry.Options{
		Now: time.Now, Health: telemetry.NewHealth(nil), Prices: telemetry.Prices{WriteUnits: cfg.PriceWriteUnits, Requests: cfg.PriceSQSRequests},
		Limits: telemetry.Limits{
			HeldMessages: cfg.MaxHeldMessages, HeldBytes: cfg.MaxHeldBytes, Pollers: cfg.Pollers,
			WriteConcurrency: cfg.WriteConcurrency, DedupKeys: cfg.DedupWindow, Age: telemetry.BehindAge(cfg.MaxAddedLatency),
		},
	})
	w.SetWindow(func() dedup.Stats {
		return dedup.Stats{Pending: int(w.pending.Load()), Written: min(int(w.keys.Load()), cfg.DedupWindow)}
	})
	w.queue, w.table = w.WatchQueue(sceneServices{w: w}), w.WatchTable(sceneServices{w: w}, telemetry.BatchWriteItem)
	return w
}

// sceneServices are the calls of a world: they take their time, and end as the scene says.
type sceneServices struct {
	consumer.Queue
	w *world
}

func (s sceneServices) Receive(context.Context, int, time.Duration) ([]consumer.Received, error) {
	time.Sleep(s.w.pause)
	return make([]consumer.Received, s.w.brings), nil
}

func (s sceneServices) Delete(context.Context, []string) ([]consumer.Failure, error) {
	time.Sleep(s.w.pause)
	return nil, nil
}

func (sceneServices) MaxItems() int { return writer.MaxItems }

func (s sceneServices) Write(_ context.Context, _ []*item.Item, results []writer.Result) {
	time.Sleep(s.w.pause)
	kind := writer.Written
	if s.w.fault != nil {
		kind = writer.Failed
	}
	writer.SetAll(results, writer.Result{Kind: kind, Err: s.w.fault})
}

// about returns n with a fluctuation.
func (w *world) about(n, share float64) float64 {
	return max(0, n*(1+share*w.random.NormFloat64()))
}

// second is a second of a phase, of which a share has passed.
func (w *world) second(p *phase, passed float64, at time.Duration) {
	between := func(a, b float64) float64 { return a + (b-a)*passed }
	waiting := w.about(between(p.waiting[0], p.waiting[1]), .002)
	if at%(10*time.Second) == 0 {
		w.Backlog(int(waiting), int(p.held))
	}
	pollers := map[bool]int{true: 8, false: 1}[p.rate > 300]
	w.Pollers(pollers)
	w.Held(min(int(w.about(p.held, .1)), w.Limits().HeldMessages), int64(pollers)*10<<20+int64(1700*w.about(p.held, .1)))
	if p.down {
		w.State(writer.Down)
		w.Health().Report(telemetry.PartTable, "receiving is paused; the worker tries to write at least every 30 s", errDenied)
		if at%(25*time.Second) == 0 {
			w.write(coded("AccessDeniedException"))
		}
		return
	}
	w.pending.Store(int64(p.held))
	if p.rate == 0 {
		if at%(20*time.Second) == 0 {
			w.brings, w.pause = 0, 0
			_, _ = w.queue.Receive(context.Background(), 10, 0)
		}
		return
	}
	w.State(writer.Up)
	w.Limit(8)
	if p.writers > 0 {
		w.Limit(p.writers)
	}
	wave := 1 + .18*math.Sin(at.Seconds()/31) + .07*math.Sin(at.Seconds()/7)
	n := int(w.about(p.rate*wave, .05))
	w.hurry = max(1, p.rate/700)
	w.messages(p, n, time.Duration(between(float64(p.age), float64(cmp.Or(p.ageAfter, p.age)))))
	for left := n; left > 0; left -= 25 {
		w.Batch(min(left, 25), int(w.about(p.returned*25, .5)))
		w.write(nil)
	}
	if p.throttle && w.random.IntN(3) == 0 {
		w.write(coded("ProvisionedThroughputExceededException"))
	}
}

// messages receives, counts and deletes the messages of a second.
func (w *world) messages(p *phase, n int, age time.Duration) {
	for left := n; left > 0; left -= 10 {
		w.brings, w.pause = min(left, 10), w.latency(2)
		_, _ = w.queue.Receive(context.Background(), 10, 0)
		w.pause = w.latency(3)
		_, _ = w.queue.Delete(context.Background(), make([]string, min(left, 10)))
	}
	w.Settled(consumer.Deleted, n)
	for range n {
		switch share := w.random.Float64(); {
		case share < p.rejects:
			w.reject()
			w.Outcome(prediction.Rejected, 0, 0)
		case share < .17:
			w.Outcome(prediction.Duplicate, 1, 0)
		case share < .25:
			w.Outcome(prediction.Superseded, 1, 0)
		default:
			old := time.Duration(float64(age) * math.Exp(.45*w.random.NormFloat64()))
			w.Outcome(prediction.Written, 1, time.Now().Add(-old).UnixMilli())
			w.Spent(1)
			w.keys.Add(1)
		}
	}
}

func (w *world) reject() {
	why := prediction.Rejectf(prediction.ReasonMissingField, "predictionId", "is missing: it names what was predicted, a string or a number")
	switch w.random.IntN(6) {
	case 0:
		why = prediction.Rejectf(prediction.ReasonFieldType, "timestamp", "is neither a number nor an RFC 3339 time with its zone, like 2026-01-31T12:00:00.5Z: send Unix seconds, ms, us or ns, or RFC 3339")
	case 1:
		why = prediction.Rejectf(prediction.ReasonSyntax, "", "the message is not JSON: no comma or closing bracket after an array's element at byte 92")
	}
	w.Rejected(why)
}

func (w *world) write(fault error) {
	w.fault, w.pause = fault, w.latency(6)
	w.table.Write(context.Background(), []*item.Item{{}}, make([]writer.Result, 1))
}

// latency is that of a call of a typical one in ms.
func (w *world) latency(typical float64) time.Duration {
	return time.Duration(typical / w.hurry * math.Exp(.4*w.random.NormFloat64()) * float64(time.Millisecond))
}

// TestScenes runs the scenes, and checks what the page says at the end of each.
func TestScenes(t *testing.T) {
	t.Setenv("WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions")
	t.Setenv("WORKER_REJECT_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-rejects")
	t.Setenv("WORKER_TABLE_NAME", "predictions")
	t.Setenv("WORKER_TTL", "6h")
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i := range scenes {
		s := &scenes[i]
		t.Run(s.Name, func(t *testing.T) {
			events := s.run(t, cfg)
			keep(t, s.Name+".events", events)
			var f Snapshot
			_, data, found := bytes.Cut(events, []byte("event: snapshot\ndata: "))
			if err := json.Unmarshal(data, &f); !found || err != nil {
				t.Fatalf("the snapshot is %.200s: %v", data, err)
			}
			if string(f.State) != s.State || string(f.Level) != s.Level {
				t.Errorf("the state is %s, %s", f.State, f.Level)
			}
			for _, part := range []struct{ got, want string }{{f.Title, s.Title}, {f.Text, s.Text}, {f.Reason, s.Reason}, {f.Remedy, s.Remedy}} {
				if (part.got == "") != (part.want == "") || !strings.Contains(part.got, part.want) {
					t.Errorf("it says %q, want %q", part.got, part.want)
				}
			}
		})
	}
	list, err := json.Marshal(scenes)
	if err != nil {
		t.Fatal(err)
	}
	document, policy := page()
	keep(t, "scenes.json", list)
	keep(t, "page.html", document)
	keep(t, "policy", []byte(policy))
}

func keep(t *testing.T, name string, content []byte) {
	t.Helper()
	if *record == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*record, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run returns what a page gets from /events at the end of the scene: the facts, and the snapshot that follows.
func (s *scene) run(t *testing.T, cfg *config.Config) (events []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(cfg)
		facts := Facts{
			Worker:  Identity{Host: "predcache-6f7c9d8b5-x2lbp", Pod: "predcache-6f7c9d8b5-x2lbp", Namespace: "ml-serving"},
			Version: "v1.4.0", Queue: cfg.QueueURL, Rejects: cfg.RejectQueueURL, Table: cfg.TableName, Region: "eu-west-1",
		}
		for _, setting := range cfg.InForce() {
			facts.Settings = append(facts.Settings, Setting{Name: setting.Name, Value: setting.Value, Default: setting.Default, Meaning: setting.Meaning})
		}
		p := New(w.Metrics, w.Health(), facts)
		if s.State != string(Starting) {
			p.SetResources("versioned", nil)
			w.Health().SetReady(true)
		}
		ctx, stop := context.WithCancel(t.Context())
		time.Sleep(500 * time.Millisecond) // between the ticks
		go func() { _ = p.Run(ctx) }()
		go func() { _ = w.WatchBehind(ctx) }()
		begin := time.Now()
		for i := range s.phases {
			phase := &s.phases[i]
			for since := time.Duration(0); since < phase.lasts; since += time.Second {
				next := time.Now().Add(time.Second)
				w.second(phase, since.Seconds()/phase.lasts.Seconds(), time.Since(begin).Truncate(time.Second))
				time.Sleep(time.Until(next))
			}
		}
		if s.finally != nil {
			s.finally(w)
		}
		time.Sleep(2 * time.Second)
		stop()
		synctest.Wait()
		answer := httptest.NewRecorder()
		ctx, stop = context.WithCancel(t.Context())
		stop() // the answer ends after the first events
		p.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody))
		events = answer.Body.Bytes()
	})
	return events
}
