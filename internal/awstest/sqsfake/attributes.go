package sqsfake

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

// numeric are the attributes of a queue that are numbers, with their ranges ("SetQueueAttributes", API reference).
var numeric = map[string][2]int{
	"VisibilityTimeout":             {0, 43_200},
	"DelaySeconds":                  {0, 900},
	"MaximumMessageSize":            {1_024, 1_048_576},
	"MessageRetentionPeriod":        {60, 1_209_600},
	"ReceiveMessageWaitTimeSeconds": {0, 20},
	"KmsDataKeyReusePeriodSeconds":  {60, 86_400},
}

// kept are the other attributes that are stored and have no effect here.
var kept = []string{"Policy", "KmsMasterKeyId", "SqsManagedSseEnabled", "RedriveAllowPolicy", "DeduplicationScope", "FifoThroughputLimit"}

// configure checks attributes and applies them, all or none. It requires that s.mu be held.
func (s *Service) configure(q *queue, attributes map[string]string, creating bool) *awstest.Error {
	for _, name := range sortedKeys(attributes) {
		if err := s.checkAttribute(q, name, attributes[name], creating); err != nil {
			return err
		}
	}
	for name, value := range attributes {
		q.attributes[name] = value
		if value == "" {
			delete(q.attributes, name)
		}
	}
	// A queue has one kind of encryption ("Encryption at rest in Amazon SQS").
	if q.attributes["KmsMasterKeyId"] != "" {
		q.attributes["SqsManagedSseEnabled"] = "false"
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(q.attributes[name])
		return n
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	q.settings = queueSettings{
		visibility:   seconds("VisibilityTimeout"),
		delay:        seconds("DelaySeconds"),
		retention:    seconds("MessageRetentionPeriod"),
		wait:         seconds("ReceiveMessageWaitTimeSeconds"),
		maxSize:      number("MaximumMessageSize"),
		contentDedup: q.attributes["ContentBasedDeduplication"] == "true",
	}
	q.settings.redriveTo, q.settings.maxReceives, _ = parseRedrive(q.attributes["RedrivePolicy"])
	return nil
}

func (s *Service) checkAttribute(q *queue, name, value string, creating bool) *awstest.Error {
	unknown := refusal("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute "+name+".")
	if limits, ok := numeric[name]; ok {
		if n, err := strconv.Atoi(value); err != nil || n < limits[0] || n > limits[1] {
			return refusal("InvalidAttributeValue", "InvalidAttributeValue", "Invalid value for the parameter "+name+".")
		}
		return nil
	}
	switch {
	case name == "FifoQueue" && (!creating || value != "true"):
		return unknown
	case name == "ContentBasedDeduplication" && !q.fifo:
		return unknown
	case name == "RedrivePolicy":
		return s.checkRedrive(q, value)
	case known(name):
		return nil
	}
	return unknown
}

func known(name string) bool {
	return slices.Contains(kept, name) || name == "RedrivePolicy" || name == "FifoQueue" || name == "ContentBasedDeduplication" || name == "KmsDataKeyReusePeriodSeconds"
}

// checkRedrive enforces "Using dead-letter queues in Amazon SQS": a queue of the same type, 1 to 1,000 receives.
func (s *Service) checkRedrive(q *queue, policy string) *awstest.Error {
	if policy == "" {
		return nil
	}
	invalid := func(reason string) *awstest.Error { return invalidValue(policy, "RedrivePolicy", reason) }
	arn, receives, err := parseRedrive(policy)
	switch {
	case err != nil || arn == "":
		return invalid("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	case receives < 1 || receives > 1_000:
		return invalid("Invalid value for maxReceiveCount: " + strconv.Itoa(receives) + ", valid values are from 1 to 1000 both inclusive.")
	}
	switch target := s.byARN(arn); {
	case target == nil:
		return invalid("Dead letter target does not exist.")
	case target.fifo != q.fifo:
		return invalid("Dead-letter queue must be same type of queue as the source.")
	}
	return nil
}

// byARN finds a queue. It requires that s.mu be held.
func (s *Service) byARN(arn string) *queue {
	q := s.queues[arn[strings.LastIndexByte(arn, ':')+1:]]
	if q == nil || q.arn != arn {
		return nil
	}
	return q
}

// parseRedrive reads a RedrivePolicy, whose count may be a number or a string of one.
func parseRedrive(policy string) (arn string, maxReceives int, err error) {
	if policy == "" {
		return "", 0, nil
	}
	var p struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return "", 0, err
	}
	maxReceives, err = strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
	return p.DeadLetterTargetArn, maxReceives, err
}

type setQueueAttributesInput struct {
	queueInput
	Attributes map[string]string
}

func (s *Service) setQueueAttributes(_ *awstest.Call, in *setQueueAttributesInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err == nil {
		err = s.configure(q, in.Attributes, false)
	}
	if err == nil {
		q.modified = time.Now()
	}
	return nil, err
}

type getQueueAttributesInput struct {
	queueInput
	AttributeNames []string
}

func (s *Service) getQueueAttributes(_ *awstest.Call, in *getQueueAttributesInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.byURL(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	all, asked := q.describe(time.Now()), map[string]string{}
	for _, name := range in.AttributeNames {
		value, found := all[name]
		switch {
		case name == "All":
			maps.Copy(asked, all)
		case found:
			asked[name] = value
		case !known(name):
			return nil, refusal("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute "+name+".")
		}
	}
	return struct{ Attributes map[string]string }{asked}, nil
}

// describe returns the queue's attributes with those that are counted.
func (q *queue) describe(now time.Time) map[string]string {
	q.harvest(now)
	all := maps.Clone(q.attributes)
	all["QueueArn"] = q.arn
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(q.visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.inFlight)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(len(q.hidden) - q.inFlight)
	return all
}
