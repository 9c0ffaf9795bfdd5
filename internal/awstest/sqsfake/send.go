package sqsfake

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

const (
	// maxRequest is the size of a message, and of all messages of a batch together ("Amazon SQS message quotas").
	maxRequest = 1_048_576
	// dedupInterval is how long a FIFO queue knows a deduplication id ("Using the message deduplication ID in Amazon SQS").
	dedupInterval = 5 * time.Minute
)

// newMessage is a message to send: what SendMessage and an entry of SendMessageBatch have in common.
type newMessage struct {
	MessageBody             string
	DelaySeconds            *int
	MessageGroupId          string
	MessageDeduplicationId  string
	MessageAttributes       attributes
	MessageSystemAttributes attributes
}

func (m *newMessage) size() int { return len(m.MessageBody) + m.MessageAttributes.size() }

type sendMessageInput struct {
	queueInput
	newMessage
}

func (in *sendMessageInput) Describe(c *awstest.Call) {
	in.queueInput.Describe(c)
	c.Entries = []awstest.Entry{{Body: in.MessageBody}}
}

// sentOutput is the answer about a message that was sent.
type sentOutput struct {
	MessageId              string `json:",omitempty"`
	MD5OfMessageBody       string `json:",omitempty"`
	MD5OfMessageAttributes string `json:",omitempty"`
	SequenceNumber         string `json:",omitempty"`
}

func (m *message) output() sentOutput {
	return sentOutput{m.id, m.bodyMD5, m.attributes.md5(), m.sequenceNumber()}
}

func (s *Service) sendMessage(_ *awstest.Call, in *sendMessageInput, _ *awstest.Fault) (any, *awstest.Error) {
	digest := md5Hex(in.MessageBody)
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if in.MessageBody == "" {
		return nil, missingParameter("MessageBody")
	}
	m, err := s.send(q, &in.newMessage, digest)
	if err != nil {
		return nil, err
	}
	return m.output(), nil
}

type sendMessageBatchInput struct {
	queueInput
	Entries []struct {
		Id string
		newMessage
	}
}

func (in *sendMessageBatchInput) Describe(c *awstest.Call) {
	in.queueInput.Describe(c)
	for i := range in.Entries {
		c.Entries = append(c.Entries, awstest.Entry{ID: in.Entries[i].Id, Body: in.Entries[i].MessageBody})
	}
}

// sendMessageBatch enforces "SendMessageBatch" (API reference): the whole request fails for its form and its size; for
// anything else an entry fails alone.
func (s *Service) sendMessageBatch(c *awstest.Call, in *sendMessageBatchInput, f *awstest.Fault) (any, *awstest.Error) {
	if err := checkBatch(c.Entries, "SendMessageBatchRequestEntry"); err != nil {
		return nil, err
	}
	size := 0
	digests := make([]string, len(in.Entries))
	for i := range in.Entries {
		m := &in.Entries[i].newMessage
		if m.MessageBody == "" {
			return nil, missingParameter("SendMessageBatchRequestEntry." + strconv.Itoa(i+1) + ".MessageBody")
		}
		size += m.size()
		digests[i] = md5Hex(m.MessageBody)
	}
	if size > maxRequest {
		return nil, older("BatchRequestTooLong", "Batch requests cannot be longer than "+strconv.Itoa(maxRequest)+" bytes. You have sent "+strconv.Itoa(size)+" bytes.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	out := &batchOutput{}
	out.entries(c, f, func(i int) (sentOutput, *awstest.Error) {
		m, err := s.send(q, &in.Entries[i].newMessage, digests[i])
		if err != nil {
			return sentOutput{}, err
		}
		return m.output(), nil
	})
	return out, nil
}

// send checks one message and queues it, or finds the message that a FIFO queue holds it for a duplicate of. It requires
// that s.mu be held.
func (s *Service) send(q *queue, e *newMessage, bodyMD5 string) (*message, *awstest.Error) {
	if err := e.check(q); err != nil {
		return nil, err
	}
	now := time.Now()
	m := &message{body: e.MessageBody, bodyMD5: bodyMD5, attributes: e.MessageAttributes, group: e.MessageGroupId, sent: now}
	if trace := e.MessageSystemAttributes["AWSTraceHeader"]; trace != nil {
		m.trace = trace.text()
	}
	delay := q.settings.delay
	if e.DelaySeconds != nil {
		delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	s.messages++
	m.number = s.messages
	m.id = awstest.UUID(m.number, 0)
	if q.fifo {
		m.dedupID = e.dedupID()
		key := q.dedupKey(m)
		if known, ok := q.dedup[key]; ok && now.Sub(known.at) < dedupInterval {
			m.id, m.number = known.id, known.number
			return m, nil // accepted under the first one's id, and not delivered
		}
		q.dedup[key] = dedupEntry{at: now, id: m.id, number: m.number}
	}
	q.add(m, delay, now, s.Recording())
	return m, nil
}

// check enforces "SendMessage" (API reference).
func (m *newMessage) check(q *queue) *awstest.Error {
	if err := m.MessageAttributes.check(); err != nil {
		return err
	}
	if m.size() > q.settings.maxSize {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than " + strconv.Itoa(q.settings.maxSize) + " bytes.")
	}
	if err := checkCharacters(m.MessageBody); err != nil {
		return err
	}
	if d := m.DelaySeconds; d != nil && (*d < 0 || *d > 900) {
		return invalidValue(strconv.Itoa(*d), "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	}
	if id := m.MessageGroupId; id != "" && !validID(id) {
		return invalidValue(id, "MessageGroupId", "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if id := m.MessageDeduplicationId; q.fifo {
		return m.checkFIFO(q)
	} else if id != "" {
		return invalidValue(id, "MessageDeduplicationId", "The request includes a parameter that is not valid for this queue type.")
	}
	return nil
}

// checkFIFO enforces what the same page asks of a message for a FIFO queue.
func (m *newMessage) checkFIFO(q *queue) *awstest.Error {
	switch id := m.MessageDeduplicationId; {
	case m.MessageGroupId == "":
		return missingParameter("MessageGroupId")
	case m.DelaySeconds != nil && *m.DelaySeconds > 0:
		return invalidValue(strconv.Itoa(*m.DelaySeconds), "DelaySeconds", "The request include parameter that is not valid for this queue type.")
	case id == "" && !q.settings.contentDedup:
		return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case id != "" && !validID(id):
		return invalidValue(id, "MessageDeduplicationId", "MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	return nil
}

// dedupID is the deduplication id, by content if none is given.
func (m *newMessage) dedupID() string {
	if m.MessageDeduplicationId != "" {
		return m.MessageDeduplicationId
	}
	sum := sha256.Sum256([]byte(m.MessageBody))
	return hex.EncodeToString(sum[:])
}

func (q *queue) dedupKey(m *message) string {
	if q.attributes["DeduplicationScope"] == "messageGroup" {
		return m.group + "\x00" + m.dedupID
	}
	return m.dedupID
}

// validID reports whether s may be a message group id or a deduplication id: 1 to 128 alphanumeric or punctuation
// characters.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}
