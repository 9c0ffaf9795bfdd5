package awstest

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// SQS is a fake of Amazon SQS: an http.Handler whose state is in memory. Make it with [NewSQS]; inside a bubble, if it is to
// be used there.
type SQS struct {
	server

	mu            sync.Mutex // guards what follows
	queues        map[string]*queue
	removed       map[string]time.Time // names of deleted queues, by when
	messages      uint64
	inFlightLimit int
	abandoned     bool
}

const (
	region  = "eu-west-1"
	account = "000000000000"
)

// NewSQS makes a fake without queues.
func NewSQS() *SQS {
	s := &SQS{server: newServer("AmazonSQS"), queues: make(map[string]*queue), removed: make(map[string]time.Time), inFlightLimit: 120_000}
	s.operations = map[string]operation{
		"CreateQueue":                  s.createQueue,
		"DeleteQueue":                  s.deleteQueue,
		"GetQueueUrl":                  s.getQueueURL,
		"GetQueueAttributes":           s.getQueueAttributes,
		"SetQueueAttributes":           s.setQueueAttributes,
		"ListQueues":                   s.listQueues,
		"PurgeQueue":                   s.purgeQueue,
		"SendMessage":                  s.sendMessage,
		"SendMessageBatch":             s.sendMessageBatch,
		"ReceiveMessage":               s.receiveMessage,
		"DeleteMessage":                s.deleteMessage,
		"DeleteMessageBatch":           s.deleteMessageBatch,
		"ChangeMessageVisibility":      s.changeVisibility,
		"ChangeMessageVisibilityBatch": s.changeVisibilityBatch,
	}
	return s
}

// SetInFlightLimit changes the number of messages that may be in flight per queue, 120,000 as in "Amazon SQS message quotas".
func (s *SQS) SetInFlightLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlightLimit = n
}

// SetAbandonedPolls makes a long poll go on to its end after its client has gone, and take messages that nobody then has
// until their visibility timeout. SQS does this; off by default, so that a test sees only what it asked for. In a bubble,
// such a poll keeps the bubble busy for the rest of its wait.
func (s *SQS) SetAbandonedPolls(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned = on
}

// queueURL builds a queue's URL as the service does, from the host that the client called.
func queueURL(base, name string) string { return base + "/" + account + "/" + name }

// byURL finds the queue that a QueueUrl names. Only the path counts, as for the service. It requires that s.mu be held.
func (s *SQS) byURL(url string) (*queue, *Error) {
	if url == "" {
		return nil, missingParameter("QueueUrl")
	}
	q := s.queues[queueName(url)]
	if q == nil {
		return nil, queueDoesNotExist()
	}
	return q, nil
}

func queueName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func queueARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// names lists the queues whose names start with prefix, in order. It requires that s.mu be held.
func (s *SQS) names(prefix string) []string {
	var names []string
	for _, name := range sorted(s.queues) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

func (s *SQS) createQueue(c *Call, r *jsonReader) effect {
	var name string
	attributes := map[string]string{}
	r.object(func(member string) {
		switch member {
		case "QueueName":
			name = r.str()
		case "Attributes":
			attributes = r.strings()
		default:
			r.skip()
		}
	})
	c.Resource = name
	return func(c *Call, _ *Fault) ([]byte, *Error) {
		if err := s.create(name, attributes); err != nil {
			return nil, err
		}
		return stringMember("QueueUrl", queueURL(c.base, name)), nil
	}
}

// create enforces CreateQueue's API reference: the name, the attributes, and that a second creation changes nothing.
func (s *SQS) create(name string, attributes map[string]string) *Error {
	plain, fifo := strings.CutSuffix(name, ".fifo")
	if plain == "" || len(name) > 80 || strings.Trim(plain, nameCharacters) != "" {
		return invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if fifo != (attributes["FifoQueue"] == "true") {
		if fifo {
			return invalidParameter("The queue name of a FIFO queue needs the attribute FifoQueue")
		}
		return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length")
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.removed[name]; ok && now.Sub(at) < time.Minute {
		return sqsError("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	if q := s.queues[name]; q != nil {
		for _, key := range sorted(attributes) {
			if q.attributes[key] != attributes[key] {
				return sqsError("QueueNameExists", "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute "+key)
			}
		}
		return nil
	}
	q := &queue{name: name, arn: queueARN(name), fifo: fifo, created: now, modified: now, byID: make(map[string]*message), attributes: map[string]string{
		"VisibilityTimeout": "30", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
		"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "SqsManagedSseEnabled": "true",
	}}
	if fifo {
		q.groups = make(map[string]*group)
		q.dedup = make(map[string]dedupEntry)
		q.attributes["FifoQueue"] = "true"
		q.attributes["ContentBasedDeduplication"] = "false"
		q.attributes["DeduplicationScope"] = "queue"
		q.attributes["FifoThroughputLimit"] = "perQueue"
	}
	if err := s.configure(q, attributes, true); err != nil {
		return err
	}
	s.queues[name] = q
	return nil
}

func (s *SQS) deleteQueue(c *Call, r *jsonReader) effect {
	url := readQueueURL(c, r)
	return func(*Call, *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		delete(s.queues, q.name)
		s.removed[q.name] = time.Now()
		q.deleted = true
		q.wakeAll()
		return empty, nil
	}
}

func (s *SQS) getQueueURL(c *Call, r *jsonReader) effect {
	r.object(func(member string) {
		if member == "QueueName" {
			c.Resource = r.str()
		} else {
			r.skip()
		}
	})
	return func(c *Call, _ *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.queues[c.Resource] == nil {
			return nil, queueDoesNotExist()
		}
		return stringMember("QueueUrl", queueURL(c.base, c.Resource)), nil
	}
}

func (s *SQS) listQueues(_ *Call, r *jsonReader) effect {
	var prefix string
	r.object(func(member string) {
		if member == "QueueNamePrefix" {
			prefix = r.str()
		} else {
			r.skip()
		}
	})
	return func(c *Call, _ *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b := []byte(`{"QueueUrls":[`)
		for i, name := range s.names(prefix) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, queueURL(c.base, name))
		}
		return append(b, `]}`...), nil
	}
}

// purgeQueue enforces PurgeQueue's API reference: once in 60 seconds; messages in flight go too.
func (s *SQS) purgeQueue(c *Call, r *jsonReader) effect {
	url := readQueueURL(c, r)
	return func(*Call, *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if !q.purged.IsZero() && now.Sub(q.purged) < time.Minute {
			return nil, sqsError("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", "Only one PurgeQueue operation on "+q.name+" is allowed every 60 seconds.")
		}
		q.purged = now
		for _, m := range q.byID {
			q.end(m, Deleted, now)
		}
		return empty, nil
	}
}

var empty = []byte("{}")

func stringMember(name, value string) []byte {
	return append(appendJSONString([]byte(`{"`+name+`":`), value), '}')
}

// readQueueURL reads a request that has a QueueUrl alone.
func readQueueURL(c *Call, r *jsonReader) (url string) {
	r.object(func(member string) {
		if member == "QueueUrl" {
			url = r.str()
			c.Resource = queueName(url)
		} else {
			r.skip()
		}
	})
	return url
}

// requestBase is the scheme and host that a request was sent to.
func requestBase(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.URL.Scheme == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
