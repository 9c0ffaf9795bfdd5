package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
)

func TestEveryLayoutStoresTheNewestPrediction(t *testing.T) {
	for _, layout := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
		t.Run(string(layout), func(t *testing.T) {
			inWorld(t, layout, func(w *world) {
				now := time.Now().Unix()
				w.send(
					fmt.Sprintf(`{"predictionId":"a","timestamp":%d.25,"prediction":{"score":0.12345678901234567890},"model":"m"}`, now),
					fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":"older"}`, now-60),
				)
				r := w.start()
				time.Sleep(time.Second)
				r.stop()
				w.wantDeleted(2)

				want := `{"createdAt":{"N":"%[1]d.25"},"expiresAt":{"N":"%[2]d"},"model":{"S":"m"},"prediction":{"S":"{\"score\":0.12345678901234567890}"},"predictionId":{"S":"a"},"timestamp":{"N":"%[1]d"}}`
				var got awstest.Item
				switch layout {
				case item.Versioned:
					w.wantItems(2)
					got = w.tables.Item(tableName, "a", fmt.Sprint(now))
				case item.ExpirySorted:
					w.wantItems(2)
					got = w.tables.Item(tableName, "a", fmt.Sprint(now+86400))
					want = `{"createdAt":{"N":"%[1]d.25"},"model":{"S":"m"},"prediction":{"S":"{\"score\":0.12345678901234567890}"},"predictionId":{"S":"a"},"timestamp":{"N":"%[2]d"}}`
				case item.LatestOnly:
					w.wantItems(1)
					got = w.tables.Item(tableName, "a")
				}
				if want = fmt.Sprintf(want, now, now+86400); got.JSON() != want {
					t.Errorf("item\n%s, want\n%s", got.JSON(), want)
				}
			})
		})
	}
}

func TestDuplicatesCostNoWriteAndAreDeleted(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		again := message("a", time.Minute, `1`)
		w.send(again, again, message("b", time.Minute, `2`), again)
		r := w.start()
		time.Sleep(time.Second)
		w.send(again) // after the write
		time.Sleep(time.Second)
		r.stop()
		w.wantDeleted(5)
		if got := len(w.tables.Writes()); got != 2 {
			t.Errorf("%d writes, want 2", got)
		}
	})
}

func TestOneBadPredictionLeavesItsNeighboursAlone(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		bad := `{"timestamp":1,"prediction":0}`
		w.send(
			message("a", time.Minute, `1`)+"\n"+bad+"\n"+message("b", time.Minute, `2`),
			message("c", time.Minute, `3`),
			`{"predictionId":`,
		)
		r := w.start()
		time.Sleep(time.Second)
		r.stop()
		w.wantItems(3)
		w.wantDeleted(3)
		rejects := w.queues.Messages(rejectName)
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

func TestWithoutARejectQueueTheMessageStaysAndBacksOff(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.cfg.RejectQueueURL = ""
		w.send(message("a", time.Minute, `1`) + "\n" + `{"prediction":0}`)
		r := w.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		w.wantItems(1)
		if got := len(w.tables.Writes()); got != 1 {
			t.Errorf("the good neighbour was written %d times, want once: it is a duplicate when the message returns", got)
		}
		m := w.queues.Messages(queueName)[0]
		// 30 s doubled each time: received at 0, 30, 90, 210, 450 s.
		if m.State == awstest.Deleted || m.ReceiveCount != 5 {
			t.Errorf("the message is %v after %d receives in 10 minutes, want it there, after 5", m.State, m.ReceiveCount)
		}
	})
}

func TestAnItemThatTheTableRefusesIsFoundByHalving(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			for _, e := range c.Entries {
				if c.Operation == "BatchWriteItem" && e.Item.Text("predictionId") == "bad" {
					return awstest.Fault{Err: awstest.Validation("One or more parameter values were invalid")}
				}
			}
			return awstest.Fault{}
		})
		var bodies []string
		for i := range 24 {
			bodies = append(bodies, message(fmt.Sprint("good", i), time.Minute, `1`))
		}
		w.send(strings.Join(append(bodies, message("bad", time.Minute, `1`)), "\n"))
		r := w.start()
		time.Sleep(time.Second)
		r.stop()
		w.wantItems(24)
		w.wantDeleted(1)
		if calls := w.tables.CallCount("BatchWriteItem"); calls > 11 {
			t.Errorf("%d calls, want at most 1 + 2 log2(25): single puts would be 26", calls)
		}
		if rejects := w.queues.Messages(rejectName); len(rejects) != 1 || rejects[0].Attributes["predcache.reason"] != "table" {
			t.Errorf("rejects: %v, want the bad item alone, by the table", rejects)
		}
	})
}

