package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
)

// newLoop is a store whose cache publishes to a line.
func newLoop(t *testing.T, layout string, cfg cache.PublisherConfig) (*store, *dynamodbfake.Service, *line) {
	s, db := fake(t, layout)
	l := newLine(t, "predictions", cfg)
	s.cache = open(s.client, s.table, cache.WithPublisher(l.Publisher))
	return s, db, l
}

func TestOneComputationServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "versioned", cache.PublisherConfig{})
		var computed atomic.Int32
		compute := func(context.Context) (*cache.Prediction, error) {
			computed.Add(1)
			time.Sleep(time.Second)
			return cache.NewPrediction("", "result")
		}
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				id := "a"
				if i%2 == 1 {
					id = "b"
				}
				p, err := s.cache.GetOrCompute(t.Context(), id, compute)
				if err != nil || p.ID != id || string(p.Payload) != `"result"` || p.EventTime.IsZero() {
					t.Errorf("got %+v, %v", p, err)
				}
			})
		}
		callers.Wait()
		if n := computed.Load(); n != 2 {
			t.Errorf("computed %d times, want once for each id", n)
		}
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 2 || !strings.Contains(l.bodies()[0], `"prediction":"result"`) {
			t.Errorf("published %v, %v", l.bodies(), err)
		}
	})
}

func TestAHitComputesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "latest-only", cache.PublisherConfig{})
		s.put(t, s.message("a", time.Now(), time.Hour, `"there"`, ""))
		p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
			t.Error("computed")
			return nil, nil
		})
		if err != nil || string(p.Payload) != `"there"` {
			t.Errorf("got %v, %v", p, err)
		}
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 0 {
			t.Errorf("published %v, %v", l.bodies(), err)
		}
	})
}

func TestErrorsOfComputing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db, l := newLoop(t, "versioned", cache.PublisherConfig{})
		fault := errors.New("no model")
		for name, compute := range map[string]func(context.Context) (*cache.Prediction, error){
			"no model":             func(context.Context) (*cache.Prediction, error) { return nil, fault },
			"no prediction was":    func(context.Context) (*cache.Prediction, error) { return nil, nil },
			`has the id "another"`: func(context.Context) (*cache.Prediction, error) { return cache.NewPrediction("another", 1) },
		} {
			if p, err := s.cache.GetOrCompute(t.Context(), "a", compute); err == nil || !strings.Contains(err.Error(), name) || p != nil {
				t.Errorf("got %v, %v, want %s", p, err, name)
			}
		}
		func() {
			defer func() {
				if got := recover(); got != any(fault) {
					t.Errorf("recovered %v, want compute's own panic", got)
				}
			}()
			_, _ = s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) { panic(fault) })
		}()
		// A table that can't be asked is not a miss.
		db.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Err: awstest.AccessDenied(c.Operation)} })
		if _, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
			t.Error("computed")
			return nil, nil
		}); err == nil {
			t.Error("no error")
		}
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 0 {
			t.Errorf("published %v, %v", l.bodies(), err)
		}
		if _, err := open(s.client, s.table).GetOrCompute(t.Context(), "a", nil); err == nil {
			t.Error("no error without a publisher")
		}
	})
}

func TestACallerThatLeavesDoesNotEndTheComputation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "versioned", cache.PublisherConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.cache.GetOrCompute(ctx, "a", func(ctx context.Context) (*cache.Prediction, error) {
			time.Sleep(time.Minute)
			if ctx.Err() != nil {
				t.Error("the computation's context ended with its caller")
			}
			return cache.NewPrediction("a", 1)
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		time.Sleep(2 * time.Minute)
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 1 {
			t.Errorf("published %v, %v", l.bodies(), err)
		}
	})
}

func TestTheCallerNeverWaitsForThePublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, l := newLoop(t, "versioned", cache.PublisherConfig{Buffer: 1, Attempts: 2, Timeout: time.Second})
		l.queues.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Hang: true} })
		start := time.Now()
		payload := strings.Repeat("x", 390<<10)
		for i := range 8 {
			p, err := s.cache.GetOrCompute(t.Context(), fmt.Sprint(i), func(context.Context) (*cache.Prediction, error) {
				return cache.NewPrediction("", payload)
			})
			if err != nil || len(p.Payload) != len(payload)+2 {
				t.Fatal(err)
			}
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the callers waited for %v", waited)
		}
		full := 0
		for _, f := range l.failures {
			if errors.Is(f.Err, cache.ErrFull) {
				full++
			}
		}
		if full != 3 {
			t.Errorf("%d were told that the buffer is full, want 3: %v", full, len(l.failures))
		}
		if err := l.Close(t.Context()); err != nil || len(l.failures) != 8 || l.Stats().Failed != 8 {
			t.Errorf("%d failures, %+v, %v", len(l.failures), l.Stats(), err)
		}
	})
}
