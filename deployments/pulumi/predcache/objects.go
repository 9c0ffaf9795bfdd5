package predcache

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/policies"
)

// Objects are batch outputs in S3 that the worker reads, by the events of their buckets. The component makes the queue of
// the events, and lets the buckets send to it. A bucket has only one notification configuration for everything, so the
// component leaves it alone: add the output objects_queue_arn to it, for s3:ObjectCreated:*. See docs/deploy.md.
type Objects struct {
	// Prefixes are the buckets and beginnings of keys that may be read, like "scores/daily/" or "forecasts" for a whole
	// bucket. A prefix ends where it is written: "scores/daily" also permits "scores/daily-old/".
	Prefixes []string `json:"prefixes"`
	// BucketOwner is the account of the buckets; the stack's own unless set.
	BucketOwner string `json:"bucketOwner"`
	// KeyArns are the customer keys of KMS that the objects are encrypted with, if any.
	KeyArns []string `json:"keyArns"`
	// MaxAgeSeconds is the maximum age of the oldest event or range, for the alarm; 3600 unless set.
	MaxAgeSeconds int `json:"maxAgeSeconds"`
}

// bucketName matches the names that S3 has allowed at some time ("General purpose bucket naming rules").
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

func (o Objects) problems() (errs []error) {
	if len(o.Prefixes) == 0 {
		errs = append(errs, errors.New("objects.prefixes is empty: give the buckets and beginnings of keys that may be read, like scores/daily/"))
	}
	for _, p := range o.Prefixes {
		switch bucket, prefix, _ := strings.Cut(p, "/"); {
		case !bucketName.MatchString(bucket):
			errs = append(errs, fmt.Errorf("objects.prefixes has %q: give a bucket's name, and after a slash the beginning of keys", p))
		case strings.ContainsAny(prefix, "*?,"):
			errs = append(errs, fmt.Errorf("objects.prefixes has %q: a beginning of keys permits all that follows, and has no pattern or comma", p))
		}
	}
	if o.BucketOwner != "" && !accountID.MatchString(o.BucketOwner) {
		errs = append(errs, fmt.Errorf("objects.bucketOwner is %q: give the id of an account, 12 digits", o.BucketOwner))
	}
	for _, key := range o.KeyArns {
		if !strings.HasPrefix(key, "arn:") {
			errs = append(errs, fmt.Errorf("objects.keyArns has %q: give the key's ARN", key))
		}
	}
	if o.MaxAgeSeconds < 60 {
		errs = append(errs, errors.New("objects.maxAgeSeconds can't be under 60: CloudWatch knows the age by the minute"))
	}
	return errs
}

// buckets returns the buckets, each once.
func (o Objects) buckets() (names []string) {
	for _, p := range o.Prefixes {
		bucket, _, _ := strings.Cut(p, "/")
		names = append(names, bucket)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parts are the policies of the worker for the objects. queueARN names the partition and the account.
func (o Objects) parts(queueARN string) []policies.Part {
	parts := []policies.Part{{Policy: "worker-objects", Names: map[string]string{"ObjectsQueueArn": queueARN}}}
	for _, p := range o.Prefixes {
		bucket, prefix, _ := strings.Cut(p, "/")
		parts = append(parts, policies.Part{Policy: "worker-objects-read", Names: map[string]string{"BucketArn": bucketARN(queueARN, bucket), "ObjectsPrefix": prefix}})
	}
	for _, key := range o.KeyArns {
		parts = append(parts, policies.Part{Policy: "worker-objects-key", Names: map[string]string{"ObjectsKeyArn": key}})
	}
	return parts
}

// bucketARN is a bucket's ARN in the partition of a queue.
func bucketARN(queueARN, bucket string) string {
	return "arn:" + strings.Split(queueARN, ":")[1] + ":s3:::" + bucket
}

// queuePolicy lets the buckets send their events to the queue, and nobody else ("Granting permissions to publish event
// notification messages to a destination"), and refuses plain HTTP.
func (o Objects) queuePolicy(queueARN string) (string, error) {
	owner := o.BucketOwner
	if owner == "" {
		owner = strings.Split(queueARN, ":")[4]
	}
	parts := []policies.Part{{Policy: "queue-tls", Names: map[string]string{"AnyQueueArn": queueARN}}}
	for _, bucket := range o.buckets() {
		parts = append(parts, policies.Part{Policy: "objects-queue", Names: map[string]string{
			"ObjectsQueueArn": queueARN, "BucketArn": bucketARN(queueARN, bucket), "BucketOwner": owner,
		}})
	}
	return policies.Join(parts...)
}

// makeObjects makes the queue of the buckets' events and of the ranges that the workers send, with its dead-letter queue. A
// dead letter of it is an event or a range, which worker redrive could not send back to the queue of predictions.
func (c *Cache) makeObjects(ctx *pulumi.Context) (err error) {
	o := c.args.Objects
	if o == nil {
		return nil
	}
	if c.ObjectsDeadLetters, err = c.newQueue(ctx, "objects-dead-letters", tlsOnly, func(a *sqs.QueueArgs) { a.MessageRetentionSeconds = pulumi.Int(14 * 24 * 60 * 60) }); err != nil {
		return err
	}
	// A range takes longer than a prediction: docs/objects.md asks for 2 minutes.
	visibility := max(120, c.args.Queue.VisibilitySeconds)
	if c.ObjectsQueue, err = c.newQueue(ctx, "objects", o.queuePolicy, c.redriven(c.ObjectsDeadLetters, visibility)); err != nil {
		return err
	}
	return c.allowRedrive(ctx, "objects-dead-letters", c.ObjectsDeadLetters, c.ObjectsQueue)
}
