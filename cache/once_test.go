package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// TestComputedOnce has 1,000 calls a second of one id for 10 s, of a table that nobody writes to.
func TestComputedOnce(t *testing.T) {
	for name, options := range map[string][]cache.Option{
		"no front":    nil,
		"front":       {cache.WithFront(cache.Front{MaxAge: time.Minute})},
		"short front": {cache.WithFront(cache.Front{MaxAge: time.Second})},
	} {
		for _, takes := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(name, "/", takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, db := fake(t, "versioned")
					l := newLine(t, "predictions", cache.PublisherConfig{})
					s.cache = open(s.client, s.table, append(options, cache.WithPublisher(l.Publisher))...)
					db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 5 * time.Millisecond} })
					var computed atomic.Int32
					call := func() {
						p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
							computed.Add(1)
							time.Sleep(takes)
							return cache.NewPrediction("", "result")
						})
						if err != nil || string(p.Payload) != `"result"` || p.Stale {
							t.Errorf("got %+v, %v", p, err)
						}
					}
					var callers sync.WaitGroup
					for range 10_000 {
						callers.Go(call)
						time.Sleep(time.Millisecond)
					}
					callers.Wait()
					if p := s.want(t, "a", `"result"`); p.Stale { // Get sees it too
						t.Error("it is stale")
					}
					if err := l.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					s.cache.Close()
					time.Sleep(time.Second) // until the fake has ended what it was asked
					want := 1
					switch name {
					case "no front":
						want = 2 // and the Get at the end
					case "short front":
						want = 11 + 3 // it is asked each second whether there is something newer
					}
					if n := computed.Load(); n != 1 || len(l.bodies()) != 1 || db.CallCount("Query") > want {
						t.Errorf("%d computations, %d messages, %d reads", n, len(l.bodies()), db.CallCount("Query"))
					}
				})
			})
		}
	}
}

func TestWhatIsNewerReplacesWhatWasComputed(t *testing.T) {
	for name, options := range map[string][]cache.Option{"no front": nil, "front": {cache.WithFront(cache.Front{MaxAge: time.Second})}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := fake(t, "versioned")
				l := newLine(t, "predictions", cache.PublisherConfig{})
				s.cache = open(s.client, s.table, append(options, cache.WithPublisher(l.Publisher))...)
				compute := func(context.Context) (*cache.Prediction, error) { return cache.NewPrediction("", "computed") }
				get := func(want string) {
					t.Helper()
					if p, err := s.cache.GetOrCompute(t.Context(), "a", compute); err != nil || string(p.Payload) != want {
						t.Errorf("got %v, %v, want %s", p, err, want)
					}
				}
				get(`"computed"`)
				s.put(t, s.message("a", time.Now().Add(-time.Minute), time.Hour, "1", "")) // an older one does not
				time.Sleep(time.Second)
				get(`"computed"`)
				s.want(t, "a", `"computed"`)
				s.put(t, s.message("a", time.Now(), time.Hour, "2", ""))
				time.Sleep(time.Second)
				s.want(t, "a", "2")
				get("2")
				if err := l.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.cache.Close()
			})
		})
	}
}

func TestComputedAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "versioned")
		l := newLine(t, "predictions", cache.PublisherConfig{})
		s.cache = open(s.client, s.table, cache.ComputedAge(5*time.Second), cache.WithPublisher(l.Publisher))
		computed := 0
		get := func(id string, life time.Duration) {
			if _, err := s.cache.GetOrCompute(t.Context(), id, func(context.Context) (*cache.Prediction, error) {
				computed++
				return &cache.Prediction{Payload: []byte("1"), ExpiresAt: time.Now().Add(life)}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		get("a", time.Hour)
		get("b", 2*time.Second)
		time.Sleep(4999 * time.Millisecond)
		get("a", time.Hour)
		if computed != 2 {
			t.Errorf("computed %d times", computed)
		}
		get("b", time.Hour) // its own life is over
		time.Sleep(time.Millisecond)
		get("a", time.Hour)
		if computed != 4 {
			t.Errorf("computed %d times", computed)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cache.Close()
	})
}

func TestAFailedPublishIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "versioned", cache.PublisherConfig{})
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		computed := 0
		for range 10 {
			p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
				computed++
				return cache.NewPrediction("", 1)
			})
			if err != nil || string(p.Payload) != "1" {
				t.Errorf("got %v, %v", p, err)
			}
		}
		if computed != 1 || len(l.failures) != 1 || !errors.Is(l.failures[0].Err, cache.ErrClosed) {
			t.Errorf("computed %d times, %v", computed, l.failures)
		}
		s.cache.Close()
	})
}

func TestComputeThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "versioned", cache.PublisherConfig{})
		for name, compute := range map[string]func(context.Context) (*cache.Prediction, error){
			"Goexit": func(context.Context) (*cache.Prediction, error) {
				time.Sleep(time.Second)
				runtime.Goexit()
				return nil, nil
			},
			"panic": func(context.Context) (*cache.Prediction, error) { time.Sleep(time.Second); panic("broken") },
		} {
			start := time.Now()
			var callers sync.WaitGroup
			for range 10 {
				callers.Go(func() {
					defer func() {
						if fault := recover(); (fault != nil) != (name == "panic") {
							t.Errorf("%s: recovered %v", name, fault)
						}
					}()
					if p, err := s.cache.GetOrCompute(t.Context(), "a", compute); err == nil || !strings.Contains(err.Error(), "Goexit") {
						t.Errorf("%s: got %v, %v", name, p, err)
					}
				})
			}
			callers.Wait()
			if time.Since(start) != time.Second {
				t.Errorf("%s: took %v", name, time.Since(start))
			}
		}
		// It is not remembered: the next call computes.
		if p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) { return cache.NewPrediction("", 1) }); err != nil || string(p.Payload) != "1" {
			t.Errorf("got %v, %v", p, err)
		}
		if got := s.cache.Stats(); got.Computed != 1 || got.ComputeErrors != 2 {
			t.Errorf("%+v", got)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cache.Close()
	})
}

func TestComputeWithWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "versioned")
		l := newLine(t, "predictions", cache.PublisherConfig{})
		s.cache = open(s.client, s.table, cache.WithFront(cache.Front{}), cache.WithPublisher(l.Publisher))
		computed := map[int]int{}
		for _, version := range []int{1, 2, 1} {
			p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
				computed[version]++
				p, err := cache.NewPrediction("", version)
				p.Attributes = map[string]json.RawMessage{"v": json.RawMessage(fmt.Sprint(version))}
				return p, err
			}, cache.Where("v", version))
			if err != nil || string(p.Payload) != fmt.Sprint(version) {
				t.Errorf("got %v, %v", p, err)
			}
		}
		if computed[1] != 1 || computed[2] != 1 {
			t.Errorf("computed %v", computed)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cache.Close()
	})
}

// TestEarlyCompute has 20 processes compute before the end of a life, each with a front, and the table written with a lag.
func TestEarlyCompute(t *testing.T) {
	for _, lag := range []time.Duration{0, 2 * time.Second} { // measured, and stated
		t.Run(fmt.Sprint(lag), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const processes, ids, lives, life = 20, 6, 3, 10 * time.Minute
				s, _ := fake(t, "versioned")
				var computed, misses atomic.Int32
				var caches []*cache.Cache
				publisher := newLine(t, "predictions", cache.PublisherConfig{})
				for range processes {
					caches = append(caches, open(s.client, s.table, cache.WithFront(cache.Front{MaxAge: 5 * time.Second}),
						cache.WithPublisher(publisher.Publisher), cache.EarlyCompute(lag)))
				}
				get := func(c *cache.Cache, id int) {
					_, err := c.GetOrCompute(t.Context(), s.id(id), func(context.Context) (*cache.Prediction, error) {
						computed.Add(1)
						time.Sleep(500 * time.Millisecond)
						now := time.Now()
						time.AfterFunc(1500*time.Millisecond, func() { s.put(t, s.message(s.id(id), now, life, "1", "")) })
						return &cache.Prediction{Payload: []byte("1"), EventTime: now, ExpiresAt: now.Add(life)}, nil
					})
					if err != nil {
						t.Error(err)
					}
				}
				for id := range ids {
					get(caches[0], id)
				}
				time.Sleep(2 * time.Second)
				start := time.Now()
				var all sync.WaitGroup
				for _, c := range caches {
					for id := range ids {
						all.Go(func() {
							for time.Since(start) < lives*life {
								get(c, id)
								time.Sleep(3*time.Second + rand.N(3*time.Second))
							}
						})
					}
				}
				all.Wait()
				time.Sleep(2 * time.Second)
				for _, c := range caches {
					got := c.Stats()
					misses.Add(int32(got.Computed - got.EarlyComputed))
					c.Close()
				}
				if err := publisher.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				each := float64(computed.Load()-ids) / (ids * lives) // without the first ones
				t.Logf("%.2f computations an id and life, %d after a miss", each, misses.Load())
				if each > 1.5 || misses.Load() > ids {
					t.Errorf("%.2f computations an id and life, %d after a miss", each, misses.Load())
				}
			})
		})
	}
}
