package consumer

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// settle deletes, rejects or releases a message whose predictions all have an outcome.
func (c *Consumer) settle(m *Message) {
	c.mu.Lock()
	m.settled = true
	if m.stalled > 0 {
		c.rejecting.messages--
		c.rejecting.bytes -= m.stalled
	} else {
		c.unsettled--
		c.gate.setUnsettled(c.unsettled)
	}
	c.mu.Unlock()
	m.mu.Lock()
	failed, delayed, rejects := m.failed, m.delayed, m.rejects.count
	m.mu.Unlock()
	switch {
	case failed && delayed:
		c.release(m, c.backOff(m), BackedOff)
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

// finish deletes a message whose predictions are all durable, expired or rejected.
func (c *Consumer) finish(m *Message) {
	c.mu.Lock()
	m.state = deleting
	c.freeText(m)
	c.mu.Unlock()
	c.deletes.Add(m)
}

// release makes a message visible again after the given time.
func (c *Consumer) release(m *Message, after time.Duration, d Disposition) {
	c.mu.Lock()
	m.state = releasing
	c.freeText(m)
	c.mu.Unlock()
	c.changes.Add(change{m: m, timeout: after, disposition: d})
}

// freeText frees the message's text, since only its receipt handle is needed from now on. It requires c.mu.
func (c *Consumer) freeText(m *Message) {
	bytes := m.bytes - messageBytes
	m.bytes = messageBytes
	m.Body, m.Attributes, m.rejects.parts = "", nil, nil
	c.budget.release(0, bytes)
}

// maxBackOff is the maximum visibility timeout of a message that no reject queue takes. With the recommended maxReceiveCount of 50,
// such a message goes to the dead-letter queue after two days.
const maxBackOff = time.Hour

// backOff returns the queue's visibility timeout, doubled with each receive up to maxBackOff.
func (c *Consumer) backOff(m *Message) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := max(c.cfg.Visibility, time.Second) << min(max(m.lease.receives-1, 0), 12)
	return min(d, maxBackOff)
}

// drop stops holding a message after the call that ended it, and returns true. It returns false if the message was redelivered
// during that call, which used its former receipt handle and may have had no effect ("DeleteMessage").
func (c *Consumer) drop(m *Message, receipt string, d Disposition) bool {
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
	c.cfg.Observer.Settled(d, 1)
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

func (c *Consumer) deleteBatch(ctx context.Context, entries []*batch.Entry[*Message]) {
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
		d := Deleted
		if failure != nil {
			d = Released // it will be redelivered, and its predictions will be duplicates
		} else if m.rejects.count > 0 {
			d = Rejected
		}
		return c.drop(m, receipts[i], d)
	})
}

// conclude ends or retries each entry of a call. It calls end for an entry that succeeded, or that failed with SenderFault, so that
// another attempt would fail too. Where end returns false, and after any other failure, the entry is retried.
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
