package worker_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// A worker that started on bad messages alone, with its reject queue down, waited for that queue before it wrote anything.
func TestRejectQueue_down_at_start(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "SendMessageBatch" && c.Resource == workertest.RejectName {
				return awstest.Fault{Err: sqsfake.InternalError()}
			}
			return awstest.Fault{}
		})
		w.SQS.Send(workertest.QueueName, "no JSON")
		r := w.Start()
		time.Sleep(time.Minute)
		w.SQS.Send(workertest.QueueName, `{"predictionId":"good","prediction":1}`)
		time.Sleep(time.Minute)
		if n := w.DynamoDB.ItemCount(workertest.TableName); n != 1 {
			t.Errorf("%d items were written, want 1", n)
		}
		if _, inFlight, _ := w.SQS.Counts(workertest.QueueName); inFlight != 1 {
			t.Errorf("%d messages are held, want the bad one", inFlight)
		}
		r.Stop()
	})
}

// A batch of large items waits for minutes where WORKER_MAX_WRITE_UNITS is low. /livez took that for a pipeline that is stuck,
// and the platform restarted the worker, again and again.
func TestHealth_waiting_for_write_units_is_not_stuck(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Config.MaxWriteUnits, w.Config.Pollers, w.Config.MaxHeldMessages = 1, 1, 10
		bodies := make([]string, 10)
		for i := range bodies {
			bodies[i] = fmt.Sprintf(`{"predictionId":"id-%d","prediction":%q}`, i, strings.Repeat("x", 60_000))
		}
		r := w.Start()
		w.SQS.Send(workertest.QueueName, bodies...)
		for range 9 {
			time.Sleep(time.Minute)
			answer := httptest.NewRecorder()
			r.Health.Live(answer, httptest.NewRequest(http.MethodGet, "/livez", nil))
			if answer.Code != http.StatusOK {
				t.Fatalf("/livez: %s", answer.Body)
			}
		}
		time.Sleep(time.Minute)
		if n := w.DynamoDB.ItemCount(workertest.TableName); n != 10 {
			t.Errorf("%d items were written, want 10", n)
		}
		r.Stop()
	})
}

// An error code that isn't UTF-8, from a broken proxy, made the metric's label panic and the worker with it.
func TestMetrics_unreadable_error_code(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "ReceiveMessage" && c.N < 5 {
				return awstest.Fault{Err: &awstest.Error{Status: 500, Type: "InternalError", Query: "Bad\xffGateway"}}
			}
			return awstest.Fault{}
		})
		w.Send(workertest.Message("a", 0, `1`))
		r := w.Start()
		time.Sleep(time.Minute)
		if _, text := r.Probe("/metrics"); !strings.Contains(text, `predcache_call_errors_total{code="Bad_Gateway",operation="ReceiveMessage"} 4`) {
			t.Error("the failed calls are not counted")
		}
		r.Stop()
		w.WantItems(1)
	})
}
