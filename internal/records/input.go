package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the maximum window of zstd, which is held in memory. The command zstd needs --long=28 to go over it.
const maxWindow = 32 << 20

// An input is the decompressed text.
type input struct {
	*window
	name       string
	source     *source
	compressed bool
	mark       int64  // length of the byte order mark
	closer     func() // may be nil
}

// A source keeps the error of the text's io.Reader apart from those of the content.
type source struct {
	r   io.Reader
	err error // but io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// newInput returns the text of r, decompressed if it begins like gzip or zstd.
func newInput(r io.Reader, name string) (*input, error) {
	in := &input{name: name, source: &source{r: r}}
	raw := bufio.NewReaderSize(in.source, blockBytes)
	start, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, in.failed(err)
	}
	text := io.Reader(raw)
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		unzip, err := gzip.NewReader(raw) // reads all members of the file as one text
		if err != nil {
			return nil, in.failed(err)
		}
		text, in.compressed = unzip, true
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, in.failed(err)
		}
		text, in.compressed, in.closer = unzip, true, unzip.Close
	}
	in.window = newWindow(text)
	return in, nil
}

// failed returns the error of reading the text: that of its io.Reader, or a FormatError.
func (in *input) failed(err error) error {
	if in.source.err != nil {
		return fmt.Errorf("reading %s: %w", in.name, in.source.err)
	}
	what := "is damaged"
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		what = fmt.Sprintf("is zstd with a window over %d MiB: compress it without --long", maxWindow>>20)
	case in.window != nil:
		what = fmt.Sprintf("is damaged after byte %d of its text", in.at+int64(len(in.buf)))
	}
	return &FormatError{in.name, what, err}
}

const byteOrderMark = "\ufeff"

// skipMark skips a byte order mark at the start of the text.
func (in *input) skipMark() error {
	for len(in.buf) < len(byteOrderMark) && in.more() {
	}
	if bytes.HasPrefix(in.buf, []byte(byteOrderMark)) {
		in.next += len(byteOrderMark)
		in.mark = int64(len(byteOrderMark))
	}
	if in.err != nil && !errors.Is(in.err, io.EOF) {
		return in.failed(in.err)
	}
	return nil
}

// discardTo skips the text up to an offset.
func (in *input) discardTo(offset int64) error {
	for in.offset() < offset {
		if in.next < len(in.buf) {
			in.next += int(min(int64(len(in.buf)-in.next), offset-in.offset()))
			continue
		}
		if in.more() {
			continue
		}
		if !errors.Is(in.err, io.EOF) {
			return in.failed(in.err)
		}
		return fmt.Errorf("continuing in %s at byte %d: %w", in.name, offset, io.ErrUnexpectedEOF)
	}
	return nil
}

// seek continues at an offset if the text is stored as it is, in something that can seek.
func (in *input) seek(offset int64) bool {
	s, ok := in.source.r.(io.Seeker)
	if !ok || in.compressed {
		return false
	}
	if _, err := s.Seek(offset, io.SeekStart); err != nil {
		return false
	}
	in.window = &window{r: in.source, at: offset}
	return true
}

func (in *input) close() {
	if in.closer != nil {
		in.closer()
	}
}
