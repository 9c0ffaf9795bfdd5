package dedup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A model tracks what was admitted, what the batcher holds, and what was written.
type model struct {
	*dedup.Window
	t         *rapid.T
	remembers bool // the window is large enough for all keys, so order must hold throughout
	sent      int64
	queued    []*item.Item
	inFlight  []flight
	keys      map[item.Key]*key
	waiters   []*waiter
}

// flight is an item in flight, with a copy from its start.
type flight struct {
	*item.Item
	then item.Item
}

// A key has its admitted versions, its written versions in order, those of removals that found a newer one, and the newest one that
// was settled successfully.
type key struct {
	admitted, written, superseded []prediction.Version
	newest                        prediction.Version
	settled                       bool
}

// A waiter expects one outcome, and checks it.
type waiter struct {
	m        *model
	it       item.Item // as admitted
	resolved int
}

// Resolve checks an outcome against the model.
func (wt *waiter) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	m, k, mine := wt.m, wt.m.keys[wt.it.Key], wt.it.Version
	wt.resolved++
	if wt.resolved > 1 || raw != wt.it.Raw || o == prediction.Rejected && why == nil {
		m.t.Fatalf("%s: %v for the %dth time, with %s, %v", wt.it.Raw, o, wt.resolved, raw, why)
	}
	inTable := func(v prediction.Version) bool { return slices.ContainsFunc(k.written, v.SameContent) }
	truth := true
	switch o {
	case prediction.Written, prediction.Deleted:
		truth = inTable(mine) && mine.Deleted == (o == prediction.Deleted)
	case prediction.Duplicate:
		truth = inTable(mine) || slices.ContainsFunc(k.superseded, mine.SameContent)
	case prediction.Superseded:
		truth = slices.ContainsFunc(k.admitted, func(v prediction.Version) bool { return v.Compare(mine) >= 0 && inTable(v) })
	}
	if !truth {
		m.t.Fatalf("%s sent at %d has the outcome %v, but written were %v", wt.it.Raw, mine.Sent, o, k.written)
	}
	if o <= prediction.Superseded && (!k.settled || mine.Compare(k.newest) > 0) {
		k.newest, k.settled = mine, true
	}
}

// Outcome implements dedup.Observer.
func (m *model) Outcome(prediction.Outcome, int, int64) {}

func (m *model) submit(items ...*item.Item) { m.queued = append(m.queued, items...) }

func (m *model) admit(t *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
	event := rapid.Int64Range(1, 3).Draw(t, "event")
	m.sent++
	sent := m.sent - rapid.Int64Range(0, 5).Draw(t, "delay")
	it := newItem(latestOnly, id, event, sent, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "content"))
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		it = newDelete(latestOnly, id, event, sent)
	}
	m.add(it)
}

// remove admits the removal of what has a key, as the remover does.
func (m *model) remove(t *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
	deleted := newDelete(latestOnly, id, rapid.Int64Range(1, 3).Draw(t, "event"), m.sent)
	m.add(latestOnly.NewRemoval(deleted.Key, deleted.Version.Event, deleted.Version, 100))
}

func (m *model) add(it *item.Item) {
	k := m.keys[it.Key]
	if k == nil {
		k = &key{}
		m.keys[it.Key] = k
	}
	k.admitted = append(k.admitted, it.Version)
	wt := &waiter{m: m, it: *it}
	m.waiters = append(m.waiters, wt)
	if m.Admit(it, wt) {
		m.submit(it)
	}
}

