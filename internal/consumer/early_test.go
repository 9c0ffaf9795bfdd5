package consumer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

// patientRejects takes rejects, or hangs while it is down.
type patientRejects struct {
	mu   sync.Mutex
	down bool
	sent []Outgoing
}

func (q *patientRejects) Send(_ context.Context, messages []Outgoing) ([]Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return nil, errors.New("no answer")
	}
	q.sent = append(q.sent, messages...)
	return nil, nil
}

// oneMessage is a queue that delivers a message once, and counts what becomes of it.
type oneMessage struct {
	mu        sync.Mutex
	delivered bool
	limit     int
	deleted   int
	timeouts  []time.Duration
}

func (q *oneMessage) Receive(ctx context.Context, limit int, _ time.Duration) ([]Received, error) {
	q.mu.Lock()
	first := !q.delivered
	q.delivered, q.limit = true, limit
	q.mu.Unlock()
	if !first {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []Received{{ID: "m", Receipt: "r", Body: "{}", Receives: 3}}, nil
}

func (q *oneMessage) Delete(context.Context, []string) ([]Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted++
	return nil, nil
}

func (q *oneMessage) ChangeVisibility(_ context.Context, changes []Visibility) ([]Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timeouts = append(q.timeouts, changes[0].Timeout)
	return nil, nil
}

func withOneMessage(t *testing.T, rejects RejectQueue, handle func(m *Message), then func(c *Consumer, q *oneMessage)) {
	synctest.Test(t, func(t *testing.T) {
		queue := &oneMessage{}
		c := New(Config{
			Queue: queue, Rejects: rejects, MaxRejectBytes: 4 << 10, Observer: mute{}, Pollers: 1, Limit: 1, Wait: time.Second, Visibility: 30 * time.Second,
			MaxMessages: 100, MaxBytes: 64 << 20, MaxMessageBytes: 1 << 20, CallTimeout: time.Second,
			Ready:  func(context.Context) bool { return true },
			Handle: func(_ context.Context, messages []*Message) { handle(messages[0]) },
		})
		running, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { _ = c.Run(running) })
		work.Go(func() { _ = c.Poll(running, running) })
		c.SetMode(ModeOpen)
		synctest.Wait()
		then(c, queue)
		stop()
		work.Wait()
	})
}

func TestRejectNow(t *testing.T) {
	why := prediction.Rejectf(prediction.ReasonNumber, "score", "is NaN")
	reject := func(m *Message, raw string, done func(error)) bool {
		m.Expect()
		return m.RejectNow(prediction.RejectedPart{Raw: raw, Why: why, Object: &prediction.ObjectPlace{Bucket: "b", Key: "k", Offset: 7}}, func(err error) {
			done(err)
			m.Resolve(prediction.Written, "", nil)
		})
	}
	t.Run("is sent while the message is read", func(t *testing.T) {
		rejects := &patientRejects{}
		var m *Message
		withOneMessage(t, rejects, func(got *Message) {
			m = got
			if !reject(m, "{}", func(err error) {
				if err != nil {
					t.Error(err)
				}
			}) {
				t.Error("not sent")
			}
		}, func(c *Consumer, q *oneMessage) {
			if len(rejects.sent) != 1 || q.deleted != 0 || q.limit != 1 {
				t.Errorf("sent %d, deleted %d, received %d", len(rejects.sent), q.deleted, q.limit)
			}
			r := Received{Attributes: rejects.sent[0].Attributes}
			if !strings.Contains(r.Attribute(AttrSource), `"object":{"bucket":"b","key":"k","offset":7}`) {
				t.Errorf("source %s", r.Attribute(AttrSource))
			}
			m.Done(0)
			synctest.Wait()
			if q.deleted != 1 {
				t.Error("the message was not deleted")
			}
		})
	})
	t.Run("a part that is too long is cut", func(t *testing.T) {
		rejects := &patientRejects{}
		withOneMessage(t, rejects, func(m *Message) {
			reject(m, noise(1<<20), func(error) {})
			m.Done(0)
		}, func(_ *Consumer, q *oneMessage) {
			if len(rejects.sent) != 1 || q.deleted != 1 || rejects.sent[0].Size() > 4<<10 {
				t.Fatalf("sent %d, deleted %d", len(rejects.sent), q.deleted)
			}
			r := Received{Attributes: rejects.sent[0].Attributes}
			if !strings.Contains(r.Attribute(AttrDetail), "of which the reject has the first") {
				t.Errorf("detail %s", r.Attribute(AttrDetail))
			}
		})
	})
	t.Run("is abandoned when the consumer stops", func(t *testing.T) {
		rejects := &patientRejects{down: true}
		var got error
		withOneMessage(t, rejects, func(m *Message) {
			reject(m, "{}", func(err error) { got = err })
			m.Done(0)
		}, func(c *Consumer, q *oneMessage) {
			c.AbandonRejects()
			synctest.Wait()
			if !errors.Is(got, ErrAbandoned) || c.Held() != 0 {
				t.Errorf("error %v, %d held", got, c.Held())
			}
		})
	})
	t.Run("not without a reject queue", func(t *testing.T) {
		withOneMessage(t, nil, func(m *Message) {
			if m.RejectNow(prediction.RejectedPart{Raw: "{}", Why: why}, func(error) {}) {
				t.Error("sent")
			}
			m.Done(0)
		}, func(*Consumer, *oneMessage) {})
	})
}

func TestBackOff(t *testing.T) {
	withOneMessage(t, nil, func(m *Message) {
		m.BackOff()
		m.Done(0)
	}, func(c *Consumer, q *oneMessage) {
		if len(q.timeouts) != 1 || q.timeouts[0] != 2*time.Minute || q.deleted != 0 || c.Held() != 0 {
			t.Errorf("timeouts %v after the third receive, deleted %d", q.timeouts, q.deleted)
		}
	})
}
