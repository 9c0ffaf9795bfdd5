// Package jsonlines reads files of JSON objects, one a line, plain or compressed by gzip or zstd.
package jsonlines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A File is a file of lines.
type File struct {
	Name     string
	Size     int64     // bytes, as it is stored; -1 for standard input
	Modified time.Time // zero for standard input

	offset, line int64
	file         *os.File      // nil for standard input
	raw          *bufio.Reader // of the file, before decompression
	lines        *bufio.Reader // of the text
	compressed   bool
	read         atomic.Int64
	closers      []func()
}

// Open opens a file, or stdin for the name -. It refuses a file that does not begin with JSON, with the format that it has, and
// skips a byte order mark. What a file holds tells how it is compressed, whatever its name.
func Open(name string, stdin io.Reader) (_ *File, err error) {
	f := &File{Name: name, Size: -1}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	in := stdin
	if name != "-" {
		if f.file, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		f.closers = append(f.closers, func() { f.file.Close() })
		info, err := f.file.Stat()
		if err != nil {
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		f.Size, f.Modified, in = info.Size(), info.ModTime().UTC(), f.file
	}
	f.raw = bufio.NewReaderSize(&counter{in, &f.read}, 256<<10)
	text, err := f.decompressed()
	if err != nil {
		return nil, err
	}
	f.compressed = text != io.Reader(f.raw)
	f.lines = bufio.NewReaderSize(text, 256<<10)
	if err := f.checkFormat(); err != nil {
		return nil, err
	}
	return f, nil
}

// decompressed returns the text.
func (f *File) decompressed() (io.Reader, error) {
	start, err := f.raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", f.shown(), err)
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		unzip, err := gzip.NewReader(f.raw)
		if err != nil {
			return nil, fmt.Errorf("reading %s as gzip: %w", f.shown(), err)
		}
		return unzip, nil
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(f.raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("reading %s as zstd: %w", f.shown(), err)
		}
		f.closers = append(f.closers, unzip.Close)
		return unzip, nil
	}
	return f.raw, nil
}

// Next returns the next line with its end. Of a line longer than limit bytes it returns the start, and true. The error is io.EOF
// after the last line.
func (f *File) Next(limit int) (line string, tooLong bool, err error) {
	var b strings.Builder
	for {
		part, err := f.lines.ReadSlice('\n')
		f.offset += int64(len(part))
		if room := limit - b.Len(); len(part) > room {
			part, tooLong = part[:room], true
		}
		b.Write(part)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (b.Len() > 0 || tooLong):
		case errors.Is(err, io.EOF):
			return "", false, io.EOF
		case err != nil:
			return "", false, fmt.Errorf("reading %s at byte %d: %w", f.shown(), f.offset, err)
		}
		f.line++
		return b.String(), tooLong, nil
	}
}

// Line is the number of the line that Next returned, from 1.
func (f *File) Line() int64 { return f.line }

// Offset returns the number of bytes of the decompressed text that Next has returned.
func (f *File) Offset() int64 { return f.offset }

// Read returns the number of bytes of the file that have been read. It is safe for concurrent use.
func (f *File) Read() int64 { return f.read.Load() }

// Skip continues at an Offset and Line of an earlier File of the same content. Nothing has been read of this one.
func (f *File) Skip(offset, line int64) error {
	if offset <= f.offset {
		return nil
	}
	from := f.offset
	f.offset, f.line = offset, line
	if f.file != nil && !f.compressed {
		if _, err := f.file.Seek(offset, io.SeekStart); err != nil {
			return fmt.Errorf("continuing in %s: %w", f.shown(), err)
		}
		f.read.Store(offset)
		f.raw.Reset(&counter{f.file, &f.read})
		f.lines.Reset(f.raw)
		return nil
	}
	if _, err := io.CopyN(io.Discard, f.lines, offset-from); err != nil {
		return fmt.Errorf("continuing in %s at byte %d: %w", f.shown(), offset, err)
	}
	return nil
}

// shown is the name in errors.
func (f *File) shown() string {
	if f.Name == "-" {
		return "standard input"
	}
	return f.Name
}

// Close closes the file.
func (f *File) Close() {
	for i := len(f.closers) - 1; i >= 0; i-- {
		f.closers[i]()
	}
	f.closers = nil
}

// A counter counts the bytes read.
type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}
