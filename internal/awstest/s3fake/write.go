package s3fake

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
)

// putObject is PutObject of a whole body.
func (s *Service) putObject(q *request, c *awstest.Call, b *bucket, body []byte) (*awstest.Response, *awstest.Error) {
	if strings.HasPrefix(q.header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		var err error
		if body, err = unchunk(body); err != nil {
			return nil, refusal(http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly", nil)
		}
	}
	if len(q.key) > 1024 { // "Naming Amazon S3 objects"
		return nil, refusal(http.StatusBadRequest, "KeyTooLongError", "Your key is too long", nil)
	}
	o := s.put(b, q.key, Text(string(body)))
	o.ContentEncoding = strings.TrimPrefix(strings.TrimPrefix(q.header.Get("Content-Encoding"), "aws-chunked"), ",")
	c.Entries[0].Applied = true
	s.deferred = append(s.deferred, s.created(o, "Put"))
	resp := empty(http.StatusOK)
	resp.Header.Set("ETag", quoted(o.ETag))
	if b.Versioned {
		resp.Header.Set("X-Amz-Version-Id", o.VersionID)
	}
	return resp, nil
}

// unchunk decodes the encoding aws-chunked: each chunk follows its length in hexadecimal digits ("Signature calculations for
// the Authorization header: Transferring a payload in multiple chunks").
func unchunk(body []byte) (text []byte, err error) {
	r := bufio.NewReader(bytes.NewReader(body))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		length, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(length, 16, 64)
		if err != nil || n == 0 {
			return text, err
		}
		chunk := make([]byte, n+2) // with its end of line
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		text = append(text, chunk[:n]...)
	}
}

func (s *Service) deleteObject(q *request, _ *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	s.remove(b, q.key, q.query.Get("versionId"))
	return empty(http.StatusNoContent), nil
}

func (s *Service) headBucket(_ *request, _ *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	if !b.mayList("") {
		return nil, AccessDenied()
	}
	resp := empty(http.StatusOK)
	resp.Header.Set(regionHeader, b.Region)
	return resp, nil
}

func (s *Service) createBucket(q *request, _ *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	switch {
	case b != nil:
		return nil, refusal(http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.", nil)
	case !validBucketName(q.bucket):
		return nil, invalidBucketName(q.bucket)
	}
	s.create(q.bucket, Bucket{})
	return empty(http.StatusOK), nil
}

func (s *Service) deleteBucket(q *request, _ *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	if len(b.objects) > 0 {
		return nil, refusal(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty", nil)
	}
	delete(s.buckets, q.bucket)
	return empty(http.StatusNoContent), nil
}

func (s *Service) putVersioning(_ *request, _ *awstest.Call, b *bucket, body []byte) (*awstest.Response, *awstest.Error) {
	var in struct{ Status string }
	if err := xml.Unmarshal(body, &in); err != nil || in.Status != "Enabled" && in.Status != "Suspended" {
		return nil, malformedXML()
	}
	b.Versioned = in.Status == "Enabled"
	return empty(http.StatusOK), nil
}

// putNotification sets where a bucket sends its events: to queues. S3 sends a test event to each ("Amazon S3 Event
// Notifications"). A FIFO queue is refused ("Event notification types and destinations").
func (s *Service) putNotification(_ *request, _ *awstest.Call, b *bucket, body []byte) (*awstest.Response, *awstest.Error) {
	var in struct {
		QueueConfiguration []struct {
			Queue  string
			Event  []string
			Filter struct {
				S3Key struct {
					FilterRule []struct{ Name, Value string }
				}
			}
		}
	}
	if xml.Unmarshal(body, &in) != nil || len(in.QueueConfiguration) > 1 {
		return nil, malformedXML()
	}
	b.notification = Notification{}
	for _, c := range in.QueueConfiguration {
		if strings.HasSuffix(c.Queue, ".fifo") || s.deliverer == nil {
			return nil, refusal(http.StatusBadRequest, "InvalidArgument", "Unable to validate the following destination configurations", nil)
		}
		if len(c.Event) != 1 || c.Event[0] != "s3:ObjectCreated:*" {
			return nil, notImplemented("events other than s3:ObjectCreated:*")
		}
		n := Notification{Send: func(body string) { s.deliverer(c.Queue, body) }}
		for _, rule := range c.Filter.S3Key.FilterRule {
			if strings.EqualFold(rule.Name, "prefix") {
				n.Prefix = rule.Value
			} else {
				n.Suffix = rule.Value
			}
		}
		b.notification = n
		s.deferred = append(s.deferred, func() { n.Send(TestEvent(b.name)) })
	}
	return empty(http.StatusOK), nil
}

func malformedXML() *awstest.Error {
	return refusal(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema", nil)
}
