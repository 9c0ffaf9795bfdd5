package deployments

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/workertest/e2e"
)

// A stage is what the real worker exported in one part of its life, such as an outage: scrapes at about even intervals. Only the
// series that an alert reads are kept.
type stage struct {
	scrapes []scrape
	lasted  time.Duration // from the first scrape to the last
}

// A scrape has the value of each series, by its name and labels as exported.
type scrape map[string]float64

// The scrapes of a stage take 2.4 s, or longer where a stage needs calls that are made ever less often.
const (
	scrapesOfStage = 13
	scrapePause    = 200 * time.Millisecond
)

// A life is a worker, its services, and the stages that were recorded of it. Its methods do nothing after the first error.
type life struct {
	*e2e.System

	ctx    context.Context
	err    error
	reads  map[string]bool // the metrics to keep
	stages map[string]*stage
	rest   func() // ends the load
	load   sync.WaitGroup
	loaded context.Context
}

const (
	written = `predcache_predictions_total{outcome="written"}`
	pending = `predcache_dedup_keys{state="pending"}`
	down    = `predcache_table_state{state="down"}`
	up      = `predcache_table_state{state="up"}`
	ready   = `predcache_ready`
)

// settings are a life's own, by its name. Elsewhere calls have much time, since the machine may be busy.
var settings = map[string][]string{
	"no answer": {"WORKER_CALL_TIMEOUT=2s"},
	"deletes":   {"WORKER_DELETES=remove"},
}

// lives are the troubles to record, by name. Each begins with the stage "start": a worker that has only asked an empty queue.
var lives = map[string]func(l *life){
	"outage": func(l *life) {
		l.work(200).grows(written, 200).record("work")
		l.table(awstest.Fault{Err: awstest.AccessDenied("BatchWriteItem")}).is(down, 1).record("outage", failed("AccessDeniedException", "BatchWriteItem"))
		l.table(awstest.Fault{}).is(up, 1).record("recovered")
		l.idle().is(pending, 0).record("idle")
		l.work(200).grows(written, 200).drain("drain")
	},
	"no answer": func(l *life) {
		l.work(100).grows(written, 100).table(awstest.Fault{Hang: true}).is(down, 1).record("outage", failed("timeout", "BatchWriteItem"))
	},
	"throttled": func(l *life) {
		l.work(200).grows(written, 200)
		l.SetCondition(e2e.Throttled)
		l.grows("predcache_unprocessed_items_total", 50).record("partly")
		l.table(awstest.Fault{Err: dynamodbfake.ProvisionedThroughputExceeded()}).is(down, 1)
		l.record("entirely", failed("ProvisionedThroughputExceededException", "BatchWriteItem"))
		l.table(awstest.Fault{}).is(up, 1).grows(written, 200).record("recovered")
	},
	"poison": func(l *life) {
		l.work(200).send(50, `{"predictionId":"%d","timestamp":"yesterday","prediction":1}`)
		l.grows(`predcache_rejects_total{reason="field_type"}`, 50).record("poison")
		l.queues("SendMessageBatch").is(ready, 0).record("reject queue down", failed("AccessDenied", "SendMessageBatch"))
		l.queues("").is(ready, 1).idle().work(200).grows(written, 200).record("recovered")
	},
	"backlog": func(l *life) {
		l.work(200).old(30*time.Minute).grows(age("3600"), 500).record("backlog")
		l.old(0).grows(age("10"), 300).record("recovered")
		// SQS keeps messages for 96 hours by default.
		l.idle().old(84*time.Hour).send(50, `{"predictionId":"%d","ttlSeconds":2592000,"prediction":1}`)
		l.grows("predcache_messages_near_retention_total", 50).record("near retention")
	},
	"slow table": func(l *life) {
		l.work(100).table(awstest.Fault{Delay: 400 * time.Millisecond}).grows(written, 200).record("keeps up")
		// By then the queue is ten minutes behind.
		l.table(awstest.Fault{Delay: 900 * time.Millisecond}).work(400).old(10*time.Minute).grows(age("900"), 200).record("behind")
	},
	"deletes": func(l *life) {
		l.work(100).grows(written, 100)
		l.DynamoDB.SetFault(func(c *awstest.Call) (f awstest.Fault) {
			if c.Operation == "Query" {
				f.Err = awstest.AccessDenied("Query")
			}
			return f
		})
		l.send(50, `{"predictionId":"%d","deleted":true}`).is(ready, 0).record("removals denied", failed("AccessDeniedException", "Query"))
	},
	"objects": func(l *life) {
		ctx := l.loaded
		l.load.Go(func() { l.LoadObjects(ctx, 50) })
		l.work(100).grows("predcache_object_rows_total", 100).record("work", "predcache_object_rows_total")
		l.S3.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Err: s3fake.SlowDown()} })
		l.is(ready, 0).record("S3 throttles", failed("SlowDown", "GetObject"))
	},
	"queue down": func(l *life) {
		l.work(100).grows(written, 100).record("work")
		l.queues("ReceiveMessage").is(ready, 0).steady("predcache_receive_messages_count").record("down", failed("AccessDenied", "ReceiveMessage"))
		l.queues("").is(ready, 1).grows(written, 100).record("recovered")
	},
}

