package awstest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/s3fake"
)

// bucket makes a bucket.
func (c *conformance) bucket() string {
	name := uniqueName()
	_, err := c.s3.CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{
		LocationConstraint: awstest.Region,
	}})
	c.ok(err)
	return name
}

// versioned makes a bucket that keeps versions.
func (c *conformance) versioned() string {
	name := c.bucket()
	_, err := c.s3.PutBucketVersioning(c.ctx, &s3.PutBucketVersioningInput{Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{
		Status: types.BucketVersioningStatusEnabled,
	}})
	c.ok(err)
	return name
}

func (c *conformance) putObject(bucket, key, text string) *s3.PutObjectOutput {
	out, err := c.s3.PutObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)})
	c.ok(err)
	c.cleanup(func() {
		c.s3.DeleteObject(context.WithoutCancel(c.ctx), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: out.VersionId})
	})
	return out
}

// getObject reads an object; options change the request.
func (c *conformance) getObject(bucket, key string, options ...func(*s3.GetObjectInput)) (string, *s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	for _, option := range options {
		option(in)
	}
	out, err := c.s3.GetObject(c.ctx, in)
	if err != nil {
		return "", nil, err
	}
	text, err := io.ReadAll(out.Body)
	out.Body.Close()
	return string(text), out, err
}

func bytesOf(asked string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.Range = aws.String("bytes=" + asked) }
}

func ifMatch(etag string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.IfMatch = &etag }
}

func ofVersion(id *string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.VersionId = id }
}

// status expects an error with this HTTP status: HEAD has no body, and so no code.
func (c *conformance) status(err error, want int) {
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() != want {
		c.fatalf("got %v, want status %d", err, want)
	}
}