// take removes and returns a random element, or skips the action if there is none.
func take[T any](t *rapid.T, from *[]T) T {
	if len(*from) == 0 {
		t.Skip("none")
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
	v := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return v
}

func (m *model) begin(t *rapid.T) {
	it := take(t, &m.queued)
	if rapid.IntRange(0, 9).Draw(t, "room") == 0 {
		if _, fits := m.Begin(it, it.MaxJSONSize()-1); fits {
			t.Fatal("Begin accepted too little room")
		}
		m.queued = append(m.queued, it)
		return
	}
	for _, other := range m.inFlight {
		if other.Key == it.Key {
			t.Fatalf("%s and %s are in flight together", other.Raw, it.Raw)
		}
	}
	if _, fits := m.Begin(it, 1<<20); !fits {
		t.Fatal("Begin refused enough room")
	}
	m.inFlight = append(m.inFlight, flight{it, *it})
}

func (m *model) end(t *rapid.T) flight {
	l := take(t, &m.inFlight)
	if l.Raw != l.then.Raw || l.Version != l.then.Version || l.Key != l.then.Key {
		t.Fatalf("%s became %s in flight", l.then.Raw, l.Raw)
	}
	return l
}

func (m *model) requeue(t *rapid.T) {
	l := m.end(t)
	m.Requeue(l.Item)
	m.submit(l.Item)
}

func (m *model) done(t *rapid.T, it *item.Item, o prediction.Outcome) {
	k := m.keys[it.Key]
	if it.Removal != item.NoRemoval && o == prediction.Written && len(k.written) > 0 && k.written[len(k.written)-1].Compare(it.Version) >= 0 {
		o = prediction.Superseded // by its condition
		k.superseded = append(k.superseded, it.Version)
	}
	if o == prediction.Written {
		if m.remembers && len(k.written) > 0 && it.Version.Compare(k.written[len(k.written)-1]) <= 0 {
			t.Fatalf("%s sent at %d was written after %v", it.Raw, it.Version.Sent, k.written)
		}
		k.written = append(k.written, it.Version)
	}
	m.Done(it, o, prediction.Rejectf(prediction.ReasonTable, "", "refused"))
}

func (m *model) giveUp(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	m.done(t, take(t, &m.queued), prediction.Failed)
}

func (m *model) check(t *rapid.T) {
	open := map[item.Key]bool{}
	for _, it := range m.queued {
		if open[it.Key] {
			t.Fatalf("the batcher holds two writes of %v", it.Key)
		}
		open[it.Key] = true
	}
	for _, l := range m.inFlight {
		if open[l.Key] {
			t.Fatalf("the batcher holds two writes of %v", l.Key)
		}
		open[l.Key] = true
	}
	if n := m.Stats().Pending; n != len(open) {
		t.Fatalf("%d keys pending, but the batcher holds %d", n, len(open))
	}
	for k, of := range m.keys {
		// The table has the newest version that was settled successfully.
		if m.remembers && of.settled && !open[k] && !of.newest.SameContent(of.written[len(of.written)-1]) {
			t.Fatalf("%v was settled at %v, but written were %v", k, of.newest, of.written)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, size := range []int{1000, 2} {
		t.Run(fmt.Sprint("order per key, size ", size), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &model{t: t, remembers: size > 2, sent: 10, keys: map[item.Key]*key{}}
				m.Window = dedup.NewWindow(dedup.Config{Size: size, Observer: m, Submit: m.submit})
				outcomes := []prediction.Outcome{
					prediction.Written, prediction.Written, prediction.Written, prediction.Expired, prediction.Rejected, prediction.Failed,
				}
				t.Repeat(map[string]func(*rapid.T){
					"admit":      m.admit,
					"admit too":  m.admit,
					"begin":      m.begin,
					"begin more": m.begin,
					"done":       func(t *rapid.T) { m.done(t, m.end(t).Item, rapid.SampledFrom(outcomes).Draw(t, "outcome")) },
					"requeue":    m.requeue,
					"give up":    m.giveUp,
					"remove":     m.remove,
					"":           m.check,
				})
				for len(m.queued)+len(m.inFlight) > 0 {
					for _, l := range m.inFlight {
						m.done(t, l.Item, prediction.Written)
					}
					m.inFlight = nil
					if len(m.queued) > 0 {
						m.begin(t)
					}
				}
				m.check(t)
				for _, wt := range m.waiters {
					if wt.resolved != 1 {
						t.Fatalf("%s was resolved %d times", strings.TrimSpace(wt.it.Raw), wt.resolved)
					}
				}
			})
		})
	}
}
