package cache

import (
	"context"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/predcache/predcache/internal/item"
)

// fetch reads a key from the table and returns the front's entry after that. attempt limits it to a single attempt.
func (f *front) fetch(ctx context.Context, l *item.Layout, key string, attempt bool) (*entry, error) {
	c := f.cache
	got := found{sent: c.mono(), consistent: c.defaults.consistent}
	var err error
	got.p, err = c.read(ctx, l, key, &c.defaults, attempt)
	c.health.saw(c, key, err)
	switch {
	case err != nil && c.closed():
		return nil, errCacheClosed
	case err != nil:
		return nil, err
	case !got.consistent && f.contradicted(key, got.p):
		return f.confirm(ctx, l, key)
	}
	return f.store(key, got), nil
}

// confirm reads a key consistently, after an eventually consistent read that contradicts the front.
func (f *front) confirm(ctx context.Context, l *item.Layout, key string) (*entry, error) {
	got := found{sent: f.cache.mono(), consistent: true}
	var err error
	if got.p, err = f.cache.read(ctx, l, key, &f.consistent, false); err != nil {
		return nil, err
	}
	return f.store(key, got), nil
}

// found is the result of a read.
type found struct {
	p          *Prediction // nil for a miss
	sent       int64
	consistent bool
}

// contradicted reports whether the front holds a live entry newer than the result of a read. An eventually consistent
// read can lag behind an earlier one ("Read consistency in DynamoDB"); or an item was deleted by hand.
func (f *front) contradicted(key string, p *Prediction) bool {
	e, found := f.entries.GetIfPresent(key)
	if !found || !f.live(e) || !older(p, e.p) || p == nil && e.p.deleted {
		return false // of a deleted id, a miss is no contradiction
	}
	k := f.cache.computed.get(key, f.cache.now())
	return k == nil || older(k.p, e.p) // a prediction computed here may be missing from the table for a while
}

// store puts the result of a read into the front, unless the front has a newer entry. It returns the entry in the front after
// that.
func (f *front) store(key string, got found) *entry {
	c := f.cache
	var held *entry
	if got.p != nil && got.p.ID == key {
		key = got.p.ID // the caller's key may be a substring of a large string
	} else {
		key = strings.Clone(key)
	}
	f.entries.Compute(key, func(old *entry, found bool) (*entry, otter.ComputeOp) {
		p, until := got.p, time.Time{}
		// Here, under the key's lock: a concurrent computation is either seen here or replaces this entry.
		if k := c.computed.read(key, got, c.now()); k != nil {
			p, until = k.p, k.until
		}
		if found && f.live(old) && old.p.deleted && p == nil && !got.consistent {
			p = old.p // the read may have missed the tombstone
		}
		if found && f.live(old) && old.p != p {
			switch {
			case older(p, old.p):
				if !got.consistent || old.sent > got.sent {
					held = old
					return old, otter.CancelOp
				}
			case !older(old.p, p) && old.sent > got.sent: // the same version, by a read that was sent later
				held = old
				return old, otter.CancelOp
			}
		}
		held = f.entry(key, p, got.sent, until)
		return held, otter.WriteOp
	})
	return held
}

// add puts a computed prediction into the front, unless the front has a newer entry.
func (f *front) add(k *remembered) {
	f.entries.Compute(k.key, func(old *entry, found bool) (*entry, otter.ComputeOp) {
		if found && f.live(old) && older(k.p, old.p) {
			return old, otter.CancelOp
		}
		return f.entry(k.key, k.p, k.checked, k.until), otter.WriteOp
	})
}

// entry makes an entry. until bounds the life of a prediction without an expiry.
func (f *front) entry(key string, p *Prediction, sent int64, until time.Time) *entry {
	e := &entry{p: p, sent: sent}
	if p == nil {
		e.weight = weightOfMiss(key)
		return e
	}
	e.expires = p.ExpiresAt.Unix()
	if p.ExpiresAt.IsZero() {
		e.expires = until.Unix()
	}
	e.renew.Store(f.renewAt(sent))
	e.weight = weightOf(p)
	return e
}
