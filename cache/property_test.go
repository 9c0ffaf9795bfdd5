package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// TestFrontProperties has readers of a few ids beside writes, deletes, late writes, removals by hand, expiries, outages, slow calls and
// reads of replicas that lag, all at random times, and judges each answer:
//   - while the table answers, it was true at some time in the last MaxAge, or since the call began;
//   - it has not expired;
//   - of one reader, it is not older than an earlier answer that is still live, unless that was removed;
//   - no live delete hides it that a consistent read has met before;
//   - an error comes only in or just after an outage, and a stale answer too.
func TestFrontProperties(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		for _, layout := range []string{"versioned", "expiry-sorted", "latest-only"} {
			t.Run(fmt.Sprint(layout, "/", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runWorld(t, layout, uint64(seed)) })
			})
		}
	}
}

func runWorld(t *testing.T, layout string, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	w := &world{random: random, log: map[string][]change{}, known: map[string]change{},
		maxAge: []time.Duration{time.Second, 3 * time.Second, 20 * time.Second}[random.IntN(3)], latency: time.Duration(1+random.IntN(30)) * time.Millisecond}
	w.store, w.db = fake(t, layout)
	options := []cache.Option{cache.WithFront(cache.Front{MaxAge: w.maxAge, MaxBytes: 1 << 20, NegativeAge: []time.Duration{50 * time.Millisecond, time.Second}[random.IntN(2)]})}
	if random.IntN(2) == 0 {
		options = append(options, cache.WithHedging())
	}
	if seed%2 == 0 {
		w.cache = open(w.client, w.table, options...)
	} else {
		replica := *w.store
		replica.fake(t)
		w.replica, w.delayed = &replica, make(chan delayed, 100)
		w.cache = openClient(&replicated{w.client, w, replica.client}, w.table, options...)
	}
	if _, err := w.cache.Layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.db.SetFault(func(c *awstest.Call) awstest.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o := w.outages; len(o) > 0 && o[len(o)-1].to.IsZero() && (c.Operation == "GetItem" || c.Operation == "Query" || c.Operation == "BatchGetItem") {
			return awstest.Fault{Err: &awstest.Error{Status: 500, Type: "com.amazonaws.dynamodb.v20120810#InternalServerError"}, Delay: time.Millisecond}
		}
		return awstest.Fault{Delay: time.Duration(w.random.Int64N(int64(w.latency)))}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { w.write(ctx, t) })
	all.Go(func() { w.fail(ctx) })
	all.Go(func() { w.lag(ctx) })
	for reader := range 3 {
		all.Go(func() { w.readAll(ctx, t, rand.New(rand.NewPCG(seed, uint64(10+reader)))) })
	}
	all.Wait()
	w.cache.Close()
	time.Sleep(time.Minute) // until the fake has ended what it was asked
	if got := w.cache.Stats(); got.FrontHits == 0 || got.TableHits == 0 || got.Misses == 0 {
		t.Errorf("it proves little: %+v", got)
	}
}

func (w *world) pause(ctx context.Context, random *rand.Rand, d time.Duration) bool {
	w.mu.Lock()
	d = time.Duration(random.Int64N(int64(2 * d)))
	w.mu.Unlock()
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

const worldIDs = 4

// write changes the table, one change after the other.
func (w *world) write(ctx context.Context, t *testing.T) {
	for version := 1; w.pause(ctx, w.random, time.Second); version++ {
		w.mu.Lock()
		id := w.id(w.random.IntN(worldIDs))
		life := time.Duration(3+w.random.IntN(30)) * time.Second
		remove := w.random.IntN(5) == 0
		w.mu.Unlock()
		if remove {
			w.remove(t, id)
			continue
		}
		c, message := w.next(id, version, life)
		end := w.begin(id, c)
		w.put(t, message)
		end()
		w.replicate(func(s *store) { s.put(t, message) })
	}
}

// next makes up a change: a prediction or a delete, of now or, where it can't replace a newer version, of some seconds ago. A delete
// may be of the event time of a prediction.
func (w *world) next(id string, version int, life time.Duration) (change, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	c := change{version: version, event: now, deleted: w.random.IntN(3) == 0}
	late := w.kind == "versioned" && w.random.IntN(3) == 0
	if late {
		c.event = now.Add(-time.Duration(w.random.Int64N(int64(5 * time.Second))))
	}
	if log := w.log[id]; c.deleted && len(log) > 0 && w.random.IntN(2) == 0 {
		if last := log[len(log)-1]; !last.deleted && last.version > 0 && (late || w.kind == "versioned") {
			c.event = last.event
		}
	}
	c.expires = c.event.Add(life).Unix()
	if !c.deleted {
		return c, w.message(id, c.event, life, fmt.Sprint(version), "")
	}
	c.expires = time.UnixMilli(now.UnixMilli()).Add(life).Unix()
	if c.event.After(time.UnixMilli(now.UnixMilli())) {
		c.expires = c.event.Add(life).Unix()
	}
	return c, w.tombstone(id, c.event, life)
}

// remove deletes the items of an id by hand.
func (w *world) remove(t *testing.T, id string) {
	out, err := w.client.Query(t.Context(), w.queryOf(id))
	if err != nil {
		return // an outage
	}
	end := w.begin(id, change{})
	apply := func(s *store) {
		for _, it := range out.Items {
			key := map[string]types.AttributeValue{"predictionId": it["predictionId"]}
			if w.kind != "latest-only" {
				key["timestamp"] = it["timestamp"]
			}
			if _, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: key}); err != nil {
				t.Error(err)
			}
		}
	}
	apply(w.store)
	end()
	w.replicate(apply)
}

