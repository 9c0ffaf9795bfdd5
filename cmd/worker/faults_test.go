package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
)

// A worker that started on bad messages alone, with its reject queue down, waited for that queue before it wrote anything.
func TestARejectQueueThatIsDownDoesNotKeepAWorkerFromStarting(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "SendMessageBatch" && c.Resource == rejectName {
				return awstest.Fault{Err: awstest.InternalError()}
			}
			return awstest.Fault{}
		})
		w.queues.Send(queueName, "no JSON")
		r := w.start()
		time.Sleep(time.Minute)
		w.queues.Send(queueName, `{"predictionId":"good","prediction":1}`)
		time.Sleep(time.Minute)
		if n := w.tables.ItemCount(tableName); n != 1 {
			t.Errorf("%d items were written, want 1", n)
		}
		if _, inFlight, _ := w.queues.Counts(queueName); inFlight != 1 {
			t.Errorf("%d messages are held, want the bad one", inFlight)
		}
		r.stop()
	})
}

// What had been admitted before a message that the worker failed to read was never handed to the writer.
func TestAFaultInReadingLosesNothingOfItsNeighbours(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		r := w.start()
		before := []*item.Item{{}, {}}
		m := &consumer.Message{}
		m.Body = "a body"
		if after := r.read(m, nil, before); len(after) != len(before) { // nil: the decoder panics
			t.Errorf("%d items are left of %d", len(after), len(before))
		}
		r.stop()
	})
}

// A batch of large items waits for minutes where WORKER_MAX_WRITE_UNITS is low. /livez took that for a pipeline that is stuck,
// and the platform restarted the worker, again and again.
func TestWaitingForWriteUnitsIsNotStuck(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.cfg.MaxWriteUnits, w.cfg.Pollers, w.cfg.MaxHeldMessages = 1, 1, 10
		bodies := make([]string, 10)
		for i := range bodies {
			bodies[i] = fmt.Sprintf(`{"predictionId":"id-%d","prediction":%q}`, i, strings.Repeat("x", 60_000))
		}
		r := w.start()
		w.queues.Send(queueName, bodies...)
		for range 9 {
			time.Sleep(time.Minute)
			answer := httptest.NewRecorder()
			r.health.Live(answer, httptest.NewRequest(http.MethodGet, "/livez", nil))
			if answer.Code != http.StatusOK {
				t.Fatalf("/livez: %s", answer.Body)
			}
		}
		time.Sleep(time.Minute)
		if n := w.tables.ItemCount(tableName); n != 10 {
			t.Errorf("%d items were written, want 10", n)
		}
		r.stop()
	})
}
