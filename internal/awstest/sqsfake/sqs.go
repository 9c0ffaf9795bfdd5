// Package sqsfake is a fake of Amazon SQS that enforces the service's rules. See package awstest.
package sqsfake

import (
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
)

// Service is a fake of SQS: an http.Handler whose state is in memory. Make it with [New]; inside a bubble, if it is to be
// used there.
type Service struct {
	*awstest.Server

	mu            sync.Mutex // guards what follows
	queues        map[string]*queue
	removed       map[string]time.Time // names of deleted queues, by when
	messages      uint64
	inFlightLimit int
	abandoned     bool
}

// New makes a fake without queues.
func New() *Service {
	s := &Service{queues: make(map[string]*queue), removed: make(map[string]time.Time), inFlightLimit: 120_000}
	s.Server = awstest.NewServer(awstest.Protocol{Target: "AmazonSQS", Operations: map[string]awstest.Operation{
		"CreateQueue":                  awstest.Handle(s.createQueue),
		"DeleteQueue":                  awstest.Handle(s.deleteQueue),
		"GetQueueAttributes":           awstest.Handle(s.getQueueAttributes),
		"SetQueueAttributes":           awstest.Handle(s.setQueueAttributes),
		"SendMessage":                  awstest.Handle(s.sendMessage),
		"SendMessageBatch":             awstest.Handle(s.sendMessageBatch),
		"ReceiveMessage":               awstest.Handle(s.receiveMessage),
		"DeleteMessage":                awstest.Handle(s.deleteMessage),
		"DeleteMessageBatch":           awstest.Handle(s.deleteMessageBatch),
		"ChangeMessageVisibility":      awstest.Handle(s.changeVisibility),
		"ChangeMessageVisibilityBatch": awstest.Handle(s.changeVisibilityBatch),
	}})
	return s
}

// Client is an SDK client of the fake, with no network between them. It retries as the SDK does by default.
func (s *Service) Client(options ...func(*sqs.Options)) *sqs.Client {
	return sqs.NewFromConfig(awstest.Config(awstest.Transport(s)), options...)
}

// SetInFlightLimit changes the number of messages that may be in flight per queue: 120,000, as in "Amazon SQS message
// quotas".
func (s *Service) SetInFlightLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlightLimit = n
}

// SetAbandonedPolls makes a long poll continue to its end after its client has gone, and take messages that nobody then
// has until their visibility timeout. SQS does this. It is off by default, so that a test sees only what it asked for. In
// a bubble, such a poll keeps the bubble busy for the rest of its wait.
func (s *Service) SetAbandonedPolls(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned = on
}

// CreateQueue makes a queue and returns its URL, without a client and without a call that counts. It panics where the
// service would refuse.
func (s *Service) CreateQueue(name string, attributes map[string]string) string {
	if err := s.create(name, attributes); err != nil {
		panic(err)
	}
	return queueURL("https://sqs."+awstest.Region+".amazonaws.com", name)
}

// QueueARN is the ARN of a queue, for a RedrivePolicy.
func QueueARN(name string) string {
	return "arn:aws:sqs:" + awstest.Region + ":" + awstest.Account + ":" + name
}

// QueueName is the name in a queue's URL.
func QueueName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// queueURL builds a queue's URL as the service does, from the host that the client called.
func queueURL(base, name string) string { return base + "/" + awstest.Account + "/" + name }

// byURL finds the queue that a QueueUrl names. Only the path counts, as for the service. It requires that s.mu be held.
func (s *Service) byURL(url string) (*queue, *awstest.Error) {
	if url == "" {
		return nil, missingParameter("QueueUrl")
	}
	if q := s.queues[QueueName(url)]; q != nil {
		return q, nil
	}
	return nil, queueDoesNotExist()
}

// Send puts messages into a queue, without a client and without a call that counts. In a FIFO queue each message is a
// group of its own. It panics where the service would refuse.
func (s *Service) Send(queue string, bodies ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		panic(queueDoesNotExist())
	}
	for _, body := range bodies {
		m := &newMessage{MessageBody: body}
		if q.fifo {
			m.MessageGroupId = awstest.UUID(s.messages, 2)
			m.MessageDeduplicationId = m.MessageGroupId
		}
		if _, err := s.send(q, m, md5Hex(body)); err != nil {
			panic(err)
		}
	}
}

// Message is what the fake knows about a message.
type Message struct {
	ID, Body     string
	Attributes   map[string]string // values as text; a binary value is its bytes
	GroupID      string
	State        MessageState
	ReceiveCount int
	// ReceiptHandle is that of the last receive.
	ReceiptHandle string
	Sent          time.Time
	// Received is the last receive.
	Received time.Time
	// VisibleAt is when a message in flight or delayed becomes visible.
	VisibleAt time.Time
	// Ended is when it was deleted, expired or dead-lettered.
	Ended time.Time
}

// Messages returns the messages of a queue in the order in which they came; when recording, with those that have ended.
func (s *Service) Messages(queue string) []Message {
	recording := s.Recording()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return nil
	}
	q.harvest(time.Now())
	all := q.all
	if !recording {
		all = all[:0:0]
		for _, id := range sortedKeys(q.byID) {
			all = append(all, q.byID[id])
		}
	}
	messages := make([]Message, 0, len(all))
	for _, m := range all {
		out := Message{ID: m.id, Body: m.body, GroupID: m.group, State: m.state, ReceiveCount: m.receives, ReceiptHandle: m.handle,
			Sent: m.sent, Received: m.received, Ended: m.ended, Attributes: make(map[string]string)}
		if m.state == InFlight || m.state == Delayed {
			out.VisibleAt = m.visibleAt
		}
		for name, a := range m.attributes {
			out.Attributes[name] = a.text()
		}
		messages = append(messages, out)
	}
	return messages
}

// Counts returns the numbers of a queue's messages that are visible, in flight and delayed.
func (s *Service) Counts(queue string) (visible, inFlight, delayed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return 0, 0, 0
	}
	q.harvest(time.Now())
	return q.visible, q.inFlight, len(q.hidden) - q.inFlight
}
