package awsjson

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/jsonscan"
)

// An Operation is one operation of a service. It keeps the memory of its calls for reuse. It is safe for concurrent use.
type Operation struct {
	service *Service
	name    string
	signer  *signer
	calls   sync.Pool // of *Call
}

// Operation returns the operation of a name, such as "BatchWriteItem". Make it once and keep it.
func (s *Service) Operation(name string) *Operation {
	header := s.options.Header.Clone()
	header.Set("X-Amz-Target", s.options.Target+"."+name)
	o := &Operation{service: s, name: name, signer: newSigner(header)}
	o.calls.New = func() any {
		c := &Call{header: header.Clone()}
		c.reread = func() (io.ReadCloser, error) { return c.body(), nil }
		return c
	}
	return o
}

// Name is the operation's name in the service's API.
func (o *Operation) Name() string { return o.name }

// A Call is one request and its answer, for one goroutine at a time.
type Call struct {
	// Request is the body to send. The caller appends to it.
	Request []byte
	// Scratch is memory for the caller, kept from call to call.
	Scratch []byte

	answer   []byte
	signing  []byte // of the signer
	header   http.Header
	url      url.URL
	reread   func() (io.ReadCloser, error)
	reusable bool // net/http no longer reads the request
	large    bool // it holds Options.Large
}

// Begin returns a Call with an empty Request.
func (o *Operation) Begin() *Call {
	c := o.calls.Get().(*Call)
	c.Request, c.reusable = c.Request[:0], false
	return c
}

// maxKept is the largest buffer that is kept for reuse: a rare answer of megabytes must not stay in memory.
const maxKept = 1 << 20

// End gives the Call back. What was read of its answer without a copy must not be used after it.
func (o *Operation) End(c *Call) {
	if c.large {
		c.large = false
		<-o.service.options.Large
	}
	if c.reusable && max(cap(c.Request), cap(c.answer), cap(c.Scratch)) <= maxKept {
		o.calls.Put(c)
	}
}

// Send signs the request, makes one attempt, and has read read a successful answer. Strings that the walker returns
// without a copy are valid until End.
//
// An error answer becomes an error of the SDK's own types, in the SDK's own wrappers: errors.As finds smithy.APIError,
// the service's exceptions and *awshttp.ResponseError. A failure to connect is a *smithyhttp.RequestSendError, an answer
// that can't be read a *smithy.DeserializationError, an ended ctx an *aws.RequestCanceledError.
//
// Unlike the SDK, Send does not check the MD5 of message bodies, which costs more than reading them and protects
// against nothing that TLS does not. It does check DynamoDB's CRC32, and refuses an answer without a body: a proxy on
// the way can produce one, and the SDK takes it for success.
func (o *Operation) Send(ctx context.Context, c *Call, read func(answer *jsonscan.Walker)) error {
	answer, err := o.send(ctx, c)
	if err != nil {
		return &smithy.OperationError{ServiceID: o.service.options.ID, OperationName: o.name, Err: err}
	}
	w := jsonscan.Walk(answer)
	read(&w)
	if err := w.Err(); err != nil {
		return &smithy.OperationError{ServiceID: o.service.options.ID, OperationName: o.name, Err: &smithy.DeserializationError{Err: err}}
	}
	return nil
}

// send returns the answer as text in the call's memory.
func (o *Operation) send(ctx context.Context, c *Call) (string, error) {
	resp, err := o.roundTrip(ctx, c)
	if err != nil {
		return "", err
	}
	c.answer, err = o.readAll(ctx, c, resp)
	switch {
	case err != nil:
	case resp.StatusCode/100 != 2:
		err = o.failure(ctx, resp, c.answer)
	default:
		// A service that accepts a request has read it to its end. One that refuses it may not have, and net/http may
		// still be sending it.
		c.reusable = true
		err = checkSum(resp.Header, c.answer)
	}
	if err != nil {
		wrapped := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: resp}, Err: err}
		return "", &awshttp.ResponseError{ResponseError: wrapped, RequestID: resp.Header.Get("X-Amzn-Requestid")}
	}
	if !utf8.Valid(c.answer) {
		c.answer = bytes.ToValidUTF8(c.answer, []byte("\uFFFD"))
	}
	return unsafe.String(unsafe.SliceData(c.answer), len(c.answer)), nil
}

