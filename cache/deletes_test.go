package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
)

// history lists the payloads of an id's history.
func (s *store) history(t *testing.T, id string, from, to time.Time, options ...cache.Option) string {
	t.Helper()
	var all []string
	for p, err := range s.cache.History(t.Context(), id, from, to, options...) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(p.Payload))
	}
	return strings.Join(all, " ")
}

// What a delete hides is hidden from every kind of read, and what is newer from none.
func TestDeletes(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		now := time.Now().Truncate(time.Second)
		id, other := s.id(1), s.id(2)
		const model = `,"model":"m"`
		s.put(t, s.message(other, now, time.Hour, "7", model))
		check := func(want string, options ...cache.Option) {
			t.Helper()
			p := s.want(t, id, want, options...)
			many, err := s.cache.GetMany(t.Context(), []string{id, other, id, s.id(3)}, options...)
			if err != nil || (many[0] == nil) != (p == nil) || many[2] != many[0] || many[3] != nil || p != nil && string(many[0].Payload) != want {
				t.Errorf("GetMany: %v, %v, want %s", many, err, want)
			}
			if got := s.history(t, id, time.Time{}, time.Time{}, options...); got != want {
				t.Errorf("the history is %s, want %s", got, want)
			}
			oldest := append([]cache.Option{cache.OldestFirst()}, options...)
			if got := s.history(t, id, now.Add(-time.Hour), now, oldest...); got != want {
				t.Errorf("the bounded history is %s, want %s", got, want)
			}
			if got := s.history(t, id, time.Time{}, now.Add(-20*time.Second), options...); got != "" {
				t.Errorf("of what is hidden the history is %s", got)
			}
		}
		all := func(want string) {
			t.Helper()
			check(want)
			check(want, cache.Consistent())
			check(want, cache.Where("model", "m"))
			check(want, cache.Only("prediction", "model"))
			check(want, cache.SkipForeign())
			check("", cache.Where("model", "another"))
			if s.kind == "expiry-sorted" {
				check(want, cache.UniformLife())
				check("", cache.UniformLife(), cache.Where("model", "another"))
			}
		}
		s.put(t, s.message(id, now.Add(-30*time.Second), time.Hour, "1", model), s.message(id, now.Add(-25*time.Second), time.Hour, "2", model))
		s.put(t, s.tombstone(id, now.Add(-20*time.Second), 2*time.Hour))
		all("")
		if got := s.cache.Stats(); got.Deleted == 0 || got.Deleted > got.Misses {
			t.Errorf("got %+v", got)
		}
		if s.kind != "latest-only" { // where they compete for one item
			s.put(t, s.message(id, now.Add(-22*time.Second), time.Hour, "3", model)) // late
			s.put(t, s.message(id, now.Add(-20*time.Second), time.Hour, "4", model)) // at one time
			all("")
		}
		s.put(t, s.message(id, now.Add(-20*time.Second+time.Microsecond), time.Hour, "5", model)) // within the second
		all("5")
		s.put(t, s.message(id, now.Add(-10*time.Second), time.Hour, "6", model))
		s.want(t, id, "6")
		s.put(t, s.tombstone(id, now.Add(-5*time.Second), 2*time.Hour))
		all("")
		s.put(t, s.message(id, now.Add(-4*time.Second), time.Hour, "8", model))
		all("8")
	})
}

