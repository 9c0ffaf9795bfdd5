package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

func TestLayouts_store_the_newest_prediction(t *testing.T) {
	for _, layout := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
		t.Run(string(layout), func(t *testing.T) {
			workertest.WithFakes(t, layout, func(w *workertest.Fakes) {
				now := time.Now().Unix()
				w.Send(
					fmt.Sprintf(`{"predictionId":"a","timestamp":%d.25,"prediction":{"score":0.12345678901234567890},"model":"m"}`, now),
					fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":"older"}`, now-60),
				)
				r := w.Start()
				time.Sleep(time.Second)
				r.Stop()
				w.WantDeleted(2)

				want := `{"createdAt":{"N":"%[1]d.25"},"expiresAt":{"N":"%[2]d"},"model":{"S":"m"},"prediction":{"S":"{\"score\":0.12345678901234567890}"},"predictionId":{"S":"a"},"timestamp":{"N":"%[1]d"}}`
				var got attribute.Item
				switch layout {
				case item.Versioned:
					w.WantItems(2)
					got = w.DynamoDB.Item(workertest.TableName, "a", fmt.Sprint(now))
				case item.ExpirySorted:
					w.WantItems(2)
					got = w.DynamoDB.Item(workertest.TableName, "a", fmt.Sprint(now+86400))
					want = `{"createdAt":{"N":"%[1]d.25"},"model":{"S":"m"},"prediction":{"S":"{\"score\":0.12345678901234567890}"},"predictionId":{"S":"a"},"timestamp":{"N":"%[2]d"}}`
				case item.LatestOnly:
					w.WantItems(1)
					got = w.DynamoDB.Item(workertest.TableName, "a")
				}
				if want = fmt.Sprintf(want, now, now+86400); got.JSON() != want {
					t.Errorf("item\n%s, want\n%s", got.JSON(), want)
				}
			})
		})
	}
}

func TestDuplicates_cost_no_write(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		again := workertest.Message("a", time.Minute, `1`)
		w.Send(again, again, workertest.Message("b", time.Minute, `2`), again)
		r := w.Start()
		time.Sleep(time.Second)
		w.Send(again) // after the write
		time.Sleep(time.Second)
		r.Stop()
		w.WantDeleted(5)
		if got := len(w.DynamoDB.Writes()); got != 2 {
			t.Errorf("%d writes, want 2", got)
		}
	})
}

func TestReject_leaves_neighbours_alone(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		bad := `{"timestamp":1,"prediction":0}`
		w.Send(
			workertest.Message("a", time.Minute, `1`)+"\n"+bad+"\n"+workertest.Message("b", time.Minute, `2`),
			workertest.Message("c", time.Minute, `3`),
			`{"predictionId":`,
		)
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantItems(3)
		w.WantDeleted(3)
		rejects := w.SQS.Messages(workertest.RejectName)
		if len(rejects) != 2 {
			t.Fatalf("%d rejects, want 2: %v", len(rejects), rejects)
		}
		want := map[string][2]string{bad: {"missing_field", "predictionId"}, `{"predictionId":`: {"syntax", ""}}
		for _, got := range rejects {
			if why := [2]string{got.Attributes["predcache.reason"], got.Attributes["predcache.field"]}; why != want[got.Body] {
				t.Errorf("reject %q is for %q, want %q", got.Body, why, want[got.Body])
			}
			if !strings.Contains(got.Attributes["predcache.source"], `"receiveCount":1`) || got.Attributes["predcache.sentTimestamp"] == "" {
				t.Errorf("reject %q does not say where it came from: %v", got.Body, got.Attributes)
			}
		}
	})
}

func TestRejectQueue_none_backs_off(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Config.RejectQueueURL = ""
		w.Send(workertest.Message("a", time.Minute, `1`) + "\n" + `{"prediction":0}`)
		r := w.Start()
		time.Sleep(10 * time.Minute)
		r.Stop()
		w.WantItems(1)
		if got := len(w.DynamoDB.Writes()); got != 1 {
			t.Errorf("the good neighbour was written %d times, want once: it is a duplicate when the message returns", got)
		}
		m := w.SQS.Messages(workertest.QueueName)[0]
		// 30 s doubled each time: received at 0, 30, 90, 210, 450 s.
		if m.State == sqsfake.Deleted || m.ReceiveCount != 5 {
			t.Errorf("the message is %v after %d receives in 10 minutes, want it there, after 5", m.State, m.ReceiveCount)
		}
	})
}

