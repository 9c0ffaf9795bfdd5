// Package cache reads predictions that predcache's worker keeps in a DynamoDB table, and publishes new ones to its queue.
//
//	c, err := cache.New(cfg, "predictions", cache.WithFront(cache.Front{MaxAge: 10 * time.Second}))
//	if err != nil {
//		return err // an option is wrong; nothing has been called yet
//	}
//	defer c.Close()
//
//	p, err := c.Get(ctx, "user-42")
//	switch {
//	case errors.Is(err, cache.ErrNotFound): // a miss: compute it
//	case err != nil:                        // the table could not be asked
//	default:
//		err = p.Decode(&result)
//	}
//
// A Cache detects which of the table's layouts it reads. It shares the rules for keys, expiry and encodings with the worker,
// so that the two cannot differ. It never returns an expired prediction, although DynamoDB deletes expired items up to days
// late ("Using time to live (TTL) in DynamoDB"), nor one that a delete of its id hides: see [Publisher.Delete].
//
// [New] reads with signed requests of its own, which cost a fraction of the SDK client's CPU. [NewFromClient] reads with a
// client that the service brings: a wrapper, a mock, DAX. [WithFront] puts a bounded memory in front of the table.
//
// A Cache calls GetItem, BatchGetItem and Query, and once DescribeTable and DescribeTimeToLive. A Publisher calls
// SendMessageBatch ("sqs:SendMessage" in a policy).
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/item"
)

var (
	// ErrNotFound is the error of a miss: the table was asked, and has no live prediction of the id. A deleted id is a miss.
	ErrNotFound = errors.New("no live prediction")
	// ErrUnavailable is the error of a Cache with a front while the table does not answer, for an id that the front does not
	// hold, and for every id if the table has never answered. It is returned at once, without a call, and wraps the error of
	// the last call. See [Front].
	ErrUnavailable = errors.New("the table does not answer")
	// ErrClosed is the error of using a Cache or a Publisher after its Close, and of what Close could not send in time.
	ErrClosed = errors.New("closed")
)

// An ItemError is about one item that can't be read: it is corrupt, or was written by a newer version of the worker. Its
// text names the key, and nothing that the item holds.
type ItemError struct {
	Table, ID string
	SortKey   string // empty in the latest-only layout
	Err       error
}

func (e *ItemError) Error() string {
	key := fmt.Sprintf("%q", e.ID)
	if e.SortKey != "" {
		key += ", " + e.SortKey
	}
	return fmt.Sprintf("the item %s of the table %q can't be read: %v", key, e.Table, e.Err)
}

// Unwrap returns what is wrong with the item.
func (e *ItemError) Unwrap() error { return e.Err }

// A Cache reads the predictions of one table. It is safe for concurrent use.
type Cache struct {
	source     source
	disconnect func() // closes idle connections that no one else uses; nil where the HTTP client is the service's
	table      string
	defaults   options
	setup      setup
	made       time.Time // see mono

	layout    atomic.Pointer[item.Layout] // once it is known
	finding   flights[*item.Layout]       // at most one
	perSecond atomic.Uint64               // of the versioned layout's sort key: 1 or 1000, or 0 until an item was seen

	front     *front // nil without one
	computed  computed
	hedges    *hedging // nil without it
	health    health
	stats     counters
	reads     flights[*entry]
	computing flights[*Prediction]
	noEarly   atomic.Int64 // until when nothing is computed early; see mono
	seed      maphash.Seed // of this process's random times

	// Work that no caller waits for (reads that are shared, renewals, computations, probes) has values of its first
	// caller's context, and ends with Close.
	closing    context.Context
	close      context.CancelFunc
	mu         sync.Mutex // orders background.Add before Close's Wait
	background sync.WaitGroup
}

func newCache(table string, given []Option) (*Cache, error) {
	c := &Cache{table: table, made: time.Now(), seed: maphash.MakeSeed()}
	c.defaults.concurrency = defaultConcurrency
	c.defaults.setup = &c.setup
	c.setup.readTimeout = defaultReadTimeout
	c.defaults.apply(given)
	c.defaults.own, c.defaults.setup = false, nil
	if table == "" {
		c.defaults.fail("the table's name is empty")
	}
	c.setup.complete(&c.defaults)
	if err := errors.Join(c.defaults.errs...); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c.closing, c.close = context.WithCancel(context.Background())
	c.computed.init(c.setup.computedAge)
	if c.setup.hedge {
		c.hedges = newHedging()
	}
	if c.setup.front != nil {
		c.front = newFront(c, *c.setup.front)
	}
	return c, nil
}

// Close ends what runs in the background: reads that callers share, renewals of the front, computations, probes of a table
// that does not answer. It waits for their goroutines; the context of a computation ends, and compute should heed it. The
// front's memory is given back, and idle connections are closed unless cfg has an HTTP client of another type than the SDK's.
// Calls after Close return ErrClosed. A Publisher is closed on its own, after the Cache.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.close()
	c.mu.Unlock()
	c.background.Wait()
	if c.front != nil {
		c.front.close()
	}
	if c.disconnect != nil {
		c.disconnect()
	}
	return nil
}

func (c *Cache) closed() bool { return c.closing.Err() != nil }

var errCacheClosed = fmt.Errorf("the cache is %w", ErrClosed)

// start runs work on a goroutine that Close waits for. It returns false after Close.
func (c *Cache) start(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed() {
		return false
	}
	c.background.Go(work)
	return true
}

// detached returns a context with the values of ctx that ends with Close, or after timeout where that is positive, but not
// with ctx.
func (c *Cache) detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx = context.WithoutCancel(ctx)
	var cancel context.CancelFunc
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	stop := context.AfterFunc(c.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// with returns the options of one call.
func (c *Cache) with(given []Option) (*options, error) {
	if c.closed() {
		return nil, errCacheClosed
	}
	if len(given) == 0 {
		return &c.defaults, nil
	}
	o := c.defaults
	o.apply(given)
	return &o, errors.Join(o.errs...)
}
