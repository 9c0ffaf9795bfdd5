package awstest

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Region and Account are those of every queue and table.
const (
	Region  = "eu-west-1"
	Account = "000000000000"
)

// Server is the part that all fakes share: it reads requests, applies faults, keeps the log of calls and writes answers.
type Server struct {
	protocol Protocol

	closed    chan struct{}
	closeOnce sync.Once

	mu     sync.Mutex // guards what follows
	fault  FaultFunc
	skew   time.Duration
	quiet  bool
	counts map[string]int
	total  int
	log    []*Call
}

// Protocol is what a service needs of its Server.
type Protocol struct {
	// Target is the prefix of X-Amz-Target, before the dot.
	Target string
	// Operations are the operations by their names.
	Operations map[string]Operation
	// MaxBody is the size of the largest request in bytes; 0 means no limit.
	MaxBody int64
	// CRC32 adds X-Amz-Crc32 to answers, as DynamoDB does.
	CRC32 bool
	// Encode, if not nil, makes the response of an answer or an error, for a service that does not speak AWS JSON.
	Encode func(c *Call, answer any, err *Error) *Response
	// Ended, if not nil, sees each call before it is answered.
	Ended func(*Call)
}

// NewServer returns a Server that is ready for requests.
func NewServer(p Protocol) *Server {
	return &Server{protocol: p, closed: make(chan struct{}), counts: make(map[string]int)}
}

// An Operation reads a request. The Effect that it returns runs later, once the call's fault has been chosen.
type Operation func(c *Call, body []byte) (Effect, error)

// An Effect carries out a request. The answer is what encoding/json writes into the body; nil is an empty object.
type Effect func(f *Fault) (answer any, err *Error)

// Handle makes an Operation of a function on the request's struct. If the struct has a method Describe, Describe tells the
// call which resource and entries the request names.
func Handle[In any](run func(c *Call, in *In, f *Fault) (any, *Error)) Operation {
	return func(c *Call, body []byte) (Effect, error) {
		in := new(In)
		if err := decode(body, in); err != nil {
			return nil, err
		}
		if d, ok := any(in).(interface{ Describe(*Call) }); ok {
			d.Describe(c)
		}
		return func(f *Fault) (any, *Error) { return run(c, in, f) }, nil
	}
}

// SetFault installs the function that decides what goes wrong, or removes it (nil).
func (s *Server) SetFault(f FaultFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// SetSkew sets how far the Date of answers is ahead of time.Now. Nothing else is moved.
func (s *Server) SetSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// SetRecording switches the log of calls, writes and deleted messages on (the default) or off. A load of millions of
// messages needs it off. Counts are always kept.
func (s *Server) SetRecording(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = !on
}

// Recording reports whether calls are logged.
func (s *Server) Recording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.quiet
}

// Close ends every wait: delays, hangs and long polls end without an answer. A synctest bubble needs it only if the test
// ends while calls are under way that nobody waits for.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// Closed is closed by Close.
func (s *Server) Closed() <-chan struct{} { return s.closed }

// CallCount returns the number of calls of the operation so far, whatever their result, or of all operations for "".
func (s *Server) CallCount(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if operation == "" {
		return s.total
	}
	return s.counts[operation]
}

// Calls returns the finished calls of the operation (of all for ""), in the order in which they ended.
func (s *Server) Calls(operation string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var calls []Call
	for _, c := range s.log {
		if operation == "" || c.Operation == operation {
			calls = append(calls, *c)
		}
	}
	return calls
}

// EndOf returns when a call ended, or zero while it is under way.
func (s *Server) EndOf(c *Call) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.End
}

// ServeHTTP implements http.Handler. It panics with http.ErrAbortHandler to close a connection, which net/http and
// [Transport] both understand.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.protocol.Target+".")
	read := s.protocol.Operations[name]
	if !known || read == nil {
		io.Copy(io.Discard, r.Body)
		s.refuse(w, &Error{Type: Coral + "UnknownOperationException"}, false)
		return
	}
	if limit := s.protocol.MaxBody; limit > 0 && r.ContentLength > limit {
		io.Copy(io.Discard, r.Body)
		s.refuse(w, &Error{Status: http.StatusRequestEntityTooLarge, Type: Coral + "RequestEntityTooLargeException", Message: "Request entity too large"}, false)
		return
	}
	s.Serve(w, r, name, func(c *Call, body []byte) Effect {
		run, err := read(c, body)
		if err != nil {
			refusal := &Error{Type: Coral + "SerializationException", Message: err.Error()}
			return func(*Fault) (any, *Error) { return nil, refusal }
		}
		return run
	})
}