func TestWrite_finds_refused_item_by_halving(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			for _, e := range c.Entries {
				if c.Operation == "BatchWriteItem" && e.Item.Text("predictionId") == "bad" {
					return awstest.Fault{Err: dynamodbfake.Validation("One or more parameter values were invalid")}
				}
			}
			return awstest.Fault{}
		})
		var bodies []string
		for i := range 24 {
			bodies = append(bodies, workertest.Message(fmt.Sprint("good", i), time.Minute, `1`))
		}
		w.Send(strings.Join(append(bodies, workertest.Message("bad", time.Minute, `1`)), "\n"))
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantItems(24)
		w.WantDeleted(1)
		if calls := w.DynamoDB.CallCount("BatchWriteItem"); calls > 11 {
			t.Errorf("%d calls, want at most 1 + 2 log2(25): single puts would be 26", calls)
		}
		if rejects := w.SQS.Messages(workertest.RejectName); len(rejects) != 1 || rejects[0].Attributes["predcache.reason"] != "table" {
			t.Errorf("rejects: %v, want the bad item alone, by the table", rejects)
		}
		// A reject by the table was counted as an outcome and not as a reject, so that PredcacheFault never fired for it.
		if _, text := r.Probe("/metrics"); !strings.Contains(text, `predcache_rejects_total{reason="table"} 1`) {
			t.Error("the reject is not counted by its reason")
		}
	})
}

func TestWrite_retries_unprocessed_items(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.N > 12 {
				return awstest.Fault{}
			}
			return awstest.Fault{Unprocessed: awstest.UnprocessedFrom(len(c.Entries) / 2)}
		})
		for i := range 100 {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.Start()
		time.Sleep(time.Minute)
		r.Stop()
		w.WantItems(100)
		w.WantDeleted(100)
		w.WantReceives(1)
	})
}

func TestWindow_forgets_failed_writes(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N <= 2 {
				return awstest.Fault{Err: dynamodbfake.InternalServerError()}
			}
			return awstest.Fault{}
		})
		again := workertest.Message("a", time.Minute, `1`)
		w.Send(again, again)
		r := w.Start()
		time.Sleep(time.Minute)
		r.Stop()
		w.WantItems(1)
		w.WantDeleted(2)
	})
}

func TestOutage_does_not_increase_receive_counts(t *testing.T) {
	for name, fault := range map[string]awstest.Fault{
		"down":          {Err: dynamodbfake.InternalServerError()},
		"access denied": {Err: awstest.AccessDenied("BatchWriteItem")},
		"throttled":     {Err: dynamodbfake.ProvisionedThroughputExceeded()},
		"hanging":       {Hang: true},
		"unreachable":   {Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
				for i := range 200 {
					w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
				}
				r := w.Start()
				time.Sleep(10 * time.Second)
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					if c.Operation == "BatchWriteItem" {
						return fault
					}
					return awstest.Fault{}
				})
				for i := range 400 {
					w.Send(workertest.Message(fmt.Sprint("later", i), time.Minute, `1`))
				}
				time.Sleep(30 * time.Minute)
				received := w.SQS.CallCount("ReceiveMessage")
				time.Sleep(30 * time.Minute)
				if status, text := r.Probe("/readyz"); status != 503 || !strings.Contains(text, "the table") {
					t.Errorf("/readyz is %d %q in the outage, want 503 and the table's reason", status, text)
				}
				if status, text := r.Probe("/livez"); status != 200 {
					t.Errorf("/livez is %d %q in the outage, want 200: a restart mends nothing", status, text)
				}
				if again := w.SQS.CallCount("ReceiveMessage") - received; again > 0 {
					t.Errorf("%d receives in the second half of the outage, want none", again)
				}
				if lines := strings.Count(r.Log.String(), "\n"); lines > 140 {
					t.Errorf("%d log lines in an hour, want about one a minute", lines)
				}
				w.DynamoDB.SetFault(nil)
				time.Sleep(2 * time.Minute)
				if status, text := r.Probe("/readyz"); status != 200 {
					t.Errorf("/readyz is %d %q after the outage, want 200", status, text)
				}
				r.Stop()
				w.WantItems(600)
				w.WantDeleted(600)
				w.WantReceives(1)
			})
		})
	}
}

func TestRejectQueue_down_holds_only_rejects(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "SendMessageBatch" {
				return awstest.Fault{Err: awstest.ServiceUnavailable()}
			}
			return awstest.Fault{}
		})
		w.Send(`{"prediction":0}`)
		r := w.Start()
		for i := range 50 {
			w.Send(workertest.Message(fmt.Sprint(i), 0, `1`))
			time.Sleep(time.Second)
		}
		time.Sleep(w.Config.DeleteLinger)
		w.WantItems(50)
		if got := w.States(workertest.QueueName); got[sqsfake.Deleted] != 50 || got[sqsfake.InFlight] != 1 {
			t.Errorf("messages by state: %v, want 50 deleted and the bad one in flight", got)
		}
		w.SQS.SetFault(nil)
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(51)
		w.WantReceives(1)
	})
}

