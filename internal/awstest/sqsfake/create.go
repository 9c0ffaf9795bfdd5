package sqsfake

import (
	"maps"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
}

func (in *createQueueInput) Describe(c *awstest.Call) { c.Resource = in.QueueName }

type queueURLOutput struct{ QueueUrl string }

func (s *Service) createQueue(c *awstest.Call, in *createQueueInput, _ *awstest.Fault) (any, *awstest.Error) {
	if err := s.create(in.QueueName, in.Attributes); err != nil {
		return nil, err
	}
	return queueURLOutput{queueURL(c.Base(), in.QueueName)}, nil
}

const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// defaults are the attributes of a new queue ("CreateQueue", API reference).
var defaults = map[string]string{
	"VisibilityTimeout": "30", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
	"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "SqsManagedSseEnabled": "true",
}

// create enforces CreateQueue's API reference: the name, the attributes, and that a second creation changes nothing.
func (s *Service) create(name string, attributes map[string]string) *awstest.Error {
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
		return older("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	if q := s.queues[name]; q != nil {
		for _, key := range sortedKeys(attributes) {
			if q.attributes[key] != attributes[key] {
				return refusal("QueueNameExists", "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute "+key)
			}
		}
		return nil
	}
	q := &queue{name: name, arn: QueueARN(name), fifo: fifo, created: now, modified: now, byID: make(map[string]*message), attributes: maps.Clone(defaults)}
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

type queueInput struct{ QueueUrl string }

func (in *queueInput) Describe(c *awstest.Call) { c.Resource = QueueName(in.QueueUrl) }

func (s *Service) deleteQueue(_ *awstest.Call, in *queueInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	delete(s.queues, q.name)
	s.removed[q.name] = time.Now()
	q.deleted = true
	q.wakeAll()
	return nil, nil
}
