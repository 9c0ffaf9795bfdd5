package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
)

// A stored is what the model knows of an item.
type stored struct {
	event   time.Time
	expires int64
	payload string // empty for a tombstone
}

// model writes random predictions, of mixed lives, several in one second, some of them over, and deletes of every other id, some
// of the event time of a prediction. It remembers what the table must then hold.
func model(t *testing.T, s *store, ids, each int) map[string]map[item.Key]stored {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	table := map[string]map[item.Key]stored{}
	for i := range ids {
		id := s.id(i)
		table[id] = map[item.Key]stored{}
		for n := range each {
			event := now.Add(-time.Duration(random.IntN(3600))*time.Second + time.Duration(random.IntN(4))*250*time.Millisecond)
			life := []time.Duration{time.Minute, time.Hour / 2, 2 * time.Hour}[random.IntN(3)]
			if i%2 == 1 && random.IntN(3) == 0 {
				for _, v := range table[id] {
					if random.IntN(3) == 0 {
						event = v.event
					}
				}
				it := s.put(t, s.tombstone(id, event, life))[0]
				table[id][it.Key] = stored{it.Version.Event.Clock(), it.Expires, ""}
				continue
			}
			payload := fmt.Sprintf(`{"n":%d}`, n)
			it := s.put(t, s.message(id, event, life, payload, ""))[0]
			table[id][it.Key] = stored{it.Version.Event.Clock(), it.Expires, payload}
		}
	}
	return table
}

// live lists what readers may see of an id, newest first.
func live(versions map[item.Key]stored) []stored {
	now := time.Now().Unix()
	found := slices.DeleteFunc(slices.Collect(maps.Values(versions)), func(v stored) bool { return v.expires <= now })
	var deleted time.Time
	for _, v := range found {
		if v.payload == "" && v.event.After(deleted) {
			deleted = v.event
		}
	}
	found = slices.DeleteFunc(found, func(v stored) bool { return !v.event.After(deleted) })
	slices.SortFunc(found, func(a, b stored) int { return b.event.Compare(a.event) })
	return found
}

func TestReadsAreWhatASimpleModelSays(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		table := model(t, s, 24, 9)
		ids := []string{s.id(999)}
		for i := range 24 {
			ids = append(ids, s.id(i), s.id(i/2))
		}
		many, err := s.cache.GetMany(t.Context(), ids)
		if err != nil || len(many) != len(ids) {
			t.Fatalf("GetMany: %d of %d, %v", len(many), len(ids), err)
		}
		for i, id := range ids {
			want := live(table[id])
			p, err := s.cache.Get(t.Context(), id)
			if len(want) == 0 {
				if !errors.Is(err, cache.ErrNotFound) || many[i] != nil {
					t.Fatalf("%s: got %v, %v and %v, want a miss", id, p, err, many[i])
				}
				checkHistory(t, s, id, want)
				continue
			}
			if err != nil || many[i] == nil {
				t.Fatalf("%s: %v, %v", id, err, many[i])
			}
			for _, p := range []*cache.Prediction{p, many[i]} {
				if p.ID != id || !p.EventTime.Equal(want[0].event) || string(p.Payload) != want[0].payload || p.ExpiresAt.Unix() != want[0].expires {
					t.Fatalf("%s: got %+v, want %+v", id, p, want[0])
				}
			}
			checkHistory(t, s, id, want)
		}
	})
}

