package awstest_test

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (c *conformance) fifo(attributes ...string) string {
	return c.queue(append([]string{"FifoQueue", "true"}, attributes...)...)
}

func (c *conformance) sendFIFO(url, body, group, dedup string) (*sqs.SendMessageOutput, error) {
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}
	if group != "" {
		in.MessageGroupId = &group
	}
	if dedup != "" {
		in.MessageDeduplicationId = &dedup
	}
	return c.sqs.SendMessage(c.ctx, in)
}

func sqsFIFORules() []rule {
	return []rule{
		{name: "fifo: the name ends in .fifo", check: func(c *conformance) {
			_, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: aws.String(uniqueName()), Attributes: map[string]string{"FifoQueue": "true"}})
			c.refused(err, "InvalidParameterValue", "")
		}},
		{name: "fifo: a message needs a group and a deduplication id", check: func(c *conformance) {
			url := c.fifo()
			_, err := c.sendFIFO(url, "a", "", "d")
			c.refused(err, "MissingParameter", "The request must contain the parameter MessageGroupId.")
			_, err = c.sendFIFO(url, "a", "g", "")
			c.refused(err, "InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
		}},
		{name: "fifo: a group comes in order, and waits while a message of it is in flight", check: func(c *conformance) {
			url := c.fifo()
			for _, body := range []string{"1", "2", "3"} {
				_, err := c.sendFIFO(url, body, "a", body)
				c.ok(err)
			}
			first := c.one(url)
			c.equal("first", *first.Body, "1")
			c.equal("group", first.Attributes["MessageGroupId"], "a")
			c.equal("deduplication id", first.Attributes["MessageDeduplicationId"], "1")
			c.none(url)
			_, err := c.sendFIFO(url, "other", "b", "other")
			c.ok(err)
			c.equal("of another group", *c.one(url).Body, "other")
			c.ok(c.delete(url, *first.ReceiptHandle))
			c.equal("rest", bodies(c.receive(url, 10, 2)), []string{"2", "3"})
		}},
		{name: "fifo: a message that is released comes again before its successors", check: func(c *conformance) {
			url := c.fifo()
			for _, body := range []string{"1", "2"} {
				_, err := c.sendFIFO(url, body, "a", body)
				c.ok(err)
			}
			m := c.one(url)
			c.ok(c.change(url, *m.ReceiptHandle, 0))
			c.equal("again", bodies(c.receive(url, 10, 2)), []string{"1", "2"})
		}},
		{name: "fifo: a deduplication id is accepted once in 5 minutes", check: func(c *conformance) {
			url := c.fifo()
			first, err := c.sendFIFO(url, "1", "a", "same")
			c.ok(err)
			second, err := c.sendFIFO(url, "2", "a", "same")
			c.ok(err)
			c.equal("id", *second.MessageId, *first.MessageId)
			c.equal("received", bodies(c.receive(url, 10, 1)), []string{"1"})
		}},
		{name: "fifo: after 5 minutes a deduplication id is new", inProcess: "it takes 5 minutes", check: func(c *conformance) {
			url := c.fifo()
			_, err := c.sendFIFO(url, "1", "a", "same")
			c.ok(err)
			c.ok(c.delete(url, *c.one(url).ReceiptHandle))
			time.Sleep(4*time.Minute + 59*time.Second)
			_, err = c.sendFIFO(url, "2", "a", "same")
			c.ok(err)
			c.none(url)
			time.Sleep(time.Second)
			_, err = c.sendFIFO(url, "3", "a", "same")
			c.ok(err)
			c.equal("received", bodies(c.receive(url, 10, 1)), []string{"3"})
		}},
		{name: "fifo: with content-based deduplication equal bodies are one message", check: func(c *conformance) {
			url := c.fifo("ContentBasedDeduplication", "true")
			for _, body := range []string{"1", "1", "2"} {
				_, err := c.sendFIFO(url, body, "a", "")
				c.ok(err)
			}
			c.equal("received", bodies(c.receive(url, 10, 1)), []string{"1", "2"})
		}},
		{name: "fifo: a handle ends with its visibility timeout", check: func(c *conformance) {
			url := c.fifo("VisibilityTimeout", "3")
			_, err := c.sendFIFO(url, "1", "a", "1")
			c.ok(err)
			m := c.one(url)
			time.Sleep(3300 * time.Millisecond)
			c.refused(c.delete(url, *m.ReceiptHandle), "InvalidParameterValue", "The receipt handle has expired")
			c.ok(c.delete(url, *c.one(url).ReceiptHandle))
		}, deviates: map[string]string{"ministack": "deletes by an old handle"}},
		{name: "fifo: a dead letter leaves its group, which goes on", check: func(c *conformance) {
			dead := c.fifo()
			url := c.fifo("RedrivePolicy", `{"deadLetterTargetArn":"`+c.arn(dead)+`","maxReceiveCount":"1"}`)
			for _, body := range []string{"poison", "next"} {
				_, err := c.sendFIFO(url, body, "a", body)
				c.ok(err)
			}
			first := c.one(url)
			c.equal("first", *first.Body, "poison")
			c.ok(c.change(url, *first.ReceiptHandle, 0))
			c.equal("then", *c.one(url).Body, "next")
			moved := c.one(dead)
			c.equal("moved", *moved.Body+" "+moved.Attributes["MessageGroupId"], "poison a")
		}},
		{name: "fifo: a dead letter's retention starts anew", inProcess: "it takes a minute", check: func(c *conformance) {
			dead := c.fifo("MessageRetentionPeriod", "60")
			url := c.fifo("RedrivePolicy", `{"deadLetterTargetArn":"`+c.arn(dead)+`","maxReceiveCount":"1"}`)
			_, err := c.sendFIFO(url, "poison", "a", "1")
			c.ok(err)
			c.ok(c.change(url, *c.one(url).ReceiptHandle, 0))
			time.Sleep(40 * time.Second)
			c.none(url)
			time.Sleep(40 * time.Second)
			c.one(dead)
		}},
		{name: "fifo: a group in flight blocks itself only, also by visibility", check: func(c *conformance) {
			url := c.fifo("VisibilityTimeout", "3")
			for _, m := range []string{"a1", "b1", "a2"} {
				_, err := c.sendFIFO(url, m, m[:1], m)
				c.ok(err)
			}
			c.equal("of a", *c.one(url).Body, "a1")
			c.equal("of b", *c.one(url).Body, "b1")
			c.none(url)
			time.Sleep(3300 * time.Millisecond)
			got := bodies(c.receive(url, 10, 1))
			slices.Sort(got)
			c.equal("again", got, []string{"a1", "a2", "b1"})
		}},
		{name: "fifo: several messages of a group in one batch fail and succeed on their own", check: func(c *conformance) {
			url := c.fifo()
			out, err := c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
				{Id: aws.String("1"), MessageBody: aws.String("1"), MessageGroupId: aws.String("a"), MessageDeduplicationId: aws.String("1")},
				{Id: aws.String("2"), MessageBody: aws.String("2"), MessageGroupId: aws.String("a"), MessageDeduplicationId: aws.String("2"), DelaySeconds: 5},
				{Id: aws.String("3"), MessageBody: aws.String("3"), MessageGroupId: aws.String("a"), MessageDeduplicationId: aws.String("3")},
			}})
			c.ok(err)
			c.equal("failed", len(out.Failed), 1)
			c.equal("received", bodies(c.receive(url, 10, 1)), []string{"1", "3"})
		}},
	}
}
