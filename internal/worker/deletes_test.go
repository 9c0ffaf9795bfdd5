package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// deleteOf is a delete of an id, as of so many seconds before now.
func deleteOf(id string, age time.Duration) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"deleted":true,"prediction":"secret","model":"secret"}`, id, time.Now().Add(-age).Unix())
}

var layouts = []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly}

// tombstones returns the items that are tombstones, and the payloads of the others.
func tombstones(w *workertest.Fakes) (n int, payloads []string) {
	for _, it := range w.DynamoDB.Items(workertest.TableName) {
		if strings.Contains(it.JSON(), `"deleted":{"BOOL":true}`) {
			n++
			if strings.Contains(it.JSON(), "secret") {
				w.T.Errorf("the tombstone keeps what its message held: %s", it.JSON())
			}
		} else {
			payloads = append(payloads, it.Text("prediction"))
		}
	}
	return n, payloads
}

// Without WORKER_DELETES a delete is rejected, and what it would hide stays.
func TestDeletes_off(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Send(workertest.Message("a", time.Minute, `1`), deleteOf("a", 0))
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantDeleted(2)
		w.WantItems(1)
		rejects := w.SQS.Messages(workertest.RejectName)
		if len(rejects) != 1 || rejects[0].Attributes["predcache.reason"] != "deletes_off" {
			t.Errorf("rejects: %+v, want one for deletes_off", rejects)
		}
	})
}

// A delete is durable in every layout, hides what is older, and is written once. What is newer lives, whatever the order in which
// they come and the worker that writes them.
func TestDeletes_hide(t *testing.T) {
	t.Setenv("WORKER_DELETES", "hide")
	t.Setenv("WORKER_ORDERING", "newest")
	for _, layout := range layouts {
		for _, deleteFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(layout, "/the delete first ", deleteFirst), func(t *testing.T) {
				workertest.WithFakes(t, layout, func(w *workertest.Fakes) {
					older, gone, newer := workertest.Message("a", 2*time.Minute, `"older"`), deleteOf("a", time.Minute), workertest.Message("a", 0, `"newer"`)
					consume := func(bodies ...string) { // each by a worker that knows nothing of the others
						for _, body := range bodies {
							w.Send(body)
							r := w.Start()
							time.Sleep(time.Minute)
							r.Stop()
						}
					}
					if deleteFirst {
						consume(gone, older)
					} else {
						consume(older, gone)
					}
					wantOlder := 1 // hidden
					if layout == item.LatestOnly {
						wantOlder = 0
					}
					if n, payloads := tombstones(w); n != 1 || len(payloads) != wantOlder {
						t.Errorf("%d tombstones beside %q", n, payloads)
					}
					consume(newer)
					n, payloads := tombstones(w)
					if layout == item.LatestOnly && (n != 0 || len(payloads) != 1) || layout != item.LatestOnly && (n != 1 || len(payloads) != 2) {
						t.Errorf("%d tombstones beside %q after a newer prediction", n, payloads)
					}
					if !strings.Contains(fmt.Sprint(payloads), "newer") {
						t.Errorf("the newer prediction is missing: %q", payloads)
					}
					w.WantDeleted(3)
				})
			})
		}
	}
}

// Within one process a delete supersedes what waits, and its redelivery costs no write.
func TestDeletes_dedup(t *testing.T) {
	t.Setenv("WORKER_DELETES", "hide")
	t.Setenv("WORKER_ORDERING", "newest")
	workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
		gone := deleteOf("a", time.Minute)
		w.Send(gone, workertest.Message("a", 2*time.Minute, `1`), gone, workertest.Message("a", time.Minute, `2`))
		r := w.Start()
		time.Sleep(time.Second)
		w.Send(workertest.Message("a", time.Hour, `3`), gone)
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(6)
		if n, payloads := tombstones(w); n != 1 || len(payloads) != 0 {
			t.Errorf("%d tombstones beside %q", n, payloads)
		}
	})
}

// However late it comes, a delete is written: nothing else hides what it must hide.
func TestDeletes_never_expire_on_the_way(t *testing.T) {
	t.Setenv("WORKER_DELETES", "hide")
	t.Setenv("WORKER_TTL", "1m")
	t.Setenv("WORKER_TOMBSTONE_TTL", "1m")
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Send(deleteOf("a", 90*24*time.Hour), workertest.Message("b", 0, `1`))
		time.Sleep(time.Hour)
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantDeleted(2)
		if n, payloads := tombstones(w); n != 1 || len(payloads) != 0 {
			t.Errorf("%d tombstones beside %q, want 1 and nothing", n, payloads)
		}
	})
}