// failed is the series that counts an operation's failures, and age the one of a bucket of ages.
func failed(code, operation string) string {
	return fmt.Sprintf(`predcache_call_errors_total{code=%q,operation=%q}`, code, operation)
}

func age(le string) string { return fmt.Sprintf(`predcache_prediction_age_seconds_bucket{le=%q}`, le) }

// recordLives runs all lives at once, since they mostly wait, and returns their stages as "life/stage".
func recordLives(t *testing.T) map[string]*stage {
	t.Helper()
	reads, all := alertedMetrics(t), map[string]*stage{}
	var mu sync.Mutex // guards all
	var running sync.WaitGroup
	for name, live := range lives {
		running.Go(func() {
			l := newLife(t.Context(), name, reads)
			if l.record("start"); l.err == nil {
				live(l)
			}
			if l.err != nil {
				t.Errorf("recording %q: %v", name, l.err)
			}
			if l.System != nil {
				if l.err != nil {
					t.Logf("%q logged:\n%s", name, l.Log().Tail(20))
				}
				l.rest()
				l.load.Wait()
				_ = l.Kill()
				_ = l.Stop() // of the services
			}
			mu.Lock()
			defer mu.Unlock()
			for stage := range l.stages {
				all[name+"/"+stage] = l.stages[stage]
			}
		})
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// alertedMetrics are the names that the worker's alerts read.
func alertedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	var r rules
	readYAML(t, "alerts/predcache.yaml", &r)
	names := map[string]bool{"process_start_time_seconds": true}
	for _, rule := range r.Groups[0].Rules {
		for _, name := range regexp.MustCompile(`\bpredcache_[a-z0-9_]+`).FindAllString(rule.Expr, -1) {
			names[name] = true
		}
	}
	return names
}

func newLife(ctx context.Context, name string, reads map[string]bool) *life {
	l := &life{ctx: ctx, reads: reads, stages: map[string]*stage{}}
	l.loaded, l.rest = context.WithCancel(ctx)
	start := e2e.Start
	if name == "objects" {
		start = e2e.StartWithObjects
	}
	if l.System, l.err = start(ctx, append([]string{"WORKER_CALL_TIMEOUT=30s"}, settings[name]...)...); l.err == nil {
		l.err = l.Ready(ctx)
	}
	return l
}

// work adds a load of so many predictions a second.
func (l *life) work(perSecond int) *life {
	return l.send(perSecond, `{"predictionId":"%d","model":"digits","prediction":{"label":7}}`)
}

// send adds so many messages of a text a second, a multiple of 50. %d in the text becomes a number of each message's own.
func (l *life) send(perSecond int, text string) *life {
	ctx := l.loaded
	l.load.Go(func() {
		ticker := time.NewTicker(time.Second / 50)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				for range perSecond / 50 {
					l.SQS.Send(e2e.Queue, strings.ReplaceAll(text, "%d", strconv.FormatUint(rand.Uint64(), 10)))
				}
			}
		}
	})
	return l
}