func TestUnprocessedItemsAreTriedAgainAndLoseNothing(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.N > 12 {
				return awstest.Fault{}
			}
			return awstest.Fault{Unprocessed: awstest.UnprocessedFrom(len(c.Entries) / 2)}
		})
		for i := range 100 {
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.start()
		time.Sleep(time.Minute)
		r.stop()
		w.wantItems(100)
		w.wantDeleted(100)
		w.wantReceives(1)
	})
}

func TestAFailedWriteIsNotRememberedAsWritten(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N <= 2 {
				return awstest.Fault{Err: awstest.InternalServerError()}
			}
			return awstest.Fault{}
		})
		again := message("a", time.Minute, `1`)
		w.send(again, again)
		r := w.start()
		time.Sleep(time.Minute)
		r.stop()
		w.wantItems(1)
		w.wantDeleted(2)
	})
}

func TestAnHourWithoutTheTableBurnsNoReceives(t *testing.T) {
	for name, fault := range map[string]awstest.Fault{
		"down":          {Err: awstest.InternalServerError()},
		"access denied": {Err: awstest.AccessDenied("BatchWriteItem")},
		"throttled":     {Err: awstest.ProvisionedThroughputExceeded()},
		"hanging":       {Hang: true},
		"unreachable":   {Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, item.Versioned, func(w *world) {
				for i := range 200 {
					w.send(message(fmt.Sprint(i), time.Minute, `1`))
				}
				r := w.start()
				time.Sleep(10 * time.Second)
				w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
					if c.Operation == "BatchWriteItem" {
						return fault
					}
					return awstest.Fault{}
				})
				for i := range 400 {
					w.send(message(fmt.Sprint("later", i), time.Minute, `1`))
				}
				time.Sleep(30 * time.Minute)
				received := w.queues.CallCount("ReceiveMessage")
				time.Sleep(30 * time.Minute)
				if status, text := r.probe("/readyz"); status != 503 || !strings.Contains(text, "the table") {
					t.Errorf("/readyz is %d %q in the outage, want 503 and the table's reason", status, text)
				}
				if status, text := r.probe("/livez"); status != 200 {
					t.Errorf("/livez is %d %q in the outage, want 200: a restart mends nothing", status, text)
				}
				if again := w.queues.CallCount("ReceiveMessage") - received; again > 0 {
					t.Errorf("%d receives in the second half of the outage, want none", again)
				}
				if lines := strings.Count(r.log.String(), "\n"); lines > 140 {
					t.Errorf("%d log lines in an hour, want about one a minute", lines)
				}
				w.tables.SetFault(nil)
				time.Sleep(2 * time.Minute)
				if status, text := r.probe("/readyz"); status != 200 {
					t.Errorf("/readyz is %d %q after the outage, want 200", status, text)
				}
				r.stop()
				w.wantItems(600)
				w.wantDeleted(600)
				w.wantReceives(1)
			})
		})
	}
}

func TestARejectQueueThatIsDownHoldsOnlyWhatMustGoThere(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "SendMessageBatch" {
				return awstest.Fault{Err: awstest.ServiceUnavailable()}
			}
			return awstest.Fault{}
		})
		w.send(`{"prediction":0}`)
		r := w.start()
		for i := range 50 {
			w.send(message(fmt.Sprint(i), 0, `1`))
			time.Sleep(time.Second)
		}
		time.Sleep(w.cfg.DeleteLinger)
		w.wantItems(50)
		if got := w.states(queueName); got[awstest.Deleted] != 50 || got[awstest.InFlight] != 1 {
			t.Errorf("messages by state: %v, want 50 deleted and the bad one in flight", got)
		}
		w.queues.SetFault(nil)
		time.Sleep(time.Minute)
		r.stop()
		w.wantDeleted(51)
		w.wantReceives(1)
	})
}

