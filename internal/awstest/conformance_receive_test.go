package awstest_test

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

func sqsReceiveRules() []rule {
	return []rule{
		{name: "sqs: parameters of a receive have ranges", check: func(c *conformance) {
			url := c.queue()
			try := func(n, wait int32) error {
				_, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: n, WaitTimeSeconds: wait})
				return err
			}
			c.refused(try(11, 0), "InvalidParameterValue", "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.")
			c.refused(try(1, 21), "InvalidParameterValue", "Value 21 for parameter WaitTimeSeconds is invalid.")
		}, deviates: map[string]string{"ministack": "waits as long as it is asked to"}},
		{name: "sqs: a receive hides for at most 12 hours", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 43201})
			c.refused(err, "InvalidParameterValue", "Value 43201 for parameter VisibilityTimeout is invalid.")
		}, deviates: map[string]string{"localstack": "takes any timeout", "ministack": "takes any timeout"}},
		{name: "sqs: a receive asks for at least one message", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: -1})
			c.refused(err, "InvalidParameterValue", "Value -1 for parameter MaxNumberOfMessages is invalid.")
		}, deviates: map[string]string{"localstack": "takes -1"}},
		{name: "sqs: a long poll answers when a message comes, and empty at its end", check: func(c *conformance) {
			url := c.queue()
			start := time.Now()
			c.equal("received", len(c.receive(url, 10, 1)), 0)
			if waited := time.Since(start); waited < 900*time.Millisecond {
				c.fatalf("answered empty after %v, want 1s", waited)
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				time.Sleep(200 * time.Millisecond)
				c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")})
			}()
			start = time.Now()
			got := c.receive(url, 10, 10)
			waited := time.Since(start)
			<-sent
			c.equal("received", bodies(got), []string{"a"})
			if waited > 5*time.Second {
				c.fatalf("answered after %v, want about 200ms", waited)
			}
		}},
		{name: "sqs: a received message is hidden until its visibility timeout, and counts its receives", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			first := c.one(url)
			c.none(url)
			time.Sleep(3300 * time.Millisecond)
			second := c.one(url)
			c.equal("receive count", second.Attributes["ApproximateReceiveCount"], "2")
			c.equal("id", *second.MessageId, *first.MessageId)
			c.equal("first receive", second.Attributes["ApproximateFirstReceiveTimestamp"], first.Attributes["ApproximateFirstReceiveTimestamp"])
			c.equal("same handle", *second.ReceiptHandle == *first.ReceiptHandle, false)
		}},
		{name: "sqs: a visibility of 0 releases a message, a longer one holds it", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			m := c.one(url)
			c.ok(c.change(url, *m.ReceiptHandle, 0))
			m = c.one(url)
			c.equal("receive count", m.Attributes["ApproximateReceiveCount"], "2")
			c.ok(c.change(url, *m.ReceiptHandle, 60))
			time.Sleep(3300 * time.Millisecond)
			c.none(url)
		}},
		{name: "sqs: the visibility of a message that is not in flight can't be changed", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			m := c.one(url)
			time.Sleep(3300 * time.Millisecond)
			c.refused(c.change(url, *m.ReceiptHandle, 10), "AWS.SimpleQueueService.MessageNotInflight", "")
		}, deviates: map[string]string{"localstack": "hides the message again", "ministack": "hides the message again"}},
		{name: "sqs: the visibility of a message that is deleted can't be changed", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			c.ok(c.delete(url, *m.ReceiptHandle))
			c.refused(c.change(url, *m.ReceiptHandle, 10), "InvalidParameterValue", "Message does not exist or is not available for visibility timeout change.")
		}, deviates: map[string]string{"ministack": "calls the handle invalid"}},
		{name: "sqs: a visibility is at most 12 hours", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			c.refused(c.change(url, *m.ReceiptHandle, 43201), "InvalidParameterValue", "Value 43201 for parameter VisibilityTimeout is invalid.")
		}, deviates: map[string]string{"localstack": "takes any timeout", "ministack": "takes any timeout"}},
		{name: "sqs: a visibility is at most 12 hours since the receive", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			time.Sleep(1100 * time.Millisecond)
			c.refused(c.change(url, *m.ReceiptHandle, 43200), "InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
			c.ok(c.change(url, *m.ReceiptHandle, 43190))
		}, deviates: map[string]string{"localstack": "takes any timeout", "ministack": "takes any timeout"}},
		{name: "sqs: a deleted message is gone, and may be deleted again", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			m := c.one(url)
			c.ok(c.delete(url, *m.ReceiptHandle))
			c.ok(c.delete(url, *m.ReceiptHandle))
			time.Sleep(3300 * time.Millisecond)
			c.none(url)
		}, deviates: map[string]string{"ministack": "refuses the second delete"}},
		{name: "sqs: a delete with a stale handle answers OK and deletes nothing", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			first := c.one(url)
			time.Sleep(3300 * time.Millisecond)
			c.one(url)
			c.ok(c.delete(url, *first.ReceiptHandle))
			time.Sleep(3300 * time.Millisecond)
			c.one(url)
		}, deviates: map[string]string{"localstack": "deletes the message", "ministack": "refuses a stale handle"}},
		{name: "sqs: the last handle deletes, also after its visibility timeout", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "3")
			c.send(url, "a")
			m := c.one(url)
			time.Sleep(3300 * time.Millisecond)
			c.ok(c.delete(url, *m.ReceiptHandle))
			c.none(url)
		}},
		{name: "sqs: an entry that fails in a batch of deletes leaves the others alone", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			out, err := c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("bad"), ReceiptHandle: aws.String("nonsense")}, {Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle}}})
			c.ok(err)
			c.equal("deleted", len(out.Successful), 1)
			c.equal("failed", len(out.Failed), 1)
			c.equal("failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "bad ReceiptHandleIsInvalid")
			c.refused(c.delete(url, "nonsense"), "ReceiptHandleIsInvalid", "")
		}},
		{name: "sqs: an entry with a bad handle fails by the sender's fault", check: func(c *conformance) {
			url := c.queue()
			out, err := c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("bad"), ReceiptHandle: aws.String("nonsense")}}})
			c.ok(err)
			c.equal("sender's fault", out.Failed[0].SenderFault, true)
		}, deviates: map[string]string{"localstack": "calls it the service's fault"}},
		{name: "sqs: a batch of visibility changes, some of which fail", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			out, err := c.sqs.ChangeMessageVisibilityBatch(c.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				{Id: aws.String("bad"), ReceiptHandle: aws.String("nonsense"), VisibilityTimeout: 0}, {Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0}}})
			c.ok(err)
			c.equal("changed", len(out.Successful), 1)
			c.equal("failed", len(out.Failed), 1)
			c.one(url)
		}},
		{name: "sqs: a delayed message comes later", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("late"), DelaySeconds: 3})
			c.ok(err)
			c.none(url)
			c.equal("received", bodies(c.receive(url, 10, 10)), []string{"late"})
		}},
		{name: "sqs: a delay is at most 15 minutes", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("late"), DelaySeconds: 901})
			c.refused(err, "InvalidParameterValue", "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.")
		}, deviates: map[string]string{"localstack": "takes any delay", "ministack": "takes any delay"}},
		{name: "sqs: a message received too often goes to the dead-letter queue", check: func(c *conformance) {
			dead := c.queue()
			url := c.queue("RedrivePolicy", `{"deadLetterTargetArn":"`+c.arn(dead)+`","maxReceiveCount":"2"}`)
			c.send(url, "poison")
			first := c.one(url)
			c.ok(c.change(url, *first.ReceiptHandle, 0))
			second := c.one(url)
			c.none(dead)
			c.ok(c.change(url, *second.ReceiptHandle, 0))
			c.none(url)
			moved := c.one(dead)
			c.equal("body", *moved.Body, "poison")
			c.equal("id", *moved.MessageId, *first.MessageId)
			c.equal("sent", moved.Attributes["SentTimestamp"], first.Attributes["SentTimestamp"])
		}},
		{name: "sqs: a dead letter's retention counts from its first enqueuing", inProcess: "it takes a minute", check: func(c *conformance) {
			dead := c.queue("MessageRetentionPeriod", "60")
			url := c.queue("RedrivePolicy", `{"deadLetterTargetArn":"`+c.arn(dead)+`","maxReceiveCount":1}`)
			c.send(url, "poison")
			c.ok(c.change(url, *c.one(url).ReceiptHandle, 0))
			time.Sleep(40 * time.Second)
			c.none(url)
			c.equal("moved", fmt.Sprint(c.fakeSQS.Counts(sqsfake.QueueName(dead))), "1 0 0")
			time.Sleep(20 * time.Second)
			c.none(dead)
		}},
	}
}
