package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// answers has a cache whose calls are answered by hand. It returns how many there were.
func answers(t *testing.T, change func(cfg *aws.Config), answer func(n int64, req *http.Request) (*http.Response, error), options ...cache.Option) (*cache.Cache, *atomic.Int64) {
	t.Helper()
	n := &atomic.Int64{}
	cfg := awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) { return answer(n.Add(1), req) }))
	if change != nil {
		change(&cfg)
	}
	c := must(cache.New(cfg, "predictions", append(options, cache.WithLayout(cache.LatestOnly()))...))
	t.Cleanup(func() { c.Close() })
	return c, n
}

func TestCloseEndsIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	cfg := awstest.Config(nil)
	cfg.HTTPClient, cfg.BaseEndpoint = awshttp.NewBuildableClient(), &server.URL
	c := must(cache.New(cfg, "predictions", cache.WithLayout(cache.LatestOnly())))
	if _, err := c.Get(t.Context(), "a"); !errors.Is(err, cache.ErrNotFound) {
		t.Fatalf("got %v, want a miss", err)
	}
	c.Close()
	select {
	case <-closed:
	case <-time.After(20 * time.Second): // idle connections end by themselves after 90 s
		t.Error("an idle connection is left")
	}
}

func found(req *http.Request) (*http.Response, error) {
	return canned(`{"Item":` + benchItem(1) + `}`).RoundTrip(req)
}

func refuse(req *http.Request, status int, code string) (*http.Response, error) {
	resp, err := canned(fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code)).RoundTrip(req)
	resp.StatusCode = status
	resp.Header.Set("X-Amzn-Requestid", "4fd1")
	return resp, err
}

// steady is the SDK's adaptive retryer, with waits of a millisecond for its rate limit. Its own waits can round to nothing, which
// never ends on a bubble's clock.
type steady struct{ *retry.AdaptiveMode }

func newSteady() steady {
	return steady{retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) { o.FailOnNoAttemptTokens = true })}
}

func (s steady) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	for {
		if release, err := s.AdaptiveMode.GetAttemptToken(ctx); err == nil {
			return release, nil
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRetries(t *testing.T) {
	for name, test := range map[string]struct {
		change func(cfg *aws.Config)
		fail   func(req *http.Request) (*http.Response, error)
		calls  int64 // until it gives up
		is     func(err error) bool
	}{
		"the SDK's default": {nil, func(req *http.Request) (*http.Response, error) { return refuse(req, 500, "InternalServerError") }, 3, func(err error) bool {
			var most *retry.MaxAttemptsError
			var fault *types.InternalServerError
			return errors.As(err, &most) && most.Attempt == 3 && errors.As(err, &fault)
		}},
		"as many as configured": {func(cfg *aws.Config) { cfg.RetryMaxAttempts = 7 },
			func(req *http.Request) (*http.Response, error) {
				return refuse(req, 400, "ProvisionedThroughputExceededException")
			}, 7, nil},
		"a retryer of one's own": {func(cfg *aws.Config) { cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} } },
			func(req *http.Request) (*http.Response, error) { return refuse(req, 500, "InternalServerError") }, 1, nil},
		"adaptive": {func(cfg *aws.Config) { cfg.Retryer = func() aws.Retryer { return newSteady() } },
			func(req *http.Request) (*http.Response, error) { return refuse(req, 400, "ThrottlingException") }, 3, nil},
		"no connection": {nil, func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, 3, nil},
		"not what can't be mended": {nil, func(req *http.Request) (*http.Response, error) { return refuse(req, 400, "ResourceNotFoundException") }, 1, func(err error) bool {
			var none *types.ResourceNotFoundException
			return errors.As(err, &none)
		}},
		"an attempt that hangs": {nil, func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}, 3, func(err error) bool {
			return errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "no answer within 3s")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := true
				c, n := answers(t, test.change, func(_ int64, req *http.Request) (*http.Response, error) {
					if bad {
						return test.fail(req)
					}
					return found(req)
				})
				if p, err := c.Get(t.Context(), "user-1"); err == nil || n.Load() != test.calls || test.is != nil && !test.is(err) {
					t.Errorf("got %v, %v after %d calls, want %d", p, err, n.Load(), test.calls)
				}
				bad = false
				if _, err := c.Get(t.Context(), "user-1"); err != nil {
					t.Error(err)
				}
				c.Close()
			})
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := answers(t, func(cfg *aws.Config) { cfg.RetryMaxAttempts = 100 }, func(_ int64, req *http.Request) (*http.Response, error) {
			return refuse(req, 500, "InternalServerError")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Get(ctx, "user-1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v and %d calls", err, time.Since(start), n.Load())
		}
		// The token bucket of 500 is the process's: a table that is away is not asked three times by every call for ever.
		calls := n.Load()
		const more = 200
		for range more {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			_, _ = c.Get(ctx, "user-1")
			cancel()
		}
		if got := n.Load() - calls; got > more+110 {
			t.Errorf("%d calls for %d reads: the retryer's tokens are not heeded", got, more)
		}
	})
}

