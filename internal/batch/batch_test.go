package batch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/predcache/predcache/internal/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type entry = batch.Entry[string]

// A scenario is a batcher in a synctest bubble. It logs each batch with its time since the start.
type scenario struct {
	*batch.Batcher[string]
	t     *testing.T
	start time.Time
	stop  func() // stops the batcher and waits for Run to return

	mu  sync.Mutex
	log []string
}

// in runs a scenario. handle processes a batch after it was logged. If it is nil, each entry is done at once.
func in(t *testing.T, cfg batch.Config[string], handle func(context.Context, []*entry), play func(s *scenario)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{t: t, start: time.Now()}
		if handle == nil {
			handle = takes(0)
		}
		cfg.Handle = func(ctx context.Context, entries []*entry) {
			s.mu.Lock()
			s.log = append(s.log, fmt.Sprintf("%v %s", time.Since(s.start), strings.Join(values(entries), " ")))
			s.mu.Unlock()
			handle(ctx, entries)
		}
		s.Batcher = batch.New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		s.stop = func() {
			cancel()
			<-ended
		}
		defer s.stop()
		play(s)
	})
}

// batches returns the batches so far, those of one moment sorted, since their order is not defined.
func (s *scenario) batches() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.log, func(a, b string) int {
		first, second, _ := strings.Cut(a, " ")
		other, third, _ := strings.Cut(b, " ")
		if first != other {
			return 0
		}
		return strings.Compare(second, third)
	})
	return slices.Clone(s.log)
}

func values(entries []*entry) []string {
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.Value)
	}
	return all
}

func done(entries ...*entry) {
	for _, e := range entries {
		e.Done()
	}
}

func takes(d time.Duration) func(context.Context, []*entry) {
	return func(_ context.Context, entries []*entry) {
		time.Sleep(d)
		done(entries...)
	}
}

// after advances the clock and waits until all goroutines are idle.
func (s *scenario) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *scenario) expect(want ...string) {
	s.t.Helper()
	if got := s.batches(); !slices.Equal(got, want) {
		s.t.Errorf("batches %q\n   want %q", got, want)
	}
}

func (s *scenario) expectLeft(want ...string) {
	s.t.Helper()
	left := s.Drain()
	slices.Sort(left)
	if !slices.Equal(left, want) {
		s.t.Errorf("drained %q, want %q", left, want)
	}
	if again := s.Drain(); len(again) > 0 {
		s.t.Errorf("drained %q again", again)
	}
}

func TestWorkers(t *testing.T) {
	t.Run("an idle worker starts at once", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 25, Workers: 4}, nil, func(s *scenario) {
			s.Add("a")
			s.expect("0s a")
			s.Add("b", "c")
			s.Add()
			s.expect("0s a", "0s b c")
		})
	})

	t.Run("batches grow while workers are busy", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 3, Workers: 1}, takes(time.Second), func(s *scenario) {
			s.Add("a")
			synctest.Wait()
			for _, v := range []string{"b", "c", "d", "e"} {
				s.Add(v)
				s.after(10 * time.Millisecond)
			}
			s.after(time.Minute)
			s.expect("0s a", "1s b c d", "2s e")
		})
	})

	t.Run("one batch in flight per worker", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 1, Workers: 2}, takes(time.Second), func(s *scenario) {
			s.Add("a", "b", "c", "d", "e")
			s.after(time.Minute)
			s.expect("0s a", "0s b", "1s c", "1s d", "2s e")
		})
	})
}

func TestLinger(t *testing.T) {
	t.Run("a batch that is not full waits", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 3, Workers: 2, Linger: 100 * time.Millisecond}, nil, func(s *scenario) {
			s.Add("a")
			s.after(60 * time.Millisecond)
			s.Add("b")
			s.after(39 * time.Millisecond)
			s.expect()
			s.after(time.Millisecond)
			s.expect("100ms a b") // counted from the first
		})
	})

	t.Run("a full batch does not wait", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 3, Workers: 2, Linger: 100 * time.Millisecond}, nil, func(s *scenario) {
			s.Add("a", "b")
			s.after(50 * time.Millisecond)
			s.Add("c", "d")
			s.expect("50ms a b c")
			s.after(time.Minute)
			s.expect("50ms a b c", "150ms d")
		})
	})

	t.Run("ends with Flush", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 3, Workers: 1, Linger: time.Hour}, nil, func(s *scenario) {
			s.Add("a")
			s.after(time.Second)
			s.Flush()
			s.expect("1s a")
			s.after(time.Second)
			s.Add("b")
			s.expect("1s a", "2s b")
		})
	})
}

