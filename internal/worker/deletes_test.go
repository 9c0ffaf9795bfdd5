package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
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

// payloads returns the payloads in the table, sorted by key.
func payloads(w *workertest.Fakes) []string {
	_, p := tombstones(w)
	return p
}

// prediction of an id, at an event time of so long before now.
func predictionOf(id string, age time.Duration, payload string) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%q,"prediction":%q}`, id, time.Now().Add(-age).UTC().Format(time.RFC3339Nano), payload)
}

// With remove, a delete's message is deleted once the table has nothing older of its id.
func TestDeletes_remove(t *testing.T) {
	t.Setenv("WORKER_DELETES", "remove")
	for _, layout := range layouts {
		for _, ordering := range []string{"last-write", "newest"} {
			if layout != item.Versioned && ordering == "last-write" {
				continue // refused
			}
			t.Run(fmt.Sprint(layout, "/", ordering), func(t *testing.T) {
				t.Setenv("WORKER_ORDERING", ordering)
				workertest.WithFakes(t, layout, func(w *workertest.Fakes) {
					r := w.Start()
					w.Send(predictionOf("a", time.Hour, "older"), predictionOf("b", time.Hour, "another id"))
					for i := range 60 { // over several pages
						w.Send(predictionOf("a", time.Hour-time.Duration(i)*time.Second, "older"))
					}
					time.Sleep(time.Minute)
					w.Send(fmt.Sprintf(`{"predictionId":"a","timestamp":%q,"deleted":true}`, time.Now().UTC().Format(time.RFC3339Nano)))
					time.Sleep(time.Minute)
					w.Send(predictionOf("a", 0, "newer"))
					time.Sleep(time.Minute)
					r.Stop()
					w.WantDeleted(64)
					got := payloads(w)
					slices.Sort(got)
					if want := []string{`"another id"`, `"newer"`}; !slices.Equal(got, want) {
						t.Errorf("the table has %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// What has the event time's sort unit is removed only if it is not newer, whatever comes in between.
func TestDeletes_remove_within_a_sort_unit(t *testing.T) {
	t.Setenv("WORKER_DELETES", "remove")
	for _, newer := range []bool{false, true} {
		t.Run(fmt.Sprint("the table has a newer one ", newer), func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
				second := time.Now().Add(-time.Minute).Truncate(time.Second)
				at := func(d time.Duration) string { return second.Add(d).UTC().Format(time.RFC3339Nano) }
				event := at(300 * time.Millisecond)
				if newer {
					event = at(700 * time.Millisecond)
				}
				w.Send(fmt.Sprintf(`{"predictionId":"a","timestamp":%q,"prediction":"x"}`, event))
				r := w.Start()
				time.Sleep(time.Minute)
				r.Stop()
				w.Send(fmt.Sprintf(`{"predictionId":"a","timestamp":%q,"deleted":true}`, at(500*time.Millisecond)))
				r = w.Start()
				time.Sleep(time.Minute)
				r.Stop()
				w.WantDeleted(2)
				n, left := tombstones(w)
				if want := map[bool]int{false: 0, true: 1}[newer]; n != 1 || len(left) != want {
					t.Errorf("%d tombstones beside %q, want %d of these", n, left, want)
				}
			})
		})
	}
}

// Older predictions that are on their way when the delete is written don't stay behind it.
func TestDeletes_remove_what_is_in_flight(t *testing.T) {
	t.Setenv("WORKER_DELETES", "remove")
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		puts := 0
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" {
				puts++
				if puts > 1 && puts < 6 {
					return awstest.Fault{Unprocessed: func(_ int, e awstest.Entry) bool { return strings.Contains(e.Item.JSON(), "slow") }}
				}
			}
			return awstest.Fault{}
		})
		r := w.Start()
		w.Send(predictionOf("z", 0, "first"))
		time.Sleep(time.Second)
		w.Send(predictionOf("a", time.Hour, "slow"), predictionOf("a", time.Hour-time.Minute, "slow"))
		w.Send(deleteOf("a", 0))
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(4)
		if got := payloads(w); len(got) != 1 {
			t.Errorf("the table has %q beside the tombstone", got)
		}
	})
}

// Without the permission for removals the worker writes on. The deletes' messages wait, a few at a time, and are deleted once the
// permission is there and nothing older is in the table.
func TestDeletes_remove_denied(t *testing.T) {
	t.Setenv("WORKER_DELETES", "remove")
	t.Setenv("WORKER_MAX_HELD_MESSAGES", "100")
	for _, operation := range []string{"Query", "DeleteItem"} {
		t.Run(operation, func(t *testing.T) {
			t.Setenv("WORKER_ORDERING", "newest")
			workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
				var denied atomic.Bool
				denied.Store(true)
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					if denied.Load() && c.Operation == operation {
						return awstest.Fault{Err: awstest.AccessDenied(operation)}
					}
					return awstest.Fault{}
				})
				for i := range 200 {
					w.Send(predictionOf(fmt.Sprint("gone-", i), time.Hour, "old"))
				}
				r := w.Start()
				time.Sleep(time.Minute)
				for i := range 200 {
					w.Send(deleteOf(fmt.Sprint("gone-", i), time.Minute))
				}
				time.Sleep(5 * time.Minute)
				for i := range 300 {
					w.Send(predictionOf(fmt.Sprint("live-", i), 0, "live"))
				}
				time.Sleep(time.Minute)
				if n := strings.Count(fmt.Sprint(payloads(w)), "live"); n != 300 {
					t.Errorf("%d of 300 other predictions were written", n)
				}
				if n, _ := tombstones(w); n != 200 {
					t.Errorf("%d tombstones, want 200", n)
				}
				if status, text := r.Probe("/readyz"); status != 503 || !strings.Contains(text, operation) || strings.Contains(text, "the table") {
					t.Errorf("/readyz answers %d: %s", status, text)
				}
				if n := r.Held(); n > 100/4 {
					t.Errorf("%d messages are held, more than their share of 25", n)
				}
				denied.Store(false)
				time.Sleep(2 * time.Hour) // the longest back-off, twice
				if status, text := r.Probe("/readyz"); status != 200 {
					t.Errorf("/readyz answers %d: %s", status, text)
				}
				r.Stop()
				w.WantDeleted(700)
				if got := payloads(w); len(got) != 300 {
					t.Errorf("the table has %d predictions, want the 300 live ones", len(got))
				}
			})
		})
	}
}

// A kill or a drain between tombstone and removal loses nothing: the message comes back.
func TestDeletes_remove_again_after_an_end(t *testing.T) {
	t.Setenv("WORKER_DELETES", "remove")
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		var hang atomic.Bool
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if hang.Load() && c.Operation == "Query" {
				return awstest.Fault{Delay: time.Hour}
			}
			return awstest.Fault{}
		})
		w.Send(predictionOf("a", time.Hour, "old"))
		r := w.Start()
		time.Sleep(time.Second)
		hang.Store(true)
		w.Send(deleteOf("a", 0))
		time.Sleep(time.Second)
		r.Stop()
		if n, left := tombstones(w); n != 1 || len(left) != 1 || r.Left != 0 {
			t.Fatalf("%d tombstones beside %q, %d messages left: the scenario proves nothing", n, left, r.Left)
		}
		hang.Store(false)
		r = w.Start()
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(2)
		if got := payloads(w); len(got) != 0 {
			t.Errorf("the table has %q beside the tombstone", got)
		}
	})
}
