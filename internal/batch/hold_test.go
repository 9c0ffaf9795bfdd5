package batch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// holding holds values that begin with h for a second.
func holding(cfg batch.Config[string]) batch.Config[string] {
	cfg.Workers = 4
	cfg.Hold = func(v string) time.Duration {
		if v[0] == 'h' {
			return time.Second
		}
		return 0
	}
	return cfg
}

func TestHold(t *testing.T) {
	t.Run("others do not wait for a held value", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 2, MaxHeld: 9}), nil, func(s *scenario) {
			s.Add("h1", "a")
			s.after(999 * time.Millisecond)
			s.expect("0s a")
			s.after(time.Millisecond)
			s.expect("0s a", "1s h1")
		})
	})

	t.Run("values whose hold ends within Linger leave together", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9, Linger: 100 * time.Millisecond}), nil, func(s *scenario) {
			s.Add("h1")
			s.after(100 * time.Millisecond)
			s.Add("h2")
			s.after(time.Millisecond)
			s.Add("h3")
			s.after(2 * time.Second)
			s.expect("1s h1 h2", "1.101s h3")
		})
	})

	t.Run("beyond MaxHeld the first joins the others", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 2}), nil, func(s *scenario) {
			s.Add("h1")
			s.after(time.Millisecond)
			s.Add("h2")
			s.after(time.Millisecond)
			s.Add("h3")
			s.expect("2ms h1")
			s.after(time.Second)
			s.expect("2ms h1", "1.001s h2", "1.002s h3")
		})
	})

	t.Run("values whose hold ends do not delay those before them", func(t *testing.T) {
		cfg := holding(batch.Config[string]{MaxItems: 25, MaxHeld: 99, Linger: 2 * time.Millisecond, Patience: 10 * time.Millisecond})
		in(t, cfg, func(_ context.Context, entries []*entry) {
			if entries[0].Value == "slow" {
				time.Sleep(10 * time.Second)
			}
			takes(0)(t.Context(), entries)
		}, func(s *scenario) {
			s.Add("slow")
			for range 20 {
				s.Add("h")
				s.after(5 * time.Millisecond)
			}
			s.after(time.Second)
			s.expect("2ms slow", "1.01s h h h", "1.025s h h h", "1.04s h h h", "1.055s h h h", "1.07s h h h", "1.085s h h h", "1.1s h h")
		})
	})

	t.Run("beyond MaxHeld a value waits no longer than it was held for", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 1, Linger: 100 * time.Millisecond}), nil, func(s *scenario) {
			s.Add("h1")
			s.after(950 * time.Millisecond)
			s.Add("h2")
			s.after(time.Second)
			s.expect("1s h1", "1.95s h2")
		})
	})

	t.Run("held values do not wait for a worker", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9}), nil, func(s *scenario) {
			s.Add("h1", "h2", "h3")
			if n := s.Waiting(); n != 0 || !s.Below(context.Background(), 1) {
				t.Errorf("%d values wait, want none", n)
			}
		})
	})

	t.Run("Press releases what is held until it ends", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9, Linger: time.Minute}), nil, func(s *scenario) {
			s.Add("h1")
			s.after(time.Millisecond)
			s.Press(true)
			s.expect("1ms h1")
			s.Add("h2") // waits for Linger, like any other
			s.Press(false)
			s.Add("h3")
			s.after(time.Second)
			s.expect("1ms h1", "1.001s h3 h2")
		})
	})

	t.Run("Flush ends it", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9}), nil, func(s *scenario) {
			s.Add("h1")
			s.after(time.Millisecond)
			s.Flush()
			synctest.Wait()
			s.Add("h2")
			s.expect("1ms h1", "1ms h2")
		})
	})

	t.Run("a retry is not held again", func(t *testing.T) {
		first := true
		handle := func(_ context.Context, entries []*entry) {
			for _, e := range entries {
				if first {
					e.Retry()
				} else {
					e.Done()
				}
				first = false
			}
		}
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9}), handle, func(s *scenario) {
			s.Add("h1")
			s.after(time.Second)
			s.expect("1s h1", "1s h1")
		})
	})

	t.Run("a stopped batcher drains it", func(t *testing.T) {
		in(t, holding(batch.Config[string]{MaxItems: 25, MaxHeld: 9}), nil, func(s *scenario) {
			s.Add("h1")
			s.stop()
			s.expect()
			s.expectLeft("h1")
		})
	})
}
