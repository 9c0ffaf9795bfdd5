package jsonlines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/jsonscan"
)

// signatures are how files begin that people do give, and that are not JSON.
var signatures = []struct {
	start  []byte
	format string
}{
	{[]byte("PAR1"), "Parquet"}, {[]byte("ORC"), "ORC"}, {[]byte("Obj\x01"), "Avro"}, {[]byte("PK\x03\x04"), "a zip archive"},
	{[]byte("BZh"), "bzip2"}, {[]byte("\xfd7zXZ"), "xz"}, {[]byte("\x93NUMPY"), "NumPy"}, {[]byte("\x80\x04"), "a pickle"},
	{[]byte("\xff\xfe"), "UTF-16"}, {[]byte("\xfe\xff"), "UTF-16"},
}

const wanted = "give one JSON object a line, in UTF-8, plain or compressed by gzip or zstd"

// checkFormat refuses a file that does not begin with JSON, before anything of it is written, and skips a byte order mark.
func (f *File) checkFormat() error {
	start, err := f.lines.Peek(64 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", f.shown(), err)
	}
	for _, known := range signatures {
		if bytes.HasPrefix(start, known.start) {
			return fmt.Errorf("%s is %s: %s", f.shown(), known.format, wanted)
		}
	}
	const mark = "\ufeff"
	if bytes.HasPrefix(start, []byte(mark)) {
		if _, err := f.lines.Discard(len(mark)); err != nil {
			return fmt.Errorf("reading %s: %w", f.shown(), err)
		}
		f.offset += int64(len(mark))
		start = start[len(mark):]
	}
	text := strings.TrimLeft(string(start), " \t\r\n")
	switch {
	case text == "" || text[0] == '{':
		return nil
	case text[0] != '[':
		return fmt.Errorf("%s does not begin with a JSON object: if it is CSV, convert it; %s", f.shown(), wanted)
	}
	// An array on one line is a line like others. One over several lines is not.
	first, _, ended := strings.Cut(text, "\n")
	if _, err := jsonscan.Parse(strings.TrimRight(first, " \t\r")); err != nil && ended {
		return fmt.Errorf("%s is one JSON array: make it one object a line, as `jq -c '.[]'` does", f.shown())
	}
	return nil
}
