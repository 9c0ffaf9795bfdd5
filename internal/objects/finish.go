package objects

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// finish ends a job with the error of its reading. What was passed on settles by itself.
func (j *job) finish(err error) {
	j.body.close()
	l := j.l
	var refused *refusal
	var format *records.FormatError
	switch {
	case err == nil:
		l.cfg.Observer.Object(j.done)
	case j.calls.Err() != nil:
		fail(j.m)
	case errors.As(err, &refused):
		l.reject(j.m, j.raw, false, &j.body.object, refused.why)
	case errors.As(err, &format):
		l.reject(j.m, j.raw, false, &j.body.object, prediction.Rejectf(prediction.ReasonObject, "", "%v", format))
	case errors.Is(err, ErrUnreadable):
		l.reject(j.m, j.raw, false, &j.body.object, unreadable(err))
	case errors.Is(err, ErrChanged):
		l.noteChanged(&j.body.object)
	case errors.Is(err, errStopped), l.intake.Err() != nil:
		j.leave()
	default: // it may not be read any more, or too many wait for that
		j.m.BackOff()
	}
}

// leave sends the rest of the object or range to the queue for another worker.
func (j *job) leave() {
	switch {
	case !j.passed:
		fail(j.m)
		return
	case j.until > 0 && j.at >= j.until:
		j.l.cfg.Observer.Object(j.done)
		return
	}
	rest := part{Object: j.body.object, Modified: j.modified(), Start: j.at, Row: j.row, Header: j.header}
	switch {
	case j.until > 0:
		rest.End, rest.Row = j.until, 0
	case j.rows.Splits(): // the rest need not be read from the object's start
		rest.End, rest.Row = rest.Size, 0
		if rest.Start >= rest.End {
			j.l.cfg.Observer.Object(j.done)
			return
		}
	}
	if err := j.send([]part{rest}); err != nil {
		fail(j.m)
		return
	}
	j.l.cfg.Observer.Object(Continued)
}

// send sends parts to the queue. It tries again until the queue has accepted all, or calls is done.
func (j *job) send(parts []part) (err error) {
	j.l.turn.away(func() { err = j.l.send(j.calls, parts) })
	return err
}

func (l *Loader) send(ctx context.Context, parts []part) error {
	for failures := 0; len(parts) > 0; {
		n := min(len(parts), consumer.MaxBatch)
		messages := make([]consumer.Outgoing, n)
		for i := range messages {
			messages[i].Body = parts[i].message()
		}
		attempt, cancel := context.WithTimeout(ctx, l.cfg.CallTimeout)
		failed, err := l.cfg.Queue.Send(attempt, messages)
		cancel()
		var again []part
		for _, f := range failed {
			again = append(again, parts[f.Index])
		}
		switch {
		case err != nil || len(again) == n:
			if failures++; !cond.Sleep(ctx, backoff.After(failures)) {
				return ctx.Err()
			}
		default:
			failures = 0
			parts = append(again, parts[n:]...)
		}
	}
	return nil
}

func unreadable(err error) *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonObject, "", "%v", err)
}

// forbidden names both causes of S3's answer.
func forbidden(err error) *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonObject, "", "%v: either the role may not read it (s3:GetObject, of a version s3:GetObjectVersion, of an encrypted object kms:Decrypt), or it does not exist, which S3 says only to a role that may list the bucket (s3:ListBucket)", err)
}

// access is what is known about a part of S3 that may be read by the settings.
type access struct {
	good   *Object       // the last object that could be read
	opened chan struct{} // closed when one can be read again; nil if none is known to wait
}

// start begins to read the object. While no object of its prefix can be read, it waits: the permission of the role is missing, and
// rejecting would move all objects to the reject queue.
func (j *job) start() error {
	l := j.l
	for {
		err := j.body.start()
		switch {
		case err == nil:
			l.readable(j.prefix, j.body.object)
			return nil
		case errors.Is(err, ErrForbidden) && l.othersReadable(j.calls, j.prefix, &j.body.object):
			return &refusal{forbidden(err)}
		case errors.Is(err, ErrForbidden), errors.Is(err, ErrBucket):
			if err := j.wait(err); err != nil {
				return err
			}
			j.body.err = nil
		default:
			return err
		}
	}
}

// retryDenied is the maximum time after which a denied object is tried again.
const retryDenied = 30 * time.Second

// wait blocks until it is time to try a denied object again. It returns an error if the worker stops, or if too many messages wait.
func (j *job) wait(denied error) error {
	l := j.l
	l.mu.Lock()
	if l.waiting >= maxWaiting {
		l.mu.Unlock()
		return fmt.Errorf("too many objects wait: %w", denied)
	}
	l.waiting++
	a := l.accessOf(j.prefix)
	if a.opened == nil {
		a.opened = make(chan struct{})
	}
	opened := a.opened
	l.cfg.Observer.Denied(j.prefix, denied)
	l.mu.Unlock()
	taken := false
	l.turn.away(func() {
		j.seat.release()
		timer := time.NewTimer(retryDenied/2 + rand.N(retryDenied/2))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-opened:
		case <-l.intake.Done():
		}
		taken = j.seat.take(1)
	})
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
	if !taken {
		return errStopped
	}
	return nil
}

// accessOf requires l.mu.
func (l *Loader) accessOf(p Prefix) *access {
	a := l.access[p]
	if a == nil {
		a = &access{}
		l.access[p] = a
	}
	return a
}

// readable records that an object could be read.
func (l *Loader) readable(p Prefix, o Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accessOf(p)
	a.good = &o
	if a.opened != nil {
		close(a.opened)
		a.opened = nil
		l.cfg.Observer.Denied(p, nil)
	}
}

// othersReadable reports whether another object of the prefix can be read now: then the reason lies with this one.
func (l *Loader) othersReadable(ctx context.Context, p Prefix, o *Object) bool {
	l.mu.Lock()
	good := l.accessOf(p).good
	l.mu.Unlock()
	if good == nil || good.Key == o.Key && good.VersionID == o.VersionID {
		return false
	}
	var err error
	l.turn.away(func() {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.CallTimeout)
		defer cancel()
		var content *Content
		if content, err = l.cfg.Store.Get(ctx, Request{*good, 0, 1}); err == nil {
			content.Body.Close()
		}
	})
	return err == nil || errors.Is(err, ErrChanged)
}

// begin, progress and end report how much of the job is left.
func (j *job) begin() {
	j.left = j.remaining()
	j.l.cfg.Observer.Left(1, j.left)
}

func (j *job) progress() {
	left := j.remaining()
	j.l.cfg.Observer.Left(0, left-j.left)
	j.left = left
}

func (j *job) end() {
	j.l.cfg.Observer.Left(-1, -j.left)
	j.left = 0
}

// remaining returns the bytes that are left to read. Of Parquet, which is not read from start to end, it is the whole object.
func (j *job) remaining() int64 {
	if j.until > 0 {
		return max(j.until-j.body.at, 0)
	}
	return max(j.body.object.Size-j.body.at, 0)
}
