package awsclient

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
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithy "github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A service makes the hot path's calls by itself: three kinds of calls, some ten thousand times a minute, for which the SDK's
// stack of middlewares costs more than all the rest of the worker. Everything about a call that is AWS's to define stays
// the SDK's: endpoint, credentials, signature, and how an error is read. Ours are the request's body, the HTTP call and the
// reading of a good answer. WORKER_CLIENT=sdk puts the same calls on the SDK's clients; tests compare the two.
//
// Unlike the SDK's clients it doesn't check the MD5 of received bodies, which costs more than to read them and protects from
// nothing that TLS does not.
type service struct {
	id        string // as the SDK names it
	target    string // prefix of X-Amz-Target
	signing   string // the service's name in a signature
	header    http.Header
	transport http.RoundTripper
	creds     aws.CredentialsProvider
	clock     *Clock
	signer    *v4.Signer
	protocol  smithyhttp.ClientProtocol
	types     *smithy.TypeRegistry
	// resolve finds the endpoint for an account, whose id may be part of it and is empty where it isn't known.
	resolve  func(ctx context.Context, account string) (smithyendpoints.Endpoint, error)
	region   string
	resolved atomic.Pointer[endpoint] // the last one
}

// An endpoint is where calls go and for what they are signed.
type endpoint struct {
	account string
	url     url.URL
	header  http.Header
	signing string
	region  string
}

// userAgent names the caller, as the SDK's own does in many more words.
const userAgent = "aws-sdk-go-v2/" + aws.SDKVersion + " lib/predcache"

// roundTripperOf takes the transport out of the SDK's client. Redirects and cookies, which http.Client is for, don't occur.
func roundTripperOf(client smithyhttp.ClientDo) http.RoundTripper {
	if c, ok := client.(*http.Client); ok && c.Transport != nil {
		return c.Transport
	}
	return roundTripper(client.Do)
}

// endpoint returns the endpoint for the account of the credentials.
func (s *service) endpoint(ctx context.Context, account string) (*endpoint, error) {
	if e := s.resolved.Load(); e != nil && e.account == account {
		return e, nil
	}
	found, err := s.resolve(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("finding the endpoint: %w", err)
	}
	e := &endpoint{account: account, url: found.URI, header: found.Headers, signing: s.signing, region: s.region}
	e.url.Path = smithyhttp.JoinPath(e.url.Path, "/")
	if options, ok := smithyauth.GetAuthOptions(&found.Properties); ok {
		for _, o := range options {
			if name, ok := smithyhttp.GetSigV4SigningName(&o.SignerProperties); ok {
				e.signing = name
			}
			if region, ok := smithyhttp.GetSigV4SigningRegion(&o.SignerProperties); ok {
				e.region = region
			}
		}
	}
	s.resolved.Store(e)
	return e, nil
}

// An operation is one of a service's operations, with the calls that can be used again.
type operation struct {
	*service
	name  string
	calls sync.Pool // of *call
}

func (s *service) operation(name string) *operation {
	o := &operation{service: s, name: name}
	o.calls.New = func() any {
		c := &call{header: s.header.Clone()}
		c.header.Set("X-Amz-Target", s.target+"."+name)
		c.reread = func() (io.ReadCloser, error) { return c.body(), nil }
		return c
	}
	return o
}

// A call is one request and its answer. Its memory is used again once net/http is done with it.
type call struct {
	request []byte // the body; written by the caller
	answer  []byte // the answer's body
	scratch []byte // for a string of the answer

	header   http.Header
	url      url.URL
	reread   func() (io.ReadCloser, error)
	reusable bool
}

func (o *operation) begin() *call {
	c := o.calls.Get().(*call)
	c.request, c.reusable = c.request[:0], false
	return c
}

// maxKept is how long a buffer may be that is used again: a rare answer of megabytes shall not stay in memory.
const maxKept = 1 << 20

// end gives a call back. Nothing of its answer may be used any more.
func (o *operation) end(c *call) {
	if c.reusable && max(cap(c.request), cap(c.answer), cap(c.scratch)) <= maxKept {
		o.calls.Put(c)
	}
}

