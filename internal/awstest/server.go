package awstest

import (
	"context"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// effect carries out a request that has been read: it returns the answer's body, or an error.
type effect func(c *Call, f *Fault) ([]byte, *Error)

// operation reads a request. What it returns runs later, after the call's fault has had its say.
type operation func(c *Call, body *jsonReader) effect

// server is what both fakes have in common: the protocol, faults, and the log of calls.
type server struct {
	target     string // the prefix of X-Amz-Target
	crc        bool   // whether answers carry X-Amz-Crc32, as DynamoDB's do
	operations map[string]operation
	maxBody    int64
	ended      func(*Call) // told of each call before it is answered, if not nil

	closed    chan struct{}
	closeOnce sync.Once

	logMu  sync.Mutex // guards what follows
	fault  FaultFunc
	skew   time.Duration
	quiet  bool
	counts map[string]int
	total  int
	log    []*Call
}

func newServer(target string) server {
	return server{target: target, closed: make(chan struct{}), counts: make(map[string]int)}
}

// errGone stands for an answer that nobody gets: the connection is closed.
var errGone = &Error{Type: "(lost)"}

// SetFault installs the function that decides what goes wrong, or removes it (nil).
func (s *server) SetFault(f FaultFunc) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	s.fault = f
}

// SetSkew sets how far the Date of answers is ahead of time.Now. Nothing else is moved.
func (s *server) SetSkew(d time.Duration) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	s.skew = d
}

// SetRecording switches the keeping of calls, writes and deleted messages, on by default, off or on: a load of millions
// does without. Counts are always kept.
func (s *server) SetRecording(on bool) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	s.quiet = !on
}

func (s *server) recording() bool {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return !s.quiet
}

// Close ends every wait: delays, hangs and long polls end without an answer. A synctest bubble needs it only where a test
// ends with calls under way that nobody waits for.
func (s *server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// CallCount is how many calls of the operation have come, whatever became of them; of all operations for "".
func (s *server) CallCount(operation string) int {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if operation == "" {
		return s.total
	}
	return s.counts[operation]
}

// Calls are the finished calls of the operation (of all for ""), in the order in which they ended.
func (s *server) Calls(operation string) []Call {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	var calls []Call
	for _, c := range s.log {
		if operation == "" || c.Operation == operation {
			calls = append(calls, *c)
		}
	}
	return calls
}

// ServeHTTP implements http.Handler. It panics with http.ErrAbortHandler to close a connection, which net/http and
// [Transport] both understand.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.target+".")
	read := s.operations[name]
	if !known || read == nil {
		io.Copy(io.Discard, r.Body)
		s.answer(w, &Error{Type: coralService + "UnknownOperationException"}, false)
		return
	}
	text, err := s.readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off its request
	}
	c := &Call{Operation: name, Start: time.Now(), ctx: r.Context(), base: requestBase(r)}
	if text == "" && r.ContentLength != 0 {
		s.answer(w, &Error{Status: http.StatusRequestEntityTooLarge, Type: coralService + "RequestEntityTooLargeException", Message: "Request entity too large"}, false)
		return
	}
	body := &jsonReader{s: text}
	run := read(c, body)
	body.peek()
	if body.err != nil || body.pos < len(body.s) {
		run = func(*Call, *Fault) ([]byte, *Error) { return nil, serialization(errSyntax.Error()) }
	}
	s.serve(w, c, run)
}

// readBody reads the request, or "" if it is over the limit.
func (s *server) readBody(r *http.Request) (string, error) {
	if s.maxBody > 0 && r.ContentLength > s.maxBody {
		_, err := io.Copy(io.Discard, r.Body)
		return "", err
	}
	var b strings.Builder
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength))
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	if _, err := io.CopyBuffer(&b, r.Body, *buffer); err != nil {
		return "", err
	}
	return b.String(), nil
}

// buffers are what request bodies are read through.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 32<<10)) }}

func (s *server) serve(w http.ResponseWriter, c *Call, run effect) {
	s.logMu.Lock()
	s.counts[c.Operation]++
	s.total++
	c.N = s.counts[c.Operation]
	hook := s.fault
	s.logMu.Unlock()

	var f Fault
	if hook != nil {
		f = hook(c)
	}
	body, err := s.attempt(c, &f, run)
	if err != nil {
		c.Code = err.Code()
	}
	if s.ended != nil {
		s.ended(c)
	}
	s.done(c)
	switch {
	case err == errGone:
		panic(http.ErrAbortHandler)
	case err != nil:
		s.answer(w, err, f.TearAnswer)
	default:
		s.write(w, http.StatusOK, body, "", f.TearAnswer)
	}
}

// attempt runs the call with its fault: every point at which one can strike, in order.
func (s *server) attempt(c *Call, f *Fault, run effect) ([]byte, *Error) {
	unhurried := context.WithoutCancel(c.ctx)
	if f.Delay > 0 && !s.pause(unhurried, f.Delay) {
		return nil, errGone
	}
	if f.Hang {
		s.pause(c.ctx, 0)
	}
	if f.Hang || f.Drop {
		return nil, errGone
	}
	if f.Err != nil {
		return nil, f.Err
	}
	body, err := run(c, f)
	if err == errGone {
		return nil, err
	}
	if f.After != nil {
		f.After()
	}
	if f.AnswerDelay > 0 && !s.pause(unhurried, f.AnswerDelay) {
		return nil, errGone
	}
	if f.HangAnswer {
		s.pause(c.ctx, 0)
	}
	if f.HangAnswer || f.LoseAnswer {
		return nil, errGone
	}
	if f.ErrAfter != nil {
		return nil, f.ErrAfter
	}
	return body, err
}

// pause waits for d (for ever if 0) or until ctx or the fake ends; it says whether d passed.
func (s *server) pause(ctx context.Context, d time.Duration) bool {
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

func (s *server) done(c *Call) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	c.End = time.Now()
	if !s.quiet {
		s.log = append(s.log, c)
	}
}

func (s *server) answer(w http.ResponseWriter, err *Error, tear bool) {
	s.write(w, err.status(), err.body(), err.Query, tear)
}

func (s *server) write(w http.ResponseWriter, status int, body []byte, query string, tear bool) {
	s.logMu.Lock()
	skew, n := s.skew, s.total
	s.logMu.Unlock()
	h := w.Header()
	h["Content-Type"] = contentType
	h["Date"] = []string{time.Now().Add(skew).UTC().Format(http.TimeFormat)}
	h["X-Amzn-Requestid"] = []string{uuid(uint64(n), uint64(len(body)))}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if s.crc {
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
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

var contentType = []string{"application/x-amz-json-1.0"}

// uuid makes an identifier of the usual form out of two counters: distinct, unordered to the eye, and the same in each run.
func uuid(a, b uint64) string {
	hi, lo := mix(a), mix(a^mix(b))
	const hex = "0123456789abcdef"
	var u [36]byte
	for i, at := 0, 0; i < 32; i++ {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			u[at] = '-'
			at++
		}
		half := hi
		if i >= 16 {
			half = lo
		}
		u[at] = hex[half>>(60-4*(uint(i)&15))&15]
		at++
	}
	return string(u[:])
}

// mix is the finaliser of SplitMix64: a bijection.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sorted returns the keys of a map in order, so that nothing depends on map order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
