package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/objects"
)

// A Store reads objects of S3.
type Store struct {
	client *s3.Client
	owner  *string
}

// NewStore returns the Store of the buckets of an account. With owner "", the buckets of any account are read.
func NewStore(clients *Clients, owner string) *Store {
	s := &Store{client: clients.S3}
	if owner != "" {
		s.owner = &owner
	}
	return s
}

// Get implements objects.Store.
func (s *Store) Get(ctx context.Context, r objects.Request) (*objects.Content, error) {
	in := &s3.GetObjectInput{Bucket: &r.Bucket, Key: &r.Key, ExpectedBucketOwner: s.owner}
	switch {
	case r.VersionID != "":
		in.VersionId = &r.VersionID // what it names never changes
	case r.ETag != "":
		in.IfMatch = aws.String(`"` + r.ETag + `"`)
	}
	switch {
	case r.To > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.From, r.To-1))
	case r.From > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.From))
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return nil, storeErrorOf(&r, err)
	}
	c := &objects.Content{
		Body: out.Body, Size: aws.ToInt64(out.ContentLength), ETag: strings.Trim(aws.ToString(out.ETag), `"`), Modified: aws.ToTime(out.LastModified),
	}
	if in.Range == nil {
		return c, nil
	}
	var from int64
	if from, c.Size, err = contentRange(aws.ToString(out.ContentRange)); err != nil || from != r.From {
		out.Body.Close()
		return nil, &callError{"GetObject", "the answer has another range than was asked for", errors.New("check that AWS_ENDPOINT_URL leads to S3")}
	}
	return c, nil
}

// contentRange reads a header like "bytes 0-99/1234".
func contentRange(header string) (from, size int64, err error) {
	spec, found := strings.CutPrefix(header, "bytes ")
	bounds, total, _ := strings.Cut(spec, "/")
	first, _, dashed := strings.Cut(bounds, "-")
	if from, err = strconv.ParseInt(first, 10, 64); err != nil || !found || !dashed {
		return 0, 0, fmt.Errorf("%q is no Content-Range", header)
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return from, size, err //nolint:wrapcheck // its caller only asks whether there is one
}

// storeErrors are the errors of GetObject that another attempt does not change ("Error responses", Amazon S3 API Reference). Others
// pass, or somebody has to act on something else than the object, such as the credentials: the call is retried until it succeeds.
var storeErrors = map[string]struct {
	kind         error
	what, remedy string
}{
	"NoSuchKey":          {objects.ErrUnreadable, "it does not exist", ""},
	"NoSuchVersion":      {objects.ErrUnreadable, "this version of it does not exist", ""},
	"MethodNotAllowed":   {objects.ErrUnreadable, "this version of it marks its deletion", ""},
	"InvalidRange":       {objects.ErrUnreadable, "it is shorter than the message says", ""},
	"InvalidObjectState": {objects.ErrUnreadable, "it is archived: restore it, and send its event again", ""},
	"InvalidRequest":     {objects.ErrUnreadable, "S3 refuses to read it this way, as of an object that is encrypted with a key of the client (SSE-C)", ""},
	"InvalidArgument":    {objects.ErrUnreadable, "S3 refuses its name or version", ""},
	"PreconditionFailed": {objects.ErrChanged, "it has another ETag", ""},
	"AccessDenied":       {objects.ErrForbidden, "", "allow s3:GetObject and, of versions, s3:GetObjectVersion in the role's policy and in the bucket's; of encrypted objects kms:Decrypt. If another account owns the bucket, set WORKER_OBJECTS_BUCKET_OWNER"},
	"AllAccessDisabled":  {objects.ErrForbidden, "", "AWS has disabled all access to it: ask AWS Support"},
	"KmsAccessDenied":    {objects.ErrForbidden, "", "allow kms:Decrypt in the role's policy and in the key's"},
	"KmsDisabled":        {objects.ErrBucket, "", "enable the key that encrypts the objects"},
	"KmsNotFound":        {objects.ErrBucket, "", "restore the key that encrypts the objects"},
	"KmsInvalidState":    {objects.ErrBucket, "", "enable the key that encrypts the objects"},
	"NoSuchBucket":       {objects.ErrBucket, "it does not exist", "create it, or correct WORKER_OBJECTS and where the events come from"},
	"InvalidBucketName":  {objects.ErrBucket, "its name is not valid", "correct WORKER_OBJECTS"},
	"PermanentRedirect":  {objects.ErrBucket, "it is in another region", "run a worker in the bucket's region, with a queue there"},
	"IllegalLocation":    {objects.ErrBucket, "it is in another region", "run a worker in the bucket's region, with a queue there"},

	"AuthorizationHeaderMalformed": {objects.ErrBucket, "it is in another region", "run a worker in the bucket's region, with a queue there"},
}

// A storeError is an error of the Store.
type storeError struct {
	kind, err    error // kind is nil if another attempt may succeed
	text, remedy string
}

func (e *storeError) Error() string   { return e.text }
func (e *storeError) Unwrap() []error { return []error{e.kind, e.err} }

// Remedy returns what to do about the error: see callError.
func (e *storeError) Remedy() string { return e.remedy }

// ErrorCode returns the service's error code, for counting.
func (e *storeError) ErrorCode() string { return Code(e.err) }

func storeErrorOf(r *objects.Request, err error) error {
	code := normal(Code(err))
	if code == "TooManyRequests" || credentialsCause(err) != nil {
		return brief("GetObject", err)
	}
	known, ok := storeErrors[code]
	if !ok {
		// A proxy's answer has no code of S3.
		var response *smithyhttp.ResponseError
		if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusPreconditionFailed {
			known, ok = storeErrors["PreconditionFailed"], true
		}
	}
	if !ok {
		short := brief("GetObject", err)
		if answeredIn(err) != "XML" { // S3's own format
			return short
		}
		return &storeError{nil, err, short.Error(), nothingToDo}
	}
	var api smithy.APIError
	cause := ""
	if errors.As(err, &api) {
		cause = fmt.Sprintf(" (%s: %s)", api.ErrorCode(), api.ErrorMessage())
	}
	e := &storeError{kind: known.kind, err: err, remedy: known.remedy}
	switch {
	case errors.Is(known.kind, objects.ErrForbidden):
		e.text = "S3 denies access to the object" + cause
	case errors.Is(known.kind, objects.ErrBucket):
		e.text = fmt.Sprintf("the bucket %s can't be read: %s%s", r.Bucket, known.what, cause)
	default:
		e.text = "the object can't be read: " + known.what + cause
	}
	return e
}
