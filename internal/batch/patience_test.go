package batch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// sizes runs a batcher whose batches take 1 ms each, adds values one by one, and returns the start and the size of each
// batch.
func sizes(t *testing.T, patience time.Duration, values int, every time.Duration) (began []time.Duration, held []int) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		type record struct {
			at   time.Duration
			held int
		}
		records := make(chan record, values)
		b := batch.New(batch.Config[int]{MaxItems: 25, Workers: 8, Patience: patience, Handle: func(_ context.Context, entries []*batch.Entry[int]) {
			records <- record{time.Since(start), len(entries)}
			time.Sleep(time.Millisecond)
			for _, e := range entries {
				e.Done()
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = b.Run(ctx) }()
		synctest.Wait()
		for i := range values {
			b.Add(i)
			time.Sleep(every)
		}
		time.Sleep(time.Second)
		cancel()
		<-done
		close(records)
		for r := range records {
			held, began = append(held, r.held), append(began, r.at)
		}
	})
	return began, held
}

func TestPatience(t *testing.T) {
	t.Run("an idle batcher starts at once", func(t *testing.T) {
		began, held := sizes(t, time.Hour, 3, 10*time.Millisecond)
		for i, want := range []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond} {
			if len(held) != 3 || held[i] != 1 || began[i] != want {
				t.Fatalf("batches of %v at %v", held, began)
			}
		}
	})

	t.Run("batches are full under load", func(t *testing.T) {
		_, impatient := sizes(t, 0, 250, 20*time.Microsecond) // 50 arrive during a batch
		_, patient := sizes(t, 10*time.Millisecond, 250, 20*time.Microsecond)
		if len(impatient) < 2*len(patient) {
			t.Errorf("%d batches without patience, %d with it", len(impatient), len(patient))
		}
		for i, n := range patient[1 : len(patient)-1] {
			if n != 25 {
				t.Errorf("batch %d holds %d of 25: %v", i+1, n, patient)
			}
		}
	})

	t.Run("bounds the delay by a hanging batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hang := make(chan struct{})
			second := make(chan time.Time, 1)
			b := batch.New(batch.Config[int]{MaxItems: 25, Workers: 2, Patience: 10 * time.Millisecond, Handle: func(_ context.Context, entries []*batch.Entry[int]) {
				if entries[0].Value == 1 {
					<-hang
				} else {
					second <- time.Now()
				}
				for _, e := range entries {
					e.Done()
				}
			}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = b.Run(ctx) }()
			b.Add(1)
			synctest.Wait()
			added := time.Now()
			b.Add(2)
			if d := (<-second).Sub(added); d != 10*time.Millisecond {
				t.Errorf("the second batch began after %v", d)
			}
			close(hang)
			synctest.Wait()
			cancel()
			<-done
		})
	})
}
