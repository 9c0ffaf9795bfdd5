package batch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/predcache/predcache/internal/batch"
)

// BenchmarkBatcher measures one value from Add to Done. Values are added ten at a time, like a receive, with at most a few
// thousand pending.
func BenchmarkBatcher(b *testing.B) {
	for _, workers := range []int{1, 8} {
		for _, retries := range []int{0, 10} {
			b.Run(fmt.Sprintf("workers-%d/retries-%d%%", workers, retries), func(b *testing.B) {
				const perAdd, maxPending = 10, 4000
				var pending sync.WaitGroup
				room := make(chan struct{}, maxPending/perAdd)
				v := new(int)
				handle := func(_ context.Context, entries []*batch.Entry[*int]) {
					for i, e := range entries {
						if e.Attempts == 0 && i*100 < retries*len(entries) {
							e.Retry()
							continue
						}
						e.Done()
						pending.Done()
					}
				}
				batcher := batch.New(batch.Config[*int]{
					MaxItems: 25, MaxBytes: 16 << 20, Workers: workers, Handle: handle,
					Take: func(_ *int, room int) (int, bool) { return 1 << 10, 1<<10 <= room },
				})
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = batcher.Run(ctx)
				}()
				values := make([]*int, perAdd)
				for i := range values {
					values[i] = v
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += perAdd {
					select {
					case room <- struct{}{}:
					default:
						pending.Wait()
						for len(room) > 0 {
							<-room
						}
					}
					pending.Add(perAdd)
					batcher.Add(values...)
				}
				pending.Wait()
				b.StopTimer()
				cancel()
				<-ended
			})
		}
	}
}