func TestDeletesThatFailAreTriedAgainByCause(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.queues.SetFault(func(c *awstest.Call) awstest.Fault {
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
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.start()
		time.Sleep(20 * time.Second)
		r.stop()
		w.wantDeleted(30)
		w.wantReceives(1)
	})
}

func TestAMessageThatIsDeliveredTwiceWhileHeldIsDeleted(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "ReceiveMessage" && c.N <= 4 {
				return awstest.Fault{Redeliver: func(awstest.Entry) bool { return true }}
			}
			return awstest.Fault{}
		})
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 500 * time.Millisecond} })
		for i := range 20 {
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.start()
		time.Sleep(2 * time.Minute)
		r.stop()
		w.wantItems(20)
		w.wantDeleted(20)
	})
}

func TestTheLeaseOfASlowWriteIsExtended(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.cfg.CallTimeout = 5 * time.Minute
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 4 * time.Minute} })
		w.send(message("a", time.Minute, `1`))
		r := w.start()
		time.Sleep(5 * time.Minute)
		r.stop()
		w.wantDeleted(1)
		w.wantReceives(1)
	})
}

func TestStoppingWritesWhatIsHeld(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 200 * time.Millisecond} })
		for i := range 300 {
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.start()
		time.Sleep(700 * time.Millisecond)
		r.stop()
		if got := w.states(queueName); got[awstest.InFlight] != 0 || got[awstest.Deleted] != w.tables.ItemCount(tableName) || got[awstest.Deleted] == 0 {
			t.Errorf("messages by state: %v with %d items, want as many deleted as written, and none in flight", got, w.tables.ItemCount(tableName))
		}
		w.wantReceives(1)
	})
}

func TestStoppingInAnOutageReleasesWhatIsHeld(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" {
				return awstest.Fault{Hang: true}
			}
			return awstest.Fault{}
		})
		w.send(message("a", time.Minute, `1`), message("b", time.Minute, `1`))
		r := w.start()
		time.Sleep(time.Minute)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > w.cfg.DrainTimeout {
			t.Errorf("the drain took %v, want at most %v", took, w.cfg.DrainTimeout)
		}
		if got := w.states(queueName); got[awstest.Visible] != 2 || r.left != 0 {
			t.Errorf("messages by state: %v with %d held, want 2 visible at once", got, r.left)
		}
	})
}

func TestAReceiveUnderWayAtTheStopIsLetFinish(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		r := w.start()
		time.Sleep(time.Second) // the long poll is under way
		go func() {
			time.Sleep(5 * time.Second)
			w.send(message("a", time.Minute, `1`))
		}()
		r.stop()
		w.wantDeleted(1)
		w.wantItems(1)
	})
}

func TestAnIdleWorkerMakesFewReceives(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		r := w.start()
		for i := range 200 { // let it open up
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		time.Sleep(5 * time.Minute)
		before := w.queues.CallCount("ReceiveMessage")
		time.Sleep(10 * time.Minute)
		if got := w.queues.CallCount("ReceiveMessage") - before; got > 40 {
			t.Errorf("%d receives in 10 idle minutes, want at most 4 a minute", got)
		}
		w.send(message("first", time.Minute, `1`))
		time.Sleep(time.Second)
		w.wantItems(201)
		r.stop()
	})
}

func TestWhatExpiredIsNotPaidFor(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.send(message("old", 25*time.Hour, `1`), message("young", 23*time.Hour, `1`))
		r := w.start()
		time.Sleep(time.Second)
		r.stop()
		w.wantDeleted(2)
		w.wantItems(1)
	})
}

func TestAWrongHostClockDropsNothing(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		const off = -48 * time.Hour // the services are two days behind us: our clock is ahead
		w.queues.SetSkew(off)
		w.tables.SetSkew(off)
		w.send(fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":1}`, time.Now().Add(off).Unix()))
		r := w.start()
		time.Sleep(time.Second)
		r.stop()
		w.wantDeleted(1)
		w.wantItems(1)
	})
}