func TestDelete_retries_by_cause(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "DeleteMessageBatch" && c.N <= 3 {
				return awstest.Fault{FailEntry: func(i int, e awstest.Entry) *awstest.EntryError {
					if i%2 == 0 {
						return nil
					}
					return &awstest.EntryError{Code: "InternalError", Message: "try again"}
				}}
			}
			return awstest.Fault{}
		})
		for i := range 30 {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.Start()
		time.Sleep(20 * time.Second)
		r.Stop()
		w.WantDeleted(30)
		w.WantReceives(1)
	})
}

func TestRedelivery_while_held(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.SQS.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "ReceiveMessage" && c.N <= 4 {
				return awstest.Fault{Redeliver: func(awstest.Entry) bool { return true }}
			}
			return awstest.Fault{}
		})
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 500 * time.Millisecond} })
		for i := range 20 {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.Start()
		time.Sleep(2 * time.Minute)
		r.Stop()
		w.WantItems(20)
		w.WantDeleted(20)
	})
}

func TestVisibility_extended_for_a_slow_write(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Config.CallTimeout = 5 * time.Minute
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 4 * time.Minute} })
		w.Send(workertest.Message("a", time.Minute, `1`))
		r := w.Start()
		time.Sleep(5 * time.Minute)
		r.Stop()
		w.WantDeleted(1)
		w.WantReceives(1)
	})
}

func TestDrain_writes_held_predictions(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 200 * time.Millisecond} })
		for i := range 300 {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.Start()
		time.Sleep(700 * time.Millisecond)
		r.Stop()
		if got := w.States(workertest.QueueName); got[sqsfake.InFlight] != 0 || got[sqsfake.Deleted] != w.DynamoDB.ItemCount(workertest.TableName) || got[sqsfake.Deleted] == 0 {
			t.Errorf("messages by state: %v with %d items, want as many deleted as written, and none in flight", got, w.DynamoDB.ItemCount(workertest.TableName))
		}
		w.WantReceives(1)
	})
}

func TestDrain_releases_in_an_outage(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" {
				return awstest.Fault{Hang: true}
			}
			return awstest.Fault{}
		})
		w.Send(workertest.Message("a", time.Minute, `1`), workertest.Message("b", time.Minute, `1`))
		r := w.Start()
		time.Sleep(time.Minute)
		began := time.Now()
		r.Stop()
		if took := time.Since(began); took > w.Config.DrainTimeout {
			t.Errorf("the drain took %v, want at most %v", took, w.Config.DrainTimeout)
		}
		if got := w.States(workertest.QueueName); got[sqsfake.Visible] != 2 || r.Left != 0 {
			t.Errorf("messages by state: %v with %d held, want 2 visible at once", got, r.Left)
		}
	})
}

func TestDrain_receive_in_flight_finishes(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Config.ReceiveWait = 20 * time.Second
		r := w.Start()
		time.Sleep(time.Second) // the long poll is under way
		go func() {
			time.Sleep(5 * time.Second)
			w.Send(workertest.Message("a", time.Minute, `1`))
		}()
		r.Stop()
		w.WantDeleted(1)
		w.WantItems(1)
	})
}

func TestDrain_idle_ends_within_3s(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Send(workertest.Message("a", time.Minute, `1`))
		r := w.Start()
		// SIGTERM comes at every point of a long poll.
		for wait := time.Minute; wait < time.Minute+5*time.Second; wait += 250 * time.Millisecond {
			time.Sleep(wait)
			began := time.Now()
			r.Stop()
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("an idle worker took %v to end, want at most 3 s", took)
			}
			r = w.Start()
		}
		r.Stop()
		w.WantDeleted(1)
	})
}

func TestIdle_makes_few_receives(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		r := w.Start()
		for i := range 200 { // let it open up
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		time.Sleep(5 * time.Minute)
		before := w.SQS.CallCount("ReceiveMessage")
		time.Sleep(10 * time.Minute)
		// One poller, whatever is allowed.
		if got, limit := w.SQS.CallCount("ReceiveMessage")-before, int(10*time.Minute/w.Config.ReceiveWait)+1; got > limit {
			t.Errorf("%d receives in 10 idle minutes, want at most %d", got, limit)
		}
		w.Send(workertest.Message("first", time.Minute, `1`))
		time.Sleep(time.Second)
		w.WantItems(201)
		r.Stop()
	})
}

func TestExpired_is_not_written(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Send(workertest.Message("old", 25*time.Hour, `1`), workertest.Message("young", 23*time.Hour, `1`))
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantDeleted(2)
		w.WantItems(1)
	})
}

func TestClock_skew_drops_nothing(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		const off = -48 * time.Hour // the services are two days behind us: our clock is ahead
		w.SQS.SetSkew(off)
		w.DynamoDB.SetSkew(off)
		w.Send(fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":1}`, time.Now().Add(off).Unix()))
		r := w.Start()
		time.Sleep(time.Second)
		r.Stop()
		w.WantDeleted(1)
		w.WantItems(1)
	})
}

