package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/jsonscan"
)

// wanted ends the error for a text of another format.
const wanted = "give NDJSON, JSON, CSV with a header, or a DynamoDB JSON export, plain or compressed by gzip or zstd, or Parquet"

// signatures are how texts begin that people do give, and that have none of the formats.
var signatures = []struct{ start, format string }{
	{"PAR1", "Parquet inside of another compression, or not a file"}, {"ORC", "ORC"}, {"Obj\x01", "Avro"}, {"PK\x03\x04", "a zip archive"},
	{"BZh", "bzip2"}, {"\xfd7zXZ", "xz"}, {"\x1f\x8b", "gzip inside of another compression"}, {"\x28\xb5\x2f\xfd", "zstd inside of another compression"},
	{"\x04\x22\x4d\x18", "lz4"}, {"\xff\x06\x00\x00sNaPpY", "snappy"}, {"\x93NUMPY", "NumPy"}, {"\x80\x04", "a pickle"}, {"\x80\x05", "a pickle"},
	{"\x89HDF", "HDF5"}, {"ARROW1", "Arrow IPC: write Parquet"}, {"\xff\xff\xff\xff", "Arrow IPC: write Parquet"}, {"SQLite format 3", "SQLite"},
	{"\xe0\x01\x00\xea", "Amazon Ion: export as DynamoDB JSON"}, {"$ion_1_0", "Amazon Ion: export as DynamoDB JSON"},
	{"\xff\xfe\x00\x00", "UTF-32"}, {"\x00\x00\xfe\xff", "UTF-32"}, {"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"},
	{"{\x00", "UTF-16"}, {"[\x00", "UTF-16"}, {"\x00{", "UTF-16"}, {"\x00[", "UTF-16"}, {"<", "XML or HTML"},
}

// IsParquet reports whether a text begins as Parquet does, which OpenParquet reads.
func IsParquet(start []byte) bool { return bytes.HasPrefix(start, []byte("PAR1")) }

// maxSniff is the maximum length of the text that detect looks at: the first row is longer then.
const maxSniff = 1 << 20

// detect sets the reader's format and rows. It reads until the format is certain.
func (r *Reader) detect() error {
	in := r.in
	for len(in.buf) < 16 && in.more() {
	}
	for _, known := range signatures {
		if bytes.HasPrefix(in.buf, []byte(known.start)) {
			return r.refuse("is %s: %s", known.format, wanted)
		}
	}
	if err := in.skipMark(); err != nil {
		return err
	}
	for {
		text := strings.TrimLeft(string(in.buf[in.next:]), space)
		atEnd := len(in.buf)-in.next >= maxSniff || errors.Is(in.err, io.EOF)
		format, err := r.sniff(text, atEnd)
		if err != nil {
			return err
		}
		if format != "" {
			return r.use(format)
		}
		if !in.more() && !errors.Is(in.err, io.EOF) {
			return in.failed(in.err)
		}
	}
}

func (r *Reader) refuse(format string, args ...any) error {
	return &FormatError{r.o.Name, fmt.Sprintf(format, args...), nil}
}

// use sets the format.
func (r *Reader) use(format Format) (err error) {
	r.format = format
	switch format {
	case Lines:
		r.rows = &lines{in: r.in, limit: r.o.MaxRow, end: -1}
	case Values:
		r.rows = &values{in: r.in, limit: r.o.MaxRow}
	case Export:
		r.rows, err = newExport(r.in, r.o)
	case CSV:
		r.rows, err = newCSV(r.in, r.o)
	}
	return err
}

// sniff returns the format of a text by its start, or "" if that is too short and all is false. all says that there is no more, or
// enough.
func (r *Reader) sniff(text string, all bool) (Format, error) {
	first, _, ended := strings.Cut(text, "\n")
	switch {
	case text == "" && all:
		return Lines, nil // nothing, or many blank lines
	case text == "":
		return "", nil
	case text[0] == '{' || text[0] == '[':
		format := sniffJSON(text, all)
		if format == Lines && text[0] == '{' {
			return r.sniffExport(first)
		}
		return format, nil
	case !ended && !all:
		return "", nil
	}
	if i := strings.IndexFunc(first, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' || c == '\ufffd' }); i >= 0 {
		return "", r.refuse("is not text: %s", wanted)
	}
	return CSV, nil // newCSV checks that the first line is a header
}

// sniffJSON tells Lines from Values.
func sniffJSON(text string, all bool) Format {
	value, end, err := jsonscan.ParseLoosely(text)
	if err == nil {
		if strings.Contains(value.Text, "\n") {
			return Values
		}
		return afterFirst(text[0], text[end:], all)
	}
	first, _, ended := strings.Cut(text, "\n")
	switch {
	case text[0] == '[' && (ended || all):
		return Values
	case text[0] == '[':
		return ""
	case hasWholeLine(text):
		return Lines
	case !ended && !all:
		return ""
	}
	// An object over several lines, or a broken line.
	var s jsonEnd
	switch n := s.end([]byte(text)); {
	case s.broken:
		return Lines
	case n > len(first):
		return Values
	case n >= 0:
		return Lines
	case all && len(text) < maxSniff:
		return Lines
	case all:
		return Values
	}
	return ""
}

// afterFirst tells the format by what follows the first value, an object or an array on one line.
func afterFirst(kind byte, rest string, all bool) Format {
	line, after, ended := strings.Cut(rest, "\n")
	switch line = strings.Trim(line, space); {
	case line != "" && (line[0] == '{' || line[0] == '['):
		return Values
	case line != "":
		return Lines // text behind an object: the line is rejected
	case !ended && !all:
		return ""
	case kind == '{' || strings.Trim(after, space) != "":
		return Lines
	case all:
		return Values // one array on one line
	}
	return ""
}

// hasWholeLine reports whether a line, after the first, is an object that is not indented: the text is NDJSON, and its first line broken.
func hasWholeLine(text string) bool {
	for line := range strings.Lines(text) {
		if line[0] == '{' && strings.HasSuffix(line, "\n") {
			if _, end, err := jsonscan.ParseLoosely(line); err == nil && strings.Trim(line[end:], space) == "" {
				return true
			}
		}
	}
	return false
}
