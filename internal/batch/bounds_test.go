package batch_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/predcache/predcache/internal/batch"
)

// bytes returns a Take that counts a string's bytes and records the room it was offered.
func bytes(rooms *[]int) func(string, int) (int, bool) {
	return func(v string, room int) (int, bool) {
		*rooms = append(*rooms, room)
		return len(v), len(v) <= room
	}
}

func TestMaxBytes(t *testing.T) {
	t.Run("bounds a batch", func(t *testing.T) {
		var rooms []int
		in(t, batch.Config[string]{MaxItems: 4, MaxBytes: 5, Workers: 1, Take: bytes(&rooms)}, takes(time.Second), func(s *scenario) {
			s.Add("aa", "bbb", "cccc", "dd", "e", "ffffffff", "g")
			s.after(time.Minute)
			s.expect("0s aa bbb", "1s cccc", "2s dd e", "3s ffffffff", "4s g") // a value over the limit goes alone
			if want := []int{math.MaxInt, 3, 0, math.MaxInt, 1, math.MaxInt, 3, 2, math.MaxInt, -3, math.MaxInt}; !slices.Equal(rooms, want) {
				t.Errorf("room offered: %v\n       want: %v", rooms, want)
			}
		})
	})

	t.Run("zero means no limit", func(t *testing.T) {
		var rooms []int
		in(t, batch.Config[string]{MaxItems: 2, Workers: 1, Take: bytes(&rooms)}, takes(time.Second), func(s *scenario) {
			s.Add("aaaaaaaaaa", "bbbbbbbbbb", "c")
			s.after(time.Minute)
			s.expect("0s aaaaaaaaaa bbbbbbbbbb", "1s c")
		})
	})

	t.Run("another worker takes what does not fit", func(t *testing.T) {
		in(t, batch.Config[string]{MaxItems: 4, MaxBytes: 3, Workers: 2, Take: bytes(new([]int))}, takes(time.Second), func(s *scenario) {
			s.Add("aa", "bb", "c")
			s.after(time.Millisecond)
			s.expect("0s aa", "0s bb c")
		})
	})
}

func TestBelow(t *testing.T) {
	in(t, batch.Config[string]{MaxItems: 1, Workers: 1}, takes(time.Second), func(s *scenario) {
		s.Add("a", "b", "c", "d")
		if !s.Below(s.t.Context(), 2) {
			t.Error("Below returned false")
		}
		if waited := time.Since(s.start); waited != 2*time.Second { // c is in flight, d waits
			t.Errorf("Below waited for %v", waited)
		}
		if s.Below(s.t.Context(), 2); time.Since(s.start) != 2*time.Second {
			t.Error("Below waited although one was left")
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 500*time.Millisecond)
		defer cancel()
		if s.Below(ctx, 1) || time.Since(s.start) != 2500*time.Millisecond {
			t.Errorf("Below outlasted its context by %v", time.Since(s.start)-2500*time.Millisecond)
		}
	})
	retry := func(_ context.Context, entries []*entry) { entries[0].Retry() }
	in(t, batch.Config[string]{MaxItems: 1, Workers: 1, Backoff: batch.Backoff{Base: time.Hour, Max: time.Hour}}, retry, func(s *scenario) {
		s.Add("a")
		if s.Below(s.t.Context(), 1); time.Since(s.start) > 0 {
			t.Error("Below waited for a retry that is not due")
		}
	})
}

func TestStop(t *testing.T) {
	t.Run("handlers finish and nothing is lost", func(t *testing.T) {
		handle := func(ctx context.Context, entries []*entry) {
			<-ctx.Done()
			time.Sleep(time.Second)
			entries[0].Done()
			entries[1].Retry()
		}
		in(t, batch.Config[string]{MaxItems: 3, Workers: 1, Backoff: batch.Backoff{Base: time.Hour, Max: time.Hour}}, handle, func(s *scenario) {
			s.Add("done", "retried", "no result", "queued")
			s.after(time.Minute)
			s.stop()
			s.expect("0s done retried no result")
			if took := time.Since(s.start); took != time.Minute+time.Second {
				t.Errorf("Run returned after %v", took)
			}
			s.Add("late")
			s.expectLeft("late", "no result", "queued", "retried")
		})
	})

	t.Run("does not wait for linger or backoff", func(t *testing.T) {
		retry := func(_ context.Context, entries []*entry) { entries[0].Retry() }
		in(t, batch.Config[string]{MaxItems: 1, Workers: 2, Backoff: batch.Backoff{Base: time.Hour, Max: time.Hour}}, retry, func(s *scenario) {
			s.Add("a")
			synctest.Wait()
			s.stop()
			s.expectLeft("a")
		})
		in(t, batch.Config[string]{MaxItems: 2, Workers: 2, Linger: time.Hour}, nil, func(s *scenario) {
			s.Add("a")
			s.stop()
			s.expect()
			s.expectLeft("a")
		})
	})
}