// Serve serves one request, whose operation has this name. read makes the call's effect of the request's body.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, name string, read func(c *Call, body []byte) Effect) {
	body, err := readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off its request
	}
	c := &Call{Operation: name, Start: time.Now(), ctx: r.Context(), base: requestBase(r)}
	s.serve(w, c, read(c, body))
}

// requestBase is the scheme and host that a request was sent to.
func requestBase(r *http.Request) string {
	if r.TLS != nil || r.URL.Scheme == "https" {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (s *Server) serve(w http.ResponseWriter, c *Call, run Effect) {
	s.mu.Lock()
	s.counts[c.Operation]++
	s.total++
	c.N = s.counts[c.Operation]
	hook := s.fault
	s.mu.Unlock()

	var f Fault
	if hook != nil {
		f = hook(c)
	}
	answer, err := s.attempt(c, &f, run)
	if err != nil {
		c.Code = err.Code()
	}
	if s.protocol.Ended != nil {
		s.protocol.Ended(c)
	}
	s.mu.Lock()
	c.End = time.Now()
	if !s.quiet {
		s.log = append(s.log, c)
	}
	s.mu.Unlock()
	switch {
	case err == NoAnswer:
		panic(http.ErrAbortHandler)
	case s.protocol.Encode != nil:
		s.respond(w, c, s.protocol.Encode(c, answer, err), &f)
	case err != nil:
		s.refuse(w, err, f.TearAnswer)
	case answer == nil:
		s.write(w, http.StatusOK, []byte("{}"), "", f.TearAnswer)
	default:
		s.write(w, http.StatusOK, encode(answer), "", f.TearAnswer)
	}
}

// attempt runs the call with its fault: every point at which one can strike, in order.
func (s *Server) attempt(c *Call, f *Fault, run Effect) (any, *Error) {
	unhurried := context.WithoutCancel(c.ctx)
	if f.Delay > 0 && !s.pause(unhurried, f.Delay) {
		return nil, NoAnswer
	}
	if f.Hang {
		s.pause(c.ctx, 0)
	}
	if f.Hang || f.Drop {
		return nil, NoAnswer
	}
	if f.Err != nil {
		return nil, f.Err
	}
	answer, err := run(f)
	if err == NoAnswer {
		return nil, err
	}
	if f.After != nil {
		f.After()
	}
	if f.AnswerDelay > 0 && !s.pause(unhurried, f.AnswerDelay) {
		return nil, NoAnswer
	}
	if f.HangAnswer {
		s.pause(c.ctx, 0)
	}
	if f.HangAnswer || f.LoseAnswer {
		return nil, NoAnswer
	}
	if f.ErrAfter != nil {
		return nil, f.ErrAfter
	}
	return answer, err
}

// pause waits for d (forever if 0) or until ctx or the fake ends. It reports whether d passed.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// encode writes an answer. It is not HTML, so < and & stay as they are.
func encode(answer any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		panic(err) // answers are structs of strings and numbers
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (s *Server) refuse(w http.ResponseWriter, err *Error, tear bool) {
	s.write(w, err.status(), err.body(), err.Query, tear)
}

func (s *Server) write(w http.ResponseWriter, status int, body []byte, query string, tear bool) {
	s.mu.Lock()
	skew, n := s.skew, s.total
	s.mu.Unlock()
	h := w.Header()
	h["Content-Type"] = contentType
	h["Date"] = []string{date(skew)}
	h["X-Amzn-Requestid"] = []string{UUID(uint64(n), uint64(len(body)))}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if s.protocol.CRC32 {
		h["X-Amz-Crc32"] = []string{strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)}
	}
	if query != "" {
		h["X-Amzn-Query-Error"] = []string{query}
	}
	w.WriteHeader(status)
	if !tear {
		w.Write(body)
		return
	}
	w.Write(body[:len(body)/2])
	abort(w)
}

// date is the Date of an answer by a clock that is ahead of time.Now.
func date(skew time.Duration) string { return time.Now().Add(skew).UTC().Format(http.TimeFormat) }

// abort closes the connection after what was written so far.
func abort(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

var contentType = []string{"application/x-amz-json-1.0"}
