package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// A process that starts while the table is away does not know its layout, and no id can be read without it.
func TestStartWhileTheTableIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{})
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		db.SetFault(down)
		described := db.CallCount("DescribeTable")
		var first sync.WaitGroup
		for range 100 {
			first.Go(func() {
				if _, err := s.cache.Get(t.Context(), "a"); err == nil || errors.Is(err, cache.ErrUnavailable) {
					t.Errorf("got %v, want the error of the call that they share", err)
				}
			})
		}
		first.Wait()
		if n := db.CallCount("DescribeTable") - described; n != 3 { // as the SDK's retryer has it
			t.Errorf("%d calls for the first readers", n)
		}
		described = db.CallCount("DescribeTable")
		start := time.Now()
		for time.Since(start) < time.Minute {
			asked := time.Now()
			_, err := s.cache.Get(t.Context(), "a")
			_, many := s.cache.GetMany(t.Context(), []string{"a", "b"})
			for _, err := range []error{err, many} {
				if !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), "InternalServerError") {
					t.Fatal(err)
				}
			}
			if waited := time.Since(asked); waited > 0 {
				t.Fatalf("a caller waited for %v", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if probes := db.CallCount("DescribeTable") - described; probes < 50 || probes > 60 {
			t.Errorf("%d probes in a minute", probes)
		}
		if got := s.cache.Stats(); got.Available || got.Probes == 0 || got.Unavailable == 0 {
			t.Errorf("got %+v", got)
		}
		db.SetFault(up)
		time.Sleep(1001 * time.Millisecond)
		s.want(t, "a", "1")
		if !s.cache.Stats().Available {
			t.Error("it says that the table is away")
		}
	})
}

// A caller that leaves does not open the breaker for others.
func TestACallerThatLeavesDoesNotEndTheDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{})
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 20 * time.Millisecond} })
		described := db.CallCount("DescribeTable")
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := s.cache.Get(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		s.want(t, "a", "")
		if n := db.CallCount("DescribeTable") - described; n != 1 {
			t.Errorf("described %d times", n)
		}
	})
}

func TestCloseEndsTheDiscovery(t *testing.T) {
	for name, options := range map[string][]cache.Option{"no front": nil, "front": {cache.WithFront(cache.Front{})}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
				s, db := fake(t, "versioned")
				c := open(s.client, s.table, options...)
				db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Hang: true} })
				var callers sync.WaitGroup
				for range 3 {
					callers.Go(func() {
						if _, err := c.Get(t.Context(), "a"); !errors.Is(err, cache.ErrClosed) {
							t.Errorf("got %v", err)
						}
					})
				}
				synctest.Wait()
				c.Close()
				callers.Wait()
				if _, err := c.Layout(t.Context()); !errors.Is(err, cache.ErrClosed) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// The breaker opens, closes and opens again within a second: there is still one probe a second.
func TestOneProbeASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "latest-only")
		cfg := configOf(s.client)
		cfg.RetryMaxAttempts = 1
		s.cache = must(cache.New(cfg, s.table, cache.WithFront(cache.Front{}), cache.WithLayout(cache.LatestOnly())))
		defer s.cache.Close()
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Entries[0].Item.Text("predictionId") == "late" {
				return awstest.Fault{Delay: 300 * time.Millisecond}
			}
			return down(c)
		})
		fail := func() {
			for _, id := range []string{"a", "b", "c"} {
				if _, err := s.cache.Get(t.Context(), id); err == nil || errors.Is(err, cache.ErrUnavailable) {
					t.Fatal(err)
				}
			}
			if s.cache.Stats().Available {
				t.Fatal("the breaker is closed: this proves nothing")
			}
		}
		var late sync.WaitGroup
		late.Go(func() {
			if _, err := s.cache.Get(t.Context(), "late"); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
		})
		synctest.Wait()
		fail()
		late.Wait() // its answer closes the breaker
		fail()
		n := reads(db)
		time.Sleep(10 * time.Second)
		if probes := reads(db) - n; probes > 10 || probes < 9 {
			t.Errorf("%d probes in 10 s", probes)
		}
	})
}

func TestErrorsNameTheRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for table, wrong := range map[string]cache.Layout{
			"versioned":   cache.LatestOnly(),
			"latest-only": {HashKey: "id", TTLAttribute: "expiresAt"},
			"versioned N": cache.Versioned(), // whose ids are strings
		} {
			s, _ := fake(t, table)
			c := open(s.client, s.table, cache.WithLayout(wrong))
			_, err := c.Get(t.Context(), "7")
			_, many := c.GetMany(t.Context(), []string{"7"})
			for _, err := range []error{err, many} {
				if err == nil || !strings.Contains(err.Error(), s.table) || !strings.Contains(err.Error(), "WithLayout({HashKey:"+wrong.HashKey) {
					t.Errorf("%s: got %v", table, err)
				}
			}
		}
		s, _ := fake(t, "versioned")
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		wrong := cache.Versioned()
		wrong.TTLAttribute = "ttl"
		if _, err := open(s.client, s.table, cache.WithLayout(wrong)).Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), `"ttl" is missing: check that WithLayout`) {
			t.Errorf("got %v", err)
		}
		for _, options := range [][]cache.Option{nil, {cache.WithLayout(cache.Versioned())}, {cache.WithLayout(cache.LatestOnly())}} {
			_, err := open(s.client, "elsewhere", options...).Get(t.Context(), "a")
			var missing *types.ResourceNotFoundException
			if !errors.As(err, &missing) || !strings.Contains(err.Error(), `the table "elsewhere" was not found: check its name, and the region`) {
				t.Errorf("got %v", err)
			}
		}
	})
}