func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := 30 * time.Minute // of the service
		c, n := answers(t, nil, func(_ int64, req *http.Request) (*http.Response, error) {
			signed, err := time.Parse("20060102T150405Z", req.Header.Get("X-Amz-Date"))
			if err != nil {
				t.Error(err)
			}
			var resp *http.Response
			if off := time.Until(signed) - ahead; off.Abs() > 5*time.Minute {
				resp, err = refuse(req, 400, "InvalidSignatureException")
			} else {
				item := fmt.Sprintf(`{"Item":{"predictionId":{"S":"a"},"createdAt":{"N":"1"},"expiresAt":{"N":"%d"},"prediction":{"S":"1"}}}`, time.Now().Add(ahead+time.Minute).Unix())
				resp, err = canned(item).RoundTrip(req)
			}
			resp.Header.Set("X-Amzn-Requestid", "4fd1")
			resp.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return resp, err
		})
		if p, err := c.Get(t.Context(), "a"); err != nil || n.Load() != 2 {
			t.Errorf("got %v, %v by %d calls", p, err, n.Load())
		}
		if _, err := c.Get(t.Context(), "a"); err != nil || n.Load() != 3 {
			t.Errorf("%v by %d calls: the correction is not kept", err, n.Load())
		}
		time.Sleep(2 * time.Minute)
		ahead = 0 // the clock was set right
		if _, err := c.Get(t.Context(), "a"); err != nil {
			t.Errorf("%v after the clock was set right", err)
		}
		c.Close()
	})
}

// TestCredentials has them refreshed, and their account's endpoint used.
func TestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refreshed := 0
		var asked []string
		c, _ := answers(t, func(cfg *aws.Config) {
			cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				refreshed++
				return aws.Credentials{AccessKeyID: fmt.Sprint("AKID", refreshed), SecretAccessKey: "s", SessionToken: "t", AccountID: "123456789012", CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
			}))
		}, func(_ int64, req *http.Request) (*http.Response, error) {
			key, _, _ := strings.Cut(strings.TrimPrefix(req.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/")
			asked = append(asked, key+"@"+req.URL.Host)
			return found(req)
		})
		for range 3 {
			_, _ = c.Get(t.Context(), "user-1")
			time.Sleep(40 * time.Minute)
		}
		want := "AKID1@123456789012.ddb.eu-west-1.amazonaws.com AKID1@123456789012.ddb.eu-west-1.amazonaws.com AKID2@123456789012.ddb.eu-west-1.amazonaws.com"
		if got := strings.Join(asked, " "); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		c.Close()
	})
}

func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := answers(t, func(cfg *aws.Config) { cfg.HTTPClient.(*http.Client).Timeout = 200 * time.Millisecond }, func(n int64, req *http.Request) (*http.Response, error) {
			if n == 1 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return found(req)
		}, cache.AttemptTimeout(time.Minute))
		if _, err := c.Get(t.Context(), "user-1"); err != nil || n.Load() != 2 {
			t.Errorf("%v after %d calls: the client's own timeout is shorter", err, n.Load())
		}
		c.Close()
	})
}
