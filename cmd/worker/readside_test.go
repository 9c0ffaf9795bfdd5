package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// TestClosedLoop is a cache as services use it: one misses, computes and publishes; the worker writes; another reads it, and deletes
// every third.
func TestClosedLoop(t *testing.T) {
	for _, b := range backend.All(t) {
		for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
			for pack, hash := range map[bool]item.KeyType{false: item.TypeS, true: item.TypeN} {
				t.Run(fmt.Sprint(b.Name, "/", kind, "/", hash, "/pack ", pack), func(t *testing.T) {
					w := newWire(t, b, kind, hash, false)
					t.Setenv("WORKER_DELETES", "hide")
					t.Setenv("WORKER_ORDERING", "newest")
					publisher, err := cache.NewPublisher(b.SQS, w.queue, cache.PublisherConfig{Pack: pack, OnFailure: func(f cache.Failure) { t.Error(f.Err) }})
					if err != nil {
						t.Fatal(err)
					}
					first, err := cache.NewFromClient(b.DynamoDB, w.table, cache.WithPublisher(publisher))
					if err != nil {
						t.Fatal(err)
					}
					var computed atomic.Int32
					compute := func(id string) func(context.Context) (*cache.Prediction, error) {
						return func(context.Context) (*cache.Prediction, error) {
							computed.Add(1)
							p, err := cache.NewPrediction(id, map[string]any{"score": json.Number("0.12345678901234567890"), "of": id})
							if err == nil {
								p.Attributes = map[string]json.RawMessage{"model": json.RawMessage(`"v3"`)}
								p.ExpiresAt = time.Now().Add(time.Hour)
							}
							return p, err
						}
					}
					made := map[string]*cache.Prediction{}
					for i := range 30 {
						id := fmt.Sprint(i)
						p, err := first.GetOrCompute(t.Context(), id, compute(id))
						if err != nil {
							t.Fatal(err)
						}
						made[id] = p
					}
					if err := publisher.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					t.Logf("first service: %d misses, %d computed, published as %+v", len(made), computed.Load(), publisher.Stats())
					w.consume(t)

					second, err := cache.NewFromClient(b.DynamoDB, w.table, cache.WithPublisher(publisher), cache.Consistent())
					if err != nil {
						t.Fatal(err)
					}
					hits := 0
					for id, want := range made {
						got, err := second.GetOrCompute(t.Context(), id, compute(id))
						if err != nil {
							t.Fatal(err)
						}
						if got.ID != id || !got.EventTime.Equal(want.EventTime) || string(got.Payload) != string(want.Payload) || string(got.Attributes["model"]) != `"v3"` ||
							got.ExpiresAt.Unix() != want.ExpiresAt.Unix() {
							t.Errorf("got %+v, want %+v", got, want)
						}
						hits++
					}
					if computed.Load() != 30 {
						t.Errorf("computed %d times, want 30", computed.Load())
					}
					t.Logf("second service: %d hits, nothing computed, each with the first one's result, event time and expiry", hits)
					deletes, err := cache.NewPublisher(b.SQS, w.queue, cache.PublisherConfig{Pack: pack, NumericIDs: hash == item.TypeN, OnFailure: func(f cache.Failure) { t.Error(f.Err) }})
					if err != nil {
						t.Fatal(err)
					}
					for i := 0; i < 30; i += 3 {
						if err := deletes.Delete(t.Context(), fmt.Sprint(i), made[fmt.Sprint(i)].EventTime); err != nil {
							t.Fatal(err)
						}
					}
					if err := deletes.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.consume(t)
					for i := range 30 {
						got, err := second.Get(t.Context(), fmt.Sprint(i))
						if deleted := i%3 == 0; deleted != errors.Is(err, cache.ErrNotFound) || deleted != (got == nil) {
							t.Errorf("%d, deleted %v: got %v, %v", i, deleted, got, err)
						}
					}
				})
			}
		}
	}
}

