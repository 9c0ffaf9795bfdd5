package main

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

// A position is how far a run has come: what comes before it is in the table, or can never be.
type position struct {
	File   string    `json:"file"`
	Index  int       `json:"index"`  // of the file among those of the command
	Offset int64     `json:"offset"` // in bytes, decompressed
	Line   int64     `json:"line"`
	Size   int64     `json:"size"` // of the file, by which it is known again
	Time   time.Time `json:"modified"`
}

// A source reads one file's lines.
type source struct {
	position
	lines   *bufio.Reader
	passed  *atomic.Int64 // bytes read from the file itself, for progress
	closers []func()
}

// openSource opens a file at a position of an earlier run, or at its start.
func openSource(name string, index int, at *position, passed *atomic.Int64) (*source, error) {
	s := &source{position: position{File: name, Index: index}, passed: passed}
	file := os.Stdin
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		s.closers = append(s.closers, func() { file.Close() })
		info, err := file.Stat()
		if err != nil {
			s.close()
			return nil, fmt.Errorf("opening the predictions: %w", err)
		}
		s.Size, s.Time = info.Size(), info.ModTime().UTC()
	}
	raw := bufio.NewReaderSize(&counter{file, passed}, 256<<10)
	var lines io.Reader = raw
	start, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		s.close()
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		unzip, err := gzip.NewReader(raw)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("reading %s as gzip: %w", name, err)
		}
		lines = unzip
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			s.close()
			return nil, fmt.Errorf("reading %s as zstd: %w", name, err)
		}
		s.closers = append(s.closers, unzip.Close)
		lines = unzip
	}
	s.lines = bufio.NewReaderSize(lines, 256<<10)
	if at != nil && at.Offset > 0 {
		if err := s.skip(*at, file, raw, lines == io.Reader(raw)); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// skip goes to where an earlier run was.
func (s *source) skip(at position, file *os.File, raw *bufio.Reader, plain bool) error {
	if at.Size != s.Size || !at.Time.Equal(s.Time) {
		return fmt.Errorf("%s is no longer the file that the interrupted run read: remove its state to start again", s.File)
	}
	s.Offset, s.Line = at.Offset, at.Line
	if plain && s.File != "-" {
		if _, err := file.Seek(at.Offset, io.SeekStart); err != nil {
			return fmt.Errorf("going on in %s: %w", s.File, err)
		}
		s.passed.Store(at.Offset)
		raw.Reset(&counter{file, s.passed})
		s.lines.Reset(raw)
		return nil
	}
	if _, err := io.CopyN(io.Discard, s.lines, at.Offset); err != nil {
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
