package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/prediction"
)

const (
	// maxRejects is the maximum number of parts that are rejected one by one. A message with more is rejected as a whole: one reject
	// costs less, and shows better that a publisher sends only wrong parts.
	maxRejects = prediction.MaxRejectedParts - 1
	// Half of the messages and bytes that may be held may wait for the reject queue, a quarter while that fails. Further messages
	// back off, so that a reject queue that is slow, down or forbidden never blocks good messages.
	rejectShare        = 2
	rejectShareFailing = 4
	// rejectSenders is the number of concurrent calls of the reject queue.
	rejectSenders = 2
)

// rejects are the parts of a message that can't be written.
type rejects struct {
	parts []prediction.RejectedPart // at most maxRejects + 1
	count int                       // number of parts, including those that are not kept
}

// add adds a part that stands for count parts. A whole message replaces its parts, and gives the reason.
func (r *rejects) add(part prediction.RejectedPart, count int) {
	r.count += count
	if part.Whole {
		r.parts = append(r.parts[:0], part)
	} else if len(r.parts) <= maxRejects {
		r.parts = append(r.parts, part)
	}
}

// reject sends the message's rejects to the reject queue. When all are accepted, the message is deleted. A message whose rejects
// can't be sent backs off, as without a reject queue.
func (c *Consumer) reject(m *Message) {
	rejections, err := c.rejections(m)
	if err != nil {
		c.cfg.Observer.Undeliverable(err)
		c.release(m, c.backOff(m), BackedOff)
		return
	}
	c.mu.Lock()
	rejections = c.unsentOf(m, rejections)
	fits, failing := c.rejectFits(m), c.rejecting.failing
	if fits && len(rejections) > 0 {
		m.state, m.unsent = rejecting, len(rejections)
		c.rejecting.messages++
		c.rejecting.bytes += m.bytes
	}
	c.mu.Unlock()
	switch {
	case len(rejections) == 0: // all were accepted after an earlier receive
		c.finish(m)
	case !fits && !failing:
		c.release(m, max(c.cfg.Visibility, time.Second), BackedOff) // a burst: there will be room again soon
	case !fits:
		c.release(m, c.backOff(m), BackedOff)
	default:
		c.rejects.Add(rejections...)
	}
}

// rejectFits reports whether one more message may wait for the reject queue. It requires c.mu.
func (c *Consumer) rejectFits(m *Message) bool {
	if c.rejecting.failing {
		return c.waitFits(m, rejectShareFailing)
	}
	return c.waitFits(m, rejectShare)
}

// waitFits reports whether one more message may wait, if those that wait have a share of the limits: 2 is a half. They must leave room
// for a receive: with a low limit, the share alone could stop all receives. It requires c.mu.
func (c *Consumer) waitFits(m *Message, share int) bool {
	messages := min(c.cfg.MaxMessages/share, c.cfg.MaxMessages-MaxBatch)
	bytes := min(c.cfg.MaxBytes/int64(share), c.cfg.MaxBytes-ReceiveBytes(c.cfg.MaxMessageBytes)-c.cfg.MaxDecodedBytes)
	return c.rejecting.messages < messages && c.rejecting.bytes+m.bytes <= bytes
}

