package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
)

// newS3 returns the client of S3. Its endpoint and region come from the AWS settings alone. An endpoint of one's own, such as a
// stand-in's, rarely serves each bucket under a host name of its own, so buckets are in the path there.
func newS3(conf aws.Config) *s3.Client {
	return s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
}

// An ObjectInfo describes an object of a listing.
type ObjectInfo struct {
	Bucket, Key, ETag string
	Size              int64
	Modified          time.Time
}

// ListObjects returns the objects of a bucket whose keys begin with prefix, in the order of their keys. owner is the account that must
// own the bucket; "" is any.
func ListObjects(ctx context.Context, clients *Clients, bucket, prefix, owner string) (all []ObjectInfo, err error) {
	in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}
	if owner != "" {
		in.ExpectedBucketOwner = &owner
	}
	pages := s3.NewListObjectsV2Paginator(clients.S3, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, func(o *s3.Options) { o.Retryer = patient() })
		if err != nil {
			return nil, s3Error("ListObjectsV2", fmt.Sprintf("the bucket %q", bucket), err)
		}
		for _, o := range page.Contents {
			all = append(all, ObjectInfo{bucket, aws.ToString(o.Key), aws.ToString(o.ETag), aws.ToInt64(o.Size), aws.ToTime(o.LastModified).UTC()})
		}
	}
	return all, nil
}

// ErrObjectChanged is the error, by errors.Is, of an object that has been replaced since it was listed.
var ErrObjectChanged = errors.New("it has been replaced since it was listed")

const (
	// readAttempts is the maximum number of calls for one part of an object, each of which may also be repeated before its answer begins.
	readAttempts = 4
	// readTimeout bounds each of them. Parts have a few MiB.
	readTimeout = 30 * time.Second
)

// ReadObject fills p with the bytes of an object from offset on, by one ranged GetObject. It repeats the call if the answer's body ends
// early. The object must still have the ETag of its listing.
func ReadObject(ctx context.Context, clients *Clients, o *ObjectInfo, owner string, offset int64, p []byte) error {
	ranged := fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1)
	in := &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key, Range: &ranged}
	if o.ETag != "" {
		in.IfMatch = &o.ETag
	}
	if owner != "" {
		in.ExpectedBucketOwner = &owner
	}
	what := fmt.Sprintf("the object s3://%s/%s", o.Bucket, o.Key)
	for attempt := 1; ; attempt++ {
		err := readOnce(ctx, clients, in, p)
		switch Code(err) {
		case "":
			return nil
		case "PreconditionFailed", "NoSuchKey":
			return fmt.Errorf("%s can't be read: %w", what, ErrObjectChanged)
		case codeNetwork, codeTimeout: // a body that ended early, or did not come
			if attempt < readAttempts && ctx.Err() == nil {
				continue
			}
		}
		return s3Error("GetObject", what, err)
	}
}

// readOnce makes one call.
func readOnce(ctx context.Context, clients *Clients, in *s3.GetObjectInput, p []byte) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := clients.S3.GetObject(ctx, in, func(o *s3.Options) { o.Retryer = patient() })
	if err != nil {
		return err //nolint:wrapcheck // the caller explains it
	}
	defer out.Body.Close()
	_, err = io.ReadFull(out.Body, p)
	return err //nolint:wrapcheck // the caller explains it
}

// s3Remedies say what S3's error codes mean, and what to do ("Error Responses", Amazon S3 API Reference).
var s3Remedies = map[string]string{
	"AccessDenied": "access is denied, as it also is to a missing object if the role may not list the bucket: allow s3:ListBucket on the bucket, " +
		"s3:GetObject on its objects and kms:Decrypt on their key, and check WORKER_OBJECTS_BUCKET_OWNER",
	"NoSuchBucket":                 "there is no such bucket: correct the name",
	"PermanentRedirect":            "the bucket is in another region: set AWS_REGION, or copy the objects",
	"AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION, or copy the objects",
	"InvalidObjectState":           "it is archived: restore it first",
}

// s3Error is Remedy for a call of S3, which answers in XML.
func s3Error(operation, what string, err error) error {
	if remedy := s3Remedies[Code(err)]; remedy != "" {
		return fmt.Errorf("%s can't be read: %s (%w)", what, remedy, brief(operation, err))
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s can't be read (%w)", what, brief(operation, err))
	}
	return Remedy(operation, what, err)
}

// SplitObjectURL splits s3://bucket/prefix. ok is false for another text, or one without a bucket.
func SplitObjectURL(url string) (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(url, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, prefix, ok && bucket != ""
}
