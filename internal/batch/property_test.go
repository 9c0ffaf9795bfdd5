package batch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/predcache/predcache/internal/batch"
)

// A value is what the model adds, with its expected state.
type value struct {
	id, size int
	hold     time.Duration
	released bool      // by Flush or Press
	attempts int       // so far
	since    time.Time // when it was added or its last attempt ended
	state    state
}

type state int

const (
	pending state = iota
	inFlight
	finished
)

// A call is a batch in flight, which ends when the model ends it.
type call struct {
	entries []*batch.Entry[*value]
	end     chan struct{}
}

// A model tracks each value and which transitions are allowed.
type model struct {
	*batch.Batcher[*value]
	cfg    batch.Config[*value]
	cancel context.CancelFunc
	ended  chan struct{}

	limit   int
	flushed bool
	pressed bool
	holds   bool // some values are held
	values  []*value
	first   int // id of the value whose first attempt is next

	mu      sync.Mutex
	calls   []*call
	started []*call // since the last check
}

func newModel(t *rapid.T) *model {
	m := &model{ended: make(chan struct{})}
	m.cfg = batch.Config[*value]{
		MaxItems: rapid.IntRange(1, 5).Draw(t, "maxItems"),
		MaxBytes: rapid.SampledFrom([]int{0, 10, 20}).Draw(t, "maxBytes"),
		Workers:  rapid.IntRange(1, 4).Draw(t, "workers"),
		Linger:   rapid.SampledFrom([]time.Duration{0, 0, 3 * time.Second}).Draw(t, "linger"),
		Patience: rapid.SampledFrom([]time.Duration{0, 0, 2 * time.Second}).Draw(t, "patience"),
		Backoff:  batch.Backoff{Base: rapid.SampledFrom([]time.Duration{0, 1, time.Second}).Draw(t, "base"), Max: 5 * time.Second},
		Handle:   m.handle,
	}
	if m.holds = rapid.Bool().Draw(t, "holds"); m.holds {
		m.cfg.Hold = func(v *value) time.Duration { return v.hold }
		m.cfg.MaxHeld = rapid.SampledFrom([]int{2, 1000}).Draw(t, "maxHeld")
	}
	m.cfg.Take = func(v *value, room int) (int, bool) { return v.size, v.size <= room }
	m.limit = m.cfg.Workers
	m.Batcher = batch.New(m.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.ended)
		_ = m.Run(ctx)
	}()
	return m
}

// handle runs in a worker. It records the batch and blocks until the model ends it.
func (m *model) handle(_ context.Context, entries []*batch.Entry[*value]) {
	c := &call{slices.Clone(entries), make(chan struct{})}
	m.mu.Lock()
	m.calls = append(m.calls, c)
	m.started = append(m.started, c)
	m.mu.Unlock()
	<-c.end
}

// check waits until all goroutines are idle, and checks the batches that have started since.
func (m *model) check(t *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.started {
		bytes := 0
		fresh := false
		for _, e := range c.entries {
			v := e.Value
			bytes += v.size
			if v.state != pending || e.Attempts != v.attempts {
				t.Fatalf("value %d started in state %d, attempts %d, want %d", v.id, v.state, e.Attempts, v.attempts)
			}
			if early := v.hold - m.cfg.Linger - time.Since(v.since); v.attempts == 0 && early > 0 && !v.released && m.cfg.MaxHeld > 2 {
				t.Fatalf("value %d started %v before its hold ended", v.id, early)
			}
			v.state = inFlight
			if fresh && v.attempts > 0 && !m.holds {
				t.Fatalf("retry of %d behind new values", v.id)
			}
			fresh = v.attempts == 0
		}
		if n := len(c.entries); n == 0 || n > m.cfg.MaxItems || n > 1 && m.cfg.MaxBytes > 0 && bytes > m.cfg.MaxBytes {
			t.Fatalf("a batch of %d values, %d bytes", n, bytes)
		}
	}
	if before := len(m.calls) - len(m.started); len(m.calls) > max(m.limit, before) {
		t.Fatalf("%d batches in flight at a limit of %d", len(m.calls), m.limit)
	}
	m.checkOrder(t)
	m.started = nil
	if len(m.calls) < m.limit {
		m.checkIdle(t)
	}
}

// checkOrder checks that first attempts follow the order of Add. Batches of one moment have no order.
func (m *model) checkOrder(t *rapid.T) {
	if m.holds {
		return // held values follow later ones
	}
	var fresh []int
	for _, c := range m.started {
		for i, e := range c.entries {
			if e.Value.attempts > 0 {
				continue
			}
			if i > 0 && c.entries[i-1].Value.attempts == 0 && c.entries[i-1].Value.id+1 != e.Value.id {
				t.Fatalf("%d follows %d in a batch", e.Value.id, c.entries[i-1].Value.id)
			}
			fresh = append(fresh, e.Value.id)
		}
	}
	slices.Sort(fresh)
	for _, id := range fresh {
		if id != m.first {
			t.Fatalf("%d was attempted before %d", id, m.first)
		}
		m.first++
	}
}

