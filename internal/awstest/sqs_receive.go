package awstest

import (
	"strconv"
	"time"
)

type receiveRequest struct {
	url                           string
	max, visibility, wait         int
	maxSet, visibilitySet, waitOK bool
	names, systemNames            []string
}

func (s *SQS) receiveMessage(c *Call, r *jsonReader) effect {
	var in receiveRequest
	r.object(func(member string) {
		switch member {
		case "QueueUrl":
			in.url = r.str()
			c.Resource = queueName(in.url)
		case "MaxNumberOfMessages":
			in.max, in.maxSet = r.integer()
		case "VisibilityTimeout":
			in.visibility, in.visibilitySet = r.integer()
		case "WaitTimeSeconds":
			in.wait, in.waitOK = r.integer()
		case "MessageAttributeNames":
			in.names = r.list()
		case "AttributeNames", "MessageSystemAttributeNames":
			in.systemNames = append(in.systemNames, r.list()...)
		default:
			r.skip()
		}
	})
	return func(c *Call, f *Fault) ([]byte, *Error) { return s.receive(c, &in, f) }
}

func (in *receiveRequest) check() *Error {
	switch {
	case in.maxSet && (in.max < 1 || in.max > 10):
		return invalidParameter("Value " + strconv.Itoa(in.max) + " for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.")
	case in.visibilitySet && (in.visibility < 0 || in.visibility > 43_200):
		return invalidVisibility(in.visibility)
	case in.waitOK && (in.wait < 0 || in.wait > 20):
		return invalidParameter("Value " + strconv.Itoa(in.wait) + " for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.")
	}
	return nil
}

func invalidVisibility(seconds int) *Error {
	return invalidParameter("Value " + strconv.Itoa(seconds) + " for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided.")
}

// receive waits as "Amazon SQS short and long polling" says: a long poll answers as soon as there is a message, and empty at
// the end of its wait. At the limit of messages in flight a short poll is refused, and a long poll finds nothing
// ("Amazon SQS message quotas").
func (s *SQS) receive(c *Call, in *receiveRequest, f *Fault) ([]byte, *Error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.url)
	if err != nil {
		return nil, err
	}
	visibility, wait, n := q.settings.visibility, q.settings.wait, 1
	if in.visibilitySet {
		visibility = time.Duration(in.visibility) * time.Second
	}
	if in.waitOK {
		wait = time.Duration(in.wait) * time.Second
	}
	if in.maxSet {
		n = in.max
	}
	deadline := time.Now().Add(wait)
	for {
		if q.deleted {
			return nil, queueDoesNotExist()
		}
		now := time.Now()
		q.harvest(now)
		if room := s.inFlightLimit - q.inFlight; room > 0 {
			if taken := q.take(min(n, room), now, s.deadLetter(q, now)); len(taken) > 0 {
				return s.deliver(q, taken, in, visibility, now, f), nil
			}
		} else if wait == 0 {
			return nil, sqsError("OverLimit", "OverLimit", "Too many messages in flight: the limit of "+strconv.Itoa(s.inFlightLimit)+" is reached.")
		}
		if !now.Before(deadline) {
			return []byte("{}"), nil
		}
		if !s.await(c, q, deadline, now) {
			return nil, errGone
		}
	}
}

// await lets a long poll wait until there may be something to see; false means that nobody waits for it any more. It requires
// that s.mu be held, and gives it up meanwhile.
func (s *SQS) await(c *Call, q *queue, deadline, now time.Time) bool {
	until := deadline
	if len(q.hidden) > 0 && q.hidden[0].visibleAt.Before(until) {
		until = q.hidden[0].visibleAt
	}
	gone := c.ctx.Done()
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
	case <-s.closed:
	}
	timer.Stop()
	// Whatever else came at the same instant: chance must not decide whether a client that has gone takes messages.
	waiting := !over(gone) && !over(s.closed)
	s.mu.Lock()
	q.leave(woken)
	if !waiting {
		q.wake() // another takes over what this one was waiting for
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

func (s *SQS) deliver(q *queue, taken []*message, in *receiveRequest, visibility time.Duration, now time.Time, f *Fault) []byte {
	b := append(make([]byte, 0, 64+len(taken)*(512+len(taken[0].body))), `{"Messages":[`...)
	for i, m := range taken {
		q.deliver(m, visibility, now)
		if i > 0 {
			b = append(b, ',')
		}
		b = m.appendJSON(b, in.names, in.systemNames)
		if visibility <= 0 || f.Redeliver != nil && f.Redeliver(Entry{Body: m.body, MessageID: m.id, ReceiptHandle: m.handle}) {
			q.unhide(m)
			q.show(m)
		}
	}
	if q.visible > 0 {
		q.wake()
	}
	return append(b, `]}`...)
}

// deadLetter returns what take does with a message that was received too often ("Using dead-letter queues in Amazon SQS"): it
// goes to the dead-letter queue with its id, its attributes and, between standard queues, its age.
func (s *SQS) deadLetter(q *queue, now time.Time) func(*message, MessageState) {
	return func(m *message, _ MessageState) {
		target := s.byARN(q.settings.redriveTo)
		if target == nil {
			return // its dead-letter queue was deleted: the service drops nothing, but says nothing either; here it ends
		}
		moved := *m
		moved.sourceARN = q.arn
		moved.ended = time.Time{}
		if q.fifo {
			moved.sent = now
		}
		target.add(&moved, 0, now, s.recording())
	}
}
