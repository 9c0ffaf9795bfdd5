package awstest

import (
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Config is an SDK configuration whose requests go to rt: static credentials, a region, and no look at the environment, the
// home directory or the network.
func Config(rt http.RoundTripper) aws.Config {
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDTEST", "secret", ""),
		HTTPClient:  &http.Client{Transport: rt},
	}
}

// Client is an SDK client of the fake, with no network between them. It retries as the SDK does by default.
func (s *SQS) Client(options ...func(*sqs.Options)) *sqs.Client {
	return sqs.NewFromConfig(Config(Transport(s)), options...)
}

// Client is an SDK client of the fake, with no network between them. It retries as the SDK does by default.
func (d *DynamoDB) Client(options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.NewFromConfig(Config(Transport(d)), options...)
}

// CreateQueue makes a queue and returns its URL, without a client and without a call that counts. It panics where the service
// would refuse.
func (s *SQS) CreateQueue(name string, attributes map[string]string) string {
	if err := s.create(name, attributes); err != nil {
		panic(err)
	}
	return queueURL("https://sqs."+region+".amazonaws.com", name)
}

// QueueARN is the ARN of a queue, for a RedrivePolicy.
func (s *SQS) QueueARN(name string) string { return queueARN(name) }

// Send puts messages into a standard queue, without a client and without a call that counts. It panics where the service
// would refuse.
func (s *SQS) Send(queue string, bodies ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		panic(queueDoesNotExist())
	}
	for _, body := range bodies {
		if _, err := s.send(q, &sendEntry{body: body}, md5Hex(body)); err != nil {
			panic(err)
		}
	}
}

// Message is what the fake knows about a message.
type Message struct {
	ID, Body     string
	Attributes   map[string]string // values as text; a binary one's are its bytes
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

// Messages are the messages of a queue in the order in which they came; when recording, with those that have ended.
func (s *SQS) Messages(queue string) []Message {
	recording := s.recording()
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
		for _, id := range sorted(q.byID) {
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
		for _, a := range m.attributes {
			out.Attributes[a.name] = a.value
		}
		messages = append(messages, out)
	}
	return messages
}

// Counts are the numbers of a queue's messages that are visible, in flight and delayed.
func (s *SQS) Counts(queue string) (visible, inFlight, delayed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return 0, 0, 0
	}
	q.harvest(time.Now())
	return q.visible, q.inFlight, len(q.hidden) - q.inFlight
}
