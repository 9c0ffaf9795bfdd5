package awsclient

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/consumer"
)

// A Queue is one SQS queue by the SDK's client. It is the consumer's queue and its reject queue.
type Queue struct {
	clients *Clients
	url     *string
	fifo    bool
}

// NewQueue returns the queue of a URL.
func NewQueue(clients *Clients, url string) *Queue {
	return &Queue{clients, aws.String(url), strings.HasSuffix(url, ".fifo")}
}

// Receive implements consumer.Queue.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	start := time.Now()
	out, err := q.clients.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            q.url,
		MaxNumberOfMessages: int32(limit),
		WaitTimeSeconds:     int32(wait / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount,
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameMessageGroupId,
			types.MessageSystemAttributeNameAWSTraceHeader,
		},
		MessageAttributeNames: []string{"All"},
	})
	q.clients.observe("ReceiveMessage", start, err)
	if err != nil {
		return nil, brief("ReceiveMessage", err)
	}
	received := make([]consumer.Received, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		r := &received[i]
		r.ID, r.Receipt, r.Body = aws.ToString(m.MessageId), aws.ToString(m.ReceiptHandle), aws.ToString(m.Body)
		r.Receives, _ = strconv.Atoi(m.Attributes["ApproximateReceiveCount"]) // 0 where a stand-in leaves it out
		r.Sent, _ = strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
		r.GroupID, r.TraceHeader = m.Attributes["MessageGroupId"], m.Attributes["AWSTraceHeader"]
		for name, a := range m.MessageAttributes {
			value := aws.ToString(a.StringValue)
			if a.BinaryValue != nil {
				value = string(a.BinaryValue)
			}
			r.Attributes = append(r.Attributes, consumer.Attribute{Name: name, Type: aws.ToString(a.DataType), Value: value})
		}
	}
	return received, nil
}

// Delete implements consumer.Queue.
func (q *Queue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &receipts[i]}
	}
	start := time.Now()
	out, err := q.clients.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: q.url, Entries: entries})
	q.clients.observe("DeleteMessageBatch", start, err)
	if err != nil {
		return nil, brief("DeleteMessageBatch", err)
	}
	return failures(out.Failed)
}

// ChangeVisibility implements consumer.Queue.
func (q *Queue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i := range changes {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: &changes[i].Receipt, VisibilityTimeout: int32(changes[i].Timeout / time.Second),
		}
	}
	start := time.Now()
	out, err := q.clients.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: q.url, Entries: entries})
	q.clients.observe("ChangeMessageVisibilityBatch", start, err)
	if err != nil {
		return nil, brief("ChangeMessageVisibilityBatch", err)
	}
	return failures(out.Failed)
}

// Send implements consumer.RejectQueue.
func (q *Queue) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(messages))
	for i := range messages {
		m := &messages[i]
		e := types.SendMessageBatchRequestEntry{Id: entryID(i), MessageBody: &m.Body}
		if q.fifo {
			e.MessageGroupId, e.MessageDeduplicationId = &m.GroupID, &m.DeduplicationID
		}
		if len(m.Attributes) > 0 {
			e.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
		}
		for j := range m.Attributes {
			a := &m.Attributes[j]
			value := types.MessageAttributeValue{DataType: &a.Type}
			if strings.HasPrefix(a.Type, "Binary") {
				value.BinaryValue = []byte(a.Value)
			} else {
				value.StringValue = &a.Value
			}
			e.MessageAttributes[a.Name] = value
		}
		entries[i] = e
	}
	start := time.Now()
	out, err := q.clients.SQS.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: q.url, Entries: entries})
	q.clients.observe("SendMessageBatch", start, err)
	if err != nil {
		return nil, brief("SendMessageBatch", err)
	}
	return failures(out.Failed)
}

// Entries of a batch call are named by their place, which makes the names unique.
var entryIDs = [consumer.MaxBatch]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func entryID(i int) *string { return &entryIDs[i] }

func failures(failed []types.BatchResultErrorEntry) ([]consumer.Failure, error) {
	out := make([]consumer.Failure, len(failed))
	for i := range failed {
		f := &failed[i]
		index, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || index < 0 || index >= consumer.MaxBatch {
			return nil, fmt.Errorf("an answer about the unknown batch entry %q", aws.ToString(f.Id))
		}
		out[i] = consumer.Failure{Index: index, SenderFault: f.SenderFault, Code: aws.ToString(f.Code)}
	}
	return out, nil
}

// QueueInfo is what the worker wants to know of a queue.
type QueueInfo struct {
	Visibility      time.Duration
	MaxMessageBytes int
	Retention       time.Duration
	FIFO            bool
	RedriveTarget   string // the dead-letter queue's ARN, if there is one
	MaxReceives     int    // after which a message goes there
	Messages        int    // visible, about
	InFlight        int    // about
}

// DescribeQueue reads a queue's attributes.
func DescribeQueue(ctx context.Context, clients *Clients, what, url string) (*QueueInfo, error) {
	out, err := clients.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	}, func(o *sqs.Options) { o.Retryer = patient() })
	if err != nil {
		return nil, Remedy("GetQueueAttributes", what, err)
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)]) // a stand-in may leave some out
		return n
	}
	info := &QueueInfo{
		Visibility:      time.Duration(number(types.QueueAttributeNameVisibilityTimeout)) * time.Second,
		MaxMessageBytes: number(types.QueueAttributeNameMaximumMessageSize),
		Retention:       time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second,
		FIFO:            out.Attributes[string(types.QueueAttributeNameFifoQueue)] == "true",
		Messages:        number(types.QueueAttributeNameApproximateNumberOfMessages),
		InFlight:        number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
	}
	info.RedriveTarget, info.MaxReceives = redrivePolicy(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	return info, nil
}
