package awsjson

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A signer signs the requests of one operation by Signature Version 4 ("Create a signed AWS API request"). The SDK's signer
// would spend as much CPU on a small read as the rest of the call. This one knows that a request is a POST of "/" without a
// query, and which headers it has. A test compares the two.
type signer struct {
	names []string // of all signed headers, in lower case and in order; the token is signed where there is one
	key   atomic.Pointer[signingKey]
}

const (
	dateHeader    = "x-amz-date"
	sessionHeader = "x-amz-security-token"
	lengthHeader  = "content-length"
	hostHeader    = "host"
)

// newSigner returns a signer of requests with these headers.
func newSigner(h http.Header) *signer {
	s := &signer{names: []string{dateHeader, sessionHeader, lengthHeader, hostHeader}}
	for name := range h {
		if name = strings.ToLower(name); name != "user-agent" { // a proxy may change it
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	return s
}

// signs tells whether the signer can sign requests to an endpoint. Any other is the SDK's to sign.
func (s *signer) signs(e *endpoint) bool {
	plain := e.url.Path == "/" && e.url.RawPath == "" && e.url.RawQuery == "" && len(e.header) == 0
	port := e.url.Port()
	return plain && port != "80" && port != "443" // a default port is not part of the Host header
}

// sign adds the headers of a signature to the call.
func (s *signer) sign(c *Call, creds aws.Credentials, e *endpoint, now time.Time) {
	now = now.UTC()
	date := now.Format("20060102T150405Z")
	set(c.header, "X-Amz-Date", date)
	if creds.SessionToken != "" {
		set(c.header, "X-Amz-Security-Token", creds.SessionToken)
	}
	key := s.keyOf(creds, e, date[:8])

	b := append(c.signing[:0], "POST\n/\n\n"...)
	for _, name := range s.names {
		if name == sessionHeader && creds.SessionToken == "" {
			continue
		}
		b = append(append(b, name...), ':')
		switch name {
		case hostHeader:
			b = append(b, e.url.Host...)
		case lengthHeader:
			b = strconv.AppendInt(b, int64(len(c.Request)), 10)
		case dateHeader:
			b = append(b, date...)
		case sessionHeader:
			b = append(b, creds.SessionToken...)
		default:
			b = append(b, c.header[http.CanonicalHeaderKey(name)][0]...)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	from := len(b)
	b = s.appendNames(b, creds)
	names := string(b[from:])
	b = append(b, '\n')
	sum := sha256.Sum256(c.Request)
	b = hex.AppendEncode(b, sum[:])
	canonical := sha256.Sum256(b)

	b = append(append(b[:0], "AWS4-HMAC-SHA256\n"...), date...)
	b = append(append(append(b, '\n'), key.scope...), '\n')
	b = hex.AppendEncode(b, canonical[:])
	signature := key.mac(b)

	b = append(append(b[:0], "AWS4-HMAC-SHA256 Credential="...), creds.AccessKeyID...)
	b = append(append(append(b, '/'), key.scope...), ", SignedHeaders="...)
	b = append(append(b, names...), ", Signature="...)
	b = hex.AppendEncode(b, signature[:])
	set(c.header, "Authorization", string(b))
	c.signing = b
}

func (s *signer) appendNames(b []byte, creds aws.Credentials) []byte {
	for i, name := range s.names {
		if name == sessionHeader && creds.SessionToken == "" {
			continue
		}
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return b
}

// set sets a header in the memory that it has.
func set(h http.Header, name, value string) {
	if values := h[name]; len(values) == 1 {
		values[0] = value
		return
	}
	h[name] = []string{value}
}

// A signingKey is derived from a secret for one day, region and service.
type signingKey struct {
	secret, scope string
	macs          sync.Pool // of hash.Hash
}

// keyOf returns the signing key, which is kept as long as it is the same.
func (s *signer) keyOf(creds aws.Credentials, e *endpoint, day string) *signingKey {
	if k := s.key.Load(); k != nil && k.secret == creds.SecretAccessKey && k.is(day, e) {
		return k
	}
	derived := []byte("AWS4" + creds.SecretAccessKey)
	for _, part := range []string{day, e.region, e.signing, "aws4_request"} {
		mac := hmac.New(sha256.New, derived)
		mac.Write([]byte(part))
		derived = mac.Sum(nil)
	}
	k := &signingKey{secret: creds.SecretAccessKey, scope: day + "/" + e.region + "/" + e.signing + "/aws4_request"}
	k.macs.New = func() any { return hmac.New(sha256.New, derived) }
	s.key.Store(k)
	return k
}

// is tells whether the key is of a day and an endpoint, without making the scope's text.
func (k *signingKey) is(day string, e *endpoint) bool {
	rest, ok := strings.CutPrefix(k.scope, day)
	if ok {
		rest, ok = strings.CutPrefix(rest[1:], e.region)
	}
	if ok {
		rest, ok = strings.CutPrefix(rest[1:], e.signing)
	}
	return ok && rest == "/aws4_request"
}

func (k *signingKey) mac(text []byte) (sum [sha256.Size]byte) {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	h.Write(text)
	h.Sum(sum[:0])
	return sum
}
