package awstest

import (
	"strconv"
	"strings"
	"time"
)

// handleEntry is an entry of a delete or a change of visibility.
type handleEntry struct {
	id, handle string
	visibility int
	set        bool // visibility is given
}

func (e *handleEntry) member(r *jsonReader, name string) {
	switch name {
	case "Id":
		e.id = r.str()
	case "ReceiptHandle":
		e.handle = r.str()
	case "VisibilityTimeout":
		e.visibility, e.set = r.integer()
	default:
		r.skip()
	}
}

func (e *handleEntry) entry() Entry {
	id, _, _ := parseHandle(e.handle)
	return Entry{ID: e.id, ReceiptHandle: e.handle, MessageID: id, Visibility: e.visibility}
}

// parseHandle takes a receipt handle apart: the message and the number of its receive.
func parseHandle(handle string) (id string, receive int, ok bool) {
	rest, ok := strings.CutPrefix(handle, "AQEB")
	id, count, found := strings.Cut(rest, ".")
	receive, err := strconv.Atoi(count)
	return id, receive, ok && found && len(id) == 36 && err == nil
}

type settle func(s *SQS, q *queue, e *handleEntry, now time.Time) *Error

func (s *SQS) deleteMessage(c *Call, r *jsonReader) effect { return s.settleOne(c, r, (*SQS).remove) }
func (s *SQS) deleteMessageBatch(c *Call, r *jsonReader) effect {
	return s.settleBatch(c, r, (*SQS).remove, "DeleteMessageBatchRequestEntry")
}

func (s *SQS) changeVisibility(c *Call, r *jsonReader) effect {
	return s.settleOne(c, r, (*SQS).setVisibility)
}

func (s *SQS) changeVisibilityBatch(c *Call, r *jsonReader) effect {
	return s.settleBatch(c, r, (*SQS).setVisibility, "ChangeMessageVisibilityBatchRequestEntry")
}

func (s *SQS) settleOne(c *Call, r *jsonReader, do settle) effect {
	var url string
	var e handleEntry
	r.object(func(member string) {
		if member == "QueueUrl" {
			url = r.str()
			c.Resource = queueName(url)
		} else {
			e.member(r, member)
		}
	})
	c.Entries = []Entry{e.entry()}
	return func(*Call, *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err == nil {
			now := time.Now()
			q.harvest(now)
			err = do(s, q, &e, now)
		}
		if err != nil {
			return nil, err
		}
		return empty, nil
	}
}

func (s *SQS) settleBatch(c *Call, r *jsonReader, do settle, entryType string) effect {
	var url string
	var entries []handleEntry
	r.object(func(member string) {
		switch member {
		case "QueueUrl":
			url = r.str()
			c.Resource = queueName(url)
		case "Entries":
			r.array(func() {
				var e handleEntry
				r.object(func(name string) { e.member(r, name) })
				entries = append(entries, e)
				c.Entries = append(c.Entries, e.entry())
			})
		default:
			r.skip()
		}
	})
	return func(c *Call, f *Fault) ([]byte, *Error) {
		if err := checkBatch(c.Entries, entryType); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		q.harvest(now)
		var results batchResults
		for i := range entries {
			if results.injected(i, c.Entries[i], f) {
				continue
			}
			if err := do(s, q, &entries[i], now); err != nil {
				results.fail(entries[i].id, err)
			} else {
				results.ok(entries[i].id, nil)
			}
		}
		return results.body(), nil
	}
}

// byHandle finds the message of a receipt handle; it is nil once it has ended. It requires that s.mu be held.
func (s *SQS) byHandle(q *queue, e *handleEntry) (m *message, stale bool, problem *Error) {
	if e.handle == "" {
		return nil, false, missingParameter("ReceiptHandle")
	}
	id, receive, ok := parseHandle(e.handle)
	if !ok {
		return nil, false, sqsError("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", `The input receipt handle "`+e.handle+`" is not a valid receipt handle.`)
	}
	m = q.byID[id]
	return m, m != nil && receive != m.receives, nil
}

// remove enforces DeleteMessage's API reference. On a standard queue a handle that is not the last one "succeeds, but the
// message will not be deleted"; a message that has become visible again can be deleted until its next receive. On a FIFO
// queue a handle ends with its visibility timeout.
func (s *SQS) remove(q *queue, e *handleEntry, now time.Time) *Error {
	m, stale, problem := s.byHandle(q, e)
	switch {
	case problem != nil:
		return problem
	case m == nil || stale && !q.fifo:
		return nil
	case q.fifo && (stale || m.state != InFlight):
		return invalidParameter("Value " + e.handle + " for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")
	}
	q.end(m, Deleted, now)
	return nil
}

// setVisibility enforces ChangeMessageVisibility's API reference: only of a message in flight, and for at most 12 hours
// since its receive in all.
func (s *SQS) setVisibility(q *queue, e *handleEntry, now time.Time) *Error {
	if !e.set {
		return missingParameter("VisibilityTimeout")
	}
	if e.visibility < 0 || e.visibility > 43_200 {
		return invalidVisibility(e.visibility)
	}
	m, stale, problem := s.byHandle(q, e)
	switch {
	case problem != nil:
		return problem
	case m == nil || stale:
		return invalidParameter("Value " + e.handle + " for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.")
	case m.state != InFlight:
		return sqsError("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "The message referred to isn't in flight.")
	}
	timeout := time.Duration(e.visibility) * time.Second
	if now.Add(timeout).Sub(m.received) > 12*time.Hour {
		return invalidParameter("Value " + strconv.Itoa(e.visibility) + " for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	q.rehide(m, now.Add(timeout), now)
	return nil
}
