package awsclient

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/consumer"
)

// An sdkQueue is the twin of Queue on the SDK's client.
type sdkQueue struct {
	clients *Clients
	url     *string
	fifo    bool
}

func newSDKQueue(clients *Clients, url string) *sdkQueue {
	return &sdkQueue{clients, aws.String(url), strings.HasSuffix(url, ".fifo")}
}

// Receive implements consumer.Queue.
func (q *sdkQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
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
func (q *sdkQueue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &receipts[i]}
	}
	out, err := q.clients.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: q.url, Entries: entries})
	if err != nil {
		return nil, brief("DeleteMessageBatch", err)
	}
	return sdkFailures(out.Failed)
}

// ChangeVisibility implements consumer.Queue.
func (q *sdkQueue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i := range changes {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: &changes[i].Receipt, VisibilityTimeout: int32(changes[i].Timeout / time.Second),
		}
	}
	out, err := q.clients.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: q.url, Entries: entries})
	if err != nil {
		return nil, brief("ChangeMessageVisibilityBatch", err)
	}
	return sdkFailures(out.Failed)
}

// Send implements consumer.RejectQueue.
func (q *sdkQueue) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
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
	out, err := q.clients.SQS.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: q.url, Entries: entries})
	if err != nil {
		return nil, brief("SendMessageBatch", err)
	}
	failed, err := sdkFailures(out.Failed)
	if err != nil {
		return nil, err
	}
	var sent []string
	for i := range out.Successful {
		sent = append(sent, aws.ToString(out.Successful[i].Id))
	}
	return unanswered(len(messages), sent, failed), nil
}

func entryID(i int) *string { return &entryIDs[i] }

func sdkFailures(failed []types.BatchResultErrorEntry) ([]consumer.Failure, error) {
	entries := make([]namedEntry, len(failed))
	for i := range failed {
		f := &failed[i]
		entries[i] = namedEntry{aws.ToString(f.Id), aws.ToString(f.Code), f.SenderFault}
	}
	return failures(entries)
}
