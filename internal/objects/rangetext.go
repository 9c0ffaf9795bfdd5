package objects

import (
	"bufio"
	"errors"
	"io"
)

// A rangeText is the text of the lines that begin in a range of an object, as an io.Reader. Other than with records.OpenRange, the
// lines may be of any format.
type rangeText struct {
	in      *bufio.Reader
	at, end int64  // at is the offset of the next byte that begin or Read takes from in
	rest    []byte // of in's buffer, not returned yet
	inLine  bool   // at is inside of a line
	skip    bool   // the first line begins before the range
}

// newRangeText returns the text of a range. If start is greater than 0, r begins one byte before it.
func newRangeText(r io.Reader, start, end int64) *rangeText {
	return &rangeText{in: bufio.NewReaderSize(r, 64<<10), at: max(start-1, 0), end: end, skip: start > 0}
}

// begin skips to the first line. After it, at is where that line begins.
func (t *rangeText) begin() error {
	for t.skip {
		line, err := t.in.ReadSlice('\n')
		t.at += int64(len(line))
		switch {
		case err == nil:
			t.skip = false
		case errors.Is(err, io.EOF):
			t.at, t.skip = max(t.at, t.end), false
		case !errors.Is(err, bufio.ErrBufferFull):
			return err //nolint:wrapcheck // the Store's
		case t.at >= t.end: // no line begins in the range
			t.skip = false
		}
	}
	return nil
}

// Read implements io.Reader.
func (t *rangeText) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		if !t.inLine && t.at >= t.end {
			return 0, io.EOF
		}
		line, err := t.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return 0, err //nolint:wrapcheck // the Store's
		}
		if len(line) == 0 {
			return 0, io.EOF
		}
		t.at += int64(len(line))
		t.rest, t.inLine = line, line[len(line)-1] != '\n'
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
