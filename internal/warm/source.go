package warm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A source reads one file's lines.
type source struct {
	position
	lines       *bufio.Reader
	passed      atomic.Int64 // bytes read of the file itself, for progress
	bytesBefore int64        // of the files before it
	closers     []func()
}

// open opens a file where an interrupted run was, or at its start.
func (r *Run) open(name string, index int, at *position) (_ *source, err error) {
	s := &source{position: position{File: name, Index: index}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var file *os.File
	in := r.o.Stdin
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		s.closers = append(s.closers, func() { file.Close() })
		info, err := file.Stat()
		if err != nil {
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		s.Size, s.Time, in = info.Size(), info.ModTime().UTC(), file
	}
	raw := bufio.NewReaderSize(&counter{in, &s.passed}, 256<<10)
	text, err := s.decompressed(raw)
	if err != nil {
		return nil, err
	}
	s.lines = bufio.NewReaderSize(text, 256<<10)
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	if at != nil && at.Offset > s.Offset {
		return s, s.skip(*at, file, raw, text == io.Reader(raw))
	}
	return s, nil
}

// decompressed returns the text of a file: what it holds tells how it is compressed, whatever its name.
func (s *source) decompressed(raw *bufio.Reader) (io.Reader, error) {
	start, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", s.File, err)
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		unzip, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("reading %s as gzip: %w", s.File, err)
		}
		return unzip, nil
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("reading %s as zstd: %w", s.File, err)
		}
		s.closers = append(s.closers, unzip.Close)
		return unzip, nil
	}
	return raw, nil
}

// skip goes to where an earlier run was.
func (s *source) skip(at position, file *os.File, raw *bufio.Reader, plain bool) error {
	if at.Size != s.Size || !at.Time.Equal(s.Time) {
		return fmt.Errorf("%s is no longer the file that the interrupted run read: remove its state to start again", s.File)
	}
	from := s.Offset
	s.Offset, s.Line, s.LinesBefore = at.Offset, at.Line, at.LinesBefore
	if plain && s.File != "-" {
		if _, err := file.Seek(at.Offset, io.SeekStart); err != nil {
			return fmt.Errorf("going on in %s: %w", s.File, err)
		}
		s.passed.Store(at.Offset)
		raw.Reset(&counter{file, &s.passed})
		s.lines.Reset(raw)
		return nil
	}
	if _, err := io.CopyN(io.Discard, s.lines, at.Offset-from); err != nil {
		return fmt.Errorf("going on in %s at byte %d: %w", s.File, at.Offset, err)
	}
	return nil
}

// next reads a line of at most limit bytes. Of a longer one it returns the start, and true. The error is io.EOF at the end.
func (s *source) next(limit int) (line string, tooLong bool, err error) {
	var b strings.Builder
	for {
		part, err := s.lines.ReadSlice('\n')
		s.Offset += int64(len(part))
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
			return "", false, fmt.Errorf("reading %s at byte %d: %w", s.File, s.Offset, err)
		}
		s.Line++
		return b.String(), tooLong, nil
	}
}

func (s *source) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// A counter counts what is read.
type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}