// checkHistory compares the whole of an id's history, and a part of it, both ways.
func checkHistory(t *testing.T, s *store, id string, want []stored) {
	t.Helper()
	events := func(from, to time.Time, options ...cache.Option) (events []time.Time) {
		for p, err := range s.cache.History(t.Context(), id, from, to, options...) {
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, p.EventTime)
		}
		return events
	}
	var all []time.Time
	for _, v := range want {
		all = append(all, v.event)
	}
	if got := events(time.Time{}, time.Time{}); !slices.Equal(got, all) {
		t.Fatalf("%s: the history is %v, want %v", id, got, all)
	}
	from, to := time.Now().Add(-40*time.Minute), time.Now().Add(-20*time.Minute)
	if len(all) > 0 {
		from, to = all[len(all)-1-len(all)/3], all[len(all)/3]
	}
	part := slices.DeleteFunc(slices.Clone(all), func(at time.Time) bool { return at.Before(from) || !at.Before(to) })
	if got := events(from, to); !slices.Equal(got, part) {
		t.Fatalf("%s: from %v to %v the history is %v, want %v", id, from, to, got, part)
	}
	slices.Reverse(part)
	if got := events(from, to, cache.OldestFirst()); !slices.Equal(got, part) {
		t.Fatalf("%s: oldest first, from %v to %v the history is %v, want %v", id, from, to, got, part)
	}
	slices.Reverse(all)
	if got := events(time.Time{}, time.Time{}, cache.OldestFirst()); !slices.Equal(got, all) {
		t.Fatalf("%s: oldest first, the history is %v, want %v", id, got, all)
	}
	for range s.cache.History(t.Context(), id, time.Time{}, time.Time{}) {
		break // stopping early is allowed
	}
}

func TestPagesPastExpired(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		now := time.Now()
		id := s.id(1)
		padding := fmt.Sprintf("%q", strings.Repeat("x", 300<<10))
		s.put(t, s.message(id, now.Add(-time.Hour), 2*time.Hour, `"live"`, ""))
		if s.kind == item.LatestOnly {
			s.put(t, s.message(id, now.Add(-time.Hour/2), time.Minute, `"over"`, "")) // and nothing behind it
			if p, err := s.cache.Get(t.Context(), id); !errors.Is(err, cache.ErrNotFound) {
				t.Fatalf("got %v, %v, want a miss", p, err)
			}
			return
		}
		for i := range 12 { // over three pages of 1 MB
			s.put(t, s.message(id, now.Add(-time.Duration(20+i)*time.Minute), time.Minute, padding, ""))
		}
		p, err := s.cache.Get(t.Context(), id)
		if err != nil || string(p.Payload) != `"live"` {
			t.Fatalf("got %v, %v", p, err)
		}
		if many, err := s.cache.GetMany(t.Context(), []string{id}); err != nil || string(many[0].Payload) != `"live"` {
			t.Fatalf("got %v, %v", many, err)
		}
	})
}

func TestEncodingsAndAttributes(t *testing.T) {
	long := `{"words":"` + strings.Repeat("no man is an island ", 200) + `","n":12345678901234567890.123456789}`
	overTheWire(t, func(t *testing.T, s *store) {
		for i, encoding := range []item.Encoding{item.JSON, item.Map, item.Zstd} {
			s.encode(t, encoding)
			s.put(t, s.message(s.id(i), time.Now(), time.Hour, long, `,"model":"é\u0001\"","n":-1.50e3,"tags":["a",{"b":null}],"ok":true`))
			p, err := s.cache.Get(t.Context(), s.id(i))
			if err != nil {
				t.Fatal(encoding, err)
			}
			var got struct {
				Words string
				N     any
			}
			if err := p.Decode(&got); err != nil || len(got.Words) != 4000 {
				t.Fatalf("%s: decoded %d bytes, %v", encoding, len(got.Words), err)
			}
			if !strings.Contains(string(p.Payload), `12345678901234567890.123456789`) {
				t.Fatalf("%s: lost digits: %s", encoding, p.Payload)
			}
			want := map[string]string{"model": `"é\u0001\""`, "n": `-1500`, "tags": `["a",{"b":null}]`, "ok": `true`}
			for name, value := range want {
				if string(p.Attributes[name]) != value {
					t.Errorf("%s: %s is %s, want %s", encoding, name, p.Attributes[name], value)
				}
			}
			if len(p.Attributes) != len(want) {
				t.Errorf("%s: the attributes are %v", encoding, p.Attributes)
			}
		}
	})
}