// Reads of ids without deletes make the same calls, at the same cost, as readers that know no deletes.
func TestReadsWithoutDeletesCostNoMore(t *testing.T) {
	for _, c := range []struct {
		layout string
		read   string
		calls  int
		units  float64
	}{
		{"latest-only", "get", 1, 0.5}, {"latest-only", "many", 1, 5}, {"latest-only", "history", 1, 0.5},
		{"versioned", "get", 1, 0.5}, {"versioned", "many", 10, 5}, {"versioned", "history", 1, 0.5},
		{"expiry-sorted", "get", 1, 0.5}, {"expiry-sorted", "many", 10, 5}, {"expiry-sorted", "history", 1, 0.5},
		{"versioned", "get deleted", 2, 1}, {"latest-only", "get deleted", 1, 0.5}, {"expiry-sorted", "get deleted", 1, 0.5},
		{"versioned", "history to", 2, 1}, // it looks for a delete above the range
	} {
		t.Run(c.layout+"/"+c.read, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := fake(t, c.layout)
				var ids []string
				for i := range 10 {
					ids = append(ids, s.id(i))
					s.put(t, s.message(s.id(i), time.Now().Add(-time.Minute), time.Hour, "1", ""))
				}
				if c.read == "get deleted" {
					s.put(t, s.tombstone(s.id(1), time.Now(), time.Hour))
				}
				s.history(t, s.id(1), time.Time{}, time.Time{}) // which learns layout and unit
				before := s.cache.Stats()
				switch c.read {
				case "get":
					s.want(t, s.id(1), "1")
				case "get deleted":
					s.want(t, s.id(1), "")
				case "many":
					if many, err := s.cache.GetMany(t.Context(), ids); err != nil || many[9] == nil {
						t.Fatal(many, err)
					}
				case "history":
					s.history(t, s.id(1), time.Time{}, time.Time{})
				default:
					s.history(t, s.id(1), time.Time{}, time.Now())
				}
				after := s.cache.Stats()
				if calls, units := int(after.Calls-before.Calls), after.ReadUnits-before.ReadUnits; calls != c.calls || units != c.units {
					t.Errorf("%d calls, %g units, want %d, %g", calls, units, c.calls, c.units)
				}
			})
		})
	}
}

func TestFrontDeletes(t *testing.T) {
	for _, layout := range []string{"versioned", "expiry-sorted", "latest-only"} {
		t.Run(layout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := fronted(t, layout, cache.Front{MaxAge: 10 * time.Second, NegativeAge: 2 * time.Second})
				s.put(t, s.message("a", time.Now().Add(-time.Minute), time.Hour, "1", ""))
				s.want(t, "a", "1")
				s.put(t, s.tombstone("a", time.Now(), 2*time.Hour))
				s.want(t, "a", "1") // for MaxAge
				s.want(t, "a", "", cache.Consistent())
				n := reads(db)
				s.want(t, "a", "") // at once, since a read has met it
				if many, err := s.cache.GetMany(t.Context(), []string{"a"}); err != nil || many[0] != nil {
					t.Errorf("got %v, %v", many, err)
				}
				if reads(db) != n {
					t.Error("the delete is not remembered")
				}
				time.Sleep(3 * time.Second)
				s.put(t, s.message("a", time.Now(), time.Hour, "2", ""))
				s.want(t, "a", "2")
				time.Sleep(time.Second)
				s.put(t, s.tombstone("a", time.Now(), 2*time.Hour))
				time.Sleep(10 * time.Second)
				s.want(t, "a", "")
				if got := s.cache.Stats(); got.Deleted < 2 || got.NegativeHits != 2 {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// A replica that lags behind a delete that the front knows does not bring back what it hides.
func TestFrontKeepsDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "latest-only")
		l := &lagging{DynamoDB: s.client}
		s.cache = openClient(l, s.table, cache.WithFront(cache.Front{MaxAge: 2 * time.Second, NegativeAge: time.Second}))
		defer s.cache.Close()
		key := map[string]types.AttributeValue{"predictionId": text("a")}
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		old, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &s.table, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.put(t, s.tombstone("a", time.Now(), time.Hour))
		s.want(t, "a", "")
		for _, l.old = range []*dynamodb.GetItemOutput{old, {}, old} {
			time.Sleep(time.Second)
			calls := s.cache.Stats().Calls
			s.want(t, "a", "")
			if calls = s.cache.Stats().Calls - calls; calls > 1 && len(l.old.Item) == 0 {
				t.Errorf("%d calls: a miss does not contradict a delete", calls)
			}
		}
		l.old = nil
		time.Sleep(time.Second)
		s.put(t, s.message("a", time.Now(), time.Hour, "2", ""))
		s.want(t, "a", "2")
		// By hand, a delete can be undone.
		s.put(t, s.tombstone("a", time.Now(), time.Hour))
		time.Sleep(2 * time.Second)
		s.want(t, "a", "")
		s.putItem(t, old.Item)
		time.Sleep(time.Second)
		s.want(t, "a", "1")
	})
}