// idle ends the load.
func (l *life) idle() *life {
	l.rest()
	l.load.Wait()
	l.loaded, l.rest = context.WithCancel(l.ctx)
	return l
}

// table makes each write end in a fault. The zero Fault heals the table.
func (l *life) table(f awstest.Fault) *life {
	l.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation != "BatchWriteItem" {
			return awstest.Fault{}
		}
		return f
	})
	return l
}

// queues denies one operation of SQS; "" denies none.
func (l *life) queues(denied string) *life {
	l.SQS.SetFault(func(c *awstest.Call) (f awstest.Fault) {
		if c.Operation == denied {
			f.Err = awstest.AccessDenied(denied)
		}
		return f
	})
	return l
}

// old moves the services' clock, by which the worker goes, ahead of the sent times of messages.
func (l *life) old(age time.Duration) *life {
	l.SQS.SetSkew(age)
	l.DynamoDB.SetSkew(age)
	return l
}

// grows blocks until a series has grown by n.
func (l *life) grows(series string, n float64) *life {
	begin := l.scrape()[series]
	return l.until(fmt.Sprint(series, " has grown by ", n), func(s scrape) bool { return s[series] >= begin+n })
}

// is blocks until a series has a value.
func (l *life) is(series string, value float64) *life {
	return l.until(fmt.Sprint(series, " is ", value), func(s scrape) bool { return s[series] == value })
}

func (l *life) until(what string, done func(scrape) bool) *life {
	if l.err != nil {
		return l
	}
	ctx, cancel := context.WithTimeoutCause(l.ctx, 3*time.Minute, fmt.Errorf("not within three minutes: %s", what))
	defer cancel()
	if err := l.Until(ctx, func() bool { s := l.scrape(); return l.err != nil || done(s) }); err != nil {
		l.err = cmp.Or(l.err, err)
	}
	return l
}

// scrape reads the metrics that are kept.
func (l *life) scrape() scrape {
	if l.err != nil {
		return nil
	}
	text, err := l.Get(l.ctx, "/metrics")
	if err != nil {
		l.err = err
		return nil
	}
	s := scrape{}
	for line := range strings.Lines(text) {
		name := line[:max(strings.IndexAny(line, "{ "), 0)]
		if !l.reads[name] {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		if s[line[:end]], l.err = strconv.ParseFloat(strings.TrimSpace(line[end:]), 64); l.err != nil {
			return nil
		}
	}
	return s
}

// steady blocks until a series has not changed for 3 s, which is longer than a receive waits.
func (l *life) steady(series string) *life {
	value, since := -1.0, time.Now()
	return l.until(series+" is steady", func(s scrape) bool {
		if s[series] != value {
			value, since = s[series], time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
}

// record records a stage. It goes on until the given counters have grown.
func (l *life) record(name string, counters ...string) *life {
	recorded, ticker, start := &stage{}, time.NewTicker(scrapePause), time.Now()
	defer ticker.Stop()
	l.until("the stage "+name+" shows "+strings.Join(counters, ", "), func(s scrape) bool {
		recorded.scrapes, recorded.lasted = append(recorded.scrapes, s), time.Since(start)
		<-ticker.C
		first := recorded.scrapes[0]
		return len(recorded.scrapes) >= scrapesOfStage && !slices.ContainsFunc(counters, func(c string) bool { return s[c] <= first[c] })
	})
	l.stages[name] = recorded
	return l
}

// drain stops the worker as an orchestrator does, and records what it exports until it ends.
func (l *life) drain(name string) {
	if l.err != nil {
		return
	}
	recorded, start := &stage{}, time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- l.Process.Stop(30 * time.Second) }()
	for l.err == nil {
		if s := l.scrape(); l.err == nil {
			recorded.scrapes, recorded.lasted = append(recorded.scrapes, s), time.Since(start)
		}
	}
	l.err = <-stopped // the last scrape failed, since the worker had ended
	l.stages[name] = recorded
}
