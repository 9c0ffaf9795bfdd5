package awstest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Transport carries requests to h without a network: no sockets, so a client on it is at rest in a testing/synctest bubble
// when the fake is. As over a network, a client whose context ends gets its error at once, while h goes on and finds its
// request's context ended; an aborted handler (http.ErrAbortHandler) is a closed connection.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

// Both serves SQS and DynamoDB at one address: a request goes to the service that its X-Amz-Target names.
func Both(sqs, dynamodb http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") {
			sqs.ServeHTTP(w, r)
		} else {
			dynamodb.ServeHTTP(w, r)
		}
	})
}

// With adds S3 to services that are told apart by X-Amz-Target, which no request of S3 has.
func With(s3, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "" {
			s3.ServeHTTP(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	rec := &recorder{header: make(http.Header, 8), done: make(chan struct{})}
	streaming := false // the body still has to be read
	defer func() {
		if !streaming {
			cancel(nil)
		}
	}()
	var body []byte
	if req.Body != nil {
		body, err = readBody(req)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := req.WithContext(ctx)
	r.Body = &readAlready{bytes.NewReader(body), body}
	r.ContentLength = int64(len(body))
	r.RequestURI = req.URL.RequestURI()
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	// This goroutine ends when the handler does: at the latest when the fake is closed.
	go func() {
		defer close(rec.done)
		defer func() {
			switch e := recover(); e {
			case nil:
			case http.ErrAbortHandler:
				rec.aborted = true
			default:
				panic(e)
			}
		}()
		t.handler.ServeHTTP(rec, r)
	}()
	select {
	case <-rec.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if rec.aborted && ctx.Err() != nil {
		return nil, context.Cause(ctx) // a handler that ended because the client had gone
	}
	if rec.aborted && rec.status == 0 {
		return nil, io.EOF // what net/http reports when the server closes a connection under a request
	}
	streaming = rec.stream != nil
	return rec.response(ctx, cancel, req), nil
}

// readAlready is a body that Transport has read.
type readAlready struct {
	*bytes.Reader
	body []byte
}

func (*readAlready) Close() error { return nil }

// readBody reads a request's body. io.ReadAll would read a body of known length in many steps.
func readBody(r *http.Request) ([]byte, error) {
	if already, ok := r.Body.(*readAlready); ok {
		return already.body, nil
	}
	var b bytes.Buffer
	b.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	_, err := b.ReadFrom(r.Body)
	return b.Bytes(), err
}

// recorder is the http.ResponseWriter of one request. Its fields belong to the handler's goroutine until done is closed.
type recorder struct {
	header  http.Header
	status  int
	body    []byte
	stream  io.Reader // read by the client, in place of body
	aborted bool
	done    chan struct{}
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.body == nil {
		r.body = b // the fakes write once, and leave the bytes alone afterwards
	} else {
		r.body = append(bytes.Clone(r.body), b...)
	}
	return len(b), nil
}

func (r *recorder) Flush() {}

func (r *recorder) response(ctx context.Context, cancel context.CancelCauseFunc, req *http.Request) *http.Response {
	resp := &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, ContentLength: int64(len(r.body)), Request: req,
	}
	switch {
	case r.stream != nil:
		resp.Body = &streamed{ctx, cancel, r.stream}
		resp.ContentLength, _ = strconv.ParseInt(r.header.Get("Content-Length"), 10, 64)
	case r.aborted:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(r.body), broken{}))
	default:
		resp.Body = io.NopCloser(bytes.NewReader(r.body))
	}
	return resp
}

// broken is the end of a body whose connection was closed too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
