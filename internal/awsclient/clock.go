package awsclient

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A Clock is the services' clock: this host's, corrected by the Date of their answers. A host whose clock is wrong would
// otherwise drop good predictions as expired.
type Clock struct {
	offset atomic.Int64 // nanoseconds to add
}

// tolerance is how far the host's clock may be off before it is corrected: Date has whole seconds, and is older than its
// answer by the time of the way.
const tolerance = 5 * time.Second

// Now is the time by the services' clock. Until a service has answered it is the host's.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Offset is what Now adds to the host's clock.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

func (c *Clock) see(h http.Header) {
	if h.Get("X-Amzn-Requestid") == "" {
		return // the answer of a proxy on the way, with whatever clock
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	offset := time.Until(date).Truncate(time.Second)
	if offset.Abs() < tolerance {
		offset = 0
	}
	c.offset.Store(int64(offset))
}

func (c *Clock) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			c.see(resp.Header)
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
