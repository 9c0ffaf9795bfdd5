package s3fake

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/predcache/predcache/internal/awstest"
)

// Content is what an object contains. Reads may be concurrent.
type Content interface {
	io.ReaderAt
	// Size is the length in bytes.
	Size() int64
	// ETag tells one content from another. It is an MD5 sum only of an object that was uploaded in one part without KMS
	// ("Common Response Headers").
	ETag() string
}

// Text is a content that is kept in memory.
func Text(text string) Content {
	sum := md5.Sum([]byte(text))
	return memory{strings.NewReader(text), hex.EncodeToString(sum[:])}
}

type memory struct {
	*strings.Reader
	etag string
}

// Size implements Content.
func (m memory) Size() int64 { return m.Reader.Size() }

// ETag implements Content.
func (m memory) ETag() string { return m.etag }

// Blocks is a content of n blocks of size bytes each, which fill makes when they are read: fill(i, b) writes the whole of
// block i, the same at each call, and may be called concurrently. seed tells one such content from another.
func Blocks(n int64, size int, seed uint64, fill func(i int64, b []byte)) Content {
	return &blocks{n: n, size: int64(size), seed: seed, fill: fill}
}

type blocks struct {
	n, size int64
	seed    uint64
	fill    func(i int64, b []byte)
	buffers sync.Pool // of *[]byte of one block
}

// Size implements Content.
func (b *blocks) Size() int64 { return b.n * b.size }

// ETag implements Content. An object of this kind is uploaded in parts, whose number follows a dash.
func (b *blocks) ETag() string {
	const part = 16 << 20
	sum := strings.ReplaceAll(awstest.UUID(b.seed, uint64(b.Size())), "-", "")
	return sum + "-" + strconv.FormatInt((b.Size()+part-1)/part, 10)
}

// ReadAt implements Content.
func (b *blocks) ReadAt(p []byte, at int64) (read int, err error) {
	for len(p) > 0 {
		i, skip := at/b.size, at%b.size
		if i >= b.n {
			return read, io.EOF
		}
		n := b.read(p, i, skip)
		p, at, read = p[n:], at+int64(n), read+n
	}
	return read, nil
}

// read copies block i from skip on. A whole block is written in place.
func (b *blocks) read(p []byte, i, skip int64) int {
	if skip == 0 && int64(len(p)) >= b.size {
		b.fill(i, p[:b.size])
		return int(b.size)
	}
	buffer, _ := b.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new(make([]byte, b.size))
	}
	defer b.buffers.Put(buffer)
	b.fill(i, *buffer)
	return copy(p, (*buffer)[skip:])
}
