package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// newRedrive returns a redrive between the queues of the fakes.
func newRedrive(w *workertest.Fakes) *redrive {
	w.T.Helper()
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: w.Transport(), Clock: &awsclient.Clock{}})
	if err != nil {
		w.T.Fatal(err)
	}
	return &redrive{
		from: awsclient.NewQueue(clients, w.Config.RejectQueueURL), to: awsclient.NewQueue(clients, w.Config.QueueURL),
		reasons: map[string]bool{}, limit: rate.NewLimiter(rate.Inf, 10), timeout: w.Config.CallTimeout,
	}
}

// rejectSome lets a worker reject messages, and returns when they were sent.
func rejectSome(w *workertest.Fakes, bodies ...string) time.Time {
	w.T.Helper()
	sent := time.Now()
	w.SQS.Send(workertest.QueueName, bodies...)
	r := w.Start()
	time.Sleep(time.Minute)
	r.Stop()
	if visible, _, _ := w.SQS.Counts(workertest.RejectName); visible != len(bodies) {
		w.T.Fatalf("%d rejects, want %d", visible, len(bodies))
	}
	return sent
}

func TestRedriveListsWithoutTakingAnything(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		rejectSome(w, `{"prediction":1}`, `{"prediction":2}`, `{"predictionId":7,"prediction":1}`, `no JSON`)
		r := newRedrive(w)
		r.dry, r.reasons["key"] = true, true
		if err := r.run(w.T.Context()); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		r.report(&out)
		for _, want := range []string{"2         missing_field  predictionId  2000-01-01 00:00:00", "1         key", "1         syntax", "1 of 4 would be sent back."} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report lacks %q:\n%s", want, out.String())
			}
		}
		if visible, hidden, _ := w.SQS.Counts(workertest.RejectName); visible != 4 || hidden != 0 {
			t.Errorf("%d rejects are visible and %d hidden, want 4 and 0", visible, hidden)
		}
		if visible, _, _ := w.SQS.Counts(workertest.QueueName); visible != 0 {
			t.Errorf("%d messages were sent", visible)
		}
	})
}

// What is not chosen is visible again before a long queue has been gone through: that must not go on for ever.
func TestRedriveEndsWhereRejectsComeBackMeanwhile(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		bodies := make([]string, 200)
		for i := range bodies {
			bodies[i] = fmt.Sprintf("no JSON %d.", i)
		}
		rejectSome(w, bodies...)
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 4 * time.Second} })
		r := newRedrive(w)
		r.dry = true
		if err := r.run(w.T.Context()); err != nil {
			t.Fatal(err)
		}
		w.SQS.SetFault(nil)
		if r.found != 200 {
			t.Errorf("%d rejects were found, want 200", r.found)
		}
	})
}

func TestRedriveSendsBackWhatIsChosen(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		sent := rejectSome(w, `{"prediction":1}`, `{"predictionId":7,"prediction":1}`, `no JSON`)
		r := newRedrive(w)
		r.reasons["key"], r.reasons["syntax"] = true, true
		if err := r.run(w.T.Context()); err != nil {
			t.Fatal(err)
		}
		if r.sent != 2 || r.found != 3 {
			t.Errorf("%d of %d were sent back, want 2 of 3", r.sent, r.found)
		}
		if visible, hidden, _ := w.SQS.Counts(workertest.RejectName); visible != 1 || hidden != 0 {
			t.Errorf("%d rejects are visible and %d hidden, want 1 and 0", visible, hidden)
		}
		back := map[string]bool{}
		for _, m := range w.SQS.Messages(workertest.QueueName) {
			if m.State == sqsfake.Visible {
				back[m.Body] = true
				if got := m.Attributes[consumer.AttrSent]; got != strconv.FormatInt(sent.UnixMilli(), 10) || len(m.Attributes) != 1 {
					t.Errorf("%s came back with %v, want its sent time alone", m.Body, m.Attributes)
				}
			}
		}
		if !back["no JSON"] || !back[`{"predictionId":7,"prediction":1}`] || len(back) != 2 {
			t.Errorf("sent back: %v", back)
		}
	})
}

// Whatever fails and whenever it is interrupted, each message is in one of the queues, or in both.
func TestRedriveLosesNothing(t *testing.T) {
	const count = 60
	for cut := 1; cut <= 12; cut++ {
		t.Run(fmt.Sprint("interrupted at call ", cut), func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
				bodies := make([]string, count)
				for i := range bodies {
					bodies[i] = fmt.Sprintf("no JSON %d.", i)
				}
				rejectSome(w, bodies...)
				ctx, interrupt := context.WithCancel(w.T.Context())
				defer interrupt()
				calls := 0
				w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
					if calls++; calls == cut {
						interrupt()
					}
					switch {
					case calls%5 == 0:
						return awstest.Fault{LoseAnswer: true}
					case calls%7 == 0:
						return awstest.Fault{FailEntry: func(i int, _ awstest.Entry) *awstest.EntryError {
							if i%2 == 0 {
								return nil
							}
							return &awstest.EntryError{Code: "InternalError"}
						}}
					}
					return awstest.Fault{}
				})
				r := newRedrive(w)
				r.all = true
				_ = r.run(ctx) // what fails is no matter here
				w.SQS.SetFault(nil)
				if calls > math.MaxInt16 {
					t.Errorf("%d calls", calls)
				}
				where := map[string]int{}
				for _, queue := range []string{workertest.QueueName, workertest.RejectName} {
					for _, m := range w.SQS.Messages(queue) {
						if m.State == sqsfake.Visible || m.State == sqsfake.InFlight {
							where[m.Body]++
						}
					}
				}
				if len(where) != count {
					t.Errorf("%d messages are left of %d", len(where), count)
				}
			})
		})
	}
}

func TestRedriveKeepsToItsRate(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		bodies := make([]string, 100)
		for i := range bodies {
			bodies[i] = fmt.Sprintf("no JSON %d.", i)
		}
		rejectSome(w, bodies...)
		r := newRedrive(w)
		r.all, r.limit = true, rate.NewLimiter(5, 10)
		began := time.Now()
		if err := r.run(w.T.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); r.sent != 100 || took < 18*time.Second {
			t.Errorf("%d messages in %v at 5 a second", r.sent, took)
		}
	})
}
