package consumer

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// settle ends a message whose predictions all have an outcome.
func (c *Consumer) settle(m *Message) {
	c.mu.Lock()
	c.unsettled--
	c.gate.setUnsettled(c.unsettled)
	c.mu.Unlock()
	m.mu.Lock()
	failed, rejects := m.failed, m.rejects.count
	m.mu.Unlock()
	switch {
	case failed:
		c.release(m, 0, Released)
	case rejects == 0:
		c.finish(m)
	case c.cfg.Rejects == nil:
		c.release(m, c.backOff(m), BackedOff)
	default:
		c.reject(m)
	}
}

// finish deletes a message of which everything is safe.
func (c *Consumer) finish(m *Message) {
	c.mu.Lock()
	m.state = deleting
	c.letGo(m)
	c.mu.Unlock()
	c.deletes.Add(m)
}

// release makes a message visible again, after a time.
func (c *Consumer) release(m *Message, after time.Duration, how Disposition) {
	c.mu.Lock()
	m.state = releasing
	c.letGo(m)
	c.mu.Unlock()
	c.changes.Add(change{m: m, timeout: after, how: how})
}

// letGo frees the message's text: only its receipt handle is needed now. c.mu is held.
func (c *Consumer) letGo(m *Message) {
	bytes := m.bytes - messageBytes
	m.bytes = messageBytes
	m.Body, m.Attributes, m.rejects.parts = "", nil, nil
	c.budget.release(0, bytes)
}

// maxBackOff bounds how long a message that can't be rejected anywhere stays invisible between receives. With the recommended
// redrive limit of 50 receives that is two days in all.
const maxBackOff = time.Hour

// backOff doubles the queue's visibility timeout with each receive.
func (c *Consumer) backOff(m *Message) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := max(c.cfg.Visibility, time.Second) << min(max(m.lease.receives-1, 0), 12)
	return min(d, maxBackOff)
}

// forget lets a message go, unless it was redelivered while a call with its former receipt handle was under way: that call may
// have had no effect ("DeleteMessage": a handle that isn't the newest may not delete). It reports whether the message is gone.
func (c *Consumer) forget(m *Message, receipt string, how Disposition) bool {
	c.mu.Lock()
	if m.lease.receipt != receipt {
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

// receipts returns the newest receipt handle of each message.
func (c *Consumer) receipts(messages []*Message) []string {
	receipts := make([]string, len(messages))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range messages {
		receipts[i] = m.lease.receipt
	}
	return receipts
}

func (c *Consumer) delete(ctx context.Context, entries []*batch.Entry[*Message]) {
	messages := make([]*Message, len(entries))
	for i, e := range entries {
		messages[i] = e.Value
	}
	receipts := c.receipts(messages)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	failures, err := c.cfg.Queue.Delete(ctx, receipts)
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		m := messages[i]
		how := Deleted
		if failure != nil {
			how = Released // it will come back, and then be a duplicate
		} else if m.rejects.count > 0 {
			how = Rejected
		}
		return c.forget(m, receipts[i], how)
	})
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
