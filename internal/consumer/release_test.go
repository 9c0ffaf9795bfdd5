package consumer_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
)

// slowQueue delivers one message, and is slow to extend leases.
type slowQueue struct {
	mu        sync.Mutex
	delivered bool
	effects   []time.Duration // the timeouts of the changes of visibility, in the order of their effect
}

func (q *slowQueue) Receive(ctx context.Context, _ int, wait time.Duration) ([]consumer.Received, error) {
	q.mu.Lock()
	first := !q.delivered
	q.delivered = true
	q.mu.Unlock()
	if first {
		return []consumer.Received{{ID: "m", Receipt: "r", Body: "{}", Receives: 1}}, nil
	}
	select {
	case <-time.After(wait):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *slowQueue) Delete(context.Context, []string) ([]consumer.Failure, error) { return nil, nil }

func (q *slowQueue) ChangeVisibility(_ context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	if changes[0].Timeout > 0 {
		time.Sleep(3 * time.Second)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.effects = append(q.effects, changes[0].Timeout)
	return nil, nil
}

type deaf struct{}

func (deaf) Rejected(*prediction.Reject)       {}
func (deaf) Settled(consumer.Disposition, int) {}
func (deaf) Held(int, int64)                   {}
func (deaf) Pollers(int)                       {}
func (deaf) Extended(int)                      {}
func (deaf) LeaseLost()                        {}
func (deaf) Undeliverable(error)               {}

// An extension under way overtook the release of its message, which was then hidden for up to five minutes.
func TestRelease_waits_for_extension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &slowQueue{}
		var held *consumer.Message
		c := consumer.New(consumer.Config{
			Queue: queue, Observer: deaf{}, Pollers: 1, Wait: 20 * time.Second, Visibility: 30 * time.Second,
			MaxMessages: 10, MaxBytes: 1 << 20, MaxMessageBytes: 1 << 10, CallTimeout: 5 * time.Second,
			Ready: ready,
			Handle: func(_ context.Context, messages []*consumer.Message) {
				held = messages[0]
				held.Expect()
				held.Done(0)
			},
		})
		running, stop := context.WithCancel(t.Context())
		intake, stopIntake := context.WithCancel(running)
		var work sync.WaitGroup
		work.Go(func() { _ = c.Run(running) })
		work.Go(func() { _ = c.Poll(intake, running) })
		c.SetMode(consumer.ModeOpen)

		time.Sleep(21 * time.Second) // the lease is extended in its last third: the call is under way
		synctest.Wait()
		held.Resolve(prediction.Failed, "", nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(queue.effects); n != 2 || queue.effects[1] != 0 {
			t.Errorf("the visibility became %v, want an extension and then 0", queue.effects)
		}
		if n := c.Held(); n != 0 {
			t.Errorf("%d messages are held", n)
		}
		stopIntake()
		stop()
		work.Wait()
	})
}
