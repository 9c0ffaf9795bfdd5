package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/awsjson"
)

// defaultAttemptTimeout bounds an attempt. BatchGetItem brings up to 16 MB, all other reads up to 1 MB.
const defaultAttemptTimeout = 3 * time.Second

// retries repeat a call by an SDK retryer, as the SDK's own clients do (package retry, type Attempt): its attempts, its
// backoff, its token bucket, and in adaptive mode its rate limit.
type retries struct {
	retryer aws.Retryer
	clock   *awsjson.Clock
	timeout time.Duration // of an attempt
}

// do makes attempts until one succeeds, or the retryer gives up; a single one where once says so.
func (r *retries) do(ctx context.Context, once bool, attempt func(context.Context) error) error {
	release := func(error) error { return nil } // of the retry token
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return &aws.RequestCanceledError{Err: err}
		}
		done, err := r.token(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the retryer's rate limit: %w", err)
		}
		before := r.clock.Offset()
		err = r.attempt(ctx, attempt)
		// The errors of giving tokens back say only that they are none of the retryer's.
		_ = release(err)
		_ = done(err)
		if err == nil || once {
			return err
		}
		if r.skewed(err, before) {
			err = &skewError{err}
		}
		if !r.retryer.IsErrorRetryable(err) {
			return err
		}
		if most := r.retryer.MaxAttempts(); most > 0 && n >= most {
			return &retry.MaxAttemptsError{Attempt: n, Err: err}
		}
		var none error
		if release, none = r.retryer.GetRetryToken(ctx, err); none != nil {
			return errors.Join(err, none)
		}
		delay, none := r.retryer.RetryDelay(n, err)
		if none != nil {
			return errors.Join(err, none)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &aws.RequestCanceledError{Err: errors.Join(ctx.Err(), err)}
		}
	}
}

// token waits until the retryer allows an attempt: at once but in adaptive mode.
func (r *retries) token(ctx context.Context) (func(error) error, error) {
	if v2, ok := r.retryer.(aws.RetryerV2); ok {
		return v2.GetAttemptToken(ctx)
	}
	return r.retryer.GetInitialToken(), nil
}

func (r *retries) attempt(ctx context.Context, attempt func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := attempt(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return &timeoutError{r.timeout} // not the caller's end: it is worth another attempt
	}
	return err
}

// A timeoutError is an attempt that took too long.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string        { return fmt.Sprintf("no answer within %v", e.after) }
func (e *timeoutError) Timeout() bool        { return true }
func (e *timeoutError) RetryableError() bool { return true }
func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// skewed tells whether a request was refused because of its signature's time, and the answer's Date has corrected the clock
// since.
func (r *retries) skewed(err error, before time.Duration) bool {
	const threshold = 4 * time.Minute // the SDK's own; AWS allows five ("Troubleshooting Signature Version 4")
	var api smithy.APIError
	if !errors.As(err, &api) || (r.clock.Offset()-before).Abs() < threshold {
		return false
	}
	switch api.ErrorCode() {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure", "RequestTimeTooSkewed", "AccessDeniedException":
		return true
	}
	return false
}

type skewError struct{ error }

func (e *skewError) Unwrap() error        { return e.error }
func (e *skewError) RetryableError() bool { return true }