// While the table is away, a delete is no answer: nothing is known of what came after.
func TestFrontDeletesWhileTheTableIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fronted(t, "versioned", cache.Front{MaxAge: 2 * time.Second})
		s.put(t, s.tombstone("a", time.Now(), time.Hour))
		s.want(t, "a", "")
		db.SetFault(down)
		time.Sleep(2 * time.Second)
		if _, err := s.cache.Get(t.Context(), "a"); err == nil || errors.Is(err, cache.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// A delete ends what was computed before it, and a new computation is newer than the delete.
func TestComputedAndDeletes(t *testing.T) {
	for name, options := range map[string][]cache.Option{
		"no front": nil,
		"front":    {cache.WithFront(cache.Front{MaxAge: time.Second, NegativeAge: 100 * time.Millisecond})},
	} {
		for _, call := range [][]cache.Option{nil, {cache.Where("model", "m")}} {
			t.Run(fmt.Sprint(name, "/", len(call), " conditions"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, _ := fake(t, "versioned")
					l := newLine(t, "predictions", cache.PublisherConfig{})
					s.cache = open(s.client, s.table, append(options, cache.WithPublisher(l.Publisher))...)
					computed := 0
					var at time.Time
					get := func() *cache.Prediction {
						t.Helper()
						p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) {
							computed++
							return &cache.Prediction{Payload: []byte(fmt.Sprint(computed)), EventTime: at, Attributes: map[string]json.RawMessage{"model": []byte(`"m"`)}}, nil
						}, call...)
						if err != nil {
							t.Fatal(err)
						}
						return p
					}
					get()
					time.Sleep(2 * time.Second)
					if get(); computed != 1 {
						t.Errorf("computed %d times", computed)
					}
					deleted := time.Now().Add(time.Minute) // by a clock that is ahead
					s.put(t, s.tombstone("a", deleted, time.Hour))
					time.Sleep(time.Second)
					s.want(t, "a", "", call...) // a read that meets it
					p := get()
					if computed != 2 || !p.EventTime.After(deleted) {
						t.Errorf("computed %d times, the last of %v", computed, p.EventTime)
					}
					time.Sleep(2 * time.Second)
					if s.want(t, "a", "2", call...); string(get().Payload) != "2" || computed != 2 {
						t.Errorf("computed %d times", computed)
					}
					// An event time before the delete is compute's own choice: the result is not remembered.
					s.put(t, s.tombstone("a", time.Now().Add(2*time.Minute), time.Hour))
					time.Sleep(time.Second)
					s.want(t, "a", "", call...)
					time.Sleep(time.Second)
					at = time.Now()
					for n := 3; n < 5; n++ {
						if p := get(); string(p.Payload) != fmt.Sprint(n) {
							t.Errorf("got %s, want %d", p.Payload, n)
						}
						time.Sleep(time.Second)
						s.want(t, "a", "", call...)
						time.Sleep(time.Second)
					}
					s.cache.Close()
					if err := l.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// An early computation of an id that was deleted meanwhile is newer than the delete.
func TestEarlyComputeAfterDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "latest-only")
		l := newLine(t, "predictions", cache.PublisherConfig{})
		s.cache = open(s.client, s.table, cache.WithPublisher(l.Publisher), cache.EarlyCompute(time.Hour), cache.WithFront(cache.Front{MaxAge: time.Hour}))
		s.put(t, s.message("a", time.Now().Add(-time.Hour), 90*time.Minute, "1", ""))
		s.want(t, "a", "1")
		deleted := time.Now().Add(time.Minute)
		s.put(t, s.tombstone("a", deleted, time.Hour))
		for s.cache.Stats().EarlyComputed == 0 { // at a random time before the expiry: most often at once
			p, err := s.cache.GetOrCompute(t.Context(), "a", func(context.Context) (*cache.Prediction, error) { return cache.NewPrediction("", 2) })
			if err != nil || string(p.Payload) != "1" {
				t.Fatal(p, err)
			}
			time.Sleep(time.Second)
		}
		if p := s.want(t, "a", "2"); !p.EventTime.After(deleted) {
			t.Errorf("it is of %v, before the delete of %v", p.EventTime, deleted)
		}
		s.cache.Close()
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPublishDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Pack: true})
		numeric := newLine(t, "numeric", cache.PublisherConfig{NumericIDs: true})
		time.Sleep(time.Hour)
		now := time.Now().UTC()
		for _, err := range []error{
			l.Delete(t.Context(), "a\"b", now.Add(-time.Minute)), l.TryDelete("b", time.Time{}), numeric.Delete(t.Context(), "42", now),
			l.Publish(t.Context(), &cache.Prediction{ID: "c", Payload: []byte("1")}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		for want, err := range map[string]error{
			`the delete of "" can't be published: it has no id`:                              l.Delete(t.Context(), "", now),
			`the delete of "x" can't be published: its id is no number`:                      numeric.TryDelete("x", now),
			`the delete of "x" can't be published: the worker would reject it: future`:       l.Delete(t.Context(), "x", now.Add(time.Hour)),
			`the delete of "x" can't be published: the worker would reject it: past`:         l.TryDelete("x", time.Unix(1, 0)),
			`attribute "deleted" is a field of the message`:                                  l.Publish(t.Context(), &cache.Prediction{ID: "x", Payload: []byte("1"), Attributes: map[string]json.RawMessage{"deleted": []byte("true")}}),
			fmt.Sprintf(`the delete of "%s…" can't be published: `, strings.Repeat("x", 80)): l.Delete(t.Context(), strings.Repeat("x", 2049), now),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		for _, l := range []*line{l, numeric} {
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := l.TryDelete("1", now); !errors.Is(err, cache.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		want := strings.Join([]string{
			fmt.Sprintf(`{"predictionId":"a\"b","timestamp":%q,"deleted":true}`, now.Add(-time.Minute).Format(time.RFC3339Nano)),
			fmt.Sprintf(`{"predictionId":"b","timestamp":%q,"deleted":true}`, now.Format(time.RFC3339Nano)),
			fmt.Sprintf(`{"predictionId":"c","timestamp":%q,"prediction":1}`, now.Format(time.RFC3339Nano)),
		}, "\n")
		if got := l.bodies(); len(got) != 1 || got[0] != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := numeric.bodies(); len(got) != 1 || got[0] != fmt.Sprintf(`{"predictionId":42,"timestamp":%q,"deleted":true}`, now.Format(time.RFC3339Nano)) {
			t.Errorf("got %s", got)
		}
	})
}

// An unreadable item below a delete is hidden, whatever it is: it is of an earlier second.
func TestDeletesHideUnreadableItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "versioned")
		now := time.Now()
		s.put(t, s.message("a", now.Add(-time.Minute), time.Hour, "1", ""))
		s.change(t, "a", func(a map[string]types.AttributeValue) { delete(a, "createdAt") })
		s.put(t, s.tombstone("a", now, time.Hour))
		s.want(t, "a", "")
		if got := s.history(t, "a", time.Time{}, time.Time{}); got != "" {
			t.Errorf("the history is %s", got)
		}
		s.want(t, "a", "", cache.Where("model", "m"))
	})
}

// The first pages of an id may be full of deletes.
func TestManyDeletesOfAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, layout := range []string{"versioned", "versioned ms", "expiry-sorted"} {
			s, db := fake(t, layout)
			now := time.Now().Truncate(time.Second)
			s.put(t, s.message("a", now.Add(-time.Minute), time.Hour, "1", ""), s.message("a", now.Add(999*time.Millisecond), time.Hour, "2", ""))
			for i := range 60 { // all within the second of the newest prediction
				s.put(t, s.tombstone("a", now.Add(time.Duration(i)*time.Microsecond), 2*time.Hour+time.Duration(i)*time.Second))
			}
			s.want(t, "a", "2")
			s.want(t, "a", "2", cache.UniformLife())
			if got := s.history(t, "a", time.Time{}, time.Time{}); got != "2" {
				t.Errorf("%s: the history is %s", layout, got)
			}
			s.put(t, s.tombstone("a", now.Add(time.Second), 3*time.Hour))
			s.want(t, "a", "", cache.UniformLife())
			n := db.CallCount("Query")
			s.want(t, "a", "")
			if n = db.CallCount("Query") - n; n > 2 {
				t.Errorf("%s: %d calls", layout, n)
			}
		}
	})
}