func TestRetry(t *testing.T) {
	t.Run("joins the front of the next batch", func(t *testing.T) {
		handle := func(_ context.Context, entries []*entry) {
			time.Sleep(time.Second)
			done(entries...)
			if entries[0].Value == "a" && entries[0].Attempts == 0 {
				entries[0].Retry()
			}
		}
		in(t, batch.Config[string]{MaxItems: 3, Workers: 1, Backoff: batch.Backoff{Base: 500 * time.Millisecond, Max: time.Second}}, handle, func(s *scenario) {
			s.Add("a", "b", "c", "d", "e", "f", "g", "h")
			s.after(time.Minute)
			// The retry does not block the worker while it backs off: d goes first.
			s.expect("0s a b c", "1s d e f", "2s a g h")
		})
	})

	t.Run("starts within its backoff", func(t *testing.T) {
		attempts := 0
		var gaps []time.Duration
		var last time.Time
		handle := func(_ context.Context, entries []*entry) {
			if entries[0].Attempts != attempts {
				t.Errorf("attempt %d counts %d before it", attempts, entries[0].Attempts)
			}
			if attempts > 0 {
				gaps = append(gaps, time.Since(last))
			}
			last = time.Now()
			if attempts++; attempts < 6 {
				entries[0].Retry()
				return
			}
			entries[0].Done()
		}
		// A retry does not linger again.
		in(t, batch.Config[string]{MaxItems: 3, Workers: 2, Linger: time.Minute, Backoff: batch.Backoff{Base: 100 * time.Millisecond, Max: time.Second}}, handle, func(s *scenario) {
			s.Add("a")
			s.after(time.Hour)
			if attempts != 6 {
				t.Errorf("%d attempts", attempts)
			}
			for i, gap := range gaps {
				if limit := min(100*time.Millisecond<<i, time.Second); gap > limit {
					t.Errorf("retry %d came after %v, want at most %v", i+1, gap, limit)
				}
			}
		})
	})

	t.Run("starts while another worker is busy", func(t *testing.T) {
		// Of 20 retries, those whose backoff is 0 keep their worker busy for an hour; the others are due a nanosecond later.
		handle := func(_ context.Context, entries []*entry) {
			for _, e := range entries {
				if e.Attempts == 0 {
					e.Retry()
					continue
				}
				time.Sleep(time.Hour)
				e.Done()
			}
		}
		in(t, batch.Config[string]{MaxItems: 20, Workers: 21, Backoff: batch.Backoff{Base: 1, Max: 1}}, handle, func(s *scenario) {
			synctest.Wait() // until all workers are idle
			s.Add(strings.Split("abcdefghijklmnopqrst", "")...)
			s.after(time.Second)
			attempted := 0
			for _, b := range s.batches()[1:] {
				attempted += len(strings.Fields(b)) - 1
			}
			if attempted != 20 {
				t.Errorf("%d of 20 retries were made: %q", attempted, s.batches())
			}
			s.after(24 * time.Hour)
		})
	})

	t.Run("an entry without a result is retried", func(t *testing.T) {
		handle := func(_ context.Context, entries []*entry) {
			for _, e := range entries {
				if e.Value != "no result" || e.Attempts > 0 {
					e.Done()
				}
			}
		}
		in(t, batch.Config[string]{MaxItems: 3, Workers: 1}, handle, func(s *scenario) {
			s.Add("a", "no result", "b")
			s.expect("0s a no result b", "0s no result")
		})
	})

	t.Run("a result counts for one attempt", func(t *testing.T) {
		handle := func(_ context.Context, entries []*entry) {
			switch e := entries[0]; e.Attempts {
			case 0:
				e.Done()
				e.Retry() // the last call counts
			case 1: // no result: the first attempt's is gone
			default:
				e.Retry()
				e.Done()
			}
		}
		in(t, batch.Config[string]{MaxItems: 1, Workers: 1}, handle, func(s *scenario) {
			s.Add("a")
			s.expect("0s a", "0s a", "0s a")
		})
	})
}

func TestSetLimit(t *testing.T) {
	t.Run("zero pauses and running batches finish", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 1, Workers: 3}, takes(time.Second), func(s *scenario) {
			s.Add("a")
			synctest.Wait()
			s.SetLimit(0)
			s.Add("b", "c", "d", "e")
			s.after(time.Minute)
			s.expect("0s a")
			s.SetLimit(2)
			s.after(time.Millisecond)
			if n := len(s.batches()); n != 3 {
				t.Errorf("at a limit of 2: %q", s.batches())
			}
			s.after(time.Minute)
			s.Add("f", "g", "h", "i", "j")
			s.SetLimit(100) // there are only 3 workers
			s.after(time.Millisecond)
			if n := len(s.batches()); n != 1+4+3 {
				t.Errorf("at a limit of 100 with 3 workers: %q", s.batches())
			}
			s.after(time.Minute)
		})
	})

	t.Run("a lower limit applies as workers finish", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 1, Workers: 3}, takes(time.Second), func(s *scenario) {
			s.Add("a", "b", "c", "d", "e")
			synctest.Wait()
			s.SetLimit(1)
			s.after(time.Minute)
			s.expect("0s a", "0s b", "0s c", "1s d", "2s e")
		})
	})
}
