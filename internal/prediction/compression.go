package prediction

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// decompress returns the text of a body, given its Content-Encoding, of at most limit bytes.
func decompress(body, contentEncoding string, limit int) (string, *Reject) {
	encoding := strings.ToLower(trimSpace(contentEncoding))
	if encoding == "" || encoding == "identity" {
		if len(body) > limit {
			return "", tooLong(limit)
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
	compressed, err := base64.StdEncoding.DecodeString(trimSpace(body))
	if err != nil {
		return "", Rejectf(ReasonEncoding, "", "the message is not base64, though its Content-Encoding is %s: encode the compressed bytes", encoding)
	}
	text, err := readAll(open, compressed, limit)
	switch {
	case err != nil:
		return "", Rejectf(ReasonEncoding, "", "the message does not decompress as %s, as its Content-Encoding says", encoding)
	case len(text) > limit:
		return "", tooLong(limit)
	case !utf8.ValidString(text):
		return "", Rejectf(ReasonSyntax, "", "the decompressed message is not valid UTF-8")
	}
	return text, nil
}

func tooLong(limit int) *Reject {
	return Rejectf(ReasonTooLarge, "", "the message is longer than %d bytes once decompressed: split it, or allow more with WORKER_MAX_DECODED_BYTES", limit)
}

// readAll reads at most one byte over the limit.
func readAll(open *opener, compressed []byte, limit int) (string, error) {
	r, err := open.get(bytes.NewReader(compressed))
	if err != nil {
		return "", err
	}
	defer open.pool.Put(r)
	var text strings.Builder
	text.Grow(min(4*len(compressed), limit+1))
	_, err = io.Copy(&text, io.LimitReader(r, int64(limit)+1))
	return text.String(), err
}

// A resetter is a decompressor that can be used again; making one costs tens of kilobytes.
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

// maxZstdWindow bounds what a frame's header can make the decoder allocate. Level 19 of the zstd command uses 8 MiB.
const maxZstdWindow = 8 << 20

var openers = map[string]*opener{
	"gzip": {make: func() (resetter, error) { return new(gzip.Reader), nil }},
	"zstd": {make: func() (resetter, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	}},
}
