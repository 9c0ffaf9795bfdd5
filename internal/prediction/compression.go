package prediction

import (
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

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
	if encoding != "gzip" && encoding != "zstd" {
		return "", Rejectf(ReasonEncoding, "Content-Encoding", "is unknown: send gzip or zstd, in base64, or leave it out")
	}
	text, fits, err := r.inflate(encoding, trimSpace(body), r.granted-r.dst.Bytes)
	if err == nil && !fits { // nothing is held while it waits for room
		if why := r.ask(r.cfg.MaxDecodedBytes); why != nil {
			return "", why
		}
		text, fits, err = r.inflate(encoding, trimSpace(body), r.cfg.MaxDecodedBytes-r.dst.Bytes)
	}
	switch {
	case err != nil:
		return "", notEncoded(encoding, err)
	case !fits:
		return "", tooLong(r.cfg.MaxDecodedBytes)
	case !utf8.ValidString(text):
		return "", Rejectf(ReasonSyntax, "", "the decompressed message is not valid UTF-8")
	}
	return text, r.take(len(text))
}

func notEncoded(encoding string, err error) *Reject {
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return Rejectf(ReasonEncoding, "", "the message is not base64, though its Content-Encoding is %s: encode the compressed bytes", encoding)
	}
	return Rejectf(ReasonEncoding, "", "the message does not decompress as %s, as its Content-Encoding says", encoding)
}

// compression returns how a body without a Content-Encoding seems to be compressed: gzip, zstd or "". In base64, the first bytes of
// both formats are always the same letters.
func compression(body string) string {
	switch {
	case strings.HasPrefix(body, "H4sI"): // 1f 8b 08
		return "gzip"
	case strings.HasPrefix(body, "KLUv/"): // 28 b5 2f fd
		return "zstd"
	}
	return ""
}

// buffers hold texts while they are inflated. The result is a string of exact length.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the largest buffer that is kept: one of a rare large text becomes the text.
const maxBuffer = 1 << 20

// inflate decompresses a body in base64. fits is false if the text has more than limit bytes.
func (r *decoding) inflate(encoding, body string, limit int) (inflated string, fits bool, err error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer) // once its text has been copied
	var text []byte
	if encoding == "gzip" {
		text, err = gunzip((*buffer)[:0], body, limit)
	} else {
		text, err = r.zstd.decode((*buffer)[:0], body, limit)
	}
	large := cap(text) > maxBuffer
	if !large && text != nil {
		*buffer = text
	}
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || len(text) > limit:
		return "", false, nil
	case err != nil:
		return "", true, err
	case large && cap(text)-len(text) <= len(text)/8:
		return unsafe.String(unsafe.SliceData(text), len(text)), true, nil // nobody else has it
	default:
		return string(text), true, nil
	}
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gunzip appends the text of a body to dst, and one byte more than limit if it is longer.
func gunzip(dst []byte, body string, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzip.Reader)
	defer func() {
		_ = r.Reset(strings.NewReader("")) // a pool must not keep the body; it returns an error, since this has no header
		gzipReaders.Put(r)
	}()
	if err := r.Reset(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body))); err != nil {
		return nil, err
	}
	for len(dst) <= limit {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(min(len(dst), limit+1-len(dst)), 32<<10))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// zstdReaders decode whole bodies, so that none keeps a window: they write to memory that is the window. A reader has its limit for
// its life: one serves small texts, one all.
type zstdReaders struct{ small, all *zstd.Decoder }

// maxZstdWindow bounds what the header of a frame can make the decoder allocate. Level 19 of the zstd command uses 8 MiB.
const maxZstdWindow = 8 << 20

func newZstd(limit int) zstdReaders {
	reader := func(limit int) *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(max(limit, 1))), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // only for options that don't exist
		}
		return d
	}
	return zstdReaders{small: reader(min(FreeBytes, limit)), all: reader(limit)}
}

// decode appends the text of a body to dst. The error is zstd.ErrDecoderSizeExceeded if it has more than limit bytes, or the text
// is one byte too long.
func (z zstdReaders) decode(dst []byte, body string, limit int) ([]byte, error) {
	compressed, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return dst, err
	}
	if limit <= FreeBytes {
		return z.small.DecodeAll(compressed, dst)
	}
	return z.all.DecodeAll(compressed, dst)
}