// body returns the request's body for net/http, which sends it in one write with the header only where it knows the type. It
// may be closed, and its end be checked for, after the answer has come: so it is new for each call, and has the WriteTo that
// plainBodies takes away from the SDK's, but a right one.
func (c *call) body() io.ReadCloser { return io.NopCloser(bytes.NewReader(c.request)) }

// send makes the request and reads the answer, as text that is the call's. An error of the service is of the SDK's types.
func (o *operation) send(ctx context.Context, c *call) (answer string, err error) {
	resp, err := o.roundTrip(ctx, c)
	if err != nil {
		return "", &smithy.OperationError{ServiceID: o.id, OperationName: o.name, Err: err}
	}
	c.answer, err = readAll(c.answer[:0], resp)
	switch {
	case err != nil:
	case resp.StatusCode/100 != 2:
		err = o.failure(ctx, resp, c.answer)
	default:
		c.reusable = true // what took the request has read it to its end; what refused it, maybe not
		err = checkSum(resp.Header, c.answer)
	}
	if err != nil {
		id := resp.Header.Get("X-Amzn-Requestid")
		wrapped := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: resp}, Err: err}
		return "", &smithy.OperationError{ServiceID: o.id, OperationName: o.name, Err: &awshttp.ResponseError{ResponseError: wrapped, RequestID: id}}
	}
	if !utf8.Valid(c.answer) {
		c.answer = bytes.ToValidUTF8(c.answer, []byte("\uFFFD"))
	}
	return unsafe.String(unsafe.SliceData(c.answer), len(c.answer)), nil
}

func (o *operation) roundTrip(ctx context.Context, c *call) (*http.Response, error) {
	creds, err := o.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("get credentials: %w", err)
	}
	e, err := o.endpoint(ctx, creds.AccountID)
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
		// GetBody is for a connection that turns out to have been closed before anything was written.
		Body: c.body(), GetBody: c.reread, ContentLength: int64(len(c.request)),
	}).WithContext(ctx)
	sum := sha256.Sum256(c.request)
	if err := o.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), e.signing, e.region, o.clock.Now()); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	resp, err := o.transport.RoundTrip(req)
	if err != nil && ctx.Err() != nil {
		return nil, &aws.RequestCanceledError{Err: errors.Join(ctx.Err(), err)}
	}
	return resp, err
}

func readAll(dst []byte, resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	dst = slices.Grow(dst, int(min(max(resp.ContentLength+1, 512), maxKept)))
	for {
		n, err := resp.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, len(dst))
		}
	}
}

// failure reads an answer that says what went wrong, by the SDK's own reader.
func (o *operation) failure(ctx context.Context, resp *http.Response, answer []byte) error {
	resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(answer)))
	return o.protocol.DeserializeResponse(ctx, nil, o.types, &smithyhttp.Response{Response: resp}, nil)
}

// checkSum compares an answer with the checksum that DynamoDB sends with it.
func checkSum(h http.Header, answer []byte) error {
	text := h.Get("X-Amz-Crc32")
	if text == "" {
		return nil
	}
	want, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("reading the answer's checksum: %w", err)
	}
	if got := crc32.ChecksumIEEE(answer); uint64(got) != want {
		return fmt.Errorf("the answer's checksum is %d instead of %d", got, want)
	}
	return nil
}

// unreadable wraps what is wrong with a good answer's body, as the SDK does.
func (o *operation) unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &smithy.OperationError{ServiceID: o.id, OperationName: o.name, Err: &smithy.DeserializationError{Err: err}}
}

// observed makes the call and counts it.
func (o *operation) observed(ctx context.Context, clients *Clients, c *call, read func(w *jsonscan.Walker)) error {
	start := time.Now()
	answer, err := o.send(ctx, c)
	if err == nil {
		w := jsonscan.Walk(answer)
		read(&w)
		err = o.unreadable(w.Err())
	}
	clients.observe(o.name, start, err)
	return err
}
