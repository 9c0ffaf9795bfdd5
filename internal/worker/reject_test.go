package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/workertest"
)

// sendsFail makes the reject queue answer every call with an error.
func sendsFail(f *workertest.Fakes, err *awstest.Error) {
	f.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation == "SendMessageBatch" {
			return awstest.Fault{Err: err}
		}
		return awstest.Fault{}
	})
}

// A reject queue without permission stopped good traffic: its messages held all the room that there was.
func TestRejectQueue_down_leaves_room_for_good_messages(t *testing.T) {
	for name, err := range map[string]*awstest.Error{"denied": awstest.AccessDenied("sqs:SendMessage"), "down": awstest.ServiceUnavailable()} {
		t.Run(name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				f.Config.MaxHeldMessages = 200
				sendsFail(f, err)
				for i := range 300 {
					f.Send(fmt.Sprintf("no JSON %d", i))
				}
				r := f.Start()
				time.Sleep(time.Minute)
				for i := range 100 {
					f.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
				}
				time.Sleep(time.Minute)
				f.WantItems(100)
				if _, text := r.Probe("/readyz"); !strings.Contains(text, "the reject queue") {
					t.Errorf("/readyz says %q", text)
				}
				f.SQS.SetFault(nil)
				time.Sleep(2 * time.Hour) // the longest backoff, and a retry
				r.Stop()
				f.WantDeleted(400)
				if n := len(f.SQS.Messages(workertest.RejectName)); n != 300 {
					t.Errorf("%d rejects, want 300", n)
				}
			})
		})
	}
}

// A message costs at most ten rejects, and one if nothing of it is good.
func TestReject_whole_message_with_many_bad_parts(t *testing.T) {
	good := func() string { return workertest.Message("good", time.Minute, `1`) }
	for _, test := range []struct {
		name    string
		body    func() string
		items   int
		rejects int
		whole   bool
	}{
		{"a bare vector", func() string { return "[" + strings.Repeat("0.12,", 767) + "0.34]" }, 0, 1, true},
		{"ten bad lines beside a good one", func() string { return strings.Repeat("{}\n", 10) + good() }, 1, 10, false},
		{"eleven bad lines beside a good one", func() string { return strings.Repeat("{}\n", 11) + good() }, 1, 1, true},
		{"two bad lines and nothing else", func() string { return "{}\n{\"predictionId\":\"a\"}" }, 0, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				body := test.body()
				f.Send(body)
				r := f.Start()
				time.Sleep(time.Minute)
				r.Stop()
				f.WantItems(test.items)
				f.WantDeleted(1)
				rejects := f.SQS.Messages(workertest.RejectName)
				if len(rejects) != test.rejects || (rejects[0].Body == body) != test.whole {
					t.Errorf("%d rejects, the first %q", len(rejects), rejects[0].Body)
				}
			})
		})
	}
}

// SQS refuses some characters: such a part was sent again for ever, and its siblings with it.
func TestReject_part_that_SQS_refuses(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		bad := "{\"predictionId\":\"n2\",\"prediction\":\"a\x01b\"}"
		body := workertest.Gzip(workertest.Message("n1", time.Minute, `1`) + "\n" + bad + "\n{}\n" + workertest.Message("n3", time.Minute, `1`))
		if _, err := f.SQS.Client().SendMessage(f.T.Context(), &sqs.SendMessageInput{
			QueueUrl: &f.Config.QueueURL, MessageBody: &body, MessageAttributes: workertest.ContentEncoding("gzip"),
		}); err != nil {
			t.Fatal(err)
		}
		r := f.Start()
		time.Sleep(24 * time.Hour)
		r.Stop()
		f.WantItems(2)
		f.WantDeleted(1)
		encoded := 0
		rejects := f.SQS.Messages(workertest.RejectName)
		for _, m := range rejects {
			if m.Attributes["Content-Encoding"] == "gzip" {
				encoded++
			}
		}
		if len(rejects) != 2 || encoded != 1 {
			t.Errorf("%d rejects, %d of them encoded, want 2 and 1", len(rejects), encoded)
		}
	})
}

// What the reject queue refuses for good stays on its queue. Its siblings were sent again at each receive.
func TestReject_refused_by_its_queue(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		refused := `{"predictionId":"refused"}`
		f.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation != "SendMessageBatch" {
				return awstest.Fault{}
			}
			return awstest.Fault{FailEntry: func(_ int, e awstest.Entry) *awstest.EntryError {
				if e.Body == refused {
					return &awstest.EntryError{Code: "InvalidMessageContents", SenderFault: true}
				}
				return nil
			}}
		})
		f.Send(refused + "\n{}\n" + workertest.Message("good", time.Minute, `1`))
		r := f.Start()
		time.Sleep(24 * time.Hour)
		if _, text := r.Probe("/readyz"); !strings.Contains(text, "InvalidMessageContents") {
			t.Errorf("/readyz says %q", text)
		}
		r.Stop()
		f.WantItems(1)
		if got := f.States(workertest.QueueName); got[sqsfake.Deleted] != 0 {
			t.Errorf("the message was deleted: %v", got)
		}
		if n := len(f.SQS.Messages(workertest.RejectName)); n != 1 {
			t.Errorf("%d rejects, want the sibling once", n)
		}
		if !strings.Contains(r.Log.String(), "InvalidMessageContents") {
			t.Error("the refusal was not logged")
		}
	})
}

// A panic between a prediction's announcement and the window left a message that no outcome could settle: it was held until SQS's
// limit of 12 hours, and the drain waited for it.
func TestReject_prediction_that_crashes_the_window(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		f.WrapAdmit = func(next worker.Admit) worker.Admit {
			return func(it *item.Item, to dedup.Waiter) bool {
				if it.Key.ID == "crash" {
					panic("a fault")
				}
				return next(it, to)
			}
		}
		good, bad := workertest.Message("good", time.Minute, `1`), workertest.Message("crash", time.Minute, `1`)
		f.Send(good+"\n"+bad, workertest.Message("another", time.Minute, `1`))
		r := f.Start()
		time.Sleep(time.Minute)
		if r.Held() != 0 || r.HeldBytes() > consumer.ReceiveBytes(1<<20) {
			t.Errorf("%d messages are held, and %d bytes", r.Held(), r.HeldBytes())
		}
		r.Stop()
		f.WantItems(2)
		f.WantDeleted(2)
		rejects := f.SQS.Messages(workertest.RejectName)
		if len(rejects) != 1 || rejects[0].Body != bad || rejects[0].Attributes[consumer.AttrReason] != string(prediction.ReasonInternal) {
			t.Errorf("rejects: %+v", rejects)
		}
	})
}

// Each reject that waited for a reject queue that is down was retried by itself: hundreds of calls a second.
func TestRejectQueue_down_is_called_seldom(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		sendsFail(f, awstest.ServiceUnavailable())
		for i := range 2000 {
			f.Send(fmt.Sprintf("no JSON %d", i))
		}
		r := f.Start()
		time.Sleep(time.Minute)
		if n := f.SQS.CallCount("SendMessageBatch"); n > 120 {
			t.Errorf("%d calls in a minute", n)
		}
		f.SQS.SetFault(nil)
		time.Sleep(2 * time.Hour)
		r.Stop()
		f.WantDeleted(2000)
	})
}
