package awstest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
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
	return slices.Concat(sqsQueueRules(), sqsSendRules(), sqsReceiveRules(), sqsFIFORules())
}

func sqsSendRules() []rule {
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
	}
}
