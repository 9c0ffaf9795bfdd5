package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

// announcedBucket makes a bucket that announces its new objects to a queue.
func announcedBucket(t *testing.T, b backend.Services, queue string) string {
	t.Helper()
	out, err := b.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	bucket := fmt.Sprintf("objects-%d", time.Now().UnixNano())
	if _, err := b.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.S3.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket: &bucket, NotificationConfiguration: &s3types.NotificationConfiguration{QueueConfigurations: []s3types.QueueConfiguration{{
			QueueArn: aws.String(out.Attributes["QueueArn"]), Events: []s3types.Event{"s3:ObjectCreated:*"},
		}}},
	}); err != nil {
		t.Fatal(err)
	}
	return bucket
}

// TestObjectsOverTheWire has S3 announce files of several forms to the objects queue, and compares the table with them.
func TestObjectsOverTheWire(t *testing.T) {
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			b.SQS, b.SQSEndpoint = b.S3Queues, b.S3QueuesEndpoint // S3 reaches no other
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			queue := b.CreateQueue(t, map[string]string{"VisibilityTimeout": "30"})
			bucket := announcedBucket(t, b, queue)
			for name, value := range map[string]string{
				"AWS_ENDPOINT_URL_S3": b.S3Endpoint, "WORKER_OBJECTS_QUEUE_URL": queue, "WORKER_OBJECTS": bucket + "/out/",
				"WORKER_OBJECTS_RANGE_BYTES": "1048576", "WORKER_OBJECTS_SPLIT_CSV": "true",
			} {
				t.Setenv(name, value)
			}
			at := time.Now().Unix()
			want := map[string]bool{}
			put := func(key, text string) {
				t.Helper()
				if _, err := b.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader([]byte(text))}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_, _ = b.S3.DeleteObject(context.WithoutCancel(t.Context()), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
				})
			}
			rows := func(prefix string, n int, form string) (all []string) {
				for i := range n {
					id := fmt.Sprintf("%s-%d", prefix, i)
					want[fmt.Sprintf("%s/%d", id, at)] = true
					all = append(all, fmt.Sprintf(form, id, at, strings.Repeat("x", 400+i%300)))
				}
				return all
			}
			const object = `{"predictionId":"%s","timestamp":%d,"prediction":"%s"}`
			put("out/day 1+a/part é.ndjson", strings.Join(rows("lines", 5000, object), "\n")) // of 2.9 MB: three ranges
			put("out/array.json", "["+strings.Join(rows("array", 50, object), ",\n")+"]")
			put("out/table.csv", "predictionId,timestamp,prediction\n"+strings.Join(rows("csv", 3000, `%s,%d,"""%s"""`), "\n"))
			var z bytes.Buffer
			zw := gzip.NewWriter(&z)
			fmt.Fprintln(zw, strings.Join(rows("gzip", 50, object), "\n"))
			if err := zw.Close(); err != nil {
				t.Fatal(err)
			}
			put("out/part.gz", z.String())
			put("out/_SUCCESS", "not read")
			const bad = `{"predictionId":"bad"}`
			put("out/with-bad.ndjson", bad+"\n"+rows("neighbour", 1, object)[0])
			put("elsewhere.ndjson", `{"predictionId":"outside","timestamp":1,"prediction":1}`)

			consumeUntilEmpty(t, queue)
			stored := keysOf(t, b.DynamoDB, w.table)
			for k := range stored {
				if !want[k] {
					t.Errorf("the table has %s", k)
				}
			}
			missing := 0
			for k := range want {
				if !stored[k] {
					missing++
				}
			}
			if missing > 0 {
				t.Errorf("%d of %d rows are missing", missing, len(want))
			}
			rejects := bodiesOf(t, b.SQS, w.rejects)
			if len(rejects) != 2 || rejects[bad] != 1 {
				t.Errorf("rejected %v, want the bad row and the event of the object outside", rejects)
			}
		})
	}
}
