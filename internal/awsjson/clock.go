package awsjson

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A Clock is this host's clock, corrected by the Date header of the services' answers. With a wrong clock, a host would
// sign requests that are refused, and drop good predictions as expired. The zero value is ready for use.
type Clock struct {
	offset   atomic.Int64 // nanoseconds to add
	answered atomic.Int64 // Date of the latest answer, in Unix seconds
}

// tolerance is how far the host's clock may be off without a correction: Date has whole seconds, and is older than its
// answer by the time on the network.
const tolerance = 5 * time.Second

// Now is the services' time. Until a service has answered it is the host's.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Offset()) }

// Offset is what Now adds to the host's clock. It is 0 while the two are within 5 seconds.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// Answered is the Date of the latest answer, in whole seconds. It is the zero time until a service has answered.
func (c *Clock) Answered() time.Time {
	if seconds := c.answered.Load(); seconds > 0 {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}

// Watch returns a transport that corrects the clock by each answer of next.
func (c *Clock) Watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			c.see(resp.Header)
		}
		return resp, err
	})
}

func (c *Clock) see(h http.Header) {
	if h.Get("X-Amzn-Requestid") == "" {
		return // the answer of a proxy on the way, with whatever clock
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	c.answered.Store(date.Unix())
	offset := time.Until(date).Truncate(time.Second)
	if offset.Abs() < tolerance {
		offset = 0
	}
	c.offset.Store(int64(offset))
}
