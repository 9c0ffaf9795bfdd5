package s3fake

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
)

const regionHeader = "X-Amz-Bucket-Region"

// A request is what an HTTP request asks for.
type request struct {
	method, bucket, key string
	query               url.Values
	header              http.Header
	region              string // that the request was signed for
	problem             *awstest.Error
}

// parse finds bucket and key of a request, in path style or in virtual-hosted style ("Virtual hosting of buckets").
func parse(r *http.Request) *request {
	req := &request{method: r.Method, query: r.URL.Query(), header: r.Header, region: signedRegion(r.Header.Get("Authorization"))}
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	if err != nil {
		req.problem = refusal(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.", nil)
	}
	if bucket, _, hosted := strings.Cut(r.Host, ".s3."); hosted {
		req.bucket, req.key = bucket, path
	} else {
		req.bucket, req.key, _ = strings.Cut(path, "/")
	}
	return req
}

// signedRegion is the region in the credential scope of a signature ("Authenticating Requests (AWS Signature Version 4)").
func signedRegion(authorization string) string {
	_, scope, _ := strings.Cut(authorization, "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	if parts := strings.Split(scope, "/"); len(parts) >= 5 {
		return parts[len(parts)-3]
	}
	return ""
}

// An operation is what the fake knows of one.
type operation struct {
	parameters []string // of the query
	headers    []string // beside those that every request may have
	run        func(s *Service, q *request, c *awstest.Call, b *bucket, body []byte) (*awstest.Response, *awstest.Error)
}

var operations map[string]operation

func init() { // not a literal, since the functions refer to the table
	operations = map[string]operation{
		"GetObject":  {parameters: []string{"versionId"}, headers: []string{"X-Amz-Checksum-Mode"}, run: (*Service).getObject},
		"HeadObject": {parameters: []string{"versionId"}, headers: []string{"X-Amz-Checksum-Mode"}, run: (*Service).getObject},
		"ListObjectsV2": {run: (*Service).listObjects,
			parameters: []string{"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}},
		"PutObject": {run: (*Service).putObject, headers: []string{"X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Trailer",
			"X-Amz-Decoded-Content-Length", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc64nvme"}},
		"DeleteObject":                       {parameters: []string{"versionId"}, run: (*Service).deleteObject},
		"HeadBucket":                         {run: (*Service).headBucket},
		"CreateBucket":                       {run: (*Service).createBucket},
		"DeleteBucket":                       {run: (*Service).deleteBucket},
		"PutBucketVersioning":                {parameters: []string{"versioning"}, headers: checksummed, run: (*Service).putVersioning},
		"PutBucketNotificationConfiguration": {parameters: []string{"notification"}, headers: checksummed, run: (*Service).putNotification},
	}
}

// checksummed are the headers of a request whose body has a checksum.
var checksummed = []string{"X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc64nvme"}

// everyRequest are the headers that a request of any kind may have.
var everyRequest = []string{"X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token", "X-Amz-User-Agent", expectedOwner}

const expectedOwner = "X-Amz-Expected-Bucket-Owner"

// operation is the API's name of what the request asks for, or "" if the fake does not have it.
func (q *request) operation() string {
	if q.key != "" {
		return map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[q.method]
	}
	switch {
	case q.method == http.MethodPut && q.query.Has("versioning"):
		return "PutBucketVersioning"
	case q.method == http.MethodPut && q.query.Has("notification"):
		return "PutBucketNotificationConfiguration"
	case q.method == http.MethodGet && q.query.Get("list-type") == "2":
		return "ListObjectsV2"
	}
	return map[string]string{"HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}[q.method]
}

// unknown names a parameter or a header that the fake does not know: to ignore a condition would let a wrong request pass.
func (q *request) unknown(op operation) string {
	for _, name := range slices.Sorted(maps.Keys(q.query)) {
		if name != "x-id" && !slices.Contains(op.parameters, name) { // x-id is the SDK's note of the operation's name
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.header)) {
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(everyRequest, name) && !slices.Contains(op.headers, name) {
			return name
		}
	}
	return ""
}

// effect describes the call, and returns what carries it out.
func (s *Service) effect(c *awstest.Call, q *request, body []byte) awstest.Effect {
	c.Resource = q.bucket
	entry := awstest.Entry{Key: q.key, VersionID: q.query.Get("versionId")}
	if c.Operation == "ListObjectsV2" {
		entry.Key = q.query.Get("prefix")
	}
	c.Entries = []awstest.Entry{entry}
	return func(*awstest.Fault) (any, *awstest.Error) {
		op, known := operations[c.Operation]
		if !known {
			return nil, notImplemented(q.method + " ?" + q.query.Encode())
		}
		if name := q.unknown(op); name != "" {
			return nil, notImplemented(name)
		}
		if q.problem != nil {
			return nil, q.problem
		}
		return s.run(op, q, c, body)
	}
}

// run carries out a sound request, and then sends the events of what it did.
func (s *Service) run(op operation, q *request, c *awstest.Call, body []byte) (*awstest.Response, *awstest.Error) {
	s.mu.Lock()
	b, err := s.reach(q, c.Operation)
	var answer *awstest.Response
	if err == nil {
		answer, err = op.run(s, q, c, b, body)
	}
	events := s.deferred
	s.deferred = nil
	s.mu.Unlock()
	for _, send := range events {
		send()
	}
	return answer, err
}

// reach finds the bucket of a request and checks what comes before any policy: that it is here, and whose it is ("Verifying
// bucket ownership with bucket owner condition"). It requires that s.mu be held.
func (s *Service) reach(q *request, operation string) (*bucket, *awstest.Error) {
	b := s.buckets[q.bucket]
	if operation == "CreateBucket" {
		return b, nil
	}
	if b == nil {
		return nil, noSuchBucket(q.bucket)
	}
	if q.region != "" && q.region != b.Region {
		return nil, permanentRedirect(b)
	}
	if owner := q.header.Get(expectedOwner); owner != "" && owner != b.Owner {
		return nil, AccessDenied()
	}
	return b, nil
}

// mayList reports whether the caller may list the bucket under a prefix; a request without one asks with "".
func (b *bucket) mayList(prefix string) bool {
	return !b.Access.NoList && strings.HasPrefix(prefix, b.Access.ListPrefix)
}

// missing is the answer to a read of what does not exist: only a caller who may list the bucket learns that ("GetObject",
// Permissions).
func (b *bucket) missing(err *awstest.Error) *awstest.Error {
	if !b.mayList("") {
		return AccessDenied()
	}
	return err
}

// encode makes the response of an operation's answer, or of an error.
func encode(c *awstest.Call, answer any, err *awstest.Error) *awstest.Response {
	if err == nil {
		return answer.(*awstest.Response)
	}
	resp := &awstest.Response{Status: err.Status, Header: http.Header{}}
	body := errorBody{Code: err.Code(), Message: err.Message}
	for _, name := range slices.Sorted(maps.Keys(err.Members)) {
		value := fmt.Sprint(err.Members[name])
		if strings.HasPrefix(name, "X-Amz-") || name == "Last-Modified" {
			resp.Header.Set(name, value)
		} else {
			body.Members = append(body.Members, member{xml.Name{Local: name}, value})
		}
	}
	switch {
	case err.Raw != "":
		resp.Body = []byte(err.Raw)
	case c.Operation != "HeadObject" && c.Operation != "HeadBucket" && err.Status != http.StatusNotModified:
		resp.Header.Set("Content-Type", "application/xml")
		resp.Body = marshal(body)
	}
	if resp.Status == 0 {
		resp.Status = http.StatusBadRequest
	}
	return resp
}

// marshal writes an XML document.
func marshal(v any) []byte {
	b, err := xml.Marshal(v)
	if err != nil {
		panic(err) // answers are structs of strings and numbers
	}
	return append([]byte(xml.Header), b...)
}

// empty is an answer without a body.
func empty(status int) *awstest.Response {
	return &awstest.Response{Status: status, Header: http.Header{}}
}
