package batch_test

import (
	"context"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

func TestRetryTogether(t *testing.T) {
	// Ten deletes that failed in one call became ten calls, each with its own backoff.
	t.Run("a batch without results", func(t *testing.T) {
		failures := 3
		handle := func(_ context.Context, entries []*entry) {
			if failures--; failures >= 0 {
				return // without a result, so all are retried
			}
			done(entries...)
		}
		in(t, batch.Config[string]{MaxItems: 3, Workers: 4, Backoff: batch.Backoff{Base: time.Second, Max: time.Minute}}, handle, func(s *scenario) {
			s.Add("a", "b", "c")
			s.after(time.Hour)
			if len(s.log) != 4 {
				t.Errorf("the handler was called %d times, want 4: %v", len(s.log), s.log)
			}
		})
	})

	// Unprocessed items of one call became as many calls of one item each.
	t.Run("the failed part of a batch", func(t *testing.T) {
		handle := func(_ context.Context, entries []*entry) {
			for _, e := range entries {
				if e.Value == "a" || e.Attempts > 0 {
					e.Done()
				}
			}
		}
		in(t, batch.Config[string]{MaxItems: 25, Workers: 4, Backoff: batch.Backoff{Base: time.Second, Max: time.Minute}}, handle, func(s *scenario) {
			s.Add("a", "b", "c", "d")
			s.after(time.Hour)
			if len(s.log) != 2 {
				t.Errorf("the handler was called %d times, want twice: %v", len(s.log), s.log)
			}
		})
	})
}