func TestWhereAndOnly(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		id, now := s.id(1), time.Now()
		s.put(t,
			s.message(id, now.Add(-3*time.Second), time.Hour, `3`, `,"model":"a","v":1`),
			s.message(id, now.Add(-2*time.Second), time.Hour, `2`, `,"model":"b","v":2.0`),
			s.message(id, now.Add(-time.Second), time.Hour, `1`, `,"model":"c","v":3`))
		want := "2"
		if s.kind == item.LatestOnly {
			want = "" // there is only the newest
		}
		for _, where := range []cache.Option{cache.Where("model", "b"), cache.Where("v", 2)} {
			p, err := s.cache.Get(t.Context(), id, where)
			if want == "" {
				if !errors.Is(err, cache.ErrNotFound) {
					t.Fatalf("got %v, %v, want a miss", p, err)
				}
			} else if err != nil || string(p.Payload) != want {
				t.Fatalf("got %v, %v, want %s", p, err, want)
			}
		}
		p, err := s.cache.Get(t.Context(), id, cache.Only("model"), cache.Consistent(), cache.Where("v", 3))
		if err != nil || p.Payload != nil || string(p.Attributes["model"]) != `"c"` || p.ExpiresAt.IsZero() || !p.EventTime.Equal(now.Add(-time.Second).UTC()) {
			t.Fatalf("got %+v, %v", p, err)
		}
		many, err := s.cache.GetMany(t.Context(), []string{id}, cache.Only("prediction"), cache.Consistent())
		if err != nil || string(many[0].Payload) != "1" || many[0].Attributes != nil {
			t.Fatalf("got %+v, %v", many, err)
		}
	})
}

func TestUniformLifeReadsOneItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "expiry-sorted")
		for i := range 30 {
			s.put(t, s.message("u", time.Now().Add(-time.Duration(i)*time.Second), time.Hour, fmt.Sprint(i), `,"pad":"`+strings.Repeat("x", 50<<10)+`"`))
		}
		for _, c := range []struct {
			options []cache.Option
			calls   int
		}{{nil, 2}, {[]cache.Option{cache.UniformLife()}, 1}} {
			before := db.CallCount("Query")
			p, err := s.cache.Get(t.Context(), "u", c.options...)
			if calls := db.CallCount("Query") - before; err != nil || string(p.Payload) != "0" || calls != c.calls {
				t.Errorf("got %v, %v by %d calls, want %d", p, err, calls, c.calls)
			}
		}
		n := 0
		for p, err := range s.cache.History(t.Context(), "u", time.Time{}, time.Time{}, cache.UniformLife()) {
			if err != nil || string(p.Payload) != fmt.Sprint(n) {
				t.Fatalf("got %v, %v, want %d", p, err, n)
			}
			n++
		}
	})
}

// corrupt are items that the worker can't have written, each by what is changed of a good one.
var corrupt = map[string]func(a map[string]types.AttributeValue){
	"no payload":       func(a map[string]types.AttributeValue) { delete(a, "prediction") },
	"a broken payload": func(a map[string]types.AttributeValue) { a["prediction"] = text(`{"secret":`) },
	"a payload of bytes": func(a map[string]types.AttributeValue) {
		a["prediction"] = &types.AttributeValueMemberB{Value: []byte("secret")}
	},
	"an unknown encoding": func(a map[string]types.AttributeValue) {
		a["encoding"] = text("brotli")
	},
	"broken zstd": func(a map[string]types.AttributeValue) {
		a["encoding"], a["prediction"] = text("zstd"), &types.AttributeValueMemberB{Value: []byte("secret")}
	},
	"no event time": func(a map[string]types.AttributeValue) { delete(a, "createdAt") },
	"a time before": func(a map[string]types.AttributeValue) { a["createdAt"] = number("-1") },
	"a set in map": func(a map[string]types.AttributeValue) {
		a["encoding"], a["prediction"] = text("map"), &types.AttributeValueMemberSS{Value: []string{"secret"}}
	},
	"encoding a list": func(a map[string]types.AttributeValue) { a["encoding"] = &types.AttributeValueMemberL{} },
}

