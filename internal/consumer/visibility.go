package consumer

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// A change of a message's visibility: an extension of its lease, or its release.
type change struct {
	m           *Message
	timeout     time.Duration
	extends     bool
	disposition Disposition // of a release
}

const (
	// maxVisibility is the maximum total time that a message is invisible after one receive ("ChangeMessageVisibility").
	maxVisibility = 12 * time.Hour
	// maxExtension is the maximum of one extension. It bounds how long a killed worker's messages stay invisible.
	maxExtension = 5 * time.Minute
)

// keepInvisible extends the leases of held messages before they end, until ctx is done.
func (c *Consumer) keepInvisible(ctx context.Context) error {
	// A lease is extended when at most a third of it is left, and checked each sixth. So at least a sixth of the shortest lease is
	// left for the call and its retries.
	ticker := time.NewTicker(max(c.cfg.Visibility/6, 50*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			c.changes.Add(c.endingLeases(now)...)
		}
	}
}

// endingLeases returns the extensions that are due. Each is twice as long as the last, so that a long outage needs few calls.
func (c *Consumer) endingLeases(now time.Time) []change {
	var due []change
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.held {
		l := &m.lease
		if l.extending != notExtending || m.state == releasing || l.ends.Sub(now) > c.cfg.Visibility/3 || c.cfg.Visibility == 0 {
			continue
		}
		// One second less than the limit: SQS counts whole seconds from its own time of the receive.
		left := maxVisibility - now.Sub(l.began) - time.Second
		timeout := min(max(min(2*l.extension, maxExtension), c.cfg.Visibility), left).Truncate(time.Second)
		if timeout <= 0 {
			continue // SQS will redeliver it; it is held all the same
		}
		l.extending, l.extension = extensionQueued, timeout
		due = append(due, change{m: m, timeout: timeout, extends: true})
	}
	return due
}

func (c *Consumer) changeVisibility(ctx context.Context, entries []*batch.Entry[change]) {
	entries = c.dropStale(entries)
	if len(entries) == 0 {
		return
	}
	messages := make([]*Message, len(entries))
	for i, e := range entries {
		messages[i] = e.Value.m
	}
	receipts := c.receipts(messages)
	changes := make([]Visibility, len(entries))
	for i, e := range entries {
		changes[i] = Visibility{receipts[i], e.Value.timeout}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	called := time.Now()
	failures, err := c.cfg.Queue.ChangeVisibility(ctx, changes)
	extended := 0
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		ch := entries[i].Value
		if !ch.extends {
			return c.drop(ch.m, receipts[i], ch.disposition)
		}
		if c.extended(ch, receipts[i], called, failure) {
			extended++
		}
		return true
	})
	if extended > 0 {
		c.cfg.Observer.Extended(extended)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		if m.lease.extending == extensionCalled { // the call failed: it is queued again
			m.lease.extending = extensionQueued
		}
	}
}

// extended records the result of an extension and reports whether the lease was extended.
func (c *Consumer) extended(ch change, receipt string, called time.Time, failure *Failure) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &ch.m.lease
	l.extending = notExtending
	switch {
	case l.receipt != receipt: // redelivered meanwhile, with a new lease
		return false
	case failure != nil:
		// The lease has ended, or the message is gone. There is nothing to extend until a redelivery brings a new lease.
		l.ends = called.Add(c.cfg.Visibility)
		return false
	}
	l.ends = called.Add(ch.timeout)
	return true
}

// dropStale removes extensions of messages that are no longer held or are being released: a late one would hide the message again.
// For the same reason, a release waits for an extension in flight.
func (c *Consumer) dropStale(entries []*batch.Entry[change]) []*batch.Entry[change] {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := make([]*batch.Entry[change], 0, len(entries))
	for _, e := range entries {
		extension := e.Value.extends
		switch m := e.Value.m; {
		case extension && (m.state == releasing || c.held[m.ID] != m):
			m.lease.extending = notExtending
			e.Done()
		case !extension && m.lease.extending == extensionCalled:
			e.Retry()
		default:
			if extension {
				m.lease.extending = extensionCalled
			}
			live = append(live, e)
		}
	}
	return live
}
