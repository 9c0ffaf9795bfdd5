package sqsfake

import (
	"strconv"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

type receiveMessageInput struct {
	queueInput
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	MessageAttributeNames       []string
	AttributeNames              []string
	MessageSystemAttributeNames []string
}

type receiveMessageOutput struct {
	Messages []receivedMessage `json:",omitempty"`
}

type receivedMessage struct {
	MessageId, ReceiptHandle, MD5OfBody, Body string
	Attributes                                map[string]string `json:",omitempty"`
	MD5OfMessageAttributes                    string            `json:",omitempty"`
	MessageAttributes                         attributes        `json:",omitempty"`
}

// check enforces the ranges of "ReceiveMessage" (API reference).
func (in *receiveMessageInput) check() *awstest.Error {
	if n := in.MaxNumberOfMessages; n != nil && (*n < 1 || *n > 10) {
		return invalidValue(strconv.Itoa(*n), "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
	}
	if n := in.WaitTimeSeconds; n != nil && (*n < 0 || *n > 20) {
		return invalidValue(strconv.Itoa(*n), "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
	}
	if n := in.VisibilityTimeout; n != nil {
		return checkVisibility(*n)
	}
	return nil
}

// seconds is a parameter in seconds, or the queue's own setting.
func seconds(n *int, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

// receiveMessage waits as "Amazon SQS short and long polling" says: a long poll answers as soon as there is a message, and
// empty at the end of its wait. At the limit of messages in flight a short poll of a standard queue is refused, and any
// other finds nothing ("Amazon SQS message quotas", "Amazon SQS FIFO queue quotas").
func (s *Service) receiveMessage(c *awstest.Call, in *receiveMessageInput, f *awstest.Fault) (any, *awstest.Error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	wait, n := seconds(in.WaitTimeSeconds, q.settings.wait), 1
	if in.MaxNumberOfMessages != nil {
		n = *in.MaxNumberOfMessages
	}
	deadline := time.Now().Add(wait)
	for {
		if q.deleted {
			return nil, queueDoesNotExist()
		}
		now := time.Now()
		q.harvest(now)
		if room := s.inFlightLimit - q.inFlight; room > 0 {
			if taken := q.take(min(n, room), now, func(m *message) { s.deadLetter(q, m, now) }); len(taken) > 0 {
				return s.deliver(q, taken, in, now, f), nil
			}
		} else if wait == 0 && !q.fifo {
			return nil, refusal("OverLimit", "OverLimit", "Too many messages in flight: the limit of "+strconv.Itoa(s.inFlightLimit)+" is reached.")
		}
		if !now.Before(deadline) {
			return nil, nil
		}
		if !s.await(c, q, deadline, now) {
			return nil, awstest.NoAnswer
		}
	}
}

// await blocks a long poll until there may be something to see. It returns false if nobody waits for the poll any more. It
// requires that s.mu be held, and gives it up meanwhile.
func (s *Service) await(c *awstest.Call, q *queue, deadline, now time.Time) bool {
	until := deadline
	if len(q.hidden) > 0 && q.hidden[0].visibleAt.Before(until) {
		until = q.hidden[0].visibleAt
	}
	gone := c.Context().Done()
	if s.abandoned {
		gone = nil
	}
	woken := make(chan struct{})
	q.waiters = append(q.waiters, woken)
	timer := time.NewTimer(until.Sub(now))
	s.mu.Unlock()
	select {
	case <-woken:
	case <-timer.C:
	case <-gone:
	case <-s.Closed():
	}
	timer.Stop()
	// Whatever else came at the same instant: chance must not decide whether a client that has gone takes messages.
	waiting := !over(gone) && !over(s.Closed())
	s.mu.Lock()
	q.leave(woken)
	if !waiting {
		q.wake() // another poll takes over what this one was waiting for
	}
	return waiting
}

func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (s *Service) deliver(q *queue, taken []*message, in *receiveMessageInput, now time.Time, f *awstest.Fault) receiveMessageOutput {
	visibility := seconds(in.VisibilityTimeout, q.settings.visibility)
	systemNames := append(in.AttributeNames, in.MessageSystemAttributeNames...)
	var out receiveMessageOutput
	for _, m := range taken {
		q.deliver(m, visibility, now)
		picked := m.attributes.selected(in.MessageAttributeNames)
		out.Messages = append(out.Messages, receivedMessage{m.id, m.handle, m.bodyMD5, m.body, m.systemAttributes(systemNames), picked.md5(), picked})
		if visibility <= 0 || f.Redeliver != nil && f.Redeliver(awstest.Entry{Body: m.body, MessageID: m.id, ReceiptHandle: m.handle}) {
			q.unhide(m)
			q.show(m)
		}
	}
	if q.visible > 0 {
		q.wake()
	}
	return out
}

// deadLetter moves a message that was received too often ("Using dead-letter queues in Amazon SQS"). It keeps its id and
// its attributes. Between standard queues it also keeps its enqueue timestamp, and with it its age; a FIFO queue's starts
// anew ("Setting-up dead-letter queue retention in Amazon SQS").
func (s *Service) deadLetter(q *queue, m *message, now time.Time) {
	target := s.byARN(q.settings.redriveTo)
	if target == nil {
		return // the dead-letter queue was deleted; the service does not say what happens, here the message ends
	}
	moved := *m
	moved.sourceARN = q.arn
	moved.ended = time.Time{}
	if q.fifo {
		moved.sent = now
	}
	target.add(&moved, 0, now, s.Recording())
}