func TestCorruptItemsAreErrorsThatNameTheKey(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		for name, change := range corrupt {
			t.Run(name, func(t *testing.T) {
				bad, good := s.id(rand.IntN(1e9)), s.id(rand.IntN(1e9))
				s.put(t, s.message(bad, time.Now(), time.Hour, "1", ""), s.message(good, time.Now(), time.Hour, "2", ""))
				s.change(t, bad, change)
				check := func(err error) {
					t.Helper()
					var itemError *cache.ItemError
					if !errors.As(err, &itemError) || itemError.ID != bad || strings.Contains(err.Error(), "secret") || errors.Is(err, cache.ErrNotFound) {
						t.Errorf("got %v, want an error of the item %s without its content", err, bad)
					}
				}
				p, err := s.cache.Get(t.Context(), bad)
				check(err)
				many, err := s.cache.GetMany(t.Context(), []string{bad, good})
				check(err)
				if p != nil || many[0] != nil || many[1] == nil || string(many[1].Payload) != "2" {
					t.Errorf("got %v and %v", p, many)
				}
				for _, err := range s.cache.History(t.Context(), bad, time.Time{}, time.Time{}) {
					check(err)
				}
			})
		}
	})
}

// change rewrites the only item of an id.
func (s *store) change(t *testing.T, id string, change func(a map[string]types.AttributeValue)) {
	t.Helper()
	in := s.queryOf(id)
	out, err := s.client.Query(t.Context(), in)
	if err != nil || len(out.Items) != 1 {
		t.Fatal(out, err)
	}
	change(out.Items[0])
	s.putItem(t, out.Items[0])
}

func TestATableThatCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "versioned")
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		down := true
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			if down {
				return awstest.Fault{Err: awstest.AccessDenied(c.Operation)}
			}
			return awstest.Fault{}
		})
		if _, err := s.cache.Get(t.Context(), "a"); err == nil || errors.Is(err, cache.ErrNotFound) || !strings.Contains(err.Error(), "AccessDenied") {
			t.Fatalf("got %v", err)
		}
		down = false
		described := db.CallCount("DescribeTable")
		var readers sync.WaitGroup
		for range 20 { // an error is not remembered, and the table is asked once
			readers.Go(func() {
				if p, err := s.cache.Get(t.Context(), "a"); err != nil || string(p.Payload) != "1" {
					t.Errorf("got %v, %v", p, err)
				}
			})
		}
		readers.Wait()
		if n := db.CallCount("DescribeTable") - described; n != 1 {
			t.Errorf("the table was described %d times", n)
		}
		down = true
		many, err := s.cache.GetMany(t.Context(), []string{"a", "b"})
		if err == nil || len(many) != 2 || many[0] != nil {
			t.Errorf("got %v, %v", many, err)
		}
		for _, err := range s.cache.History(t.Context(), "a", time.Time{}, time.Time{}) {
			if err == nil {
				t.Error("no error")
			}
		}
	})
}

func TestToldItsLayoutItDescribesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, layout := range map[string]cache.Layout{"versioned": cache.Versioned(), "expiry-sorted": cache.ExpirySorted(), "latest-only": cache.LatestOnly()} {
			s, db := fake(t, name)
			s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
			found, err := s.cache.Layout(t.Context())
			if err != nil || found != layout {
				t.Errorf("%s: the table's layout is %+v, %v, want %+v", name, found, err, layout)
			}
			described := db.CallCount("DescribeTable") + db.CallCount("DescribeTimeToLive")
			c := open(s.client, s.table, cache.WithLayout(layout))
			if p, err := c.Get(t.Context(), "a"); err != nil || string(p.Payload) != "1" {
				t.Errorf("%s: got %v, %v", name, p, err)
			}
			if n := db.CallCount("DescribeTable") + db.CallCount("DescribeTimeToLive") - described; n != 0 {
				t.Errorf("%s: described %d times", name, n)
			}
		}
	})
}

// GetMany of a hundred takes the time of one call in every layout.
func TestGetManyAsksTogether(t *testing.T) {
	for layout, calls := range map[string]int{"versioned": 100, "expiry-sorted": 100, "latest-only": 1} {
		t.Run(layout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := fake(t, layout)
				var ids []string
				for i := range 100 {
					ids = append(ids, s.id(i))
					s.put(t, s.message(s.id(i), time.Now(), time.Hour, fmt.Sprint(i), ""))
				}
				if _, err := s.cache.Layout(t.Context()); err != nil {
					t.Fatal(err)
				}
				db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 10 * time.Millisecond} })
				start, before := time.Now(), reads(db)
				many, err := s.cache.GetMany(t.Context(), ids)
				if err != nil || string(many[99].Payload) != "99" {
					t.Fatalf("got %v, %v", many[99], err)
				}
				if n := reads(db) - before; n != calls || time.Since(start) != 10*time.Millisecond {
					t.Errorf("%d calls in %v, want %d in 10ms", n, time.Since(start), calls)
				}
			})
		})
	}
}

func TestGetManyAsksAgainForUnprocessedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "latest-only")
		var ids []string
		for i := range 250 {
			ids = append(ids, s.id(i%240)) // 10 of them twice
			if i < 240 {
				s.put(t, s.message(s.id(i), time.Now(), time.Hour, fmt.Sprint(i), ""))
			}
		}
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchGetItem" && c.N <= 4 {
				return awstest.Fault{Unprocessed: func(i int, _ awstest.Entry) bool { return c.N == 1 || i%3 > 0 }}
			}
			return awstest.Fault{}
		})
		many, err := s.cache.GetMany(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range many {
			if p == nil || string(p.Payload) != fmt.Sprint(i%240) {
				t.Fatalf("%d: got %v", i, p)
			}
		}
		for _, c := range db.Calls("BatchGetItem") {
			if len(c.Entries) > 100 {
				t.Errorf("a call asked for %d", len(c.Entries))
			}
		}
		// One that never comes is given up, the others are there.
		db.SetFault(func(*awstest.Call) awstest.Fault {
			return awstest.Fault{Unprocessed: func(_ int, e awstest.Entry) bool { return e.Item.Text("predictionId") == s.id(7) }}
		})
		many, err = s.cache.GetMany(t.Context(), ids[:20])
		if err == nil || many[7] != nil || many[8] == nil {
			t.Errorf("got %v, %v", many[7:9], err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = s.cache.GetMany(ctx, ids[:20]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

func TestIDsThatNoItemCanHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for layout, ids := range map[string][]string{
			"versioned":   {"", strings.Repeat("x", 2049), "\xff"},
			"versioned N": {"", "abc", "1 ", "1e999", `"1"`},
		} {
			s, db := fake(t, layout)
			s.put(t, s.message("1", time.Now(), time.Hour, `1`, ""))
			for _, id := range ids {
				if p, err := s.cache.Get(t.Context(), id); err == nil || errors.Is(err, cache.ErrNotFound) || p != nil || len(err.Error()) > 300 {
					t.Errorf("%s %q: got %v, %v", layout, id, p, err)
				}
			}
			many, err := s.cache.GetMany(t.Context(), append(ids, "1"))
			if err == nil || string(many[len(ids)].Payload) != "1" {
				t.Errorf("%s: got %v, %v", layout, many, err)
			}
			if n := db.CallCount("Query"); n != 1 {
				t.Errorf("%s: %d queries", layout, n)
			}
		}
		// One number, however it is written, is one key.
		s, _ := fake(t, "versioned N")
		s.put(t, s.message("120", time.Now(), time.Hour, `1`, ""))
		if p, err := s.cache.Get(t.Context(), "1.2e2"); err != nil || p.ID != "120" {
			t.Errorf("got %v, %v", p, err)
		}
	})
}

func TestMillisecondsAreFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "versioned ms")
		now := time.Now()
		for i := range 5 {
			s.put(t, s.message("a", now.Add(-time.Duration(i)*100*time.Millisecond), time.Hour, fmt.Sprint(i), ""))
		}
		count := func() (n int) {
			for p, err := range s.cache.History(t.Context(), "a", now.Add(-250*time.Millisecond), now) {
				if err != nil || p == nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		if n := count(); n != 2 {
			t.Errorf("got %d, want 2", n)
		}
		queries := db.CallCount("Query")
		if n := count(); n != 2 || db.CallCount("Query") != queries+2 { // the first looks for a delete above the range
			t.Errorf("got %d by %d queries, want 2 by 2", n, db.CallCount("Query")-queries)
		}
		for range s.cache.History(t.Context(), "unknown", time.Time{}, time.Time{}) {
			t.Error("a prediction of an unknown id")
		}
	})
}
