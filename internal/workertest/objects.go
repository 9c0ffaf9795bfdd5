package workertest

import (
	"github.com/predcache/predcache/internal/awstest/s3fake"
)

// The names of what AddObjects creates.
const (
	ObjectsName = "objects"
	BucketName  = "scores"
)

// AddObjects adds a bucket that sends its events to a queue of its own. The workers that Start starts then read its objects.
func (f *Fakes) AddObjects() {
	f.T.Helper()
	f.S3 = s3fake.New()
	f.S3.SetRecording(true)
	f.S3.CreateBucket(BucketName, s3fake.Bucket{})
	f.Config.ObjectsQueueURL = f.SQS.CreateQueue(ObjectsName, nil)
	f.Config.Objects = BucketName + "/daily/"
	f.S3.SetNotification(BucketName, s3fake.Notification{Send: func(body string) { f.SQS.Send(ObjectsName, body) }})
}
