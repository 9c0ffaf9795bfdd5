package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"

	smithy "github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/item"
)

// Layout returns the table's layout. The first call asks the table for it. An error is not remembered: the next call asks
// again, but with a front at most once a second; meanwhile calls fail at once with ErrUnavailable.
func (c *Cache) Layout(ctx context.Context) (Layout, error) {
	if c.closed() {
		return Layout{}, errCacheClosed
	}
	l, err := c.discover(ctx)
	if err != nil {
		return Layout{}, err
	}
	return layoutOf(l), nil
}

func layoutOf(l *item.Layout) Layout {
	return Layout{HashKey: l.HashKey, Numeric: l.HashType == item.TypeN, SortKey: l.SortKey, TTLAttribute: l.TTLAttribute}
}

// discover returns the table's layout. Callers share one attempt, which outlives the caller that began it.
func (c *Cache) discover(ctx context.Context) (*item.Layout, error) {
	if l := c.layout.Load(); l != nil {
		return l, nil
	}
	if given := c.setup.layout; given != nil {
		return c.adopt(given.table())
	}
	if c.health.away() {
		c.stats.unavailable.Add(1)
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, c.health.cause())
	}
	fl, owner := c.finding.join("", c.mono())
	if owner && !c.start(func() {
		ctx, cancel := c.detached(ctx, c.setup.readTimeout)
		defer cancel()
		l, err := c.find(ctx, false)
		c.finding.land(fl, l, err)
	}) {
		c.finding.land(fl, nil, errCacheClosed)
	}
	select {
	case <-fl.done:
		return fl.value, fl.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the layout of the table %q: %w", c.table, ctx.Err())
	}
}

// find asks the table for its layout. With a front, a failure opens the breaker at once: the source has tried several times,
// and without a layout no id can be read.
func (c *Cache) find(ctx context.Context, attempt bool) (*item.Layout, error) {
	if l := c.layout.Load(); l != nil {
		return l, nil // an earlier flight has just landed
	}
	table, err := c.source.describe(ctx, attempt)
	switch {
	case err != nil && c.closed():
		return nil, errCacheClosed
	case err != nil:
		err = c.explained(err)
		if c.front != nil {
			c.health.unknown(c, err)
		}
		return nil, err
	}
	c.health.answered()
	return c.adopt(table)
}

// adopt takes a table's schema as the layout.
func (c *Cache) adopt(table item.Table) (*item.Layout, error) {
	if table.TTLAttribute == "" {
		return nil, fmt.Errorf("TTL of the table %q is off, so which attribute holds the expiry is not known: "+
			"switch TTL on, or name the attribute by WithLayout", c.table)
	}
	l, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON, AllowNoTTL: true})
	if err != nil {
		return nil, fmt.Errorf("the table %q has no layout of predcache: %w", c.table, err)
	}
	c.layout.Store(l)
	return l, nil
}

// layoutFor returns the table's layout for a call with options.
func (c *Cache) layoutFor(ctx context.Context, o *options) (*item.Layout, error) {
	l, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	for i := range o.where {
		switch name := o.where[i].name; name {
		case l.HashKey, l.SortKey, l.TTLAttribute, item.AttrTimestamp, item.AttrCreatedAt, item.AttrPayload, item.AttrEncoding,
			item.AttrDeleted, item.AttrSent:
			return nil, fmt.Errorf("Where(%q): it is not one of a prediction's Attributes", name)
		}
	}
	return l, nil
}

// key returns the table's layout and an id as its items have it.
func (c *Cache) key(ctx context.Context, id string, o *options) (*item.Layout, string, error) {
	l, err := c.layoutFor(ctx, o)
	if err != nil {
		return nil, "", err
	}
	key, err := l.ReadKey(id)
	if err != nil {
		return nil, "", fmt.Errorf("the id %q: %w", abbreviated(id), err)
	}
	return l, key, nil
}

// explained adds the remedy to an error of the service that a wrong name or option causes.
func (c *Cache) explained(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode() {
	case "ResourceNotFoundException":
		return fmt.Errorf("the table %q was not found: check its name, and the region and the account of the credentials: %w", c.table, err)
	case "ValidationException":
		if l := c.setup.layout; l != nil {
			return fmt.Errorf("the table %q refuses the request: check that WithLayout(%+v) is its key, or leave WithLayout out: %w", c.table, *l, err)
		}
		return fmt.Errorf("the table %q refuses the request: if its key has changed, make a new Cache: %w", c.table, err)
	case "AccessDeniedException":
		if c.layout.Load() == nil {
			return fmt.Errorf("the table %q may not be described: allow it, or give the layout by WithLayout: %w", c.table, err)
		}
	}
	return err
}

// abbreviated returns the start of an id, for errors about ids that may be too long for a key.
func abbreviated(id string) string {
	const most = 80
	if len(id) <= most {
		return id
	}
	return strings.ToValidUTF8(id[:most], "") + "…"
}
