package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/objects"
	"github.com/predcache/predcache/internal/records"
)

const (
	// blockBytes is the size of a ranged GET. At 30 ms each, blocksAhead of them at a time are 130 MB a second of one object.
	blockBytes  = 1 << 20
	blocksAhead = 4
	// blocksHeld is the maximum number of blocks of an object in memory. Parquet reads its columns side by side.
	blocksHeld = 16
)

// objectSources returns the sources of s3:// URLs: the object of that key, or those whose keys begin with it.
func (r *Run) objectSources(ctx context.Context, urls []string) ([]*source, error) {
	owner := r.o.Config.BucketOwner()
	var all []*source
	for _, url := range urls {
		bucket, prefix, ok := awsclient.SplitObjectURL(url)
		if !ok {
			return nil, fmt.Errorf("%s is not the URL of a bucket: give s3://bucket/prefix", url)
		}
		listed, err := awsclient.ListObjects(ctx, r.o.Clients, bucket, prefix, owner)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the bucket
		}
		before := len(all)
		if len(listed) > 0 && listed[0].Key == prefix && !strings.HasSuffix(prefix, "/") { // an object; the console makes empty ones that end in a slash as folders
			all = append(all, r.objectSource(&listed[0], owner))
			continue
		}
		for i := range listed {
			o := &listed[i]
			if objects.Skips(o.Key, o.Size, prefix) {
				r.skipped++
				continue
			}
			all = append(all, r.objectSource(o, owner))
		}
		if len(all) == before {
			return nil, fmt.Errorf("%s has no objects with predictions: %d were skipped by size or name", url, r.skipped)
		}
	}
	return all, nil
}

func (r *Run) objectSource(o *awsclient.ObjectInfo, owner string) *source {
	name := "s3://" + o.Bucket + "/" + o.Key
	return &source{name: name, size: o.Size, modified: o.Modified, open: func(ctx context.Context, options records.Options) (rows, error) {
		ctx, stop := context.WithCancel(ctx)
		return records.OpenStored(&object{
			ctx: ctx, stop: stop, size: o.Size, held: map[int64]*block{},
			read: func(ctx context.Context, offset int64, p []byte) error {
				return awsclient.ReadObject(ctx, r.o.Clients, o, owner, offset, p)
			},
		}, o.Size, o.Modified, options)
	}}
}

// isObject reports whether a name is the URL of an object.
func isObject(name string) bool { return strings.HasPrefix(name, "s3://") }

// An object is read in blocks, several at once. It is a records.Stored.
type object struct {
	ctx  context.Context //nolint:containedctx // io.Reader takes none
	stop context.CancelFunc
	size int64
	read func(ctx context.Context, offset int64, p []byte) error

	next int64 // offset of Read

	mu   sync.Mutex
	held map[int64]*block
	uses int
}

// A block is a part of an object.
type block struct {
	done chan struct{} // closed when data is read, or err is set
	data []byte
	err  error
	used int
}

// Read implements io.Reader. It reads blocks ahead.
func (o *object) Read(p []byte) (int, error) {
	if o.next >= o.size {
		return 0, io.EOF
	}
	first := o.next / blockBytes
	for i := first + 1; i < first+blocksAhead && i*blockBytes < o.size; i++ {
		o.block(i)
	}
	n, err := o.copyAt(p, o.next)
	o.next += int64(n)
	if i := o.next / blockBytes; i > first {
		o.mu.Lock()
		delete(o.held, first)
		o.mu.Unlock()
	}
	return n, err
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		if offset+int64(n) >= o.size {
			return n, io.EOF
		}
		part, err := o.copyAt(p[n:], offset+int64(n))
		if n += part; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Seek implements io.Seeker, from the start.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	o.next = offset
	return offset, nil
}

// Close ends the reading.
func (o *object) Close() error {
	o.stop()
	return nil
}

// copyAt copies from the block that has the offset.
func (o *object) copyAt(p []byte, offset int64) (int, error) {
	b := o.block(offset / blockBytes)
	select {
	case <-b.done:
	case <-o.ctx.Done():
		return 0, context.Cause(o.ctx)
	}
	if b.err != nil {
		return 0, b.err
	}
	return copy(p, b.data[offset%blockBytes:]), nil
}

// block returns a block, whose reading it starts if it is not held. It drops the one that was not used for the longest time.
func (o *object) block(i int64) *block {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uses++
	if b := o.held[i]; b != nil {
		b.used = o.uses
		return b
	}
	for len(o.held) >= blocksHeld {
		oldest, least := int64(-1), 0
		for i, b := range o.held {
			if oldest < 0 || b.used < least {
				oldest, least = i, b.used
			}
		}
		delete(o.held, oldest)
	}
	b := &block{done: make(chan struct{}), used: o.uses}
	o.held[i] = b
	go func() { // ends with the call, which ends with o.ctx
		defer close(b.done)
		b.data = make([]byte, min(blockBytes, o.size-i*blockBytes))
		b.err = o.read(o.ctx, i*blockBytes, b.data)
	}()
	return b
}