func TestBatches_unique_keys_within_limits(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
		for i := range 500 {
			w.Send(workertest.Message(fmt.Sprint(i%40), time.Duration(500-i)*time.Second, fmt.Sprint(i)))
		}
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 20 * time.Millisecond} })
		r := w.Start()
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(500)
		w.WantItems(40)
		for i := range 40 {
			newest := 480 + i // of 0 to 499, the last that has this remainder
			if newest >= 500 {
				newest -= 40
			}
			if got := w.DynamoDB.Item(workertest.TableName, fmt.Sprint(i)).Text("prediction"); got != fmt.Sprint(newest) {
				t.Errorf("id %d holds %s, want the newest, %d", i, got, newest)
			}
		}
		if pairs := w.DynamoDB.OverlappingWrites(); len(pairs) > 0 {
			t.Errorf("two writes of one key were under way: %v", pairs[0])
		}
		for _, c := range w.DynamoDB.Calls("BatchWriteItem") {
			if c.Code != "" || len(c.Entries) > 25 {
				t.Errorf("a call of %d items ended with %q", len(c.Entries), c.Code)
			}
		}
	})
}

func TestMemory_many_small_predictions(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		if _, err := w.SQS.Client().SetQueueAttributes(w.T.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: &w.Config.QueueURL, Attributes: map[string]string{"MaximumMessageSize": "65536"},
		}); err != nil {
			t.Fatal(err)
		}
		w.Config.MaxDecodedBytes = 1 << 20
		w.Config.MaxHeldBytes = 1<<20 + 2*10*65<<10 // two receives
		w.Config.WriteConcurrency = 100             // so that it isn't the writes that receives wait for
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N > 1 {
				return awstest.Fault{Delay: 4 * time.Second}
			}
			return awstest.Fault{}
		})
		w.Send(workertest.Message("first", time.Minute, `1`))
		for i := range 40 {
			packed := make([]string, 500)
			for j := range packed {
				packed[j] = workertest.Message(fmt.Sprintf("%d/%d", i, j), time.Minute, `1`)
			}
			w.Send(strings.Join(packed, "\n"))
		}
		r := w.Start()
		time.Sleep(10 * time.Second)
		// As text 40 messages are 1.2 MB, which would do; with their 500 items each, one receive takes 2.8 MB.
		if held := r.Held(); held == 0 || held > 20 {
			t.Errorf("%d messages are held, want one receive or two", held)
		}
		w.DynamoDB.SetFault(nil)
		time.Sleep(time.Minute)
		r.Stop()
		w.WantDeleted(41)
		w.WantItems(20001)
	})
}

func TestReceive_waits_for_slow_writes(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		w.Config.WriteConcurrency = 2
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N > 10 {
				return awstest.Fault{Delay: 4 * time.Second}
			}
			return awstest.Fault{}
		})
		const n = 2000
		for i := range n {
			w.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.Start()
		time.Sleep(10 * time.Second)
		// Two calls under way, four batches that wait for each, and what eight pollers had asked for by then.
		if held := r.Held(); held < 200 || held > 2*25+200+8*10 {
			t.Errorf("%d messages are held", held)
		}
		if left := w.States(workertest.QueueName)[sqsfake.Visible]; left < 1000 {
			t.Errorf("%d messages are left for other workers", left)
		}
		w.DynamoDB.SetFault(nil)
		time.Sleep(time.Minute)
		w.WantDeleted(n)
		w.WantItems(n)
		w.WantReceives(1)
		r.Stop()
	})
}

func TestMemory_long_compressed_messages(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
		// One decompressed message and what it becomes leave no room for a second until the first has settled.
		w.Config.MaxDecodedBytes = 8 << 20
		w.Config.MaxHeldBytes = 10<<20 + 10<<10 + 8<<20
		w.Config.RejectQueueURL = "" // which would need some, too
		for i := range 10 {
			packed := make([]string, 6000)
			for j := range packed {
				packed[j] = workertest.Message(fmt.Sprintf("%d/%d", i, j), time.Minute, `1`)
			}
			body := workertest.Gzip(strings.Join(packed, "\n"))
			if _, err := w.SQS.Client().SendMessage(w.T.Context(), &sqs.SendMessageInput{
				QueueUrl: &w.Config.QueueURL, MessageBody: &body, MessageAttributes: workertest.ContentEncoding("gzip"),
			}); err != nil {
				t.Fatal(err)
			}
		}
		r := w.Start()
		time.Sleep(5 * time.Minute)
		w.WantDeleted(10)
		w.WantItems(60000)
		w.WantReceives(1)
		r.Stop()
	})
}
