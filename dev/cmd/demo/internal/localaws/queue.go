package localaws

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

// SQS's limits of a SendMessageBatch.
const (
	batchEntries = 10
	batchBytes   = 1 << 20
)

// Publish sends the messages to the queue, in full batches and in order.
func (s *Server) Publish(ctx context.Context, messages []recording.Message) error {
	for len(messages) > 0 {
		var entries []types.SendMessageBatchRequestEntry
		bytes := 0
		for i := 0; i < len(messages) && i < batchEntries; i++ {
			if bytes += len(messages[i].Body); bytes > batchBytes && i > 0 {
				break
			}
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &messages[i].Body})
		}
		sent, err := s.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &s.Queue, Entries: entries})
		if err != nil {
			return fmt.Errorf("send messages: %w", err)
		}
		if len(sent.Failed) > 0 {
			return fmt.Errorf("send messages: %d of %d refused: %s", len(sent.Failed), len(entries), aws.ToString(sent.Failed[0].Message))
		}
		messages = messages[len(entries):]
	}
	return nil
}

// Depth is how many messages a queue holds: ready to be received, and received but not yet deleted.
func (s *Server) Depth(ctx context.Context, queue string) (ready, inFlight int, err error) {
	for name, n := range map[types.QueueAttributeName]*int{
		types.QueueAttributeNameApproximateNumberOfMessages:           &ready,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &inFlight,
	} {
		text, err := s.attribute(ctx, queue, name)
		if err != nil {
			return 0, 0, err
		}
		if *n, err = strconv.Atoi(text); err != nil {
			return 0, 0, fmt.Errorf("the queue's %s is %q: %w", name, text, err)
		}
	}
	return ready, inFlight, nil
}

func (s *Server) attribute(ctx context.Context, queue string, name types.QueueAttributeName) (string, error) {
	got, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{name}})
	if err != nil {
		return "", fmt.Errorf("read the queue's %s: %w", name, err)
	}
	return got.Attributes[string(name)], nil
}

// A Reject is a message of the reject queue, with the worker's reasons.
type Reject struct{ Body, Reason, Field, Detail string }

// Rejects reads the reject queue. What it read is back on the queue after a few seconds.
func (s *Server) Rejects(ctx context.Context) ([]Reject, error) {
	var rejects []Reject
	for {
		got, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &s.RejectQueue, MaxNumberOfMessages: batchEntries, VisibilityTimeout: 5, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return nil, fmt.Errorf("read the reject queue: %w", err)
		}
		if len(got.Messages) == 0 {
			return rejects, nil
		}
		for _, m := range got.Messages {
			text := func(name string) string { return aws.ToString(m.MessageAttributes["predcache."+name].StringValue) }
			rejects = append(rejects, Reject{aws.ToString(m.Body), text("reason"), text("field"), text("detail")})
		}
	}
}
