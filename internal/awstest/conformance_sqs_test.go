package awstest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

func (c *conformance) send(url string, bodies ...string) {
	for _, body := range bodies {
		_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(body)})
		c.ok(err)
	}
}

// receive takes up to n messages, with everything that there is to know of them, in a long poll of wait seconds.
func (c *conformance) receive(url string, n, wait int32, options ...func(*sqs.ReceiveMessageInput)) []types.Message {
	in := &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: n, WaitTimeSeconds: wait, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}}
	for _, o := range options {
		o(in)
	}
	out, err := c.sqs.ReceiveMessage(c.ctx, in)
	c.ok(err)
	return out.Messages
}

// one receives exactly one message.
func (c *conformance) one(url string, options ...func(*sqs.ReceiveMessageInput)) types.Message {
	messages := c.receive(url, 1, 2, options...)
	if len(messages) != 1 {
		c.fatalf("received %d messages, want 1", len(messages))
	}
	return messages[0]
}

func (c *conformance) none(url string) {
	if got := c.receive(url, 10, 0); len(got) != 0 {
		c.fatalf("received %q, want nothing", bodies(got))
	}
}

func bodies(messages []types.Message) []string {
	var list []string
	for _, m := range messages {
		list = append(list, *m.Body)
	}
	return list
}

func (c *conformance) delete(url, handle string) error {
	_, err := c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &handle})
	return err
}

func (c *conformance) change(url, handle string, seconds int32) error {
	_, err := c.sqs.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: &handle, VisibilityTimeout: seconds})
	return err
}

func (c *conformance) arn(url string) string {
	out, err := c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	c.ok(err)
	return out.Attributes["QueueArn"]
}

func batch(n int, body string) []types.SendMessageBatchRequestEntry {
	var entries []types.SendMessageBatchRequestEntry
	for i := range n {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
	}
	return entries
}

func (c *conformance) sendBatch(url string, entries []types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
}

const mebibyte = 1 << 20

func sqsRules() []rule {
	return append(append(sqsQueueRules(), sqsMessageRules()...), sqsFIFORules()...)
}