func s3ReadRules() []rule {
	return []rule{
		{name: "s3: an object comes back with its ETag, time and length", check: func(c *conformance) {
			bucket := c.bucket()
			before := time.Now().Add(-2 * time.Second)
			put := c.putObject(bucket, "a/b c+d=é.ndjson", "hello")
			text, out, err := c.getObject(bucket, "a/b c+d=é.ndjson")
			c.ok(err)
			c.equal("text", text, "hello")
			c.equal("length", *out.ContentLength, 5)
			c.equal("ETag", *out.ETag, `"5d41402abc4b2a76b9719d911017c592"`)
			c.equal("ETag of the put", *put.ETag, *out.ETag)
			c.equal("whole seconds", out.LastModified.Nanosecond(), 0)
			c.equal("range", out.ContentRange == nil, true)
			if out.LastModified.Before(before) {
				c.fatalf("last modified at %v", out.LastModified)
			}
		}},
		{name: "s3: a range is answered in each of its forms", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "0123456789")
			for _, test := range []struct{ asked, text, answered string }{
				{"0-0", "0", "bytes 0-0/10"}, {"2-4", "234", "bytes 2-4/10"}, {"7-", "789", "bytes 7-9/10"}, {"-3", "789", "bytes 7-9/10"},
				{"8-100", "89", "bytes 8-9/10"}, {"-100", "0123456789", "bytes 0-9/10"},
			} {
				text, out, err := c.getObject(bucket, "k", bytesOf(test.asked))
				c.ok(err)
				c.equal(test.asked, text, test.text)
				c.equal(test.asked, *out.ContentRange, test.answered)
				c.equal(test.asked+", length", *out.ContentLength, len(test.text))
			}
		}},
		{name: "s3: a range that is no range is ignored", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "0123456789")
			text, out, err := c.getObject(bucket, "k", bytesOf("5-2"))
			c.ok(err)
			c.equal("text", text, "0123456789")
			c.equal("range", out.ContentRange == nil, true)
		}, deviates: map[string]string{"ministack": "refuses it"}},
		{name: "s3: a range behind the end is refused, and any range of an empty object", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "0123456789")
			c.putObject(bucket, "empty", "")
			_, _, err := c.getObject(bucket, "k", bytesOf("10-12"))
			c.refused(err, "InvalidRange", "")
			c.status(err, http.StatusRequestedRangeNotSatisfiable)
			_, _, err = c.getObject(bucket, "empty", bytesOf("0-99"))
			c.refused(err, "InvalidRange", "")
			text, _, err := c.getObject(bucket, "empty")
			c.ok(err)
			c.equal("text", text, "")
		}},
		{name: "s3: If-Match compares the ETag, with and without quotes", check: func(c *conformance) {
			bucket := c.bucket()
			etag := *c.putObject(bucket, "k", "first").ETag
			for _, tag := range []string{etag, strings.Trim(etag, `"`), "*"} {
				text, _, err := c.getObject(bucket, "k", ifMatch(tag), bytesOf("0-1"))
				c.ok(err)
				c.equal("text", text, "fi")
			}
			c.putObject(bucket, "k", "second")
			_, _, err := c.getObject(bucket, "k", ifMatch(etag), bytesOf("0-1"))
			c.refused(err, "PreconditionFailed", "")
			c.status(err, http.StatusPreconditionFailed)
			_, _, err = c.getObject(bucket, "k", ifMatch(etag), bytesOf("100-"))
			c.refused(err, "PreconditionFailed", "") // the condition comes before the range
		}},
		{name: "s3: what does not exist has its own code", check: func(c *conformance) {
			bucket := c.bucket()
			_, _, err := c.getObject(bucket, "none")
			var missing *types.NoSuchKey
			if !errors.As(err, &missing) {
				c.fatalf("got %v, want NoSuchKey", err)
			}
			_, _, err = c.getObject(bucket+"-none", "k")
			c.refused(err, "NoSuchBucket", "")
			c.status(err, http.StatusNotFound)
			_, err = c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket + "-none")})
			c.refused(err, "NoSuchBucket", "")
			_, err = c.s3.HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("none")})
			c.status(err, http.StatusNotFound)
			_, err = c.s3.CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: aws.String("ab")})
			c.refused(err, "InvalidBucketName", "")
		}},
		{name: "s3: HeadObject answers as GetObject, without the body", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "0123456789")
			out, err := c.s3.HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("k")})
			c.ok(err)
			c.equal("length", *out.ContentLength, 10)
			c.equal("ETag", *out.ETag, `"781e5e245d69b566979b86e28d23f2c7"`)
		}},
		{name: "s3: a versioned bucket keeps what was replaced and deleted", check: func(c *conformance) {
			bucket := c.versioned()
			first, second := c.putObject(bucket, "k", "first"), c.putObject(bucket, "k", "second")
			text, out, err := c.getObject(bucket, "k", ofVersion(first.VersionId))
			c.ok(err)
			c.equal("first", text, "first")
			c.equal("version", *out.VersionId, *first.VersionId)
			text, out, err = c.getObject(bucket, "k")
			c.ok(err)
			c.equal("current", text, "second")
			c.equal("version", *out.VersionId, *second.VersionId)
			_, err = c.s3.DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("k")})
			c.ok(err)
			_, _, err = c.getObject(bucket, "k")
			c.refused(err, "NoSuchKey", "")
			text, _, err = c.getObject(bucket, "k", ofVersion(second.VersionId))
			c.ok(err)
			c.equal("second", text, "second")
		}},
		{name: "s3: a version that does not exist has its own code", check: func(c *conformance) {
			bucket := c.versioned()
			gone := c.putObject(bucket, "k", "first").VersionId
			c.putObject(bucket, "k", "second")
			_, err := c.s3.DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("k"), VersionId: gone})
			c.ok(err)
			_, _, err = c.getObject(bucket, "k", ofVersion(gone))
			c.refused(err, "NoSuchVersion", "")
			_, _, err = c.getObject(bucket, "k", ofVersion(aws.String("nonsense")))
			c.refused(err, "InvalidArgument", "version id")
		}, deviates: map[string]string{"ministack": "takes any text for a version id"}},
		{name: "s3: another owner than the expected one is a 403", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "text")
			owned := func(account string) error {
				_, _, err := c.getObject(bucket, "k", func(in *s3.GetObjectInput) { in.ExpectedBucketOwner = &account })
				return err
			}
			c.ok(owned(awstest.Account))
			c.refused(owned("111122223333"), "AccessDenied", "")
			c.status(owned("111122223333"), http.StatusForbidden)
		}, deviates: map[string]string{"ministack": "ignores the header"}},
		{name: "s3: without s3:ListBucket a missing key is a 403", inProcess: "stand-ins have no policies", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "scores/k", "text")
			for _, access := range []s3fake.Access{{NoList: true}, {ListPrefix: "scores/"}} {
				c.fakeS3.SetAccess(bucket, access)
				text, _, err := c.getObject(bucket, "scores/k")
				c.ok(err)
				c.equal("text", text, "text")
				_, _, err = c.getObject(bucket, "scores/none")
				c.refused(err, "AccessDenied", "")
				_, err = c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket})
				c.refused(err, "AccessDenied", "")
				_, err = c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("scores/2026")})
				c.equal("listing by prefix", err == nil, !access.NoList)
			}
		}},
		{name: "s3: what a policy leaves out is a 403", inProcess: "stand-ins have no policies", check: func(c *conformance) {
			bucket := c.versioned()
			id := c.putObject(bucket, "k", "text").VersionId
			for _, access := range []s3fake.Access{{NoGet: []string{""}}, {NoGet: []string{"other", "k"}}, {NoDecrypt: true}} {
				c.fakeS3.SetAccess(bucket, access)
				_, _, err := c.getObject(bucket, "k")
				c.refused(err, "AccessDenied", "")
				c.status(err, http.StatusForbidden)
			}
			c.fakeS3.SetAccess(bucket, s3fake.Access{NoVersion: true})
			_, _, err := c.getObject(bucket, "k")
			c.ok(err)
			_, _, err = c.getObject(bucket, "k", ofVersion(id))
			c.refused(err, "AccessDenied", "")
		}},
		{name: "s3: an archived object and a bucket of another region are refused", inProcess: "stand-ins have neither", check: func(c *conformance) {
			bucket := c.bucket()
			c.putObject(bucket, "k", "text")
			c.fakeS3.Change(bucket, "k", func(o *s3fake.Object) { o.StorageClass = "DEEP_ARCHIVE" })
			_, _, err := c.getObject(bucket, "k")
			c.refused(err, "InvalidObjectState", "")
			c.fakeS3.CreateBucket("elsewhere", s3fake.Bucket{Region: "us-east-2"})
			_, _, err = c.getObject("elsewhere", "k")
			c.status(err, http.StatusMovedPermanently)
		}},
	}
}
