package consumer

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// settle ends a message whose predictions all have an outcome.
func (c *Consumer) settle(m *Message) {
	for i := range m.rejects {
		c.cfg.Observer.Rejected(m.rejects[i].Why.Reason)
	}
	c.mu.Lock()
	c.unsettled--
	c.gate.setUnsettled(c.unsettled)
	c.mu.Unlock()
	switch {
	case m.failed.Load():
		c.leave(m, 0, Released)
	case len(m.rejects) == 0:
		c.letGo(m)
		c.deletes.Add(m)
	case c.cfg.Rejects == nil:
		c.leave(m, c.backOff(m), BackedOff)
	default:
		c.sendRejects(m)
	}
}

// leave makes a message visible again, after a time. Several of its rejects may ask for it at once.
func (c *Consumer) leave(m *Message, after time.Duration, how How) {
	c.mu.Lock()
	first := !m.leaving
	m.leaving = true
	c.mu.Unlock()
	if first {
		c.letGo(m)
		c.changes.Add(change{m, after, how})
	}
}

// letGo frees the message's body: only its receipt is needed now.
func (c *Consumer) letGo(m *Message) {
	c.mu.Lock()
	bytes := m.bytes
	m.bytes, m.Body, m.Attributes = 0, "", nil
	c.mu.Unlock()
	c.budget.release(0, bytes)
}

// maxBackOff is how long a message that can't be rejected anywhere stays invisible between receives, at the most. With
// the recommended redrive limit of 50 receives that is two days in all.
const maxBackOff = time.Hour

// backOff doubles the queue's visibility timeout with each receive.
func (c *Consumer) backOff(m *Message) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := max(c.cfg.Visibility, time.Second) << min(max(m.receives-1, 0), 12)
	return min(d, maxBackOff)
}

// forget lets a message go, unless it was redelivered while a call with its former receipt was under way: that call may
// have had no effect ("DeleteMessage": a handle that isn't the newest may not delete). It tells whether it is gone.
func (c *Consumer) forget(m *Message, receipt string, how How) bool {
	c.mu.Lock()
	if m.receipt != receipt {
		c.mu.Unlock()
		return false
	}
	delete(c.held, m.ID)
	bytes := m.bytes
	m.bytes = 0
	if c.drained != nil && len(c.held) == 0 {
		close(c.drained)
		c.drained = nil
	}
	c.mu.Unlock()
	c.budget.release(1, bytes)
	c.cfg.Observer.Settled(how, 1)
	return true
}

// receipts notes the newest receipt handle of each message.
func (c *Consumer) receipts(messages []*Message) []string {
	receipts := make([]string, len(messages))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range messages {
		receipts[i] = m.receipt
	}
	return receipts
}

func (c *Consumer) delete(ctx context.Context, entries []*batch.Entry[*Message]) {
	messages := values(entries)
	receipts := c.receipts(messages)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	failures, err := c.cfg.Queue.Delete(ctx, receipts)
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		m := messages[i]
		how := Deleted
		if failure != nil {
			how = Released // it will come back, and then be a duplicate
		} else if len(m.rejects) > 0 {
			how = Rejected
		}
		return c.forget(m, receipts[i], how)
	})
}

func values[T any](entries []*batch.Entry[T]) []T {
	vs := make([]T, len(entries))
	for i, e := range entries {
		vs[i] = e.Value
	}
	return vs
}

// conclude goes through the entries of a call. end is called for each that succeeded, or that failed by our own fault,
// for which another attempt makes no sense; where it returns false, and for every other failure, the entry is retried.
func conclude[T any](c *Consumer, entries []*batch.Entry[T], failures []Failure, err error, end func(i int, f *Failure) bool) {
	if err != nil {
		for _, e := range entries {
			e.Retry()
		}
		return
	}
	var failed [MaxBatch]*Failure
	for i := range failures {
		failed[failures[i].Index] = &failures[i]
	}
	for i, e := range entries {
		if f := failed[i]; (f == nil || f.SenderFault) && end(i, f) {
			e.Done()
		} else {
			e.Retry()
		}
	}
	c.observeHeld()
}