func sqsMessageRules() []rule {
	return []rule{
		{name: "sqs: a message keeps its body and attributes", check: func(c *conformance) {
			url := c.queue()
			body := "line\n\ttab \"quoted\" \\ é 漢 😀 \u007f" + strings.Repeat("x", 1000)
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{
				"text":     {DataType: aws.String("String"), StringValue: aws.String("é")},
				"number.x": {DataType: aws.String("Number.int"), StringValue: aws.String("12345678901234567890")},
				"bytes":    {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
			}, MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
			}})
			c.ok(err)
			m := c.one(url)
			c.equal("body", *m.Body, body)
			c.equal("text", *m.MessageAttributes["text"].StringValue, "é")
			c.equal("number", *m.MessageAttributes["number.x"].StringValue, "12345678901234567890")
			c.equal("type", *m.MessageAttributes["number.x"].DataType, "Number.int")
			c.equal("bytes", m.MessageAttributes["bytes"].BinaryValue, []byte{0, 1, 255})
			c.equal("trace", m.Attributes["AWSTraceHeader"], "Root=1-5759e988-bd862e3fe1be46a994272793")
			c.equal("receive count", m.Attributes["ApproximateReceiveCount"], "1")
			sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
			c.ok(err)
			if age := time.Since(time.UnixMilli(sent)); age < -time.Second || age > time.Minute {
				c.fatalf("sent %v ago", age)
			}
			// Golden: fixed by the algorithm, so that all implementations must agree.
			c.equal("digest of attributes", *m.MD5OfMessageAttributes, "58eb69ab78e8a8e8c63105c71e369a77")
		}},
		{name: "sqs: attributes come only when they are asked for", check: func(c *conformance) {
			url := c.queue("VisibilityTimeout", "0")
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageAttributes: map[string]types.MessageAttributeValue{
				"one.a": {DataType: aws.String("String"), StringValue: aws.String("1")},
				"one.b": {DataType: aws.String("String"), StringValue: aws.String("2")},
				"two":   {DataType: aws.String("String"), StringValue: aws.String("3")},
			}})
			c.ok(err)
			for _, ask := range []struct{ names, want string }{{"", "[]"}, {"two", "[two]"}, {"one.*", "[one.a one.b]"}, {"All", "[one.a one.b two]"}, {".*", "[one.a one.b two]"}, {"none", "[]"}} {
				m := c.one(url, func(in *sqs.ReceiveMessageInput) {
					in.MessageAttributeNames, in.MessageSystemAttributeNames = nil, nil
					if ask.names != "" {
						in.MessageAttributeNames = []string{ask.names}
					}
				})
				names := []string{}
				for name := range m.MessageAttributes {
					names = append(names, name)
				}
				sort.Strings(names)
				c.equal("attributes for "+ask.names, names, ask.want)
				c.equal("system attributes", len(m.Attributes), 0)
			}
		}},
		{name: "sqs: a message has at most 1 MiB, and a batch in all", check: func(c *conformance) {
			url := c.queue()
			c.send(url, strings.Repeat("a", mebibyte))
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(strings.Repeat("a", mebibyte+1))})
			c.refused(err, "InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.")
			_, err = c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(strings.Repeat("a", mebibyte-10)), MessageAttributes: map[string]types.MessageAttributeValue{
				"name": {DataType: aws.String("String"), StringValue: aws.String("v")}}})
			c.refused(err, "InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.")
			_, err = c.sendBatch(url, batch(2, strings.Repeat("a", mebibyte/2+1)))
			c.refused(err, "AWS.SimpleQueueService.BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048578 bytes.")
			_, err = c.sendBatch(url, batch(2, strings.Repeat("a", mebibyte/2)))
			c.ok(err)
		}, deviates: map[string]string{"ministack": "does not count a message's attributes"}},
		{name: "sqs: a message over the queue's own limit fails alone in a batch", check: func(c *conformance) {
			url := c.queue("MaximumMessageSize", "1024")
			entries := batch(2, "small")
			entries[1].MessageBody = aws.String(strings.Repeat("a", 1025))
			out, err := c.sendBatch(url, entries)
			c.ok(err)
			c.equal("sent", len(out.Successful), 1)
			c.equal("failed", len(out.Failed), 1)
			c.equal("failure", fmt.Sprint(*out.Failed[0].Id, " ", out.Failed[0].SenderFault), "1 true")
			c.equal("code", strings.HasPrefix(*out.Failed[0].Code, "InvalidParameterValue"), true)
		}},
		{name: "sqs: characters that XML has not are refused", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a\x01b")})
			c.refused(err, "InvalidMessageContents", "")
			_, err = c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a\ufffeb")})
			c.refused(err, "InvalidMessageContents", "")
		}},
		{name: "sqs: a message with characters that XML has not fails alone in a batch", check: func(c *conformance) {
			url := c.queue()
			entries := batch(2, "good")
			entries[1].MessageBody = aws.String("a\x01b")
			out, err := c.sendBatch(url, entries)
			c.ok(err)
			c.equal("sent", len(out.Successful), 1)
			c.equal("failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "1 InvalidMessageContents")
			c.equal("received", bodies(c.receive(url, 10, 1)), []string{"good"})
		}},
		{name: "sqs: the same characters are refused in an attribute", check: func(c *conformance) {
			url := c.queue()
			entries := batch(2, "good")
			entries[1].MessageAttributes = map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("a\x0bb")}}
			out, err := c.sendBatch(url, entries)
			c.ok(err)
			c.equal("sent", len(out.Successful), 1)
			c.equal("failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "1 InvalidMessageContents")
		}, deviates: map[string]string{"localstack": "calls the value invalid"}},
		{name: "sqs: half of a surrogate pair is refused", inProcess: "the SDK can't send it", check: func(c *conformance) {
			url := c.queue()
			for body, refused := range map[string]bool{`"a\ud800b"`: true, `"a\udc00\ud800"`: true, `"\ud83d\ude00"`: false, `"\\ud800"`: false} {
				req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"`+url+`","MessageBody":`+body+`}`))
				req.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
				rec := httptest.NewRecorder()
				c.fakeSQS.ServeHTTP(rec, req)
				c.equal(body, strings.Contains(rec.Body.String(), "InvalidMessageContents"), refused)
			}
		}},
		{name: "sqs: an empty body is refused", check: func(c *conformance) {
			url := c.queue()
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("")})
			c.refused(err, "MissingParameter", "The request must contain the parameter MessageBody.")
		}},
		{name: "sqs: a message may have 10 attributes, each with a type and a value", check: func(c *conformance) {
			url := c.queue()
			send := func(attributes map[string]types.MessageAttributeValue) error {
				_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageAttributes: attributes})
				return err
			}
			many := make(map[string]types.MessageAttributeValue)
			for i := range 10 {
				many[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
			}
			c.ok(send(many))
			c.refused(send(map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("")}}), "InvalidParameterValue", "must contain")
			c.refused(send(map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Text"), StringValue: aws.String("x")}}), "InvalidParameterValue", "")
			c.refused(send(map[string]types.MessageAttributeValue{"AWS.a": {DataType: aws.String("String"), StringValue: aws.String("x")}}), "InvalidParameterValue", "")
		}, deviates: map[string]string{"ministack": "takes an attribute without a value"}},
		{name: "sqs: a message may not have 11 attributes", check: func(c *conformance) {
			url := c.queue()
			many := make(map[string]types.MessageAttributeValue)
			for i := range 11 {
				many[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
			}
			_, err := c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("a"), MessageAttributes: many})
			c.refused(err, "InvalidParameterValue", "exceeds the allowed maximum [10]")
		}, deviates: map[string]string{"localstack": "takes any number of attributes", "ministack": "takes any number of attributes"}},
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