func TestNoBatchHoldsAKeyTwiceOrMoreThan25Items(t *testing.T) {
	inWorld(t, item.LatestOnly, func(w *world) {
		for i := range 500 {
			w.send(message(fmt.Sprint(i%40), time.Duration(500-i)*time.Second, fmt.Sprint(i)))
		}
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 20 * time.Millisecond} })
		r := w.start()
		time.Sleep(time.Minute)
		r.stop()
		w.wantDeleted(500)
		w.wantItems(40)
		for i := range 40 {
			newest := 480 + i // of 0 to 499, the last that has this remainder
			if newest >= 500 {
				newest -= 40
			}
			if got := w.tables.Item(tableName, fmt.Sprint(i)).Text("prediction"); got != fmt.Sprint(newest) {
				t.Errorf("id %d holds %s, want the newest, %d", i, got, newest)
			}
		}
		if pairs := w.tables.OverlappingWrites(); len(pairs) > 0 {
			t.Errorf("two writes of one key were under way: %v", pairs[0])
		}
		for _, c := range w.tables.Calls("BatchWriteItem") {
			if c.Code != "" || len(c.Entries) > 25 {
				t.Errorf("a call of %d items ended with %q", len(c.Entries), c.Code)
			}
		}
	})
}

func TestManySmallPredictionsAMessageStayWithinTheMemoryBound(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		if _, err := w.queues.Client().SetQueueAttributes(w.t.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: &w.cfg.QueueURL, Attributes: map[string]string{"MaximumMessageSize": "65536"},
		}); err != nil {
			t.Fatal(err)
		}
		w.cfg.MaxDecodedBytes = 1 << 20
		w.cfg.MaxHeldBytes = 1<<20 + 2*10*64<<10 // two receives
		w.cfg.WriteConcurrency = 100             // so that it isn't the writes that receives wait for
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N > 1 {
				return awstest.Fault{Delay: 4 * time.Second}
			}
			return awstest.Fault{}
		})
		w.send(message("first", time.Minute, `1`))
		for i := range 40 {
			packed := make([]string, 500)
			for j := range packed {
				packed[j] = message(fmt.Sprintf("%d/%d", i, j), time.Minute, `1`)
			}
			w.send(strings.Join(packed, "\n"))
		}
		r := w.start()
		time.Sleep(10 * time.Second)
		// As text 40 messages are 1.2 MB, which would do; with their 500 items each, one receive takes 2.8 MB.
		if held := r.consumer.Held(); held == 0 || held > 20 {
			t.Errorf("%d messages are held, want one receive or two", held)
		}
		w.tables.SetFault(nil)
		time.Sleep(time.Minute)
		r.stop()
		w.wantDeleted(41)
		w.wantItems(20001)
	})
}

func TestReceivesWaitForTheWrites(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		w.cfg.WriteConcurrency = 2
		w.tables.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N > 10 {
				return awstest.Fault{Delay: 4 * time.Second}
			}
			return awstest.Fault{}
		})
		const n = 2000
		for i := range n {
			w.send(message(fmt.Sprint(i), time.Minute, `1`))
		}
		r := w.start()
		time.Sleep(10 * time.Second)
		// Two calls under way, four batches that wait for each, and what eight pollers had asked for by then.
		if held := r.consumer.Held(); held < 200 || held > 2*25+200+8*10 {
			t.Errorf("%d messages are held", held)
		}
		if left := w.states(queueName)[awstest.Visible]; left < 1000 {
			t.Errorf("%d messages are left for other workers", left)
		}
		w.tables.SetFault(nil)
		time.Sleep(time.Minute)
		w.wantDeleted(n)
		w.wantItems(n)
		w.wantReceives(1)
		r.stop()
	})
}

func TestAReceiveOfLongCompressedMessagesMakesRoomForItself(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		// One decompressed message and what it becomes leave no room for a second until the first has settled.
		w.cfg.MaxDecodedBytes = 1 << 20
		w.cfg.MaxHeldBytes = 10<<20 + 1<<20
		for i := range 10 {
			packed := make([]string, 6000)
			for j := range packed {
				packed[j] = message(fmt.Sprintf("%d/%d", i, j), time.Minute, `1`)
			}
			body := gzipped(strings.Join(packed, "\n"))
			if _, err := w.queues.Client().SendMessage(w.t.Context(), &sqs.SendMessageInput{
				QueueUrl: &w.cfg.QueueURL, MessageBody: &body, MessageAttributes: attribute("gzip"),
			}); err != nil {
				t.Fatal(err)
			}
		}
		r := w.start()
		time.Sleep(5 * time.Minute)
		w.wantDeleted(10)
		w.wantItems(60000)
		w.wantReceives(1)
		r.stop()
	})
}