func (w *world) fail(ctx context.Context) {
	for w.pause(ctx, w.random, 20*time.Second) {
		w.mu.Lock()
		w.outages = append(w.outages, outage{from: time.Now()})
		w.mu.Unlock()
		w.pause(ctx, w.random, 10*time.Second)
		w.mu.Lock()
		w.outages[len(w.outages)-1].to = time.Now()
		w.mu.Unlock()
	}
}

func (w *world) readAll(ctx context.Context, t *testing.T, random *rand.Rand) {
	seen := map[string]*cache.Prediction{}
	for w.pause(ctx, random, 100*time.Millisecond) {
		id := w.id(random.IntN(worldIDs))
		start := time.Now()
		var p *cache.Prediction
		var err error
		consistent := false
		switch random.IntN(4) {
		case 0:
			var many []*cache.Prediction
			many, err = w.cache.GetMany(context.WithoutCancel(ctx), []string{id})
			if p = many[0]; p == nil && err == nil {
				err = cache.ErrNotFound
			}
		case 1:
			if random.IntN(10) == 0 {
				consistent = true
				p, err = w.cache.Get(context.WithoutCancel(ctx), id, cache.Consistent())
				break
			}
			fallthrough
		default:
			p, err = w.cache.Get(context.WithoutCancel(ctx), id)
		}
		w.judge(t, id, start, p, err, seen)
		if consistent && (err == nil || errors.Is(err, cache.ErrNotFound)) {
			w.learn(id, start)
		}
		if t.Failed() {
			return
		}
	}
}

func (w *world) judge(t *testing.T, id string, start time.Time, p *cache.Prediction, err error, seen map[string]*cache.Prediction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	away := w.away(start.Add(-w.maxAge), now)
	if k, found := w.known[id]; found && p != nil && k.ends.Before(start) && !p.EventTime.After(k.event) && w.holds(id, k, now) {
		t.Errorf("%s at %v: version %s is hidden by a delete that the front knows: %v", id, now, p.Payload, k)
	}
	version := 0
	switch {
	case err == nil:
		version, _ = strconv.Atoi(string(p.Payload))
		if !p.ExpiresAt.After(now) {
			t.Errorf("%s: version %d expired %v ago", id, version, now.Sub(p.ExpiresAt))
		}
		if p.Stale && !away {
			t.Errorf("%s: version %d is stale, though the table answers", id, version)
		}
	case !errors.Is(err, cache.ErrNotFound):
		if !away {
			t.Errorf("%s: %v, though the table answers", id, err)
		}
		return
	}
	before := seen[id]
	if p != nil {
		seen[id] = p
	}
	if before != nil && p != nil && p.EventTime.Before(before.EventTime) && w.has(id, before, now) {
		t.Errorf("%s: version %d after a newer one, %s, which is live", id, version, before.Payload)
	}
	if away {
		return
	}
	since := start.Add(-w.maxAge)
	if !w.wasTrue(id, version, since, now) {
		t.Errorf("%s at %v: version %d was not true since %v: %v", id, now, version, since, w.log[id][max(len(w.log[id])-4, 0):])
	}
}

// learn remembers the newest live delete that a consistent read from start on has met. ends is when the front knew of it.
func (w *world) learn(id string, start time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, c := range w.log[id] {
		if c.deleted && !c.ends.IsZero() && c.ends.Before(start) && w.holds(id, c, now) && c.event.After(w.known[id].event) {
			c.ends = now
			w.known[id] = c
		}
	}
}
