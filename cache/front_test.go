package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
)

// fronted opens a store of a layout on a fake, with a front.
func fronted(t *testing.T, layout string, f cache.Front, options ...cache.Option) (*store, *dynamodbfake.Service) {
	t.Helper()
	s, db := fake(t, layout)
	s.cache = open(s.client, s.table, append(options, cache.WithFront(f))...)
	t.Cleanup(func() { s.cache.Close() })
	return s, db
}

// want checks what Get returns: a payload, or "" for a miss.
func (s *store) want(t *testing.T, id, payload string, options ...cache.Option) *cache.Prediction {
	t.Helper()
	p, err := s.cache.Get(t.Context(), id, options...)
	switch {
	case payload == "" && !errors.Is(err, cache.ErrNotFound):
		t.Fatalf("%s is %v, %v, want a miss", id, p, err)
	case payload != "" && (err != nil || string(p.Payload) != payload):
		t.Fatalf("%s is %v, %v, want %s", id, p, err, payload)
	}
	return p
}

// reads counts the calls that read items.
func reads(db *dynamodbfake.Service) int {
	return db.CallCount("GetItem") + db.CallCount("Query") + db.CallCount("BatchGetItem")
}

func down(*awstest.Call) awstest.Fault {
	return awstest.Fault{Err: &awstest.Error{Status: 500, Type: "com.amazonaws.dynamodb.v20120810#InternalServerError"}}
}

func up(*awstest.Call) awstest.Fault { return awstest.Fault{} }

func TestFront(t *testing.T) {
	for _, layout := range []string{"versioned", "expiry-sorted", "latest-only"} {
		t.Run(layout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := fronted(t, layout, cache.Front{MaxAge: 10 * time.Second, NegativeAge: 2 * time.Second})
				s.put(t, s.message("a", time.Now().Add(-time.Second), time.Hour, "1", ""))
				s.want(t, "a", "1")
				s.want(t, "b", "")
				n := reads(db)
				s.put(t, s.message("a", time.Now(), time.Hour, "2", ""), s.message("b", time.Now(), time.Hour, "3", ""))
				time.Sleep(1999 * time.Millisecond)
				s.want(t, "a", "1")
				s.want(t, "b", "")
				if reads(db) != n {
					t.Errorf("%d reads of what the front holds", reads(db)-n)
				}
				time.Sleep(time.Millisecond)
				s.want(t, "b", "3") // the miss was remembered for 2 s
				time.Sleep(8 * time.Second)
				s.want(t, "a", "2") // 10 s after its read was sent
				if got := s.cache.Stats(); got.FrontHits != 1 || got.NegativeHits != 1 || got.TableHits != 3 || got.Misses != 1 || got.FrontEntries != 2 || got.ReadUnits != 2 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestFrontRenewsWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{MaxAge: 10 * time.Second})
		s.put(t, s.message("used", time.Now(), time.Hour, "1", ""), s.message("idle", time.Now(), time.Hour, "1", ""))
		s.want(t, "used", "1")
		s.want(t, "idle", "1")
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 100 * time.Millisecond} })
		for range 600 { // a minute
			time.Sleep(100 * time.Millisecond)
			start := time.Now()
			s.want(t, "used", "1")
			if waited := time.Since(start); waited > 0 {
				t.Fatalf("a caller waited for %v", waited)
			}
		}
		time.Sleep(time.Second) // a renewal may be under way
		if got := s.cache.Stats(); got.Refreshes < 6 || got.Refreshes > 9 || got.FrontHits != 600 || got.TableHits != 2+got.Refreshes {
			t.Errorf("%+v", got)
		}
	})
}

func TestFrontExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "latest-only", cache.Front{MaxAge: time.Minute, NegativeAge: time.Minute})
		s.put(t, s.message("a", time.Now(), 5*time.Second, "1", ""))
		s.want(t, "a", "1")
		time.Sleep(4999 * time.Millisecond)
		s.want(t, "a", "1")
		time.Sleep(time.Millisecond)
		s.want(t, "a", "")
		db.SetFault(down)
		if _, err := s.cache.Get(t.Context(), "a", cache.Consistent()); err == nil || errors.Is(err, cache.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		s.want(t, "a", "") // the remembered miss is no error, and an error is not remembered
		if got := s.cache.Stats(); got.ExpiredOnly != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestFrontSharesReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{})
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 50 * time.Millisecond} })
		if _, err := s.cache.Layout(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := reads(db)
		var callers sync.WaitGroup
		for i := range 10_000 {
			callers.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%2 == 0 { // one that leaves takes nobody with it
					time.AfterFunc(10*time.Millisecond, cancel)
				}
				p, err := s.cache.Get(ctx, "a")
				if i%2 == 0 && !errors.Is(err, context.Canceled) || i%2 == 1 && (err != nil || string(p.Payload) != "1") {
					t.Errorf("got %v, %v", p, err)
				}
			})
		}
		callers.Wait()
		if reads(db)-n != 1 {
			t.Errorf("%d calls", reads(db)-n)
		}
	})
}

