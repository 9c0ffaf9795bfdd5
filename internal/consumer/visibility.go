package consumer

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/batch"
)

// A change of a message's visibility. One with a how is the message's end; the others extend its lease.
type change struct {
	m       *Message
	timeout time.Duration
	how     How
}

const (
	// maxVisibility is for how long a message can be invisible after one receive ("ChangeMessageVisibility").
	maxVisibility = 12 * time.Hour
	// maxExtension bounds how long a killed worker's messages stay invisible.
	maxExtension = 5 * time.Minute
)

// keepInvisible extends the leases of held messages before they end.
func (c *Consumer) keepInvisible(ctx context.Context) error {
	// A third of the shortest lease is left for the call and its retries; a look each sixth finds every message in time.
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

// endingLeases returns the extensions that are due. Each is twice the one before: in a long outage few calls are made.
func (c *Consumer) endingLeases(now time.Time) []change {
	var due []change
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.held {
		if m.extending || m.leaving || m.deadline.Sub(now) > c.cfg.Visibility/3 || c.cfg.Visibility == 0 {
			continue
		}
		// A second less than the limit, since SQS counts whole seconds from its own receive time.
		left := maxVisibility - now.Sub(m.first) - time.Second
		timeout := min(max(min(2*m.extension, maxExtension), c.cfg.Visibility), left).Truncate(time.Second)
		if timeout <= 0 {
			continue // redelivery can't be put off any longer; it is held on to all the same
		}
		m.extending, m.extension = true, timeout
		due = append(due, change{m: m, timeout: timeout})
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
		if ch.how != "" {
			return c.forget(ch.m, receipts[i], ch.how)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		ch.m.extending = false
		switch {
		case ch.m.receipt != receipts[i]: // redelivered meanwhile, with a lease of its own
		case failure == nil:
			ch.m.deadline = called.Add(ch.timeout)
			extended++
		default:
			// The lease is lost or the message gone. A redelivery brings a new one; until then there is nothing to extend.
			ch.m.deadline = called.Add(c.cfg.Visibility)
		}
		return true
	})
	if extended > 0 {
		c.cfg.Observer.Extended(extended)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		m.inExtension = false
	}
}

// dropStale leaves out extensions of messages that are no longer held, or are being released: one that comes late would
// hide such a message again. For the same reason a release waits for the extension that is under way.
func (c *Consumer) dropStale(entries []*batch.Entry[change]) []*batch.Entry[change] {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := make([]*batch.Entry[change], 0, len(entries))
	for _, e := range entries {
		switch m := e.Value.m; {
		case e.Value.how == "" && (m.leaving || c.held[m.ID] != m):
			e.Done()
		case e.Value.how != "" && m.inExtension:
			e.Retry()
		default:
			m.inExtension = e.Value.how == ""
			live = append(live, e)
		}
	}
	return live
}
