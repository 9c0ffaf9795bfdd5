package s3fake

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

// Form is the way by which an event reaches a queue.
type Form int

// The forms.
const (
	Direct      Form = iota // S3 sends to the queue
	SNS                     // by a topic, whose message wraps the event
	EventBridge             // by a rule, whose event has another form
)

// Notification is where a bucket sends the events of new objects. The zero value is nowhere.
type Notification struct {
	// Send gets the body of each message.
	Send func(body string)
	Form Form
	// Prefix and Suffix limit the events to keys that have them.
	Prefix, Suffix string
}

// SetNotification changes where a bucket sends its events. Send is called with no lock held. Unlike the API, it sends no
// test event.
func (s *Service) SetNotification(bucket string, n Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(bucket).notification = n
}

// SetDeliverer sets what sends to the queues that PutBucketNotificationConfiguration names, e.g. to a fake of SQS. It is
// called with no lock held.
func (s *Service) SetDeliverer(send func(queueARN, body string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliverer = send
}

// created returns what sends the event of a new object, to be called without s.mu. It requires that s.mu be held.
func (s *Service) created(o *Object, how string) func() {
	b := s.buckets[o.Bucket]
	n := b.notification
	if n.Send == nil || !strings.HasPrefix(o.Key, n.Prefix) || !strings.HasSuffix(o.Key, n.Suffix) {
		return func() {}
	}
	var body string
	switch n.Form {
	case Direct:
		body = Records(how, *o)
	case SNS:
		body = Notify(Records(how, *o))
	case EventBridge:
		body = BridgeEvent(b.Owner, *o)
	}
	return func() { n.Send(body) }
}

type record map[string]any

// Records is the message that S3 sends of created objects, one record each ("Event message structure"). how is what
// follows ObjectCreated: in the event's name: Put, Post, Copy or CompleteMultipartUpload. Keys are encoded as in a form.
func Records(how string, objects ...Object) string {
	var records []record
	for _, o := range objects {
		object := record{"key": formEncode(o.Key), "size": o.Size, "eTag": o.ETag, "sequencer": fmt.Sprintf("%018X", o.sequencer)}
		if o.VersionID != "null" {
			object["versionId"] = o.VersionID
		}
		records = append(records, record{
			"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": awstest.Region,
			"eventTime": o.LastModified.UTC().Format("2006-01-02T15:04:05.000Z"), "eventName": "ObjectCreated:" + how,
			"userIdentity":      record{"principalId": "AWS:AIDATEST"},
			"requestParameters": record{"sourceIPAddress": "127.0.0.1"},
			"responseElements":  record{"x-amz-request-id": awstest.UUID(o.sequencer, 1), "x-amz-id-2": awstest.UUID(o.sequencer, 2)},
			"s3": record{
				"s3SchemaVersion": "1.0", "configurationId": "objects",
				"bucket": record{"name": o.Bucket, "ownerIdentity": record{"principalId": "A3TEST"}, "arn": "arn:aws:s3:::" + o.Bucket},
				"object": object,
			},
		})
	}
	return text(record{"Records": records})
}

// TestEvent is the message that S3 sends when a bucket's notifications are configured ("Amazon S3 Event Notifications").
func TestEvent(bucket string) string {
	return text(record{"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"Bucket": bucket, "RequestId": awstest.UUID(1, 1), "HostId": awstest.UUID(1, 2)})
}

// Notify wraps a message as SNS does for a subscription without raw delivery ("Parsing Amazon SNS message formats").
func Notify(message string) string {
	return text(record{"Type": "Notification", "MessageId": awstest.UUID(uint64(len(message)), 4), "Subject": "Amazon S3 Notification",
		"TopicArn": "arn:aws:sns:" + awstest.Region + ":" + awstest.Account + ":objects", "Message": message,
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "1", "Signature": "EXAMPLE",
		"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/cert.pem", "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe"})
}

// BridgeEvent is the event that EventBridge sends of a created object in a bucket of this account ("EventBridge event
// message structure"). The key is as it is.
func BridgeEvent(account string, o Object) string {
	object := record{"key": o.Key, "size": o.Size, "etag": o.ETag, "sequencer": fmt.Sprintf("%018X", o.sequencer)}
	if o.VersionID != "null" {
		object["version-id"] = o.VersionID
	}
	return text(record{
		"version": "0", "id": awstest.UUID(o.sequencer, 5), "detail-type": "Object Created", "source": "aws.s3", "account": account,
		"time": o.LastModified.UTC().Format(time.RFC3339), "region": awstest.Region, "resources": []string{"arn:aws:s3:::" + o.Bucket},
		"detail": record{"version": "0", "bucket": record{"name": o.Bucket}, "object": object, "request-id": awstest.UUID(o.sequencer, 1),
			"requester": account, "source-ip-address": "127.0.0.1", "reason": "PutObject"},
	})
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(b)
}
