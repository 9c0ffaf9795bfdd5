package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/cache"
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

	replica *store       // a table that lags, or nil
	delayed chan delayed // changes on their way to it
	mu      sync.Mutex
	log     map[string][]change // by id, in the order of their times
	known   map[string]change   // by id: a delete that the front must know
	outages []outage
}

// maxLag is how far the replica may be behind.
const maxLag = 500 * time.Millisecond

// delayed is a change on its way to the replica since a time.
type delayed struct {
	since time.Time
	apply func(*store)
}

// replicated reads from a replica every other time, unless the read is consistent.
type replicated struct {
	cache.DynamoDB
	w       *world
	replica cache.DynamoDB
}

func (r *replicated) of(consistent *bool) cache.DynamoDB {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if aws.ToBool(consistent) || r.w.random.IntN(2) == 0 {
		return r.DynamoDB
	}
	return r.replica
}

func (r *replicated) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return r.of(in.ConsistentRead).GetItem(ctx, in, options...)
}

func (r *replicated) Query(ctx context.Context, in *dynamodb.QueryInput, options ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return r.of(in.ConsistentRead).Query(ctx, in, options...)
}

func (r *replicated) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return r.of(in.RequestItems[r.w.table].ConsistentRead).BatchGetItem(ctx, in, options...)
}

// replicate passes a change on to the replica.
func (w *world) replicate(apply func(*store)) {
	if w.replica != nil {
		w.delayed <- delayed{time.Now(), apply}
	}
}

// lag applies changes to the replica, in order and within maxLag.
func (w *world) lag(ctx context.Context) {
	for {
		select {
		case d := <-w.delayed:
			w.mu.Lock()
			lag := time.Duration(w.random.Int64N(int64(maxLag)))
			w.mu.Unlock()
			time.Sleep(min(lag, time.Until(d.since.Add(maxLag))))
			d.apply(w.replica)
		case <-ctx.Done():
			return
		}
	}
}

// A change is a version that is written, a tombstone among them, or 0 for all items that are removed by hand. It takes effect between
// two times.
type change struct {
	begins, ends time.Time
	version      int
	event        time.Time
	expires      int64
	deleted      bool
}

type outage struct{ from, to time.Time }

func (c change) String() string {
	return fmt.Sprintf("{version %d of %s, deleted %v, from %s to %s, expires %s}", c.version, c.event.Format("04:05.000000"), c.deleted,
		c.begins.Format("04:05.000"), c.ends.Format("04:05.000"), time.Unix(c.expires, 0).UTC().Format("04:05"))
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

// holds tells whether the table still has a delete, and nothing that is under way may change that.
func (w *world) holds(id string, d change, at time.Time) bool {
	for _, c := range w.log[id] {
		if c.ends.IsZero() || !c.ends.Before(at) {
			return false
		}
	}
	for _, c := range w.items(w.log[id]) {
		if c.version == d.version {
			return c.expires > at.Unix()
		}
	}
	return false
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
	lag := maxLag + 4*w.latency    // a change is written, then applied, then read
	times := []time.Time{from, to} // at which it may begin or cease to be true
	for _, c := range w.log[id] {
		times = append(times, c.begins, c.ends, time.Unix(c.expires, 0))
	}
	times = slices.DeleteFunc(times, func(at time.Time) bool { return at.Before(from.Add(-lag)) || at.After(to) })
	for _, at := range times {
		if at.Before(from) {
			continue
		}
		for _, state := range times {
			if (state.Equal(at) || w.replica != nil && state.Before(at) && at.Sub(state) < lag) && w.says(id, version, state, at) {
				return true
			}
		}
	}
	return false
}

// says tells whether the table, or a replica with its state of a time, may say so at a time.
func (w *world) says(id string, version int, state, at time.Time) bool {
	var done []change
	for _, c := range w.log[id] {
		if c.begins.After(state) {
			break
		}
		if c.ends.IsZero() || !c.ends.Before(state) { // it is under way
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
	var newest change
	for _, c := range w.items(changes) {
		order := c.event.Compare(newest.event)
		if c.expires > at.Unix() && (order > 0 || order == 0 && c.deleted) {
			newest = c
		}
	}
	if newest.deleted {
		return 0
	}
	return newest.version
}

// items are what the table holds after some changes.
func (w *world) items(changes []change) map[string]change {
	items := map[string]change{} // by sort key, which later versions may share
	for _, c := range changes {
		switch {
		case c.version == 0:
			clear(items)
		case w.kind == "versioned" && c.deleted:
			items[c.event.String()] = c
		case w.kind == "versioned":
			items[fmt.Sprint(c.event.Unix())] = c
		case w.kind == "expiry-sorted":
			items[fmt.Sprint(c.expires)] = c
		default:
			items[""] = c
		}
	}
	return items
}
