package awstest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func keysOf(objects []types.Object) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, *o.Key)
	}
	return keys
}

func s3ListRules() []rule {
	return []rule{
		{name: "s3: a listing has the keys of a prefix, in the order of their bytes", check: func(c *conformance) {
			bucket := c.bucket()
			for _, key := range []string{"b/1", "a/Z", "a/é", "a/a", "a/10", "a/9", "a"} {
				c.putObject(bucket, key, key)
			}
			out, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("a/")})
			c.ok(err)
			c.equal("keys", keysOf(out.Contents), []string{"a/10", "a/9", "a/Z", "a/a", "a/é"})
			c.equal("count", *out.KeyCount, 5)
			c.equal("truncated", *out.IsTruncated, false)
			first := out.Contents[0]
			c.equal("size", *first.Size, 4)
			c.equal("ETag", *first.ETag, `"14e3fcd842130756ed601c1b5983c2b3"`)
			c.equal("class", first.StorageClass, "STANDARD")
		}},
		{name: "s3: a listing goes on page by page", check: func(c *conformance) {
			bucket := c.bucket()
			for i := range 7 {
				c.putObject(bucket, fmt.Sprint("k", i), "x")
			}
			var keys, sizes []string
			pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: aws.Int32(3), StartAfter: aws.String("k0")})
			for pages.HasMorePages() {
				out, err := pages.NextPage(c.ctx)
				c.ok(err)
				keys = append(keys, keysOf(out.Contents)...)
				sizes = append(sizes, fmt.Sprint(len(out.Contents)))
			}
			c.equal("keys", keys, []string{"k1", "k2", "k3", "k4", "k5", "k6"})
			c.equal("pages", sizes, []string{"3", "3"})
		}},
		{name: "s3: a page has at most a thousand keys", inProcess: "it makes a thousand objects", check: func(c *conformance) {
			bucket := c.bucket()
			for i := range 1001 {
				c.putObject(bucket, fmt.Sprint(i), "x")
			}
			out, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: aws.Int32(5000)})
			c.ok(err)
			c.equal("keys", len(out.Contents), 1000)
			c.equal("truncated", *out.IsTruncated, true)
			out, err = c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, ContinuationToken: out.NextContinuationToken})
			c.ok(err)
			c.equal("keys", len(out.Contents), 1)
		}},
		{name: "s3: a token that no page gave is refused", check: func(c *conformance) {
			bucket := c.bucket()
			_, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, ContinuationToken: aws.String("no token!")})
			c.refused(err, "InvalidArgument", "continuation token")
		}, deviates: map[string]string{"ministack": "takes any token"}},
		{name: "s3: a delimiter rolls keys up", check: func(c *conformance) {
			bucket := c.bucket()
			for _, key := range []string{"p/a/1", "p/a/2", "p/b", "p/c/1"} {
				c.putObject(bucket, key, "x")
			}
			out, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("p/"), Delimiter: aws.String("/")})
			c.ok(err)
			var rolled []string
			for _, p := range out.CommonPrefixes {
				rolled = append(rolled, *p.Prefix)
			}
			c.equal("keys", keysOf(out.Contents), []string{"p/b"})
			c.equal("prefixes", rolled, []string{"p/a/", "p/c/"})
		}},
		{name: "s3: a bucket announces its new objects to a queue, with keys encoded as in a form", check: func(c *conformance) {
			bucket, queue := c.bucket(), c.eventQueue()
			_, err := c.s3.PutBucketNotificationConfiguration(c.ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: &bucket,
				NotificationConfiguration: &types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{{
					QueueArn: aws.String(c.eventQueueARN(queue)), Events: []types.Event{"s3:ObjectCreated:*"},
				}}}})
			c.ok(err)
			var test struct{ Event, Bucket string }
			c.ok(json.Unmarshal([]byte(c.event(queue)), &test))
			c.equal("first", test.Event+" of "+test.Bucket, "s3:TestEvent of "+bucket)
			put := c.putObject(bucket, "out/red flower+1=é.ndjson", "hello")
			var got struct {
				Records []struct {
					EventName, EventSource string
					S3                     struct {
						Bucket struct{ Name string }
						Object struct {
							Key, ETag string
							Size      int
						}
					}
				}
			}
			c.ok(json.Unmarshal([]byte(c.event(queue)), &got))
			c.equal("records", len(got.Records), 1)
			r := got.Records[0]
			c.equal("event", r.EventName+" from "+r.EventSource, "ObjectCreated:Put from aws:s3")
			c.equal("bucket", r.S3.Bucket.Name, bucket)
			c.equal("key", r.S3.Object.Key, "out/red+flower%2B1%3D%C3%A9.ndjson")
			c.equal("size", r.S3.Object.Size, 5)
			c.equal("ETag", r.S3.Object.ETag, strings.Trim(*put.ETag, `"`))
		}},
	}
}

// eventQueue makes a queue where S3 can send to.
func (c *conformance) eventQueue() string {
	out, err := c.events.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: aws.String(uniqueName())})
	c.ok(err)
	return *out.QueueUrl
}

func (c *conformance) eventQueueARN(url string) string {
	out, err := c.events.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	c.ok(err)
	return out.Attributes["QueueArn"]
}

// event takes the next message from a queue.
func (c *conformance) event(url string) string {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		out, err := c.events.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 1, WaitTimeSeconds: 2})
		c.ok(err)
		for _, m := range out.Messages {
			_, err := c.events.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
			c.ok(err)
			return *m.Body
		}
	}
	c.fatalf("no event came")
	return ""
}
