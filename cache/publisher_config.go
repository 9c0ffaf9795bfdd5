package cache

import (
	"fmt"
	"time"
)

// PublisherConfig configures a Publisher. The zero value of each field is its default.
type PublisherConfig struct {
	// Pack puts many predictions into a message, one a line, up to the 64 KB that SQS bills as one request ("Amazon SQS
	// pricing"): of 1 KB each, 60 a message and 600 a call. The worker still handles each prediction by itself.
	Pack bool
	// Linger is how long a prediction waits for others to fill its call: up to 1 min, 50 ms by default.
	Linger time.Duration
	// Buffer bounds the bytes that are queued or being sent, 16 MiB by default. It is at least 2 MiB.
	Buffer int
	// Calls is how many calls may be under way at once: 1 to 1000, 4 by default.
	Calls int
	// Attempts is the maximum number of attempts to send a message: 1 to 100, 6 by default, which is about 6 seconds of
	// full-jitter backoff.
	Attempts int
	// Timeout bounds an attempt: 10 ms to 5 min, 10 s by default.
	Timeout time.Duration
	// NumericIDs sends ids as JSON numbers, for a table whose hash key is a number.
	NumericIDs bool
	// MaxFuture is how far ahead of the clock an event time may be, 5 minutes by default, as WORKER_MAX_FUTURE.
	MaxFuture time.Duration
	// MinEventTime is the earliest event time and expiry, 2000-01-01T00:00:00Z by default, as WORKER_MIN_EVENT_TIME.
	MinEventTime time.Time
	// Zstd says that the worker compresses payloads (WORKER_PAYLOAD_ENCODING=zstd). The compressed item must then fit
	// DynamoDB's 400 KB.
	Zstd bool
	// OnFailure is called with each message that was given up, by the goroutine that sent it. It must not block on the
	// Publisher.
	OnFailure func(Failure)
}

// complete fills in defaults, and returns what is wrong.
func (cfg *PublisherConfig) complete() (errs []error) {
	orElse(&cfg.Linger, 50*time.Millisecond)
	orElse(&cfg.Buffer, 16<<20)
	orElse(&cfg.Calls, 4)
	orElse(&cfg.Attempts, 6)
	orElse(&cfg.Timeout, 10*time.Second)
	orElse(&cfg.MaxFuture, 5*time.Minute)
	orElse(&cfg.MinEventTime, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	refuse := func(ok bool, field string, value any, take string) {
		if !ok {
			errs = append(errs, fmt.Errorf("PublisherConfig.%s is %v: take %s", field, value, take))
		}
	}
	refuse(cfg.Linger > 0 && cfg.Linger <= time.Minute, "Linger", cfg.Linger, "1ns to 1m")
	refuse(cfg.Buffer > 0, "Buffer", cfg.Buffer, "2097152 (2 MiB) or more")
	refuse(cfg.Calls > 0 && cfg.Calls <= 1000, "Calls", cfg.Calls, "1 to 1000")
	refuse(cfg.Attempts > 0 && cfg.Attempts <= 100, "Attempts", cfg.Attempts, "1 to 100")
	refuse(cfg.Timeout >= 10*time.Millisecond && cfg.Timeout <= 5*time.Minute, "Timeout", cfg.Timeout, "10ms to 5m")
	refuse(cfg.MaxFuture > 0, "MaxFuture", cfg.MaxFuture, "more than 0s")
	cfg.Buffer = max(cfg.Buffer, 2*maxMessage)
	if cfg.OnFailure == nil {
		cfg.OnFailure = func(Failure) {}
	}
	return errs
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
