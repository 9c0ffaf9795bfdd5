package prediction

import (
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// decompress returns the text of a body, given its Content-Encoding.
func (r *decoding) decompress(body, contentEncoding string) (string, *Reject) {
	encoding := strings.ToLower(trimSpace(contentEncoding))
	if encoding == "" || encoding == "identity" {
		if len(body) > r.cfg.MaxDecodedBytes {
			return "", tooLong(r.cfg.MaxDecodedBytes)
		}
		if !utf8.ValidString(body) {
			return "", Rejectf(ReasonSyntax, "", "the message is not valid UTF-8")
		}
		return body, nil
	}
	open, found := openers[encoding]
	if !found {
		return "", Rejectf(ReasonEncoding, "Content-Encoding", "is unknown: send gzip or zstd, in base64, or leave it out")
	}
	compressed := base64.NewDecoder(base64.StdEncoding, strings.NewReader(trimSpace(body)))
	source, err := open.get(compressed)
	if err != nil {
		return "", notEncoded(encoding, err)
	}
	defer open.put(source)
	text, why := r.inflate(source, encoding)
	switch {
	case why != nil:
		return "", why
	case !utf8.ValidString(text):
		return "", Rejectf(ReasonSyntax, "", "the decompressed message is not valid UTF-8")
	}
	return text, nil
}

func notEncoded(encoding string, err error) *Reject {
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return Rejectf(ReasonEncoding, "", "the message is not base64, though its Content-Encoding is %s: encode the compressed bytes", encoding)
	}
	return Rejectf(ReasonEncoding, "", "the message does not decompress as %s, as its Content-Encoding says", encoding)
}

// buffers hold texts while they are inflated. The result is a string of exact length.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// inflate reads source. It asks for room once the text exceeds what was granted, and stops once it exceeds MaxDecodedBytes.
func (r *decoding) inflate(source io.Reader, encoding string) (string, *Reject) {
	buffer := buffers.Get().(*[]byte)
	text := (*buffer)[:0]
	defer func() {
		if cap(text) <= 1<<20 { // don't keep the buffer of a rare large text
			*buffer = text
		}
		buffers.Put(buffer)
	}()
	for {
		if len(text) == cap(text) {
			text = slices.Grow(text, max(len(text), 32<<10))
		}
		n, err := source.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case r.dst.Bytes+len(text) > r.cfg.MaxDecodedBytes, errors.Is(err, io.EOF):
			if why := r.take(len(text)); why != nil {
				return "", why
			}
			return string(text), nil
		case err != nil:
			return "", notEncoded(encoding, err)
		case r.dst.Bytes+len(text) > r.granted:
			if why := r.ask(r.cfg.MaxDecodedBytes); why != nil {
				return "", why
			}
		}
	}
}

// A resetter is a reusable decompressor. A new one costs tens of kilobytes.
type resetter interface {
	io.Reader
	Reset(r io.Reader) error
}

type opener struct {
	pool sync.Pool
	make func() (resetter, error)
}

func (o *opener) get(src io.Reader) (resetter, error) {
	r, ok := o.pool.Get().(resetter)
	if !ok {
		var err error
		if r, err = o.make(); err != nil {
			return nil, err
		}
	}
	if err := r.Reset(src); err != nil {
		return nil, err
	}
	return r, nil
}

// put returns a decompressor to the pool without a reference to its source.
func (o *opener) put(r resetter) {
	_ = r.Reset(strings.NewReader("")) // gzip returns an error, since this has no header
	o.pool.Put(r)
}

// maxZstdWindow bounds what the header of a frame can make the decoder allocate. Level 19 of the zstd command uses 8 MiB.
const maxZstdWindow = 8 << 20

var openers = map[string]*opener{
	"gzip": {make: func() (resetter, error) { return new(gzip.Reader), nil }},
	"zstd": {make: func() (resetter, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	}},
}
