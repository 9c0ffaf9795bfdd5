package awstest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
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
func (s *SQS) configure(q *queue, attributes map[string]string, creating bool) *Error {
	for _, name := range sorted(attributes) {
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
	number := func(name string) int {
		n, _ := strconv.Atoi(q.attributes[name])
		return n
	}
	q.settings = queueSettings{
		visibility:   time.Duration(number("VisibilityTimeout")) * time.Second,
		delay:        time.Duration(number("DelaySeconds")) * time.Second,
		retention:    time.Duration(number("MessageRetentionPeriod")) * time.Second,
		wait:         time.Duration(number("ReceiveMessageWaitTimeSeconds")) * time.Second,
		maxSize:      number("MaximumMessageSize"),
		contentDedup: q.attributes["ContentBasedDeduplication"] == "true",
	}
	q.settings.redriveTo, q.settings.maxReceives, _ = parseRedrive(q.attributes["RedrivePolicy"])
	return nil
}

func (s *SQS) checkAttribute(q *queue, name, value string, creating bool) *Error {
	invalid := sqsError("InvalidAttributeValue", "InvalidAttributeValue", "Invalid value for the parameter "+name+".")
	if limits, ok := numeric[name]; ok {
		if n, err := strconv.Atoi(value); err != nil || n < limits[0] || n > limits[1] {
			return invalid
		}
		return nil
	}
	switch name {
	case "FifoQueue":
		if !creating || value != "true" {
			return sqsError("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute FifoQueue.")
		}
		return nil
	case "ContentBasedDeduplication":
		if !q.fifo {
			return sqsError("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication.")
		}
		return nil
	case "RedrivePolicy":
		return s.checkRedrive(q, value)
	}
	for _, k := range kept {
		if name == k {
			return nil
		}
	}
	return sqsError("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute "+name+".")
}

// checkRedrive enforces "Using dead-letter queues in Amazon SQS": a queue of the same type, 1 to 1,000 receives.
func (s *SQS) checkRedrive(q *queue, policy string) *Error {
	if policy == "" {
		return nil
	}
	arn, receives, err := parseRedrive(policy)
	switch {
	case err != nil || arn == "":
		return invalidParameter("Value " + policy + " for parameter RedrivePolicy is invalid. Reason: Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	case receives < 1 || receives > 1_000:
		return invalidParameter("Value " + policy + " for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: " + strconv.Itoa(receives) + ", valid values are from 1 to 1000 both inclusive.")
	}
	target := s.byARN(arn)
	if target == nil {
		return invalidParameter("Value " + policy + " for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.")
	}
	if target.fifo != q.fifo {
		return invalidParameter("Value " + policy + " for parameter RedrivePolicy is invalid. Reason: Dead-letter queue must be same type of queue as the source.")
	}
	return nil
}

// byARN finds a queue. It requires that s.mu be held.
func (s *SQS) byARN(arn string) *queue {
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

func (s *SQS) setQueueAttributes(c *Call, r *jsonReader) effect {
	var url string
	attributes := map[string]string{}
	r.object(func(member string) {
		switch member {
		case "QueueUrl":
			url = r.str()
			c.Resource = queueName(url)
		case "Attributes":
			attributes = r.strings()
		default:
			r.skip()
		}
	})
	return func(*Call, *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err == nil {
			err = s.configure(q, attributes, false)
		}
		if err != nil {
			return nil, err
		}
		q.modified = time.Now()
		return empty, nil
	}
}

func (s *SQS) getQueueAttributes(c *Call, r *jsonReader) effect {
	var url string
	var names []string
	r.object(func(member string) {
		switch member {
		case "QueueUrl":
			url = r.str()
			c.Resource = queueName(url)
		case "AttributeNames":
			names = r.list()
		default:
			r.skip()
		}
	})
	return func(*Call, *Fault) ([]byte, *Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, err := s.byURL(url)
		if err != nil {
			return nil, err
		}
		all := q.describe(time.Now())
		b := []byte(`{"Attributes":{`)
		for _, name := range sorted(all) {
			if contains(names, name) || contains(names, "All") {
				b = append(appendJSONString(append(appendJSONString(b, name), ':'), all[name]), ',')
			}
		}
		for _, name := range names {
			if _, ok := all[name]; !ok && name != "All" && !known(name) {
				return nil, sqsError("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute "+name+".")
			}
		}
		if b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		return append(b, `}}`...), nil
	}
}

func known(name string) bool {
	return contains(kept, name) || name == "RedrivePolicy" || name == "FifoQueue" || name == "ContentBasedDeduplication" || name == "KmsDataKeyReusePeriodSeconds"
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// describe is the queue's attributes with those that are counted.
func (q *queue) describe(now time.Time) map[string]string {
	q.harvest(now)
	all := map[string]string{
		"QueueArn":                              q.arn,
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.modified.Unix(), 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(q.visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(q.inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(len(q.hidden) - q.inFlight),
	}
	for name, value := range q.attributes {
		all[name] = value
	}
	return all
}
