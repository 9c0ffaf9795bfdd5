package awstest_test

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func sqsQueueRules() []rule {
	return []rule{
		{name: "sqs: a queue that does not exist has the SDK's own error", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.DeleteQueue(c.ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
			c.ok(err)
			_, err = c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a")})
			var missing *types.QueueDoesNotExist
			if !errors.As(err, &missing) {
				c.fatalf("got %v, want QueueDoesNotExist", err)
			}
			c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist")
			_, err = c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url})
			c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist")
		}},
		{name: "sqs: a queue made again is the same, unless an attribute differs", check: func(c *conformance) {
			in := &sqs.CreateQueueInput{QueueName: aws.String(uniqueName()), Attributes: map[string]string{"VisibilityTimeout": "5"}}
			first, err := c.sqs.CreateQueue(c.ctx, in)
			c.ok(err)
			again, err := c.sqs.CreateQueue(c.ctx, in)
			c.ok(err)
			c.equal("url", *again.QueueUrl, *first.QueueUrl)
			in.Attributes["VisibilityTimeout"] = "6"
			_, err = c.sqs.CreateQueue(c.ctx, in)
			c.refused(err, "QueueAlreadyExists", "")
		}},
		{name: "sqs: attributes have names and ranges", check: func(c *conformance) {
			url := c.queue()
			set := func(name, value string) error {
				_, err := c.sqs.SetQueueAttributes(c.ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
				return err
			}
			c.ok(set("VisibilityTimeout", "43200"))
			c.refused(set("VisibilityTimeout", "43201"), "InvalidAttributeValue", "Invalid value for the parameter VisibilityTimeout.")
			c.refused(set("Nonsense", "1"), "InvalidAttributeName", "Unknown Attribute Nonsense.")
		}, deviates: map[string]string{"localstack": "takes any visibility timeout as a queue's attribute", "ministack": "takes any name"}},
		{name: "sqs: a KMS key takes the place of SQS's own encryption", check: func(c *conformance) {
			attributes := func(url string) map[string]string {
				out, err := c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
				c.ok(err)
				return out.Attributes
			}
			c.equal("by default", attributes(c.queue())["SqsManagedSseEnabled"], "true")
			with := attributes(c.queue("KmsMasterKeyId", "alias/aws/sqs"))
			c.equal("key", with["KmsMasterKeyId"], "alias/aws/sqs")
			c.equal("with a key", with["SqsManagedSseEnabled"], "false")
		}, deviates: map[string]string{"localstack": "reports both"}},
		{name: "sqs: attributes count the messages", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a", "b", "c")
			c.one(url)
			out, err := c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
			c.ok(err)
			c.equal("visible", out.Attributes["ApproximateNumberOfMessages"], "2")
			c.equal("in flight", out.Attributes["ApproximateNumberOfMessagesNotVisible"], "1")
			c.equal("visibility timeout", out.Attributes["VisibilityTimeout"], "30")
			c.equal("arn", strings.HasPrefix(out.Attributes["QueueArn"], "arn:aws:sqs:"), true)
		}},
		{name: "sqs: a batch has 1 to 10 entries with valid, distinct ids", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sendBatch(url, batch(11, "a"))
			c.refused(err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "")
			_, err = c.sendBatch(url, []types.SendMessageBatchRequestEntry{})
			c.refused(err, "AWS.SimpleQueueService.EmptyBatchRequest", "")
			twice := batch(2, "a")
			twice[1].Id = twice[0].Id
			_, err = c.sendBatch(url, twice)
			c.refused(err, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "")
			for _, id := range []string{"a b", strings.Repeat("a", 81)} {
				bad := batch(1, "a")
				bad[0].Id = &id
				_, err = c.sendBatch(url, bad)
				c.refused(err, "AWS.SimpleQueueService.InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores.")
			}
			c.none(url)
			out, err := c.sendBatch(url, batch(10, "a"))
			c.ok(err)
			c.equal("sent", len(out.Successful), 10)
		}},
		{name: "sqs: an id in a batch is ASCII", check: func(c *conformance) {
			url := c.queue()
			bad := batch(1, "a")
			bad[0].Id = aws.String("é")
			_, err := c.sendBatch(url, bad)
			c.refused(err, "AWS.SimpleQueueService.InvalidBatchEntryId", "")
		}, deviates: map[string]string{"localstack": "takes letters of any alphabet"}},
		{name: "sqs: the same rules of a batch hold for deletes", check: func(c *conformance) {
			url := c.queue()
			c.send(url, "a")
			m := c.one(url)
			entry := types.DeleteMessageBatchRequestEntry{Id: aws.String("x"), ReceiptHandle: m.ReceiptHandle}
			_, err := c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{entry, entry}})
			c.refused(err, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "")
			_, err = c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{}})
			c.refused(err, "AWS.SimpleQueueService.EmptyBatchRequest", "")
		}},
		{name: "sqs: a redrive policy needs a queue that exists", check: func(c *conformance) {
			_, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: aws.String(uniqueName()), Attributes: map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:never-made","maxReceiveCount":"3"}`}})
			c.refused(err, "InvalidParameterValue", "Dead letter target does not exist")
		}, deviates: map[string]string{"localstack": "takes a queue that does not exist", "ministack": "says so with another error"}},
		{name: "sqs: at the limit in flight a short poll is refused and a long poll is empty", inProcess: "it takes 120,000 messages elsewhere", check: func(c *conformance) {
			c.fakeSQS.SetInFlightLimit(3)
			url := c.queue()
			c.send(url, "a", "b", "c", "d")
			taken := c.receive(url, 10, 0)
			c.equal("received", len(taken), 3)
			_, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url})
			c.refused(err, "OverLimit", "")
			start := time.Now()
			c.equal("long poll", len(c.receive(url, 10, 5)), 0)
			c.equal("waited", time.Since(start), 5*time.Second)
			c.ok(c.delete(url, *taken[0].ReceiptHandle))
			c.equal("received", bodies(c.receive(url, 10, 0)), []string{"d"})
		}},
		{name: "sqs: a message goes when its retention ends", inProcess: "it takes a minute", check: func(c *conformance) {
			url := c.queue("MessageRetentionPeriod", "60")
			c.send(url, "a")
			time.Sleep(59 * time.Second)
			c.send(url, "b")
			time.Sleep(time.Second)
			c.equal("received", bodies(c.receive(url, 10, 0)), []string{"b"})
		}},
	}
}
