package awsclient

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// newS3 returns the client of S3. Its endpoint and region come from the AWS settings alone. An endpoint of one's own, such as a
// stand-in's, rarely serves each bucket under a host name of its own, so buckets are in the path there.
func newS3(conf aws.Config) *s3.Client {
	return s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
}