func TestGetShowsWhatAServiceSees(t *testing.T) {
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			t.Setenv("WORKER_PAYLOAD_ENCODING", "zstd")
			now := time.Now().Unix()
			w.publish(t,
				fmt.Sprintf(`{"predictionId":"a b","timestamp":%d,"prediction":{"n":1},"model":"m"}`, now-50),
				fmt.Sprintf(`{"predictionId":"a b","timestamp":%d,"prediction":%q}`, now-20, strings.Repeat("xyz ", 1000)),
				fmt.Sprintf(`{"predictionId":"a b","timestamp":%d,"ttlSeconds":3,"prediction":"over in a moment"}`, now-2))
			w.consume(t)
			if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: map[string]types.AttributeValue{
				"predictionId": &types.AttributeValueMemberS{Value: "a b"}, "timestamp": &types.AttributeValueMemberN{Value: "5"}}}); err != nil {
				t.Fatal(err)
			}
			for time.Now().Unix() <= now+1 {
				time.Sleep(50 * time.Millisecond) // expiry is in whole seconds of the real clock, over the wire
			}
			out, err := runCommand(t, "get", "a b")
			if err != nil || !strings.Contains(out, "xyz xyz") || !strings.Contains(out, "expires") {
				t.Errorf("%s, %v", out, err)
			}
			// What has expired is the service's to delete, whenever it likes: a stand-in may have done so by now.
			keep := func() {
				if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: map[string]types.AttributeValue{
					"predictionId": &types.AttributeValueMemberS{Value: "a b"}, "timestamp": &types.AttributeValueMemberN{Value: strconv.FormatInt(now-2, 10)},
					"expiresAt": &types.AttributeValueMemberN{Value: strconv.FormatInt(now+1, 10)}, "createdAt": &types.AttributeValueMemberN{Value: strconv.FormatInt(now-2, 10)},
					"prediction": &types.AttributeValueMemberS{Value: `"over in a moment"`}}}); err != nil {
					t.Fatal(err)
				}
			}
			keep()
			out, err = runCommand(t, "get", "a b", "--all")
			if err != nil || strings.Count(out, "\n") != 6 || !strings.Contains(out, "expired ") || !strings.Contains(out, "zstd") || !strings.Contains(out, `can't be read: the attribute "createdAt" is missing`) || !strings.Contains(out, "4 items, ") {
				t.Errorf("%s, %v", out, err)
			}
			t.Log("\n" + out)
			keep()
			out, err = runCommand(t, "get", "--json", "--all", "a b")
			if err != nil || strings.Count(out, "\n") != 4 {
				t.Errorf("%s, %v", out, err)
			}
			for line := range strings.Lines(out) {
				var v map[string]any
				if err := json.Unmarshal([]byte(line), &v); err != nil || v["bytes"].(float64) < 10 {
					t.Errorf("%s: %v", line, err)
				}
			}
			if out, err := runCommand(t, "get", "nobody"); !errors.Is(err, cache.ErrNotFound) {
				t.Errorf("%s, %v", out, err)
			}
			if out, err := runCommand(t, "get", "nobody", "--all"); err == nil {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

// TestNewestWinsAcrossReplicas has three workers apply the versions of few ids in an order that last-write gets wrong: each
// replica's newest comes first, while another replica still holds older ones, whose writes are slow.
func TestNewestWinsAcrossReplicas(t *testing.T) {
	for _, ordering := range []string{"newest", "last-write"} {
		t.Run(ordering, func(t *testing.T) {
			t.Setenv("WORKER_ORDERING", ordering)
			workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					switch {
					case c.Operation != "PutItem" && c.Operation != "BatchWriteItem":
						return awstest.Fault{}
					case c.N%7 == 3:
						return awstest.Fault{LoseAnswer: true}
					case c.N%5 == 1:
						return awstest.Fault{Delay: time.Duration(c.N%11) * 300 * time.Millisecond}
					}
					return awstest.Fault{}
				})
				var replicas []*workertest.Replica
				for range 3 {
					replicas = append(replicas, w.Start())
				}
				const ids, versions = 20, 30
				event := time.Now().Add(-time.Minute)
				for v := versions - 1; v >= 0; v-- { // the newest comes first; every third has its neighbour's event time
					for id := range ids {
						at := event.Add(time.Duration(v-v%3/2) * time.Millisecond).UTC().Format(time.RFC3339Nano)
						w.Send(fmt.Sprintf(`{"predictionId":"%d","timestamp":%q,"prediction":%d}`, id, at, v))
					}
					time.Sleep(50 * time.Millisecond)
				}
				time.Sleep(2 * time.Minute)
				for _, r := range replicas {
					r.Stop()
				}
				w.WantDeleted(ids * versions)
				wrong := 0
				for id := range ids {
					// 29 has the event time of 28, and 28 was sent later.
					if got := w.DynamoDB.Item(workertest.TableName, fmt.Sprint(id)).Text("prediction"); got != "28" {
						wrong++
						if ordering == "newest" {
							t.Errorf("%d is %s, want 28", id, got)
						}
					}
				}
				if ordering == "last-write" && wrong == 0 {
					t.Error("last-write got it right too: this scenario proves nothing")
				}
			})
		})
	}
}

// Predictions that share an item are ordered in every layout: within one sort unit, and where two lives end together.
func TestNewestInEveryLayout(t *testing.T) {
	t.Setenv("WORKER_ORDERING", "newest")
	for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
		t.Run(string(kind), func(t *testing.T) {
			workertest.WithFakes(t, kind, func(w *workertest.Fakes) {
				event := time.Now().Add(-time.Minute).Truncate(time.Second)
				message := func(at time.Duration, payload string) string {
					return fmt.Sprintf(`{"predictionId":"a","timestamp":%q,"expiresAt":%d,"prediction":%q}`,
						event.Add(at).UTC().Format(time.RFC3339Nano), event.Add(time.Hour).Unix(), payload)
				}
				consume := func(body string) { // each by a worker that knows nothing of the others
					w.Send(body)
					r := w.Start()
					time.Sleep(time.Minute)
					r.Stop()
				}
				consume(message(900*time.Millisecond, "newer"))
				consume(message(100*time.Millisecond, "older"))
				w.WantDeleted(2)
				w.WantItems(1)
				if got := w.DynamoDB.Items(workertest.TableName)[0].Text("prediction"); got != `"newer"` {
					t.Errorf("the item is %s", got)
				}
			})
		})
	}
}

// One that was sent again is newer than what was sent in between, whichever worker writes that.
func TestNewestKnowsRepeats(t *testing.T) {
	t.Setenv("WORKER_ORDERING", "newest")
	workertest.WithFakes(t, item.LatestOnly, func(w *workertest.Fakes) {
		message := func(payload string) string {
			return fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"prediction":%q}`, time.Now().Truncate(time.Hour).Unix(), payload)
		}
		x, y := message("x"), message("y")
		first := w.Start()
		w.Send(x)
		time.Sleep(time.Second)
		if _, err := w.SQS.Client().SendMessage(w.T.Context(), &sqs.SendMessageInput{QueueUrl: &w.Config.QueueURL, MessageBody: &y, DelaySeconds: 60}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.Send(x)
		time.Sleep(time.Second)
		first.Stop()
		second := w.Start() // which knows nothing of the first
		time.Sleep(2 * time.Minute)
		second.Stop()
		w.WantDeleted(3)
		if got := w.DynamoDB.Items(workertest.TableName)[0].Text("prediction"); got != `"x"` {
			t.Errorf("the item is %s", got)
		}
	})
}
