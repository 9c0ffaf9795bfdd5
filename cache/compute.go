package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/predcache/predcache/internal/item"
)

// GetOrCompute returns the newest live prediction of an id or, on a miss, what compute makes of it: that is returned at once,
// and published for the worker to write, which takes about a second. The caller never waits for that: what can't be
// published, also because the Publisher's buffer is full, goes to the Publisher's OnFailure.
//
// In this process one computation of an id is under way at a time, and its result goes to every caller that waits for it.
// Its context has the first caller's values, but doesn't end with it: a caller whose ctx ends gets its error at once, and the
// computation goes on, since its result is worth having. compute bounds itself.
//
// An error of the table, or of compute, is returned and nothing is published. compute may leave the ID and the event time
// empty. It needs a Publisher: see WithPublisher.
func (c *Cache) GetOrCompute(ctx context.Context, id string, compute func(ctx context.Context) (*Prediction, error), options ...Option) (*Prediction, error) {
	if c.defaults.publisher == nil {
		return nil, errors.New("the cache has no publisher: make it WithPublisher")
	}
	p, err := c.Get(ctx, id, options...)
	if !errors.Is(err, ErrNotFound) {
		return p, err
	}
	l, err := c.discover(ctx) // known by now
	if err != nil {
		return nil, err
	}
	key, err := l.ReadKey(id)
	if err != nil {
		return nil, fmt.Errorf("the id %q: %w", id, err)
	}
	result := c.flights.DoChan(key, func() (any, error) {
		return c.compute(context.WithoutCancel(ctx), l, key, compute)
	})
	select {
	case r := <-result:
		var fault *panicked
		if errors.As(r.Err, &fault) {
			panic(fault.value) // in the caller's goroutine, where it can be recovered as if there were no flight
		}
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*Prediction), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the prediction %q: %w", id, ctx.Err())
	}
}

// panicked is compute's panic on its way to its callers.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprint("panic: ", p.value) }

func (c *Cache) compute(ctx context.Context, l *item.Layout, id string, compute func(context.Context) (*Prediction, error)) (_ *Prediction, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = &panicked{fault}
		}
	}()
	made, err := compute(ctx)
	switch {
	case err != nil:
		return nil, err
	case made == nil:
		return nil, fmt.Errorf("no prediction was computed for %q", id)
	}
	p := *made
	if p.ID == "" {
		p.ID = id
	}
	if key, err := l.ReadKey(p.ID); err != nil || key != id {
		return nil, fmt.Errorf("the prediction computed for %q has the id %q", id, p.ID)
	}
	if p.EventTime.IsZero() {
		p.EventTime = time.Now().UTC()
	}
	publisher := c.defaults.publisher
	if err := publisher.tryPublish(&p, l.HashType == item.TypeN); err != nil {
		publisher.failed.Add(1)
		publisher.cfg.OnFailure(Failure{Err: fmt.Errorf("publishing %q: %w", id, err), Predictions: 1, Body: string(p.Payload)})
	}
	return &p, nil
}