// rejections returns the messages for the reject queue: one for each rejected part, or one for the whole message if it has too many,
// has no valid part, has a part that does not fit, or is shorter than its parts together. It returns an error if the whole message
// does not fit either.
func (c *Consumer) rejections(m *Message) ([]*rejection, error) {
	r := &m.rejects
	whole := r.count > maxRejects || !m.expected && r.count > 1
	rejections := make([]*rejection, 0, len(r.parts))
	for i := range r.parts {
		part := &r.parts[i]
		if whole = whole || part.Whole; whole {
			break
		}
		rj := newRejection(m, part.Raw, "", part)
		rejections = append(rejections, rj)
		whole = rj.maxSize() > c.cfg.MaxRejectBytes
	}
	if !whole && shrink(rejections, len(m.Body)) {
		c.keepOnly(m, rejections)
		return rejections, nil
	}
	// Only the body is needed from now on: free the decoded parts.
	c.mu.Lock()
	decoded := m.bytes - int64(messageBytes+m.size())
	m.bytes -= decoded
	c.mu.Unlock()
	c.budget.release(0, decoded)
	why := *r.parts[0].Why
	r.parts = nil
	if r.count > 1 {
		why.Detail += fmt.Sprintf(" (and %d more parts of the message are rejected)", r.count-1)
	}
	rj := newRejection(m, m.Body, m.Attribute(AttrContentEncoding), &prediction.RejectedPart{Why: &why})
	if rj.maxSize() > c.cfg.MaxRejectBytes && rj.encoding == "" {
		rj.compress()
	}
	if size := rj.maxSize(); size > c.cfg.MaxRejectBytes {
		return nil, fmt.Errorf("a reject takes %d bytes, but the reject queue's MaximumMessageSize is %d: set it to at least that of the queue", size, c.cfg.MaxRejectBytes)
	}
	return []*rejection{rj}, nil
}

// shrink makes the bodies of rejections take together at most size bytes, and reports whether they do. The parts of a compressed
// message can be much longer than what was received. They are compressed too, so that no message grows while it waits.
func shrink(rejections []*rejection, size int) bool {
	total := func() (n int) {
		for _, r := range rejections {
			n += len(r.body)
		}
		return n
	}
	if total() <= size {
		return true
	}
	for _, r := range rejections {
		if was := r.body; r.encoding == "" {
			if r.compress(); len(r.body) >= len(was) {
				r.body, r.encoding = was, ""
			}
		}
	}
	return total() <= size
}

// keepOnly frees a message's text but for its rejections, where these are copied at less cost. Otherwise one short reject would keep
// megabytes of decoded text, and a reject queue that is down could take the room in which other messages are decoded.
func (c *Consumer) keepOnly(m *Message, rejections []*rejection) {
	keep := int64(messageBytes + m.size() - len(m.Body))
	for _, r := range rejections {
		keep += int64(len(r.body))
	}
	c.mu.Lock()
	freed := m.bytes - keep
	if freed > 0 {
		m.bytes = keep
		m.Body, m.rejects.parts = "", nil
	}
	c.mu.Unlock()
	if freed <= 0 {
		return
	}
	for _, r := range rejections {
		r.body = strings.Clone(r.body)
	}
	c.budget.release(0, freed)
}

func (c *Consumer) sendRejects(ctx context.Context, entries []*batch.Entry[*rejection]) {
	entries = c.dropReleased(entries)
	if len(entries) == 0 {
		return
	}
	messages := make([]Outgoing, len(entries))
	for i, e := range entries {
		messages[i] = e.Value.outgoing(c.cfg.MaxRejectBytes)
	}
	sending := ctx
	ctx, cancel := context.WithTimeout(sending, c.cfg.CallTimeout)
	defer cancel()
	failures, err := c.cfg.Rejects.Send(ctx, messages)
	c.pauseRejects(sending, err != nil)
	c.mu.Lock()
	c.rejecting.failing = err != nil || len(failures) == len(messages)
	c.mu.Unlock()
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		var refused error
		if failure != nil {
			refused = fmt.Errorf("the reject queue refused a message: %s", failure.Code)
			c.cfg.Observer.Undeliverable(refused)
		}
		if r := entries[i].Value; r.done != nil {
			r.done(refused)
		} else {
			c.rejected(r, failure == nil)
		}
		return true
	})
}

// pauseRejects slows down after a failed call of the reject queue: one call at a time, with a growing pause after it. Thousands of
// rejects may wait, and each with a backoff of its own made more than a hundred calls a second while the queue was down.
func (c *Consumer) pauseRejects(ctx context.Context, failed bool) {
	c.mu.Lock()
	if failed {
		c.rejecting.failures++
	} else {
		c.rejecting.failures = 0
	}
	failures := c.rejecting.failures
	c.mu.Unlock()
	if failures == 0 {
		c.rejects.SetLimit(rejectSenders)
		return
	}
	c.rejects.SetLimit(1)
	backoff := batch.Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second}
	cond.Sleep(ctx, backoff.After(failures))
}

