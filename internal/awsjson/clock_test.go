package awsjson

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name      string
			ahead     time.Duration // of the answer's Date
			requestID string
			want      time.Duration
		}{
			{"an answer without a request id is a proxy's", 48 * time.Hour, "", 0},
			{"ahead", 2 * time.Hour, "1", 2 * time.Hour},
			{"behind", -10 * time.Minute, "1", -10 * time.Minute},
			{"within the tolerance", 3 * time.Second, "1", 0},
		} {
			var clock Clock
			h := http.Header{"Date": {time.Now().Add(c.ahead).UTC().Format(http.TimeFormat)}}
			if c.requestID != "" {
				h.Set("X-Amzn-Requestid", c.requestID)
			}
			watched := clock.Watch(roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{Header: h, Body: http.NoBody}, nil
			}))
			resp, err := watched.RoundTrip(&http.Request{})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := clock.Offset(); got != c.want {
				t.Errorf("%s: an offset of %v, want %v", c.name, got, c.want)
			}
			answered := time.Until(clock.Answered())
			if c.requestID != "" && answered != c.ahead || c.requestID == "" && !clock.Answered().IsZero() {
				t.Errorf("%s: Answered is %v ahead, want %v", c.name, answered, c.ahead)
			}
			if got := time.Until(clock.Now()); got != c.want {
				t.Errorf("%s: Now is %v ahead, want %v", c.name, got, c.want)
			}
		}
	})
}
