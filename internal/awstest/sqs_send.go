package awstest

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// maxSQSRequest is the size of a message, and of all messages of a batch together ("Amazon SQS message quotas").
const maxSQSRequest = 1_048_576

// dedupInterval is how long a FIFO queue knows a deduplication id ("Using the message deduplication ID in Amazon SQS").
const dedupInterval = 5 * time.Minute

// sendEntry is a message to send, as SendMessage and an entry of SendMessageBatch have it in common.
type sendEntry struct {
	id, body, group, dedupID, trace string
	delay                           int
	delaySet                        bool
	attributes                      []messageAttribute
	problem                         *Error // of the attributes
}

// member reads one member of the entry.
func (e *sendEntry) member(r *jsonReader, name string) {
	switch name {
	case "Id":
		e.id = r.str()
	case "MessageBody":
		e.body = r.str()
	case "DelaySeconds":
		e.delay, e.delaySet = r.integer()
	case "MessageGroupId":
		e.group = r.str()
	case "MessageDeduplicationId":
		e.dedupID = r.str()
	case "MessageAttributes":
		e.attributes, e.problem = readAttributes(r)
	case "MessageSystemAttributes":
		system, _ := readAttributes(r)
		for _, a := range system {
			if a.name == "AWSTraceHeader" {
				e.trace = a.value
			}
		}
	default:
		r.skip()
	}
}

func (e *sendEntry) size() int {
	n := len(e.body)
	for _, a := range e.attributes {
		n += a.size()
	}
	return n
}

func (s *SQS) sendMessage(c *Call, r *jsonReader) effect {
	var url string
	var e sendEntry
	r.object(func(member string) {
		if member == "QueueUrl" {
			url = r.str()
			c.Resource = queueName(url)
		} else {
			e.member(r, member)
		}
	})
	c.Entries = []Entry{{Body: e.body}}
	return func(*Call, *Fault) ([]byte, *Error) {
		bodyMD5 := md5Hex(e.body)
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		if e.body == "" {
			return nil, missingParameter("MessageBody")
		}
		m, err := s.send(q, &e, bodyMD5)
		if err != nil {
			return nil, err
		}
		return append(m.appendSent([]byte(`{`)), '}'), nil
	}
}

func (s *SQS) sendMessageBatch(c *Call, r *jsonReader) effect {
	var url string
	var entries []sendEntry
	r.object(func(member string) {
		switch member {
		case "QueueUrl":
			url = r.str()
			c.Resource = queueName(url)
		case "Entries":
			r.array(func() {
				var e sendEntry
				r.object(func(name string) { e.member(r, name) })
				entries = append(entries, e)
				c.Entries = append(c.Entries, Entry{ID: e.id, Body: e.body})
			})
		default:
			r.skip()
		}
	})
	return func(c *Call, f *Fault) ([]byte, *Error) {
		if err := checkBatch(c.Entries, "SendMessageBatchRequestEntry"); err != nil {
			return nil, err
		}
		size := 0
		digests := make([]string, len(entries))
		for i := range entries {
			if entries[i].body == "" {
				return nil, missingParameter("SendMessageBatchRequestEntry." + strconv.Itoa(i+1) + ".MessageBody")
			}
			size += entries[i].size()
			digests[i] = md5Hex(entries[i].body)
		}
		if size > maxSQSRequest {
			return nil, sqsError("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
				"Batch requests cannot be longer than "+strconv.Itoa(maxSQSRequest)+" bytes. You have sent "+strconv.Itoa(size)+" bytes.")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		var results batchResults
		for i := range entries {
			if results.injected(i, c.Entries[i], f) {
				continue
			}
			m, err := s.send(q, &entries[i], digests[i])
			if err != nil {
				results.fail(entries[i].id, err)
				continue
			}
			results.ok(entries[i].id, m)
		}
		return results.body(), nil
	}
}

// send checks one message and queues it, or finds the message that a FIFO queue holds it for a duplicate of. It requires that
// s.mu be held.
func (s *SQS) send(q *queue, e *sendEntry, bodyMD5 string) (*message, *Error) {
	if e.problem != nil {
		return nil, e.problem
	}
	if size := e.size(); size > q.settings.maxSize {
		return nil, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than " + strconv.Itoa(q.settings.maxSize) + " bytes.")
	}
	if err := checkCharacters(e.body); err != nil {
		return nil, err
	}
	if e.delay < 0 || e.delay > 900 {
		return nil, invalidParameter("Value " + strconv.Itoa(e.delay) + " for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.")
	}
	if e.group != "" && !validID(e.group) {
		return nil, invalidParameter("Value " + e.group + " for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	now := time.Now()
	m := &message{body: e.body, bodyMD5: bodyMD5, attributes: e.attributes, group: e.group, trace: e.trace, sent: now}
	delay := q.settings.delay
	if e.delaySet {
		delay = time.Duration(e.delay) * time.Second
	}
	key := ""
	if q.fifo {
		if err := q.checkFIFO(e, m); err != nil {
			return nil, err
		}
		key = q.dedupKey(m)
		if known, ok := q.dedup[key]; ok && now.Sub(known.at) < dedupInterval {
			m.id, m.number = known.id, known.number
			return m, nil // accepted, under the first one's id, and not delivered
		}
	} else if e.dedupID != "" {
		return nil, invalidParameter("Value " + e.dedupID + " for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.")
	}
	s.messages++
	m.number = s.messages
	m.id = uuid(m.number, 0)
	if q.fifo {
		q.dedup[key] = dedupEntry{at: now, id: m.id, number: m.number}
	}
	q.add(m, delay, now, s.recording())
	return m, nil
}

// checkFIFO enforces what SendMessage's API reference asks of messages for a FIFO queue.
func (q *queue) checkFIFO(e *sendEntry, m *message) *Error {
	if e.group == "" {
		return missingParameter("MessageGroupId")
	}
	if e.delay > 0 {
		return invalidParameter("Value " + strconv.Itoa(e.delay) + " for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.")
	}
	switch {
	case e.dedupID != "":
		if !validID(e.dedupID) {
			return invalidParameter("Value " + e.dedupID + " for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
		}
		m.dedupID = e.dedupID
	case q.settings.contentDedup:
		sum := sha256.Sum256([]byte(e.body))
		m.dedupID = hex.EncodeToString(sum[:])
	default:
		return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

func (q *queue) dedupKey(m *message) string {
	if q.attributes["DeduplicationScope"] == "messageGroup" {
		return m.group + "\x00" + m.dedupID
	}
	return m.dedupID
}

// validID says whether s may be a message group id or a deduplication id: 1 to 128 alphanumeric or punctuation characters.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// appendSent appends the members of a sent message's answer.
func (m *message) appendSent(b []byte) []byte {
	b = append(append(append(b, `"MessageId":"`...), m.id...), `","MD5OfMessageBody":"`...)
	b = append(append(b, m.bodyMD5...), '"')
	if len(m.attributes) > 0 {
		b = append(append(append(b, `,"MD5OfMessageAttributes":"`...), attributesMD5(m.attributes)...), '"')
	}
	if m.dedupID != "" {
		b = append(append(append(b, `,"SequenceNumber":"`...), sequenceNumber(m.number)...), '"')
	}
	return b
}
