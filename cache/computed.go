package cache

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

// computed remembers the results of GetOrCompute in this process until the worker has written them. All have the same maximum
// age, so the oldest expires first.
type computed struct {
	age time.Duration
	lag writeLag

	mu    sync.Mutex
	byKey map[string]*remembered // guarded by mu, like all fields below
	queue []*remembered          // oldest first
	bytes int64
}

// maxComputed bounds the remembered bytes. Beyond it, the oldest prediction is dropped.
const maxComputed = 16 << 20

// A remembered prediction was computed here.
type remembered struct {
	key     string
	p       *Prediction
	until   time.Time
	began   int64 // when its computation began; see Cache.mono
	checked int64 // when the last read that found nothing newer was sent
	seen    bool  // a read has found it: it is in the table
	weight  int64
}

func (m *computed) init(age time.Duration) {
	m.age = age
	m.byKey = map[string]*remembered{}
}

// put remembers a prediction that was computed since began, after a read sent at checked.
func (m *computed) put(key string, p *Prediction, began, checked int64, now time.Time) *remembered {
	k := &remembered{key: key, p: p, until: now.Add(m.age), began: began, checked: checked, weight: int64(weightOf(p))}
	if !p.ExpiresAt.IsZero() && p.ExpiresAt.Before(k.until) {
		k.until = p.ExpiresAt
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byKey[key] = k
	m.queue = append(m.queue, k)
	m.bytes += k.weight
	for len(m.queue) > 0 && (m.bytes > maxComputed || !m.queue[0].until.After(now)) {
		first := m.queue[0]
		m.queue[0] = nil
		m.queue = m.queue[1:]
		m.bytes -= first.weight
		if m.byKey[first.key] == first {
			delete(m.byKey, first.key)
		}
	}
	return k
}

// get returns a copy of the remembered prediction of a key, or nil.
func (m *computed) get(key string, now time.Time) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.live(key, now)
	if k == nil {
		return nil
	}
	copied := *k
	return &copied
}

// empty reports whether nothing is remembered.
func (m *computed) empty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey) == 0
}

// live requires that m.mu is held.
func (m *computed) live(key string, now time.Time) *remembered {
	if len(m.byKey) == 0 {
		return nil
	}
	if k := m.byKey[key]; k != nil && k.until.After(now) {
		return k
	}
	return nil
}

// read records the result of a read of the table, and returns the remembered prediction if it is newer. It forgets a superseded
// prediction, but keeps the same version: the next eventually consistent read may miss it again.
func (m *computed) read(key string, got found, now time.Time) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.live(key, now)
	if k == nil {
		return nil
	}
	visible := !older(got.p, k.p)
	if !k.seen && got.sent > k.began && (got.p == nil || !got.p.deleted) {
		m.lag.observe(time.Duration(got.sent-k.began), visible)
	}
	if visible {
		k.seen = true
		if older(k.p, got.p) { // a newer prediction, or a tombstone
			delete(m.byKey, key)
		}
		return nil
	}
	k.checked = max(k.checked, got.sent)
	copied := *k
	return &copied
}

// newer returns p, which a read that bypassed the front returned, or the remembered prediction if it is newer and matches the
// call's options.
func (m *computed) newer(key string, p *Prediction, o *options, now time.Time) *Prediction {
	if k := m.unless(p, key, now); k != nil && o.match(k.p) {
		return k.p
	}
	if !o.own {
		return p
	}
	if k := m.unless(p, variant(key, o), now); k != nil {
		return k.p
	}
	return p
}

// unless returns the remembered prediction of a key if it is newer than p. It forgets one that is older.
func (m *computed) unless(p *Prediction, key string, now time.Time) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.live(key, now)
	switch {
	case k == nil:
		return nil
	case older(p, k.p):
		copied := *k
		return &copied
	case older(k.p, p):
		delete(m.byKey, key)
	}
	return nil
}

// variant returns the key of predictions computed under a call's own options.
func variant(key string, o *options) string {
	if !o.own {
		return key
	}
	var b strings.Builder
	b.WriteString(key)
	for _, w := range o.where {
		fmt.Fprintf(&b, "\x00%q=%s", w.name, w.text)
	}
	return b.String()
}

// entry returns the prediction as an entry of the front.
func (k *remembered) entry(c *Cache) *entry { return c.front.entry(k.key, k.p, k.checked, k.until) }

// writeLag is the recent mean time from the start of a computation until the table has the result, estimated from reads.
type writeLag struct {
	mu   sync.Mutex
	mean time.Duration // guarded by mu; 0 until measured
}

// defaultLag is assumed until a read has bounded the lag.
const defaultLag = 2 * time.Second

func (w *writeLag) get() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mean == 0 {
		return defaultLag
	}
	return w.mean
}

// observe takes one bound: the table had a result after d, or did not have it yet.
func (w *writeLag) observe(d time.Duration, visible bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.mean == 0 && visible:
		w.mean = min(d, defaultLag)
	case w.mean == 0:
		w.mean = max(d, defaultLag)
	case visible != (d > w.mean): // otherwise the bound is consistent with the mean
		w.mean += (d - w.mean) / 4
	}
}

// eventTime returns a prediction's event time at the precision of the table.
func eventTime(p *Prediction) prediction.Time { return prediction.FromTime(p.EventTime) }
