package objects

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/cond"
)

// A body reads an object, or a range of it, from one byte to the next. When a connection breaks or S3 throttles, it continues where
// it was, with a backoff, until its context is done.
type body struct {
	store   Store
	object  Object // as found: its ETag and Size are known once the first Get has succeeded
	timeout time.Duration
	turn    *turn // left while the body waits; may be nil
	// more is called before each Read with the number of the next byte. It returns an error to end the reading. It may be nil.
	more func(at int64) error

	ctx      context.Context
	at       int64 // the next byte
	limit    int64 // Read returns io.EOF here; 0 until the size is known
	ask      int64 // where the current Get ends
	step     int64 // how much the next Get asks for; 0: all that is left
	modified time.Time
	failures int // in a row, without a byte between them
	err      error

	open   io.ReadCloser // nil between two Gets
	cancel context.CancelFunc
	watch  *time.Timer // cancels the Get if it makes no progress
}

// The last row of a range goes beyond it. A little more is asked for at first, and then more and more.
const (
	firstBeyond = 64 << 10
	maxBeyond   = 8 << 20
)

// newBody returns a body that reads from a byte on. If end is greater than 0, the first Get ends a little after it.
func (l *Loader) newBody(ctx context.Context, o Object, from, end int64) *body {
	b := &body{store: l.cfg.Store, object: o, timeout: l.cfg.CallTimeout, turn: l.turn, ctx: ctx, at: from}
	if end > 0 {
		b.limit, b.ask, b.step = o.Size, min(end+firstBeyond, o.Size), firstBeyond
	}
	return b
}

var backoff = batch.Backoff{Base: 100 * time.Millisecond, Max: 20 * time.Second}

// Read implements io.Reader. The error is io.EOF at the end of the object, one of those of a Store, or that of the context.
func (b *body) Read(p []byte) (n int, err error) {
	if b.more != nil && b.err == nil {
		b.err = b.more(b.at)
	}
	b.turn.away(func() { n, err = b.read(p) })
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	for {
		if b.err != nil {
			return 0, b.err
		}
		if b.limit > 0 && b.at >= b.limit {
			return 0, io.EOF
		}
		if b.open == nil {
			if b.err = b.get(); b.err != nil {
				continue
			}
		}
		b.watch.Reset(b.timeout)
		n, err := b.open.Read(p)
		b.watch.Stop()
		b.at += int64(n)
		if n > 0 {
			b.failures = 0
		}
		if err != nil {
			b.close()
			if b.at < b.ask { // a torn body ends early, with an error or as if it were complete
				b.failures++
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// get begins the next Get. It tries again until it succeeds, or another attempt would not.
func (b *body) get() error {
	if b.ask <= b.at && b.step > 0 {
		b.ask = min(b.at+b.step, b.limit)
		b.step = min(2*b.step, maxBeyond)
	}
	for {
		if b.failures > 0 && !cond.Sleep(b.ctx, backoff.After(b.failures)) || b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		err := b.tryGet()
		if err == nil || Final(err) {
			return err
		}
		b.failures++
	}
}

func (b *body) tryGet() error {
	ctx, cancel := context.WithCancel(b.ctx)
	b.watch = time.AfterFunc(b.timeout, cancel)
	content, err := b.store.Get(ctx, Request{b.object, b.at, b.ask})
	if err != nil {
		b.watch.Stop()
		cancel()
		return err //nolint:wrapcheck // the Store's errors say which call failed
	}
	known := b.object.ETag
	if b.object.ETag == "" {
		b.object.ETag = content.ETag
	}
	b.open, b.cancel = content.Body, cancel
	if known != "" && content.ETag != "" && content.ETag != known || b.limit > 0 && content.Size != b.limit {
		b.close() // a service without If-Match
		return fmt.Errorf("%w while it was read", ErrChanged)
	}
	b.object.Size, b.limit, b.modified = content.Size, content.Size, content.Modified
	if b.ask == 0 {
		b.ask = b.limit
	}
	return nil
}

// start begins to read, so that errors come before rows. An empty object has no error.
func (b *body) start() (err error) {
	b.turn.away(func() { err = b.get() })
	b.err = err
	return err
}

// close ends the current Get. A few bytes that are left are read, so that the connection can be used again.
func (b *body) close() {
	if b.open == nil {
		return
	}
	if left := b.ask - b.at; left > 0 && left <= 2*firstBeyond {
		b.watch.Reset(b.timeout)
		_, _ = io.CopyN(io.Discard, b.open, left)
	}
	b.watch.Stop()
	b.cancel()
	b.open.Close()
	b.open = nil
}
