package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// A line is a publisher and the queue that it publishes to, inside a bubble.
type line struct {
	*cache.Publisher
	queues *sqsfake.Service
	queue  string

	mu       sync.Mutex
	failures []cache.Failure
}

func newLine(t *testing.T, queue string, cfg cache.PublisherConfig) *line {
	l := &line{queues: sqsfake.New(), queue: queue}
	var attributes map[string]string
	if strings.HasSuffix(queue, ".fifo") {
		attributes = map[string]string{"FifoQueue": "true"}
	}
	cfg.OnFailure = func(f cache.Failure) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failures = append(l.failures, f)
	}
	l.Publisher = must(cache.NewPublisher(l.queues.Client(), l.queues.CreateQueue(queue, attributes), cfg))
	return l
}

func (l *line) publish(t *testing.T, ids ...int) {
	t.Helper()
	for _, i := range ids {
		p, err := cache.NewPrediction(fmt.Sprint("user-", i), map[string]int{"score": i})
		if err == nil {
			err = l.Publish(t.Context(), p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// bodies lists what the queue has.
func (l *line) bodies() (bodies []string) {
	for _, m := range l.queues.Messages(l.queue) {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

func count(n int) (ids []int) {
	for i := range n {
		ids = append(ids, i)
	}
	return ids
}

func TestPublishInFullCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{})
		l.publish(t, count(95)...)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.Stats(); got != (cache.PublisherStats{Predictions: 95, Messages: 95, Calls: 10}) {
			t.Errorf("got %+v", got)
		}
		ids := map[string]bool{}
		for _, body := range l.bodies() {
			var m struct {
				PredictionID string
				Timestamp    time.Time
				Prediction   struct{ Score int }
			}
			if err := json.Unmarshal([]byte(body), &m); err != nil || m.PredictionID != fmt.Sprint("user-", m.Prediction.Score) || !m.Timestamp.Equal(time.Now()) {
				t.Errorf("%s: %v", body, err)
			}
			ids[m.PredictionID] = true
		}
		if len(ids) != 95 {
			t.Errorf("%d ids", len(ids))
		}
		if err := l.Close(t.Context()); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
		if err := l.TryPublish(&cache.Prediction{ID: "a", Payload: []byte("1")}); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("published after it was closed: %v", err)
		}
	})
}

func TestPublishWaitsNoLongerThanItsLinger(t *testing.T) {
	for _, pack := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLine(t, "predictions", cache.PublisherConfig{Linger: time.Second, Pack: pack})
			start := time.Now()
			l.publish(t, 1)
			if err := l.Flush(t.Context()); err != nil || len(l.bodies()) != 1 || time.Since(start) > 2*time.Second {
				t.Errorf("pack %v: flushed %v after %v, %v", pack, l.bodies(), time.Since(start), err)
			}
			l.publish(t, 2)
			time.Sleep(3 * time.Second)
			if len(l.bodies()) != 2 {
				t.Errorf("pack %v: got %v", pack, l.bodies())
			}
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPackFills64KB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Pack: true})
		payload, _ := json.Marshal(strings.Repeat("x", 1000))
		for i := range 300 {
			if err := l.Publish(t.Context(), &cache.Prediction{ID: fmt.Sprint(i), Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.PublishJSON(t.Context(), "{\n  \"predictionId\": \"spread over lines\",\n  \"prediction\": \"a b\uFFFF\"\n}"); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for i, body := range l.bodies() {
			if len(body) > 64<<10 || i < len(l.bodies())-1 && len(body) < 60<<10 {
				t.Errorf("message %d has %d bytes", i, len(body))
			}
			lines = append(lines, strings.Split(body, "\n")...)
		}
		if len(lines) != 301 || !slices.Contains(lines, `{"predictionId":"spread over lines","prediction":"a b\uffff"}`) {
			t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
		}
		if got := l.Stats(); got.Predictions != 301 || got.Messages != 5 || got.Calls != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOnlyWhatFailedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Calls: 1})
		l.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			switch c.N {
			case 1: // three of ten are not accepted, one of them for ever
				return awstest.Fault{FailEntry: func(i int, e awstest.Entry) *awstest.EntryError {
					switch {
					case strings.Contains(e.Body, `"user-3"`):
						return &awstest.EntryError{Code: "InvalidMessageContents", SenderFault: true}
					case i%4 == 0:
						return &awstest.EntryError{Code: "InternalError"}
					}
					return nil
				}}
			case 2:
				return awstest.Fault{Drop: true}
			case 3:
				return awstest.Fault{Err: awstest.ServiceUnavailable()}
			}
			return awstest.Fault{}
		})
		l.publish(t, count(10)...)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.Stats(); got.Predictions != 9 || got.Failed != 1 || len(l.bodies()) != 9 {
			t.Errorf("got %+v and %d messages", got, len(l.bodies()))
		}
		if len(l.failures) != 1 || !strings.Contains(l.failures[0].Body, `"user-3"`) || !strings.Contains(l.failures[0].Err.Error(), "InvalidMessageContents") {
			t.Errorf("the failures are %v", l.failures)
		}
	})
}

func TestOneRefusedMessageTakesNoOthersWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Calls: 1})
		l.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			if slices.ContainsFunc(c.Entries, func(e awstest.Entry) bool { return strings.Contains(e.Body, `"user-6"`) }) {
				return awstest.Fault{Err: &awstest.Error{Type: "com.amazonaws.sqs#InvalidMessageContents", Message: "no"}}
			}
			return awstest.Fault{}
		})
		l.publish(t, count(10)...)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(l.bodies()) != 9 || len(l.failures) != 1 || !strings.Contains(l.failures[0].Body, `"user-6"`) {
			t.Errorf("%d messages, failures %v", len(l.bodies()), l.failures)
		}
	})
}

func TestGivesUpAfterItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Attempts: 3})
		l.queues.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Err: sqsfake.RequestThrottled()} })
		l.publish(t, count(10)...)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.Stats(); got.Calls < 3 || got.Failed != 10 || len(l.failures) != 10 || !strings.Contains(l.failures[0].Err.Error(), "tried 3 times") {
			t.Errorf("got %+v, %v", got, l.failures)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Buffer: 2 << 20, Calls: 1, Timeout: 5 * time.Minute})
		release := make(chan struct{})
		l.queues.SetFault(func(*awstest.Call) awstest.Fault {
			<-release
			return awstest.Fault{}
		})
		big := &cache.Prediction{ID: "big", Payload: []byte(`"` + strings.Repeat("x", 390<<10) + `"`)}
		for range 5 {
			if err := l.TryPublish(big); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.TryPublish(big); !errors.Is(err, cache.ErrFull) {
			t.Errorf("got %v, want a full buffer", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Publish(ctx, big); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		go func() {
			time.Sleep(time.Second)
			close(release)
		}()
		if err := l.Publish(t.Context(), big); err != nil {
			t.Errorf("got %v, want room once some was sent", err)
		}
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 6 {
			t.Errorf("%d messages, %v", len(l.bodies()), err)
		}
	})
}

func TestCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Timeout: 5 * time.Minute})
		l.queues.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Hang: c.N > 1} })
		l.publish(t, count(30)...)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := l.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "20 predictions were not sent") || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if got := l.Stats(); got.Predictions != 10 || got.Failed != 20 || len(l.failures) != 20 {
			t.Errorf("got %+v and %d failures", got, len(l.failures))
		}
	})
}

func TestPublishToFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions.fifo", cache.PublisherConfig{})
		l.publish(t, count(25)...)
		l.publish(t, count(5)...) // the same content at the same time
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		groups := map[string]bool{}
		for _, m := range l.queues.Messages(l.queue) {
			groups[m.GroupID] = true
		}
		if len(l.bodies()) != 25 || len(groups) != 25 || len(l.failures) != 0 {
			t.Errorf("%d messages in %d groups, failures %v", len(l.bodies()), len(groups), l.failures)
		}
	})
}

func TestWhatCannotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{NumericIDs: true})
		for name, p := range map[string]*cache.Prediction{
			"no id":               {Payload: []byte("1")},
			"no number":           {ID: "abc", Payload: []byte("1")},
			"no payload":          {ID: "1"},
			"a broken payload":    {ID: "1", Payload: []byte("{")},
			"a broken attribute":  {ID: "1", Payload: []byte("1"), Attributes: map[string]json.RawMessage{"a": []byte("}")}},
			"a taken name":        {ID: "1", Payload: []byte("1"), Attributes: map[string]json.RawMessage{"ttlSeconds": []byte("1")}},
			"before 1970":         {ID: "1", Payload: []byte("1"), EventTime: time.Unix(-1, 0)},
			"longer than SQS has": {ID: "1", Payload: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)},
		} {
			if err := l.Publish(t.Context(), p); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		for _, object := range []string{"", "{", "[]", "1", `{"a":1} x`, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`} {
			if err := l.PublishJSON(t.Context(), object); err == nil {
				t.Errorf("%.20s: no error", object)
			}
		}
		if err := l.Publish(t.Context(), &cache.Prediction{ID: "12345678901234567890", Payload: []byte(`{"b": 1, "a": 2}`), ExpiresAt: time.Unix(2e9, 5),
			Attributes: map[string]json.RawMessage{"z": []byte("1"), "a": []byte(`[ 1 ]`)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"predictionId":12345678901234567890,"timestamp":%q,"prediction":{"b":1,"a":2},"expiresAt":2000000000,"a":[1],"z":1}`, time.Now().UTC().Format(time.RFC3339Nano))
		if got := l.bodies(); len(got) != 1 || got[0] != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestPublishOverTheWire(t *testing.T) {
	for _, b := range backend.All(t) {
		for _, fifo := range []bool{false, true} {
			for _, pack := range []bool{false, true} {
				t.Run(fmt.Sprint(b.Name, "/fifo ", fifo, "/pack ", pack), func(t *testing.T) {
					var attributes map[string]string
					if fifo {
						attributes = map[string]string{"FifoQueue": "true"}
					}
					p := must(cache.NewPublisher(b.SQS, b.CreateQueue(t, attributes), cache.PublisherConfig{Pack: pack, OnFailure: func(f cache.Failure) { t.Error(f.Err) }}))
					for i := range 100 {
						if err := p.Publish(t.Context(), &cache.Prediction{ID: fmt.Sprint(i), Payload: []byte("\"\uFFFE\"")}); err != nil {
							t.Fatal(err)
						}
					}
					if err := p.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := p.Stats(); got.Predictions != 100 || got.Failed != 0 {
						t.Errorf("got %+v", got)
					}
				})
			}
		}
	}
}