func (o *Operation) roundTrip(ctx context.Context, c *Call) (*http.Response, error) {
	s := o.service
	creds, err := s.options.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, &CredentialsError{err}
	}
	e, err := s.endpoint(ctx, creds.AccountID)
	if err != nil {
		return nil, err
	}
	c.url = e.url
	for name, values := range e.header {
		c.header[name] = values
	}
	delete(c.header, "X-Amz-Security-Token") // of earlier credentials
	req := (&http.Request{
		Method: http.MethodPost, URL: &c.url, Host: e.url.Host, Header: c.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		// GetBody serves a connection that turns out to have been closed before anything was written.
		Body: c.body(), GetBody: c.reread, ContentLength: int64(len(c.Request)),
	}).WithContext(ctx)
	if err := o.sign(ctx, c, req, creds, e); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	resp, err := s.transport.RoundTrip(req)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, &aws.RequestCanceledError{Err: errors.Join(ctx.Err(), err)}
	default:
		return nil, &smithyhttp.RequestSendError{Err: err}
	}
}

func (o *Operation) sign(ctx context.Context, c *Call, req *http.Request, creds aws.Credentials, e *endpoint) error {
	now := o.service.options.Clock.Now()
	if o.signer.signs(e) {
		o.signer.sign(c, creds, e, now)
		return nil
	}
	sum := sha256.Sum256(c.Request)
	return o.service.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), e.signing, e.region, now)
}

// A CredentialsError says that no credentials could be had to sign a request. It wraps the provider's error.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string { return "get credentials: " + e.Err.Error() }
func (e *CredentialsError) Unwrap() error { return e.Err }

// body returns a new reader of the request. net/http may close it, and check for its end, after the answer has arrived.
// It sends the body in one write with the header only if it knows the reader's type.
func (c *Call) body() io.ReadCloser { return io.NopCloser(bytes.NewReader(c.Request)) }

// readAll reads the answer's body into the call's memory.
func (o *Operation) readAll(ctx context.Context, c *Call, resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	answer := slices.Grow(c.answer[:0], int(min(max(resp.ContentLength+1, 512), maxKept)))
	for {
		n, err := resp.Body.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if err == io.EOF {
			return answer, nil
		}
		if err != nil {
			return answer, err
		}
		if len(answer) < cap(answer) {
			continue
		}
		more := len(answer)
		if len(answer) >= maxKept && !c.large {
			if err := o.beginLarge(ctx, c); err != nil {
				return answer, err
			}
			const most = 64 << 20 // of what a header says: no answer of these services is longer
			more = max(more, int(min(resp.ContentLength+1, most))-len(answer))
		}
		answer = slices.Grow(answer, more)
	}
}

// beginLarge waits until the call may read a large answer. Meanwhile the answer stays with the service and in the network.
func (o *Operation) beginLarge(ctx context.Context, c *Call) error {
	if o.service.options.Large == nil {
		return nil
	}
	select {
	case o.service.options.Large <- struct{}{}:
		c.large = true
		return nil
	case <-ctx.Done():
		return &aws.RequestCanceledError{Err: ctx.Err()}
	}
}

// failure turns an error answer into the SDK's error.
func (o *Operation) failure(ctx context.Context, resp *http.Response, answer []byte) error {
	resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(answer)))
	return o.service.options.Protocol.DeserializeResponse(ctx, nil, o.service.options.Types, &smithyhttp.Response{Response: resp}, nil)
}

// checkSum compares an answer with the CRC32 that DynamoDB sends with it.
func checkSum(h http.Header, answer []byte) error {
	text := h.Get("X-Amz-Crc32")
	if text == "" {
		return nil
	}
	want, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("read the answer's checksum: %w", err)
	}
	if got := crc32.ChecksumIEEE(answer); uint64(got) != want {
		return fmt.Errorf("the answer's checksum is %d instead of %d", got, want)
	}
	return nil
}