func TestFrontGetMany(t *testing.T) {
	for _, layout := range []string{"versioned", "latest-only"} {
		t.Run(layout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := fronted(t, layout, cache.Front{NegativeAge: 10 * time.Second})
				var ids []string
				for i := range 150 {
					ids = append(ids, s.id(i))
					if i%3 > 0 {
						s.put(t, s.message(s.id(i), time.Now(), time.Hour, fmt.Sprint(i), ""))
					}
				}
				db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 10 * time.Millisecond} })
				check := func(ids []string, calls int, took time.Duration) {
					t.Helper()
					n, start := reads(db), time.Now()
					found, err := s.cache.GetMany(t.Context(), ids)
					if err != nil || len(found) != len(ids) {
						t.Fatal(err)
					}
					for i, p := range found {
						if (p == nil) != (i%3 == 0) || p != nil && string(p.Payload) != fmt.Sprint(i) {
							t.Errorf("%d is %v", i, p)
						}
					}
					if got := reads(db) - n; got != calls || time.Since(start) != took {
						t.Errorf("%d calls in %v, want %d in %v", got, time.Since(start), calls, took)
					}
				}
				if _, err := s.cache.Layout(t.Context()); err != nil {
					t.Fatal(err)
				}
				one, rest := 1, 1
				if layout == "versioned" {
					one, rest = 90, 60
				}
				check(ids[:90], one, 10*time.Millisecond)
				check(ids, rest, 10*time.Millisecond) // only what it does not hold
				check(ids, 0, 0)
				s.want(t, s.id(1), "1")
				if reads(db) != one+rest {
					t.Error("Get asks for what GetMany has brought")
				}
			})
		})
	}
}

func TestFrontWhileTheTableIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{MaxAge: 10 * time.Second})
		s.put(t, s.message("hot", time.Now(), 5*time.Minute, "1", ""))
		s.want(t, "hot", "1")
		start := time.Now()
		db.SetFault(down)
		time.Sleep(10 * time.Second)
		for range 3 { // each fails three times, as the SDK's retryer has it
			if _, err := s.cache.Get(t.Context(), "cold"); err == nil || errors.Is(err, cache.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if p := s.want(t, "hot", "1"); !p.Stale {
			t.Error("it is not marked as stale")
		}
		n := reads(db)
		since := time.Now()
		for time.Since(start) < 10*time.Minute {
			asked := time.Now()
			p, err := s.cache.Get(t.Context(), "hot")
			if time.Since(start) < 5*time.Minute {
				if err != nil || !p.Stale {
					t.Fatalf("after %v: %v, %v", time.Since(start), p, err)
				}
			} else if !errors.Is(err, cache.ErrUnavailable) {
				t.Fatalf("after %v, past its expiry: %v, %v", time.Since(start), p, err)
			}
			many, err := s.cache.GetMany(t.Context(), []string{"cold", "hot"})
			if !errors.Is(err, cache.ErrUnavailable) || (many[1] == nil) != (time.Since(start) >= 5*time.Minute) {
				t.Fatal(many, err)
			}
			if waited := time.Since(asked); waited > 0 {
				t.Fatalf("a caller waited for %v", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if probes := reads(db) - n; probes > int(time.Since(since).Seconds()) || probes < 500 {
			t.Errorf("%d probes in %v", probes, time.Since(since))
		}
		if s.cache.Stats().Available {
			t.Error("it says that the table is there")
		}
		db.SetFault(up)
		time.Sleep(time.Second)
		s.put(t, s.message("hot", time.Now(), time.Hour, "2", ""))
		time.Sleep(time.Second) // the probe has found a miss
		if p := s.want(t, "hot", "2"); p.Stale {
			t.Error("it is marked as stale though the table answers")
		}
		s.want(t, "cold", "")
	})
}

// TestFrontProbesWhatIsAskedFor has one id whose partition is throttled: the others come back with the next probe.
func TestFrontProbesWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "latest-only", cache.Front{MaxAge: 10 * time.Second})
		s.put(t, s.message("good", time.Now(), time.Hour, "1", ""))
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			for _, e := range c.Entries {
				if e.Item.Text("predictionId") == "hot" {
					return awstest.Fault{Err: &awstest.Error{Type: "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}}
				}
			}
			return awstest.Fault{}
		})
		for range 3 {
			if _, err := s.cache.Get(t.Context(), "hot"); err == nil {
				t.Fatal("no error")
			}
		}
		if _, err := s.cache.Get(t.Context(), "good"); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("got %v: this proves nothing", err)
		}
		time.Sleep(1001 * time.Millisecond)
		s.want(t, "good", "1")
	})
}

func TestFrontDoesNotWaitForASlowTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "latest-only", cache.Front{MaxAge: 5 * time.Second, Wait: 200 * time.Millisecond})
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""), s.message("b", time.Now(), time.Hour, "1", ""))
		s.want(t, "a", "1")
		s.want(t, "b", "1")
		time.Sleep(5 * time.Second)
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: time.Second} })
		start := time.Now()
		if p := s.want(t, "a", "1"); !p.Stale || time.Since(start) != 200*time.Millisecond {
			t.Errorf("%v after %v", p, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		many, err := s.cache.GetMany(ctx, []string{"a", "b"})
		if err != nil || !many[0].Stale || !many[1].Stale || time.Since(start) != 250*time.Millisecond {
			t.Errorf("%v, %v after %v: a deadline does not lose what is held", many, err, time.Since(start))
		}
		time.Sleep(time.Second)
		if p := s.want(t, "a", "1"); p.Stale || s.cache.Stats().Available == false {
			t.Error("the read went on, and renewed it")
		}
	})
}

func TestFrontStaleAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "latest-only", cache.Front{MaxAge: time.Second, StaleAge: time.Second})
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		s.want(t, "a", "1")
		db.SetFault(down)
		time.Sleep(time.Second)
		if p, err := s.cache.Get(t.Context(), "a"); err == nil {
			t.Errorf("got %v, want an error: stale answers are off", p)
		}
	})
}

// lagging is a client whose eventually consistent reads may miss the newest item.
type lagging struct {
	cache.DynamoDB
	old *dynamodb.GetItemOutput
}

func (l *lagging) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if l.old != nil && (in.ConsistentRead == nil || !*in.ConsistentRead) {
		return l.old, nil
	}
	return l.DynamoDB.GetItem(ctx, in, options...)
}

func TestFrontNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "latest-only")
		l := &lagging{DynamoDB: s.client}
		s.cache = openClient(l, s.table, cache.WithFront(cache.Front{MaxAge: time.Second}))
		defer s.cache.Close()
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		old, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &s.table, Key: map[string]types.AttributeValue{"predictionId": text("a")}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.put(t, s.message("a", time.Now(), time.Hour, "2", ""))
		s.want(t, "a", "2")
		for _, l.old = range []*dynamodb.GetItemOutput{old, {}} {
			time.Sleep(time.Second)
			s.want(t, "a", "2") // confirmed by a consistent read
			l.old = nil
		}
		// What is deleted by hand is gone once its age has ended, by a consistent read.
		if _, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.table, Key: map[string]types.AttributeValue{"predictionId": text("a")}}); err != nil {
			t.Fatal(err)
		}
		s.want(t, "a", "2")
		time.Sleep(time.Second)
		s.want(t, "a", "")
	})
}

func TestFrontIsBypassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fronted(t, "versioned", cache.Front{MaxAge: time.Minute})
		s.put(t, s.message("a", time.Now().Add(-time.Second), time.Hour, "1", `,"v":1`))
		s.want(t, "a", "1")
		s.put(t, s.message("a", time.Now(), time.Hour, "2", `,"v":2`))
		s.want(t, "a", "2", cache.Where("v", 2))
		s.want(t, "a", "", cache.Where("v", 3))
		s.want(t, "a", "1") // the front is not touched by these
		for p, err := range s.cache.History(t.Context(), "a", time.Time{}, time.Time{}) {
			if err != nil || string(p.Payload) != "2" {
				t.Errorf("got %v, %v", p, err)
			}
			break
		}
		p, err := s.cache.Get(t.Context(), "a", cache.Only())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Decode(new(int)); err == nil || !strings.Contains(err.Error(), "Only") {
			t.Errorf("decoding what was not read: %v", err)
		}
		s.want(t, "a", "1")
		s.want(t, "a", "2", cache.Consistent())
		s.want(t, "a", "2") // the consistent read has refreshed it
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		s, db := fake(t, "versioned")
		publisher := newLine(t, "predictions", cache.PublisherConfig{})
		s.cache = open(s.client, s.table, cache.WithFront(cache.Front{MaxAge: time.Second}), cache.WithPublisher(publisher.Publisher), cache.WithHedging())
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		s.want(t, "a", "1")
		db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Hang: true} })
		time.Sleep(900 * time.Millisecond)
		s.want(t, "a", "1") // and renews it
		var callers sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			callers.Go(func() {
				if _, err := s.cache.Get(t.Context(), id, cache.Consistent()); err == nil {
					t.Error("a call that hangs has ended well")
				}
			})
			callers.Go(func() {
				if _, err := s.cache.Get(t.Context(), "c"); !errors.Is(err, cache.ErrClosed) {
					t.Errorf("got %v", err)
				}
			})
			callers.Go(func() {
				_, err := s.cache.GetOrCompute(t.Context(), "d", func(ctx context.Context) (*cache.Prediction, error) { <-ctx.Done(); return nil, ctx.Err() })
				if err == nil {
					t.Error("a computation that was ended has ended well")
				}
			})
		}
		synctest.Wait()
		s.cache.Close()
		callers.Wait()
		if _, err := s.cache.Get(t.Context(), "a"); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := s.cache.GetMany(t.Context(), []string{"a"}); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("got %v", err)
		}
		s.cache.Close() // once more does nothing
		if err := publisher.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