// checkIdle checks that no worker is idle while a batch is ready. TestPatience covers batches that are not full while
// another worker is busy.
func (m *model) checkIdle(t *rapid.T) {
	waiting := 0
	patient := m.cfg.Patience > 0 && len(m.calls) > 0 && !m.flushed
	for _, v := range m.values {
		if v.state != pending {
			continue
		}
		age := time.Since(v.since)
		switch {
		case v.attempts > 0 && age > m.cfg.Backoff.Max && !patient:
			t.Fatalf("a worker is idle, but the retry of %d has waited %v", v.id, age)
		case v.attempts == 0:
			if v.hold == 0 || v.released {
				waiting++
			}
			// What exceeds MaxHeld waits for Linger after that.
			if m.flushed || age >= v.hold+m.cfg.Linger && !patient {
				t.Fatalf("a worker is idle, but %d has waited %v", v.id, age)
			}
		}
	}
	if waiting >= m.cfg.MaxItems {
		t.Fatalf("a worker is idle, but %d values wait", waiting)
	}
}

func (m *model) add(t *rapid.T) {
	sizes := rapid.SliceOfN(rapid.IntRange(0, 12), 0, 12).Draw(t, "sizes")
	var added []*value
	for _, size := range sizes {
		v := &value{id: len(m.values) + len(added), size: size, since: time.Now(), released: m.flushed || m.pressed}
		if m.holds {
			v.hold = rapid.SampledFrom([]time.Duration{0, 2 * time.Second, 4 * time.Second}).Draw(t, "hold")
		}
		added = append(added, v)
	}
	m.values = append(m.values, added...)
	m.Add(added...)
}

// end ends one of the batches in flight, with a result for each entry.
func (m *model) end(t *rapid.T) {
	m.mu.Lock()
	if len(m.calls) == 0 {
		m.mu.Unlock()
		t.Skip("nothing is in flight")
	}
	i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
	c := m.calls[i]
	m.calls = slices.Delete(m.calls, i, i+1)
	m.mu.Unlock()
	for _, e := range c.entries {
		v := e.Value
		v.state, v.since = pending, time.Now()
		switch rapid.SampledFrom([]string{"done", "done", "retry", "nothing"}).Draw(t, fmt.Sprint("result of ", v.id)) {
		case "done":
			v.state = finished
			e.Done()
		case "retry":
			v.attempts++
			e.Retry()
		default:
			v.attempts++
		}
	}
	close(c.end)
}

// release notes that Flush or Press was called.
func (m *model) release() {
	for _, v := range m.values {
		v.released = true
	}
}

// stop ends everything, and checks that each value is finished or drained.
func (m *model) stop(t *rapid.T) {
	m.cancel()
	synctest.Wait()
	m.mu.Lock()
	for _, c := range m.calls {
		for _, e := range c.entries {
			e.Value.state = pending
		}
		close(c.end)
	}
	m.mu.Unlock()
	<-m.ended
	left := m.Drain()
	for _, v := range left {
		if v.state != pending {
			t.Fatalf("%d was drained in state %d", v.id, v.state)
		}
		v.state = finished
	}
	for _, v := range m.values {
		if v.state != finished {
			t.Fatalf("%d is lost", v.id)
		}
	}
}

func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Wrapped, since rapid would compare the testing.T's deadline with the bubble's clock.
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			m := newModel(t)
			defer m.stop(t)
			t.Repeat(map[string]func(*rapid.T){
				"add":  m.add,
				"end":  m.end,
				"end ": m.end, // twice as often
				"time passes": func(t *rapid.T) {
					time.Sleep(rapid.SampledFrom([]time.Duration{1, time.Second, 3 * time.Second, 6 * time.Second}).Draw(t, "time"))
				},
				"limit": func(t *rapid.T) {
					m.limit = rapid.IntRange(0, m.cfg.Workers).Draw(t, "limit")
					m.SetLimit(m.limit)
				},
				"flush": func(t *rapid.T) {
					if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
						t.Skip("not yet")
					}
					m.flushed = true
					m.release()
					m.Flush()
				},
				"press": func(t *rapid.T) {
					if m.pressed = !m.pressed; m.pressed {
						m.release()
					}
					m.Press(m.pressed)
				},
				"": m.check,
			})
		})
	})
}
