package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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

// A world is a table that changes, and what was true of it when: so that each answer can be judged by the time at which it was
// given.
type world struct {
	*store
	db      *dynamodbfake.Service
	random  *rand.Rand
	maxAge  time.Duration
	latency time.Duration

	mu      sync.Mutex
	log     map[string][]change // by id, in the order of their times
	outages []outage
}

// A change is a version that is written, or 0 for all that are deleted by hand. It takes effect between two times.
type change struct {
	begins, ends time.Time
	version      int
	expires      int64
}

type outage struct{ from, to time.Time }

func (c change) String() string {
	return fmt.Sprintf("{version %d from %s to %s, expires %s}", c.version, c.begins.Format("04:05.000"), c.ends.Format("04:05.000"), time.Unix(c.expires, 0).UTC().Format("04:05"))
}

// TestFrontProperties has readers of a few ids beside writes, deletes by hand, expiries, outages and slow calls, all at random
// times, and judges each answer:
//   - while the table answers, it was true at some time in the last MaxAge, or since the call began;
//   - it has not expired;
//   - of one reader, it is not older than an earlier answer that is still live, unless that was deleted;
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
	w := &world{random: random, log: map[string][]change{},
		maxAge: []time.Duration{time.Second, 3 * time.Second, 20 * time.Second}[random.IntN(3)], latency: time.Duration(1+random.IntN(30)) * time.Millisecond}
	w.store, w.db = fake(t, layout)
	options := []cache.Option{cache.WithFront(cache.Front{MaxAge: w.maxAge, MaxBytes: 1 << 20})}
	if random.IntN(2) == 0 {
		options = append(options, cache.WithHedging())
	}
	w.cache = open(w.client, w.table, options...)
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
		now := time.Now()
		if remove {
			w.remove(t, id)
			continue
		}
		end := w.begin(id, change{version: version, expires: now.Add(life).Unix()})
		w.put(t, w.message(id, now, life, fmt.Sprint(version), ""))
		end()
	}
}

// remove deletes the items of an id by hand.
func (w *world) remove(t *testing.T, id string) {
	out, err := w.client.Query(t.Context(), w.queryOf(id))
	if err != nil {
		return // an outage
	}
	defer w.begin(id, change{})()
	for _, it := range out.Items {
		key := map[string]types.AttributeValue{"predictionId": it["predictionId"]}
		if w.kind != "latest-only" {
			key["timestamp"] = it["timestamp"]
		}
		if _, err := w.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: key}); err != nil {
			t.Error(err)
		}
	}
}

// begin notes that a change begins, and returns what notes its end.
func (w *world) begin(id string, c change) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.begins = time.Now()
	w.log[id] = append(w.log[id], c)
	last := len(w.log[id]) - 1
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log[id][last].ends = time.Now()
	}
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

// away tells whether an outage touches the time from from to to: with the time that reads which began in it may go on trying, and
// that a probe takes to find its end.
func (w *world) away(from, to time.Time) bool {
	for _, o := range w.outages {
		end := o.to
		if end.IsZero() {
			end = to
		}
		if !o.from.After(to) && !end.Add(12*time.Second).Before(from) {
			return true
		}
	}
	return false
}

func (w *world) readAll(ctx context.Context, t *testing.T, random *rand.Rand) {
	seen := map[string]*cache.Prediction{}
	for w.pause(ctx, random, 100*time.Millisecond) {
		id := w.id(random.IntN(worldIDs))
		start := time.Now()
		var p *cache.Prediction
		var err error
		switch random.IntN(4) {
		case 0:
			var many []*cache.Prediction
			many, err = w.cache.GetMany(context.WithoutCancel(ctx), []string{id})
			if p = many[0]; p == nil && err == nil {
				err = cache.ErrNotFound
			}
		case 1:
			if random.IntN(10) == 0 {
				p, err = w.cache.Get(context.WithoutCancel(ctx), id, cache.Consistent())
				break
			}
			fallthrough
		default:
			p, err = w.cache.Get(context.WithoutCancel(ctx), id)
		}
		w.judge(t, id, start, p, err, seen)
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

// has tells whether a version is live in the table, and nothing that is under way may change that.
func (w *world) has(id string, p *cache.Prediction, at time.Time) bool {
	for _, c := range w.log[id] {
		if c.ends.IsZero() || !c.ends.Before(at) {
			return false
		}
	}
	for _, c := range w.items(w.log[id]) {
		if fmt.Sprint(c.version) == string(p.Payload) {
			return c.expires > at.Unix()
		}
	}
	return false
}

// wasTrue tells whether a version, or 0 for a miss, was what the table had to say at some time.
func (w *world) wasTrue(id string, version int, from, to time.Time) bool {
	times := []time.Time{from, to} // at which it may begin or cease to be true
	for _, c := range w.log[id] {
		times = append(times, c.begins, c.ends, time.Unix(c.expires, 0))
	}
	for _, at := range times {
		if !at.Before(from) && !at.After(to) && w.says(id, version, at) {
			return true
		}
	}
	return false
}

// says tells whether the table may say so at a time.
func (w *world) says(id string, version int, at time.Time) bool {
	var done []change
	for _, c := range w.log[id] {
		if c.begins.After(at) {
			break
		}
		if c.ends.IsZero() || !c.ends.Before(at) { // it is under way
			if c.version == 0 {
				return true // some are deleted, in whatever order
			}
			if w.newestOf(append(slices.Clone(done), c), at) == version {
				return true
			}
			break
		}
		done = append(done, c)
	}
	return w.newestOf(done, at) == version
}

// newestOf is the newest live version after some changes, or 0.
func (w *world) newestOf(changes []change, at time.Time) int {
	newest := 0
	for _, c := range w.items(changes) {
		if c.expires > at.Unix() {
			newest = max(newest, c.version)
		}
	}
	return newest
}

// items are what the table holds after some changes.
func (w *world) items(changes []change) map[int64]change {
	items := map[int64]change{} // by sort key, which later versions may share
	for _, c := range changes {
		switch {
		case c.version == 0:
			clear(items)
		case w.kind == "versioned":
			items[c.begins.Unix()] = c
		case w.kind == "expiry-sorted":
			items[c.expires] = c
		default:
			items[0] = c
		}
	}
	return items
}
