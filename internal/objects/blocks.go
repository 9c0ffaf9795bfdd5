package objects

import (
	"errors"
	"io"
)

const (
	// blockBytes is how much of an object a ReadAt asks for at once. Parquet reads its columns side by side, each in pieces of 64 KB:
	// a Get of each would cost more time than the bytes do.
	blockBytes = 512 << 10
	// maxBlocks is the maximum number of blocks in memory, one for each column that is read.
	maxBlocks = 32
)

// blocks reads an object at any place, and keeps the blocks that were last used. It is an io.ReaderAt for one goroutine.
type blocks struct {
	of   *body
	held []block // the last used one is the last
}

type block struct {
	at   int64
	data []byte
}

// ReadAt implements io.ReaderAt.
func (b *blocks) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		if at+int64(n) >= b.of.object.Size {
			return n, io.EOF
		}
		data, err := b.get(at + int64(n))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data)
	}
	return n, nil
}

// get returns what is held from a place on, at least one byte.
func (b *blocks) get(at int64) ([]byte, error) {
	start := at / blockBytes * blockBytes
	for i := range b.held {
		if h := b.held[i]; h.at == start {
			b.held = append(append(b.held[:i], b.held[i+1:]...), h)
			return h.data[at-start:], nil
		}
	}
	h := block{start, nil}
	if len(b.held) == maxBlocks {
		h.data = b.held[0].data[:0]
		b.held = append(b.held[:0], b.held[1:]...)
	}
	end := min(start+blockBytes, b.of.object.Size)
	if cap(h.data) < int(end-start) {
		h.data = make([]byte, end-start)
	}
	h.data = h.data[:end-start]
	if err := b.of.readAt(h.data, start); err != nil {
		return nil, err
	}
	b.held = append(b.held, h)
	return h.data[at-start:], nil
}

// readAt reads a part of the object, whose Size is known, by Gets of its own.
func (b *body) readAt(p []byte, at int64) error {
	part := &body{store: b.store, object: b.object, timeout: b.timeout, turn: b.turn, ctx: b.ctx, at: at, limit: b.object.Size, ask: at + int64(len(p)), step: maxBeyond}
	defer part.close()
	_, err := io.ReadFull(part, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.ErrUnexpectedEOF // the object is as long as it was
	}
	return err //nolint:wrapcheck // the Store's
}
