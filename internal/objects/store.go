package objects

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Store is the part of S3 that is used.
type Store interface {
	// Get reads a range of an object. An error wraps one of those below, or another attempt may succeed.
	Get(ctx context.Context, r Request) (*Content, error)
}

// A Request asks for the bytes of an object from From up to To; with To 0, up to its end. Without a VersionID, the object must have
// the ETag, unless that is empty.
type Request struct {
	Object
	From, To int64
}

// A Content is an answer of the Store.
type Content struct {
	Body     io.ReadCloser
	Size     int64 // of the whole object, in bytes
	ETag     string
	Modified time.Time // LastModified, in whole seconds
}

// The errors of a Store that another attempt does not change.
var (
	// ErrChanged: the object has another ETag.
	ErrChanged = errors.New("the object has changed")
	// ErrForbidden: the object may not be read. S3 answers the same for a missing object to a caller who may not list the bucket
	// ("GetObject", Amazon S3 API Reference).
	ErrForbidden = errors.New("access is denied")
	// ErrUnreadable: this object can't be read, such as a missing or an archived one.
	ErrUnreadable = errors.New("the object can't be read")
	// ErrBucket: no object of the bucket can be read, such as of a missing bucket.
	ErrBucket = errors.New("the bucket can't be read")
)

// Final reports whether another attempt of a Get would fail too.
func Final(err error) bool {
	return errors.Is(err, ErrChanged) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrUnreadable) || errors.Is(err, ErrBucket)
}
