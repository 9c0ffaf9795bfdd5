package sqsfake

import (
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

// receipt names a received message, in a delete or a change of visibility.
type receipt struct {
	ReceiptHandle     string
	VisibilityTimeout *int // of a change
}

func (r *receipt) entry(id string) awstest.Entry {
	message, _, _ := parseHandle(r.ReceiptHandle)
	e := awstest.Entry{ID: id, ReceiptHandle: r.ReceiptHandle, MessageID: message}
	if r.VisibilityTimeout != nil {
		e.Visibility = *r.VisibilityTimeout
	}
	return e
}

// parseHandle takes a receipt handle apart: the message and the number of its receive.
func parseHandle(handle string) (id string, receive int, ok bool) {
	rest, ok := strings.CutPrefix(handle, "AQEB")
	id, count, found := strings.Cut(rest, ".")
	receive, err := strconv.Atoi(count)
	return id, receive, ok && found && len(id) == 36 && err == nil
}

type receiptInput struct {
	queueInput
	receipt
}

func (in *receiptInput) Describe(c *awstest.Call) {
	in.queueInput.Describe(c)
	c.Entries = []awstest.Entry{in.entry("")}
}

type receiptBatchInput struct {
	queueInput
	Entries []struct {
		Id string
		receipt
	}
}

func (in *receiptBatchInput) Describe(c *awstest.Call) {
	in.queueInput.Describe(c)
	for i := range in.Entries {
		c.Entries = append(c.Entries, in.Entries[i].entry(in.Entries[i].Id))
	}
}

func (s *Service) deleteMessage(_ *awstest.Call, in *receiptInput, _ *awstest.Fault) (any, *awstest.Error) {
	return s.settleOne(in, (*queue).remove)
}

func (s *Service) changeVisibility(_ *awstest.Call, in *receiptInput, _ *awstest.Fault) (any, *awstest.Error) {
	return s.settleOne(in, (*queue).setVisibility)
}

func (s *Service) deleteMessageBatch(c *awstest.Call, in *receiptBatchInput, f *awstest.Fault) (any, *awstest.Error) {
	return s.settleBatch(c, in, f, (*queue).remove, "DeleteMessageBatchRequestEntry")
}

func (s *Service) changeVisibilityBatch(c *awstest.Call, in *receiptBatchInput, f *awstest.Fault) (any, *awstest.Error) {
	return s.settleBatch(c, in, f, (*queue).setVisibility, "ChangeMessageVisibilityBatchRequestEntry")
}

// settle is what a delete and a change of visibility do with one message. It requires that Service.mu be held.
type settle func(q *queue, r *receipt, now time.Time) *awstest.Error

func (s *Service) settleOne(in *receiptInput, do settle) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	q.harvest(now)
	return nil, do(q, &in.receipt, now)
}

func (s *Service) settleBatch(c *awstest.Call, in *receiptBatchInput, f *awstest.Fault, do settle, entryType string) (any, *awstest.Error) {
	if err := checkBatch(c.Entries, entryType); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	q.harvest(now)
	out := &batchOutput{}
	out.entries(c, f, func(i int) (sentOutput, *awstest.Error) { return sentOutput{}, do(q, &in.Entries[i].receipt, now) })
	return out, nil
}

// byReceipt finds the message of a receipt handle; it is nil once it has ended. stale means that it was received again.
func (q *queue) byReceipt(r *receipt) (m *message, stale bool, err *awstest.Error) {
	if r.ReceiptHandle == "" {
		return nil, false, missingParameter("ReceiptHandle")
	}
	id, receive, ok := parseHandle(r.ReceiptHandle)
	if !ok {
		return nil, false, refusal("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", `The input receipt handle "`+r.ReceiptHandle+`" is not a valid receipt handle.`)
	}
	m = q.byID[id]
	return m, m != nil && receive != m.receives, nil
}

// remove enforces "DeleteMessage" (API reference). On a standard queue a handle that is not the last one "succeeds, but
// the message will not be deleted"; a message that has become visible again can be deleted until its next receive. On a
// FIFO queue a handle ends with its visibility timeout.
func (q *queue) remove(r *receipt, now time.Time) *awstest.Error {
	m, stale, err := q.byReceipt(r)
	switch {
	case err != nil:
		return err
	case m == nil || stale && !q.fifo:
		return nil
	case q.fifo && (stale || m.state != InFlight):
		return invalidValue(r.ReceiptHandle, "ReceiptHandle", "The receipt handle has expired.")
	}
	q.end(m, Deleted, now)
	return nil
}

// setVisibility enforces "ChangeMessageVisibility" (API reference): only of a message in flight, and for at most 12 hours
// since its receive in all.
func (q *queue) setVisibility(r *receipt, now time.Time) *awstest.Error {
	if r.VisibilityTimeout == nil {
		return missingParameter("VisibilityTimeout")
	}
	if err := checkVisibility(*r.VisibilityTimeout); err != nil {
		return err
	}
	m, stale, err := q.byReceipt(r)
	switch {
	case err != nil:
		return err
	case m == nil || stale:
		return invalidValue(r.ReceiptHandle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
	case m.state != InFlight:
		return older("MessageNotInflight", "The message referred to isn't in flight.")
	}
	until := now.Add(time.Duration(*r.VisibilityTimeout) * time.Second)
	if until.Sub(m.received) > 12*time.Hour {
		return invalidValue(strconv.Itoa(*r.VisibilityTimeout), "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	q.rehide(m, until, now)
	return nil
}

func checkVisibility(seconds int) *awstest.Error {
	if seconds < 0 || seconds > 43_200 {
		return invalidValue(strconv.Itoa(seconds), "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	}
	return nil
}
