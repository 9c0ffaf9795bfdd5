package worker_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/writer"
)

// TestThrottledTable has a table throttle every write for 40 s, under load. It got 4,800 calls in that time. It must get few,
// must be written at the full rate within 2 s after that, and no receive count may rise.
func TestThrottledTable(t *testing.T) {
	for _, test := range []struct {
		ordering  string
		operation string
		perBatch  int // calls
	}{
		{config.OrderingLastWrite, "BatchWriteItem", 1},
		{config.OrderingNewest, "PutItem", writer.CallsPerBatch},
	} {
		t.Run(test.ordering, func(t *testing.T) {
			workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
				w.Config.Ordering = test.ordering
				var throttling atomic.Bool
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					switch {
					case c.Operation != test.operation:
						return awstest.Fault{}
					case throttling.Load():
						return awstest.Fault{Err: dynamodbfake.Throttling(), Delay: time.Millisecond}
					default:
						return awstest.Fault{Delay: 100 * time.Millisecond}
					}
				})
				const messages = 20_000
				for i := range messages {
					w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
				}
				r := w.Start()
				items := func(d time.Duration) int {
					before := w.DynamoDB.ItemCount(workertest.TableName)
					time.Sleep(d)
					return w.DynamoDB.ItemCount(workertest.TableName) - before
				}
				items(2 * time.Second)
				clean := items(2 * time.Second)
				calls := w.DynamoDB.CallCount(test.operation)
				throttling.Store(true)
				time.Sleep(40 * time.Second)
				if n := w.DynamoDB.CallCount(test.operation) - calls; n > 150*test.perBatch {
					t.Errorf("%d calls in 40 s, want at most %d", n, 150*test.perBatch)
				}
				throttling.Store(false)
				items(2 * time.Second)
				if again := items(2 * time.Second); again < clean*9/10 {
					t.Errorf("%d items in 2 s after the throttling, want about %d", again, clean)
				}
				time.Sleep(2 * time.Minute)
				r.Stop()
				w.WantItems(messages)
				w.WantDeleted(messages)
				w.WantReceives(1)
			})
		})
	}
}
