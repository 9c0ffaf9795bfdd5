package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/item"
)

// Get returns the newest prediction of an id that has not expired, or ErrNotFound. Any other error means that the table
// could not be asked (it wraps the SDK's), that the item can't be read (an *ItemError), or that no item can have this id.
//
// It costs a GetItem in the latest-only layout. In the versioned one it is a Query of one item, and of more only where that
// has expired. In the expiry-sorted one it reads all live versions of the id, or one under UniformLife.
func (c *Cache) Get(ctx context.Context, id string, options ...Option) (*Prediction, error) {
	l, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	if id, err = l.ReadKey(id); err != nil {
		return nil, fmt.Errorf("the id %q: %w", id, err)
	}
	return c.get(ctx, l, id, c.with(options))
}

// get returns the newest live prediction. id is as its items have it.
func (c *Cache) get(ctx context.Context, l *item.Layout, id string, o *options) (*Prediction, error) {
	var p *Prediction
	var err error
	switch l.Kind {
	case item.LatestOnly:
		p, err = c.getItem(ctx, l, id, o)
	case item.Versioned:
		p, err = c.first(ctx, l, id, o)
	default:
		if o.uniform {
			p, err = c.first(ctx, l, id, o)
		} else {
			p, err = c.newest(ctx, l, id, o)
		}
	}
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("%w of %q", ErrNotFound, id)
	}
	return p, nil
}

