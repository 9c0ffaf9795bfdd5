package s3fake

import (
	"encoding/xml"
	"net/http"

	"github.com/predcache/predcache/internal/awstest"
)

// The errors are those of "Error responses" in the API reference.

func refusal(status int, code, message string, members map[string]any) *awstest.Error {
	return &awstest.Error{Status: status, Type: code, Message: message, Members: members}
}

// AccessDenied is S3's answer where a policy does not allow the call, where the bucket's owner is not the expected one, and
// where the key does not exist and the caller may not list the bucket.
func AccessDenied() *awstest.Error {
	return refusal(http.StatusForbidden, "AccessDenied", "Access Denied", nil)
}

// kmsDenied is S3's answer to a read of an object whose key the caller may not use.
func kmsDenied() *awstest.Error {
	return refusal(http.StatusForbidden, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/worker/test is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because no identity-based policy allows the kms:Decrypt action", nil)
}

// SlowDown is S3's answer to more requests a second than a prefix takes ("Best practices design patterns: optimizing Amazon
// S3 performance").
func SlowDown() *awstest.Error {
	return refusal(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.", nil)
}

// InternalError is S3's answer with status 500.
func InternalError() *awstest.Error {
	return refusal(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.", nil)
}

// InvalidObjectState is S3's answer to a read of an archived object that was not restored.
func InvalidObjectState(class string) *awstest.Error {
	return refusal(http.StatusForbidden, "InvalidObjectState", "The operation is not valid for the object's storage class", map[string]any{"StorageClass": class})
}

func noSuchBucket(name string) *awstest.Error {
	return refusal(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist", map[string]any{"BucketName": name})
}

func noSuchKey(key string) *awstest.Error {
	return refusal(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", map[string]any{"Key": key})
}

func noSuchVersion(key, version string) *awstest.Error {
	return refusal(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.", map[string]any{"Key": key, "VersionId": version})
}

func preconditionFailed(condition string) *awstest.Error {
	return refusal(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", map[string]any{"Condition": condition})
}

func notModified() *awstest.Error {
	return refusal(http.StatusNotModified, "NotModified", "Not Modified", nil)
}

func invalidRange(asked string, size int64) *awstest.Error {
	return refusal(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable", map[string]any{"RangeRequested": asked, "ActualObjectSize": size})
}

func invalidArgument(name, value, message string) *awstest.Error {
	return refusal(http.StatusBadRequest, "InvalidArgument", message, map[string]any{"ArgumentName": name, "ArgumentValue": value})
}

func invalidBucketName(name string) *awstest.Error {
	return refusal(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.", map[string]any{"BucketName": name})
}

func methodNotAllowed(method, resource string) *awstest.Error {
	return refusal(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.", map[string]any{"Method": method, "ResourceType": resource})
}

func notImplemented(what string) *awstest.Error {
	return refusal(http.StatusNotImplemented, "NotImplemented", "A header or parameter you provided implies functionality that the fake does not have: "+what, nil)
}

func permanentRedirect(b *bucket) *awstest.Error {
	return refusal(http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
		map[string]any{"Bucket": b.name, "Endpoint": b.name + ".s3." + b.Region + ".amazonaws.com", regionHeader: b.Region})
}

// errorBody is the XML of an error.
type errorBody struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Members []member
}

type member struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}
