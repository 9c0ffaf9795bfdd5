package awstest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Response is the response of a service that does not speak AWS JSON.
type Response struct {
	Status int
	Header http.Header
	// Body is sent whole, unless Stream is set.
	Body []byte
	// Stream is read while it is sent, so that a body of any length takes no memory. Length is its length in bytes.
	Stream io.Reader
	Length int64
}

// respond sends a response, with the faults that strike its body.
func (s *Server) respond(w http.ResponseWriter, c *Call, resp *Response, f *Fault) {
	s.mu.Lock()
	skew, n := s.skew, s.total
	s.mu.Unlock()
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	h["Date"] = []string{date(skew)}
	h["X-Amz-Request-Id"] = []string{UUID(uint64(n), uint64(resp.Length))}
	body, length := resp.Stream, resp.Length
	if body == nil {
		length = int64(len(resp.Body))
	}
	if h.Get("Content-Length") == "" { // HEAD gives the length of a body that it does not have
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	w.WriteHeader(resp.Status)
	if body == nil {
		if f.TearAnswer {
			w.Write(resp.Body[:length/2])
			abort(w)
		}
		w.Write(resp.Body)
		return
	}
	if f.TearAnswer {
		body = TornAfter(length/2)(c.ctx, body)
	}
	if f.Stream != nil {
		body = f.Stream(c.ctx, body)
	}
	if rec, ok := w.(*recorder); ok {
		rec.stream = body // the client reads it
		return
	}
	if _, err := io.Copy(w, body); err != nil {
		abort(w)
	}
}

// streamed is a streamed body at the client of a [Transport]. It ends with the request's context, as net/http's does.
type streamed struct {
	ctx    context.Context // of the request; cancel ends it, and with it a pause
	cancel context.CancelCauseFunc
	body   io.Reader
}

var errClosed = errors.New("http: read on closed response body")

func (s *streamed) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.body.Read(b)
}

func (s *streamed) Close() error {
	s.cancel(errClosed)
	return nil
}

// TornAfter is a [Fault.Stream] that closes the connection after n bytes.
func TornAfter(n int64) func(context.Context, io.Reader) io.Reader {
	return func(_ context.Context, body io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(body, n), broken{})
	}
}

// StalledAfter is a [Fault.Stream] that pauses for d after n bytes, or, if d is 0, until the client goes.
func StalledAfter(n int64, d time.Duration) func(context.Context, io.Reader) io.Reader {
	return func(ctx context.Context, body io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(body, n), &pause{ctx, d}, body)
	}
}

// A pause is an empty reader that takes its time.
type pause struct {
	ctx context.Context
	d   time.Duration
}

func (p *pause) Read([]byte) (int, error) {
	if p.d == 0 {
		<-p.ctx.Done()
		return 0, context.Cause(p.ctx)
	}
	timer := time.NewTimer(p.d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, io.EOF
	case <-p.ctx.Done():
		return 0, context.Cause(p.ctx)
	}
}
