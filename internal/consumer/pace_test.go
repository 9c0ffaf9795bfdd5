package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/consumer"
)

// steadyQueue is sent a message each so often. Calls take a millisecond.
type steadyQueue struct {
	every time.Duration

	mu                sync.Mutex
	start             time.Time
	taken             int
	receives, deletes int
	oldest            time.Duration // the longest that a message waited for its receive
}

func (q *steadyQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	time.Sleep(time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.receives++
	for deadline := time.Now().Add(wait); ; {
		if sent := int(time.Since(q.start) / q.every); sent > q.taken {
			break
		}
		if ctx.Err() != nil || !time.Now().Before(deadline) {
			return nil, nil
		}
		q.mu.Unlock()
		time.Sleep(time.Millisecond)
		q.mu.Lock()
	}
	var received []consumer.Received
	for sent := int(time.Since(q.start) / q.every); q.taken < sent && len(received) < limit; q.taken++ {
		q.oldest = max(q.oldest, time.Since(q.start)-time.Duration(q.taken+1)*q.every)
		id := fmt.Sprint(q.taken)
		sent := q.start.Add(time.Duration(q.taken+1) * q.every)
		received = append(received, consumer.Received{ID: id, Receipt: id, Body: "{}", Receives: 1, Sent: sent.UnixMilli()})
	}
	return received, nil
}

func (q *steadyQueue) Delete(context.Context, []string) ([]consumer.Failure, error) {
	time.Sleep(time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deletes++
	return nil, nil
}

func (q *steadyQueue) ChangeVisibility(context.Context, []consumer.Visibility) ([]consumer.Failure, error) {
	return nil, nil
}

func ready(context.Context) bool { return true }

func TestPacedReceivesComeBackFuller(t *testing.T) {
	for _, c := range []struct {
		perSecond int
		pace      time.Duration
		most      float64 // SQS requests a message
	}{
		{20, 0, 1.2}, {200, 0, 1.2},
		{2, 300 * time.Millisecond, 1.5}, {5, 300 * time.Millisecond, 0.9}, {20, 300 * time.Millisecond, 0.3},
		{80, 300 * time.Millisecond, 0.25}, {200, 300 * time.Millisecond, 0.25}, {200, 150 * time.Millisecond, 0.25},
		{500, 300 * time.Millisecond, 0.25}, {900, 300 * time.Millisecond, 0.25},
	} {
		t.Run(fmt.Sprint(c.perSecond, c.pace), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &steadyQueue{every: time.Second / time.Duration(c.perSecond), start: time.Now()}
				worker := consumer.New(consumer.Config{
					Queue: q, Observer: deaf{}, Pollers: 8, Wait: time.Second, Visibility: 30 * time.Second, Pace: c.pace,
					MaxMessages: 1000, MaxBytes: 1 << 20, MaxMessageBytes: 1 << 10, CallTimeout: 5 * time.Second, DeleteLinger: time.Second,
					Ready: ready,
					Handle: func(_ context.Context, messages []*consumer.Message) {
						for _, m := range messages {
							m.Done(0) // nothing to wait for: deleted at once
						}
					},
				})
				worker.SetMode(consumer.ModeOpen)
				intake, stopIntake := context.WithCancel(t.Context())
				settling, stopSettling := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = worker.Run(settling) })
				running.Go(func() { _ = worker.Poll(intake, settling) })
				time.Sleep(time.Minute)
				stopIntake()
				time.Sleep(5 * time.Second)
				stopSettling()
				running.Wait()
				requests := float64(q.receives+q.deletes) / float64(q.taken)
				t.Logf("%.3f requests a message, waited for %v at most", requests, q.oldest)
				if requests > c.most {
					t.Errorf("%.3f SQS requests a message, want at most %.2f", requests, c.most)
				}
				if q.oldest > c.pace+20*time.Millisecond {
					t.Errorf("a message waited %v for its receive, with receives paced by %v", q.oldest, c.pace)
				}
			})
		})
	}
}

// backlogQueue always has messages that were sent an hour ago, of which some receives return fewer than ten. Calls take ten milliseconds.
type backlogQueue struct {
	steadyQueue
	partial float64 // the share of such receives
	few     int     // how many messages they return
	random  *rand.Rand
}

func (q *backlogQueue) Receive(context.Context, int, time.Duration) ([]consumer.Received, error) {
	time.Sleep(10 * time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 10
	if q.random.Float64() < q.partial {
		n = q.few
	}
	received := make([]consumer.Received, n)
	for i := range received {
		id := fmt.Sprint(q.taken)
		received[i] = consumer.Received{ID: id, Receipt: id, Body: "{}", Receives: 1, Sent: time.Now().Add(-time.Hour).UnixMilli()}
		q.taken++
	}
	return received, nil
}

// SQS may return fewer messages than it has. A backlog is received at full speed all the same.
func TestPaceLeavesABacklogAlone(t *testing.T) {
	const seconds = 3
	taken := func(t *testing.T, partial float64, few int, pace time.Duration) (messages int) {
		synctest.Test(t, func(t *testing.T) {
			q := &backlogQueue{steadyQueue: steadyQueue{start: time.Now()}, partial: partial, few: few, random: rand.New(rand.NewPCG(1, 2))}
			worker := consumer.New(consumer.Config{
				Queue: q, Observer: deaf{}, Pollers: 8, Wait: time.Second, Visibility: 30 * time.Second, Pace: pace,
				MaxMessages: 10_000, MaxBytes: 1 << 30, MaxMessageBytes: 1 << 10, CallTimeout: 5 * time.Second, DeleteLinger: time.Second,
				Ready: ready,
				Handle: func(_ context.Context, received []*consumer.Message) {
					for _, m := range received {
						m.Done(0)
					}
				},
			})
			worker.SetMode(consumer.ModeOpen)
			intake, stopIntake := context.WithCancel(t.Context())
			settling, stopSettling := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = worker.Run(settling) })
			running.Go(func() { _ = worker.Poll(intake, settling) })
			time.Sleep(seconds * time.Second)
			stopIntake()
			time.Sleep(5 * time.Second)
			stopSettling()
			running.Wait()
			messages = q.taken
		})
		return messages
	}
	for _, few := range []int{9, 7, 5} {
		for _, partial := range []float64{0, 0.1, 0.6, 1} {
			unpaced, paced := taken(t, partial, few, 0), taken(t, partial, few, 300*time.Millisecond)
			t.Logf("%3.0f %% of the receives return %d: %d messages a second, %d with pauses", partial*100, few, unpaced/seconds, paced/seconds)
			if paced < unpaced*9/10 {
				t.Errorf("%.0f %% of the receives return %d: pauses slow the backlog from %d to %d messages", partial*100, few, unpaced, paced)
			}
		}
	}
}