func (c *Cache) getItem(ctx context.Context, l *item.Layout, id string, o *options) (*Prediction, error) {
	in := &dynamodb.GetItemInput{TableName: &c.table, Key: map[string]types.AttributeValue{l.HashKey: keyValue(l, id)}}
	if o.consistent {
		in.ConsistentRead = &o.consistent
	}
	in.ProjectionExpression, in.ExpressionAttributeNames = projection(l, o)
	results, err := c.reader(l, o).call(func(with ...func(*dynamodb.Options)) ([]map[string]types.AttributeValue, error) {
		out, err := c.client.GetItem(ctx, in, with...)
		if err != nil {
			return nil, err
		}
		return []map[string]types.AttributeValue{out.Item}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", id, err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[0].Prediction, results[0].err
}

// first returns the first live one by descending sort key: pages hold one item, then a few, then as many as fit, since the
// newest is nearly always live.
func (c *Cache) first(ctx context.Context, l *item.Layout, id string, o *options) (*Prediction, error) {
	q := c.query(l, id, o)
	q.one = true
	limits := []int32{1, 25, 0}
	if len(o.where) > 0 {
		limits = limits[1:]
	}
	for page := 0; ; page++ {
		q.limit(limits[min(page, len(limits)-1)])
		results, more, err := q.next(ctx)
		if err != nil {
			return nil, err
		}
		if len(results) > 0 {
			return results[0].Prediction, results[0].err
		}
		if !more {
			return nil, nil
		}
	}
}

// newest returns the live one with the greatest event time, which need not be the one that expires last.
func (c *Cache) newest(ctx context.Context, l *item.Layout, id string, o *options) (newest *Prediction, err error) {
	q := c.query(l, id, o)
	for more := true; more; {
		var results []result
		if results, more, err = q.next(ctx); err != nil {
			return nil, err
		}
		for _, r := range results {
			if r.err != nil {
				return nil, r.err
			}
			// Sorted by expiry, descending: of two of one event time, the one that lives longer came first.
			if newest == nil || r.created.Compare(newest.created) > 0 {
				newest = r.Prediction
			}
		}
	}
	return newest, nil
}

// GetMany returns the newest live prediction of each id, in their order: nil is a miss. An id that is there twice is asked
// once. What can't be read is nil too, and is in the error, which joins one for each such id (*ItemError) or failed call;
// the others are returned all the same.
//
// In the latest-only layout it asks for a hundred ids a call; otherwise it makes a Get of each, 16 at a time.
func (c *Cache) GetMany(ctx context.Context, ids []string, options ...Option) ([]*Prediction, error) {
	l, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	m := &many{
		Cache: c, layout: l, options: c.with(options), keys: make([]string, 0, len(ids)),
		places: make(map[string]int, len(ids)), before: make([]int, len(ids)), found: make([]*Prediction, len(ids)),
	}
	for i, id := range ids {
		key, err := l.ReadKey(id)
		if err != nil {
			m.failed(fmt.Errorf("the id %q: %w", id, err))
			continue
		}
		last, twice := m.places[key]
		if !twice {
			m.keys = append(m.keys, key)
			last = none
		}
		m.places[key], m.before[i] = i, last
	}
	var calls errgroup.Group
	calls.SetLimit(m.options.concurrency)
	if l.Kind == item.LatestOnly {
		for keys := range slices.Chunk(m.keys, maxBatchGet) {
			if len(keys) == len(m.keys) {
				m.batch(ctx, keys)
				break
			}
			calls.Go(func() error { m.batch(ctx, keys); return nil })
		}
	} else {
		for _, key := range m.keys {
			calls.Go(func() error { m.one(ctx, key); return nil })
		}
	}
	_ = calls.Wait() // errors are in m
	return m.found, errors.Join(m.errs...)
}

// many is one GetMany.
type many struct {
	*Cache
	layout  *item.Layout
	options *options
	keys    []string       // each once
	places  map[string]int // of a key in what was asked: the last one
	before  []int          // of a place, the one before with the same key, or none

	mu    sync.Mutex
	found []*Prediction
	errs  []error
}

func (m *many) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs = append(m.errs, err)
}

func (m *many) have(p *Prediction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, asked := m.places[p.ID]
	for asked && i != none {
		m.found[i] = p
		i = m.before[i]
	}
}

// none is the place before the first.
const none = -1

func (m *many) one(ctx context.Context, key string) {
	switch p, err := m.get(ctx, m.layout, key, m.options); {
	case err == nil:
		m.have(p)
	case !errors.Is(err, ErrNotFound):
		m.failed(err)
	}
}

// maxBatchGet is how many items one call may ask for ("BatchGetItem").
const maxBatchGet = 100

// maxIdle is how many answers in a row may leave everything unprocessed: with the waits between them, about 10 seconds.
const maxIdle = 8

// batch asks for up to a hundred keys, and again for those that come back unprocessed.
func (m *many) batch(ctx context.Context, keys []string) {
	l, o := m.layout, m.options
	asked := types.KeysAndAttributes{Keys: make([]map[string]types.AttributeValue, len(keys))}
	for i, key := range keys {
		asked.Keys[i] = map[string]types.AttributeValue{l.HashKey: keyValue(l, key)}
	}
	if o.consistent {
		asked.ConsistentRead = &o.consistent
	}
	asked.ProjectionExpression, asked.ExpressionAttributeNames = projection(l, o)
	for idle := 0; ; {
		var out *dynamodb.BatchGetItemOutput
		results, err := m.reader(l, o).call(func(with ...func(*dynamodb.Options)) (items []map[string]types.AttributeValue, err error) {
			out, err = m.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{m.table: asked}}, with...)
			if err != nil {
				return nil, err
			}
			for _, found := range out.Responses { // of the one table, whatever it is called in the answer
				items = append(items, found...)
			}
			return items, nil
		})
		if err != nil {
			m.failed(fmt.Errorf("reading %d predictions: %w", len(asked.Keys), err))
			return
		}
		for _, r := range results {
			if r.err != nil {
				m.failed(r.err)
			} else {
				m.have(r.Prediction)
			}
		}
		var left []map[string]types.AttributeValue
		for _, k := range out.UnprocessedKeys {
			left = append(left, k.Keys...)
		}
		if len(left) == 0 {
			return
		}
		if idle++; len(left) < len(asked.Keys) {
			idle = 1
		}
		asked.Keys = left
		if idle > maxIdle {
			m.failed(fmt.Errorf("reading %d predictions: DynamoDB left them unprocessed %d times", len(left), idle))
			return
		}
		if err := pause(ctx, idle); err != nil {
			m.failed(fmt.Errorf("reading %d predictions: %w", len(left), err))
			return
		}
	}
}

// pause waits before another attempt: exponential with full jitter, as the SDK does before its own.
func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(rand.N(min(50*time.Millisecond<<(attempt-1), 5*time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func keyValue(l *item.Layout, id string) types.AttributeValue {
	if l.HashType == item.TypeN {
		return &types.AttributeValueMemberN{Value: id}
	}
	return &types.AttributeValueMemberS{Value: id}
}
