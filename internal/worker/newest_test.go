package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// TestConditionalWritesAreCounted guards against metrics that only BatchWriteItem had.
func TestConditionalWritesAreCounted(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
		w.Config.Ordering = config.OrderingNewest
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "PutItem" && c.N <= 3 {
				return awstest.Fault{Err: dynamodbfake.Throttling()}
			}
			return awstest.Fault{}
		})
		const predictions = 40
		for i := range predictions {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `"`+strings.Repeat("x", 4000)+`"`))
		}
		r := w.Start()
		time.Sleep(time.Minute)
		w.WantItems(predictions)
		_, text := r.Probe("/metrics")
		for _, line := range []string{
			fmt.Sprintf(`predcache_calls_total{operation="PutItem"} %d`, w.DynamoDB.CallCount("PutItem")),
			`predcache_call_errors_total{code="ThrottlingException",operation="PutItem"} 3`,
			`predcache_write_units_total 160`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("%s is missing", line)
			}
		}
		if strings.Contains(text, "predcache_batch_items_count 0\n") {
			t.Error("no batches are counted")
		}
		r.Stop()
	})
}
