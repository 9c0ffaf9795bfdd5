// Package cache reads predictions that predcache's worker keeps in a DynamoDB table, and publishes new ones to its queue.
//
//	c := cache.New(dynamodb.NewFromConfig(cfg), "predictions")
//	p, err := c.Get(ctx, "user-42")
//	switch {
//	case errors.Is(err, cache.ErrNotFound): // a miss: compute it
//	case err != nil:                        // the table could not be asked
//	default:
//		err = p.Decode(&result)
//	}
//
// It finds out by itself which of the table's layouts it reads, and shares the rules of keys, expiry and encodings with the
// worker, so that the two can't differ. An expired prediction is never returned, though DynamoDB deletes it up to days late
// ("Using time to live (TTL) in DynamoDB").
//
// A Cache calls GetItem, BatchGetItem, Query, and once DescribeTable and DescribeTimeToLive; a Publisher SendMessageBatch
// ("sqs:SendMessage" in a policy).
package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/singleflight"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
)

// ErrNotFound is the error of a miss: the table was asked, and has no live prediction of the id.
var ErrNotFound = errors.New("no live prediction")

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

// DynamoDB is what a Cache needs of a *dynamodb.Client. Its retries and timeouts are the client's. The option of a call has the
// items of its answer read by the Cache: a client that wraps another and passes it on finds one in their place, which it may
// copy or keep.
type DynamoDB interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
}

// A Cache reads the predictions of one table. Many goroutines may use it at once.
type Cache struct {
	client   DynamoDB
	table    string
	defaults options
	flights  singleflight.Group

	layout    atomic.Pointer[item.Layout] // once it is known
	asking    chan struct{}               // holds one token: only one caller at a time asks the table
	perSecond atomic.Uint64               // of the versioned layout's sort key: 1 or 1000, or 0 until an item was seen
}

// New makes a Cache of a table's name or ARN. Its options are the defaults of every call. It calls nothing: the first read
// asks the table for its layout, unless WithLayout tells it.
func New(client DynamoDB, table string, defaults ...Option) *Cache {
	c := &Cache{client: client, table: table, asking: make(chan struct{}, 1)}
	c.defaults.concurrency = defaultConcurrency
	c.defaults.apply(defaults)
	return c
}

// with returns the options of one call.
func (c *Cache) with(given []Option) *options {
	if len(given) == 0 {
		return &c.defaults
	}
	o := c.defaults
	o.apply(given)
	return &o
}

// Layout returns the table's layout, having asked for it once. An error is not remembered: the next call asks again.
func (c *Cache) Layout(ctx context.Context) (Layout, error) {
	l, err := c.discover(ctx)
	if err != nil {
		return Layout{}, err
	}
	return Layout{HashKey: l.HashKey, Numeric: l.HashType == item.TypeN, SortKey: l.SortKey, TTLAttribute: l.TTLAttribute}, nil
}

func (c *Cache) discover(ctx context.Context) (*item.Layout, error) {
	if l := c.layout.Load(); l != nil {
		return l, nil
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l := c.layout.Load(); l != nil {
		return l, nil
	}
	var table item.Table
	if told := c.defaults.layout; told != nil {
		table = told.table()
	} else {
		out, err := c.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &c.table})
		if err != nil {
			return nil, fmt.Errorf("asking for the layout of the table %q: %w", c.table, err)
		}
		ttl, err := c.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &c.table})
		if err != nil {
			return nil, fmt.Errorf("asking for the TTL attribute of the table %q: %w", c.table, err)
		}
		table = awsitem.Table(out.Table, ttl.TimeToLiveDescription)
	}
	l, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON, AllowNoTTL: true})
	if err != nil {
		return nil, fmt.Errorf("the table %q has no layout of predcache: %w", c.table, err)
	}
	c.layout.Store(l)
	return l, nil
}