// dropReleased removes rejects to be retried whose message is being released: its next delivery adds them again, and their text no
// longer counts as held.
func (c *Consumer) dropReleased(entries []*batch.Entry[*rejection]) []*batch.Entry[*rejection] {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := make([]*batch.Entry[*rejection], 0, len(entries)) // the batcher needs its own slice as it is
	for _, e := range entries {
		if e.Attempts > 0 && e.Value.done == nil && e.Value.m.state != rejecting {
			e.Done()
		} else {
			live = append(live, e)
		}
	}
	return live
}

// rejected records that the reject queue accepted or refused one of a message's rejects. After a refusal the message stays on its
// queue, and the accepted rejects are remembered, so that the next receive does not send them again.
func (c *Consumer) rejected(r *rejection, accepted bool) {
	m := r.m
	c.mu.Lock()
	m.unsent--
	last := m.unsent == 0
	was := m.state
	if was == rejecting && (!accepted || last) {
		c.leaveRejecting(m)
	}
	switch {
	case accepted && last && was == rejecting:
		c.accepted.forget(m.ID)
	case accepted:
		c.accepted.add(m.ID, r.id)
	}
	c.mu.Unlock()
	switch {
	case was != rejecting: // the message is being released, since another of its rejects was refused
	case !accepted:
		c.release(m, c.backOff(m), BackedOff)
	case last:
		c.finish(m)
	}
}

// leaveRejecting removes the message from those that wait for the reject queue. It requires c.mu.
func (c *Consumer) leaveRejecting(m *Message) {
	c.rejecting.messages--
	c.rejecting.bytes -= m.bytes
	m.state = open
}

// unsentOf returns the rejections that were not accepted after an earlier receive. It requires c.mu.
func (c *Consumer) unsentOf(m *Message, rejections []*rejection) []*rejection {
	unsent := rejections[:0]
	for _, r := range rejections {
		if !c.accepted.has(m.ID, r.id) {
			unsent = append(unsent, r)
		}
	}
	return unsent
}

// runRejects sends rejects until ctx is done or AbandonRejects is called, and releases the messages of those not sent.
func (c *Consumer) runRejects(ctx context.Context) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.abandon:
			stop()
		case <-sending.Done():
		}
	}()
	if err := c.rejects.Run(sending); err != nil {
		return err
	}
	for _, r := range c.rejects.Drain() {
		if r.done != nil {
			r.done(ErrAbandoned)
			continue
		}
		c.mu.Lock()
		waits := r.m.state == rejecting
		if waits {
			c.leaveRejecting(r.m)
		}
		c.mu.Unlock()
		if waits {
			c.release(r.m, 0, Released)
		}
	}
	return nil
}

// acceptedRejects remembers the accepted rejects of messages that went back to their queue.
type acceptedRejects struct {
	messages map[string]map[rejectionID]bool
	order    []string // message ids, oldest first
}

// maxAccepted is the maximum number of messages remembered, to bound the memory. Only a reject queue that refuses single messages
// makes any.
const maxAccepted = 1000

func (a *acceptedRejects) add(message string, id rejectionID) {
	if a.messages == nil {
		a.messages = map[string]map[rejectionID]bool{}
	}
	if a.messages[message] == nil {
		if len(a.order) == maxAccepted {
			delete(a.messages, a.order[0])
			a.order = a.order[1:]
		}
		a.messages[message] = map[rejectionID]bool{}
		a.order = append(a.order, message)
	}
	a.messages[message][id] = true
}

func (a *acceptedRejects) has(message string, id rejectionID) bool { return a.messages[message][id] }

func (a *acceptedRejects) forget(message string) {
	if a.messages[message] != nil {
		delete(a.messages, message)
		a.order = slices.DeleteFunc(a.order, func(id string) bool { return id == message })
	}
}
