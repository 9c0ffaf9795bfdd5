package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

func TestGate_skipped_poller_wakes_the_next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, MaxBatch)
		g.setMode(ModeOpen)
		g.received(MaxBatch, true) // two pollers are wanted
		g.admitted = 0
		if !g.wait(t.Context(), 1) {
			t.Fatal("poller 1 was not admitted")
		}
		g.setMode(ModeClosed)
		g.setMode(ModeProbe) // poller 0 may receive, but not beside poller 1
		asked := make(chan bool, 1)
		go func() { asked <- g.wait(t.Context(), 0) }()
		synctest.Wait()
		g.skipped() // poller 1 was no longer admitted
		synctest.Wait()
		select {
		case <-asked:
		default:
			t.Fatal("poller 0 was not woken")
		}
	})
}

// The pollers of a busy worker wait for the writer. When the table fails meanwhile and recovers, they must not all receive at
// once, although the gate admitted them before.
func TestConsumer_pollers_recheck_the_gate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pollers = 8
		q := &countingQueue{}
		writers := make(chan struct{})
		c := New(Config{
			Queue: q, Observer: mute{}, Pollers: pollers, Wait: time.Second, Visibility: 30 * time.Second,
			MaxMessages: 1000, MaxBytes: 1 << 20, MaxMessageBytes: 1 << 10, CallTimeout: time.Second,
			Handle: func(context.Context, []*Message) {},
			Ready:  func(context.Context) bool { <-writers; return true },
		})
		c.gate.wanted = pollers
		c.SetMode(ModeOpen)
		ctx, stop := context.WithCancel(t.Context())
		var polling sync.WaitGroup
		polling.Go(func() { _ = c.Poll(ctx, ctx) })
		synctest.Wait() // all of them wait for the writers
		c.gate.setUnsettled(100)
		c.SetMode(ModeClosed)
		c.SetMode(ModeProbe)
		close(writers)
		synctest.Wait()
		if n := q.receives.Load(); n > 0 {
			t.Errorf("%d receives began while 100 messages waited for the probe", n)
		}
		c.gate.setUnsettled(0)
		synctest.Wait()
		if n := q.receives.Load(); n != 1 {
			t.Errorf("%d receives began to find out, want one", n)
		}
		stop()
		polling.Wait()
	})
}

// countingQueue has nothing; its receives wait.
type countingQueue struct{ receives atomic.Int32 }

func (q *countingQueue) Receive(ctx context.Context, _ int, _ time.Duration) ([]Received, error) {
	q.receives.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}
func (*countingQueue) Delete(context.Context, []string) ([]Failure, error) { return nil, nil }
func (*countingQueue) ChangeVisibility(context.Context, []Visibility) ([]Failure, error) {
	return nil, nil
}

type mute struct{}

func (mute) Rejected(*prediction.Reject) {}
func (mute) Settled(Disposition, int)    {}
func (mute) Held(int, int64)             {}
func (mute) Pollers(int)                 {}
func (mute) Extended(int)                {}
func (mute) LeaseLost()                  {}
func (mute) Undeliverable(error)         {}
