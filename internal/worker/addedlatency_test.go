package worker_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// versionMessage is a prediction of an id, at an event time of now to the millisecond.
func versionMessage(id string) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":1}`, id, time.Now().UnixMilli())
}

// What WORKER_MAX_ADDED_LATENCY promises at its default, on a table with an item per id.
func TestAddedLatency_saves_requests_and_writes(t *testing.T) {
	for _, c := range []struct {
		perSecond, messages  int
		zipf                 bool
		maxRequests, maxCost float64 // SQS requests and items written, for each prediction
	}{
		{200, 4000, false, 0.3, 1},
		{2000, 10_000, false, 0.3, 1},
		{200, 4000, true, 0.3, 0.65},
		{2000, 10_000, true, 0.3, 0.5},
	} {
		t.Run(fmt.Sprintf("%d a second, zipf %v", c.perSecond, c.zipf), func(t *testing.T) {
			workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
				f.SQS.SetRecording(false)
				f.DynamoDB.SetRecording(false)
				s := &stream{f: f, sent: map[string][]time.Time{}}
				f.SQS.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{AnswerDelay: 2 * time.Millisecond} })
				f.DynamoDB.SetFault(s.observe)
				r := f.Start()
				time.Sleep(time.Minute)
				before := f.SQS.CallCount("ReceiveMessage") + f.SQS.CallCount("DeleteMessageBatch")
				keys := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, 20_000-1)
				for i := range c.messages {
					id := strconv.Itoa(i)
					if c.zipf {
						id = strconv.FormatUint(keys.Uint64(), 10)
					}
					s.send(id)
					time.Sleep(time.Second / time.Duration(c.perSecond))
				}
				time.Sleep(2 * time.Second)
				requests := float64(f.SQS.CallCount("ReceiveMessage")+f.SQS.CallCount("DeleteMessageBatch")-before) / float64(c.messages)
				cost, p99 := float64(s.written)/float64(c.messages), percentile(s.ages, 99)
				t.Logf("%.3f SQS requests, %.3f items written for each prediction, p99 age %v", requests, cost, p99)
				if requests > c.maxRequests || cost > c.maxCost {
					t.Errorf("%.3f SQS requests, %.3f items written for each prediction, want at most %v, %v", requests, cost, c.maxRequests, c.maxCost)
				}
				if limit := f.Config.MaxAddedLatency + 50*time.Millisecond; p99 > limit {
					t.Errorf("p99 age %v, want at most %v", p99, limit)
				}
				if len(s.ages) != c.messages {
					t.Errorf("%d predictions became durable, want %d", len(s.ages), c.messages)
				}
				r.Stop()
				if visible, inFlight, delayed := f.SQS.Counts(workertest.QueueName); visible+inFlight+delayed > 0 {
					t.Errorf("%d visible, %d in flight, %d delayed messages are left", visible, inFlight, delayed)
				}
			})
		})
	}
}

// A stream sends versions of ids and observes when they are durable.
type stream struct {
	f *workertest.Fakes

	mu      sync.Mutex
	sent    map[string][]time.Time // versions that are not durable, by id
	written int                    // items
	ages    []time.Duration        // of predictions, when they or a newer version were durable
}

func (s *stream) send(id string) {
	s.mu.Lock()
	s.sent[id] = append(s.sent[id], time.Now())
	s.mu.Unlock()
	s.f.Send(versionMessage(id))
}

func (s *stream) observe(c *awstest.Call) awstest.Fault {
	return awstest.Fault{Delay: 5 * time.Millisecond, After: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range c.Entries {
			id := c.Entries[i].Item.Text("predictionId")
			seconds, fraction, _ := strings.Cut(c.Entries[i].Item.Text("createdAt"), ".")
			version, err := strconv.ParseInt(seconds+(fraction + "000")[:3], 10, 64)
			if err != nil {
				s.f.T.Error(err)
			}
			s.written++
			left := s.sent[id]
			for len(left) > 0 && left[0].UnixMilli() <= version {
				s.ages = append(s.ages, time.Since(left[0]))
				left = left[1:]
			}
			s.sent[id] = left
		}
	}}
}

// What is held for a newer version never stops the worker from receiving, even where it may hold only two receives.
func TestAddedLatency_yields_to_memory(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
		f.Config.MaxAddedLatency, f.Config.MaxHeldMessages = 10*time.Second, 20
		r := f.Start()
		const ids, versions = 20, 10
		for range versions {
			for id := range ids {
				f.Send(versionMessage(strconv.Itoa(id)))
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(30 * time.Second) // 20 held at a time, for up to 9 s each, would take 90
		f.WantDeleted(ids * versions)
		r.Stop()
	})
}

func TestAddedLatency_ends_with_the_drain(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
		f.Config.MaxAddedLatency = 20 * time.Second
		r := f.Start()
		f.Send(versionMessage("a"))
		time.Sleep(10 * time.Second)
		f.Send(versionMessage("a"))
		time.Sleep(500 * time.Millisecond)
		if got := f.States(workertest.QueueName); len(got) != 2 {
			t.Errorf("messages by state: %v, want one deleted and one held", got)
		}
		began := time.Now()
		r.Stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the drain took %v, want at most 3 s", took)
		}
		f.WantDeleted(2)
		f.WantReceives(1)
	})
}

// A delete is not held, and neither is what nobody has sent before.
func TestAddedLatency_holds_repeated_keys_only(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
		f.Config.MaxAddedLatency = 10 * time.Second
		f.Config.Deletes, f.Config.Ordering = "hide", "newest"
		r := f.Start()
		age := func(body string) time.Duration {
			before, began := len(f.DynamoDB.Writes()), time.Now()
			f.Send(body)
			for len(f.DynamoDB.Writes()) == before && time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Minute) // the worker finds an idle queue again
			return time.Since(began) - time.Minute
		}
		const linger = time.Second // a tenth
		if first := age(versionMessage("a")); first > linger+50*time.Millisecond {
			t.Errorf("the first version was written after %v", first)
		}
		if second := age(versionMessage("a")); second < 3*time.Second || second > f.Config.MaxAddedLatency {
			t.Errorf("the second version was written after %v, want it held for 3 s or more", second)
		}
		if deleted := age(fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"deleted":true}`, time.Now().UnixMilli())); deleted > linger+50*time.Millisecond {
			t.Errorf("the delete was written after %v", deleted)
		}
		r.Stop()
	})
}