func TestQueueOrder(t *testing.T) {
	const n = 5000
	var seen []string
	var want []string
	retried := map[string]bool{}
	handle := func(_ context.Context, entries []*entry) {
		for i, e := range entries {
			if i == 1 && !retried[e.Value] && e.Attempts == 0 && len(retried) < 100 {
				retried[e.Value] = true
				e.Retry()
				continue
			}
			seen = append(seen, e.Value)
			e.Done()
		}
	}
	in(t, batch.Config[string]{MaxItems: 10, Workers: 1}, handle, func(s *scenario) {
		s.SetLimit(0)
		for i := range n {
			v := string(rune('a'+i%26)) + time.Duration(i).String()
			want = append(want, v)
			s.Add(v)
		}
		s.SetLimit(1)
		synctest.Wait()
		fresh := slices.DeleteFunc(slices.Clone(seen), func(v string) bool { return retried[v] })
		expected := slices.DeleteFunc(slices.Clone(want), func(v string) bool { return retried[v] })
		if len(seen) != n || !slices.Equal(fresh, expected) || len(retried) != 100 {
			t.Errorf("%d of %d seen, %d retried, in order: %v", len(seen), n, len(retried), slices.Equal(fresh, expected))
		}
	})
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		backoff  batch.Backoff
		attempts int
		limit    time.Duration
	}{
		{batch.Backoff{Base: 100 * time.Millisecond, Max: 10 * time.Second}, 1, 100 * time.Millisecond},
		{batch.Backoff{Base: 100 * time.Millisecond, Max: 10 * time.Second}, 4, 800 * time.Millisecond},
		{batch.Backoff{Base: 100 * time.Millisecond, Max: 10 * time.Second}, 8, 10 * time.Second},
		{batch.Backoff{Base: 100 * time.Millisecond, Max: 10 * time.Second}, 1000, 10 * time.Second},
		{batch.Backoff{Base: 1<<34 + 1, Max: time.Minute}, 31, time.Minute}, // doubled so often, it would overflow
		{batch.Backoff{Base: time.Minute, Max: time.Second}, 1, time.Second},
	} {
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for range 2000 {
			d := test.backoff.After(test.attempts)
			least, most = min(least, d), max(most, d)
		}
		if least < 0 || least > test.limit/20 || most > test.limit || most < test.limit-test.limit/20 {
			t.Errorf("%+v after %d attempts: from %v to %v, want 0 to %v", test.backoff, test.attempts, least, most, test.limit)
		}
	}
	if d := (batch.Backoff{}).After(3); d != 0 {
		t.Errorf("the zero Backoff waits %v", d)
	}
}

func TestDoneReleasesValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(batch.Config[*[1 << 10]byte]{
			MaxItems: 2, Workers: 1, Backoff: batch.Backoff{Base: time.Hour, Max: time.Hour},
			Handle: func(_ context.Context, entries []*batch.Entry[*[1 << 10]byte]) {
				entries[0].Done()
				entries[1].Retry()
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		first, second := new([1 << 10]byte), new([1 << 10]byte)
		finished := weak.Make(first)
		b.Add(first, second)
		first, second = nil, nil //nolint:ineffassign,wastedassign // the variables would keep them in memory
		synctest.Wait()
		runtime.GC()
		if finished.Value() != nil {
			t.Error("the value is still in memory")
		}
		cancel()
		if err := <-ended; err != nil || len(b.Drain()) != 1 {
			t.Error(err)
		}
	})
}
