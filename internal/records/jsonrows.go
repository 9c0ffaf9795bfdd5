package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/prediction"
)

const space = " \t\r\n"

// newline splits lines.
type newline struct{}

func (newline) end(text []byte) int {
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		return n + 1
	}
	return -1
}

// lines reads NDJSON. A line is not read further here: who decodes it rejects a broken one alone.
type lines struct {
	in    *input
	limit int
	end   int64 // rows from here on belong to another range; -1 for none
}

func (l *lines) next() (r Record, blank int64, err error) {
	for {
		if r.Offset = l.in.offset(); r.Offset == l.in.mark {
			r.Offset = 0 // the mark belongs to the first row, so that a range finds it
		}
		if l.end >= 0 && r.Offset >= l.end {
			return r, blank, io.EOF
		}
		row, tooLong, err := l.in.row(newline{}, l.limit)
		switch {
		case errors.Is(err, io.EOF):
			return r, blank, io.EOF
		case err != nil:
			return r, blank, l.in.failed(err)
		case tooLong:
			r.Why = tooLongRow(l.limit)
		}
		if r.Text = strings.Trim(row, space); r.Text != "" {
			return r, blank, nil
		}
		blank++
	}
}

func tooLongRow(limit int) *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonTooLarge, "", "the row is longer than %d bytes: see WORKER_MAX_DECODED_BYTES", limit)
}

// values reads JSON values back to back. The elements of an array are rows.
type values struct {
	in     *input
	limit  int
	array  bool // inside an array
	first  bool // of the array: its end may follow
	parted bool // a comma or the array's end must follow
}

func (v *values) next() (r Record, blank int64, err error) {
	for {
		c, err := v.peek()
		if err != nil {
			return r, 0, err
		}
		switch {
		case v.array && c == ']' && (v.parted || v.first):
			*v = values{in: v.in, limit: v.limit}
		case v.parted && c == ',':
			v.parted, v.first = false, false
		case v.parted || c == ',' || c == ']' || c == '}' || c == ':':
			return r, 0, v.broken("has no comma or bracket where one must be, or a wrong one", v.in.offset())
		case c == '[' && !v.array:
			v.array, v.first = true, true
		default:
			r, err := v.value(c)
			return r, 0, err
		}
		v.in.next++
	}
}

// peek skips white space and returns the next byte. It returns io.EOF at the end, but not inside an array.
func (v *values) peek() (byte, error) {
	w := v.in.window
	for {
		for ; w.next < len(w.buf); w.next++ {
			if c := w.buf[w.next]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				return c, nil
			}
		}
		if w.more() {
			continue
		}
		switch {
		case !errors.Is(w.err, io.EOF):
			return 0, v.in.failed(w.err)
		case v.array:
			return 0, v.broken("ends within an array: it is incomplete", v.in.offset())
		}
		return 0, io.EOF
	}
}

func (v *values) broken(what string, at int64) error {
	return &FormatError{v.in.name, fmt.Sprintf("%s, at byte %d of its text", what, at), nil}
}

// value reads the value that begins with c.
func (v *values) value(c byte) (r Record, err error) {
	r.Offset = v.in.offset()
	var whole jsonEnd
	var s splitter = &whole
	scalar := c != '{' && c != '[' && c != '"'
	if scalar {
		s = scalarEnd{}
	}
	row, tooLong, err := v.in.row(s, v.limit)
	switch {
	case err != nil:
		return r, v.in.failed(err)
	case whole.broken:
		return r, v.broken("has a row that is not JSON: a string over several lines", r.Offset)
	case tooLong:
		r.Why = tooLongRow(v.limit)
	case !scalar && !whole.ended:
		return r, v.broken("ends within a row: it is incomplete", r.Offset)
	}
	r.Text = row
	v.parted = v.array
	return r, nil
}

// jsonEnd finds the end of an object, an array or a string by its brackets and quotes alone.
type jsonEnd struct {
	depth           int
	inside, escaped bool // of a string; behind a backslash
	ended           bool
	broken          bool // a string has a line break, which JSON does not allow: quotes can't be told apart from here on
}

// structure marks the bytes that jsonEnd must see outside of strings.
var structure = [256]bool{'"': true, '{': true, '}': true, '[': true, ']': true}

func (s *jsonEnd) end(text []byte) int {
	for i := 0; i < len(text); {
		if s.inside {
			n := bytes.IndexByte(text[i:], '"')
			part := text[i:]
			if n >= 0 {
				part = text[i : i+n]
			}
			if bytes.IndexByte(part, '\n') >= 0 {
				s.broken, s.ended = true, true
				return i
			}
			s.escape(part)
			if n < 0 {
				return -1
			}
			i += n + 1
			if s.inside, s.escaped = s.escaped, false; !s.inside && s.depth == 0 {
				s.ended = true
				return i
			}
			continue
		}
		for i < len(text) && !structure[text[i]] {
			i++
		}
		if i == len(text) {
			return -1
		}
		switch text[i] {
		case '"':
			s.inside = true
		case '{', '[':
			s.depth++
		default:
			if s.depth--; s.depth <= 0 {
				s.ended = true
				return i + 1
			}
		}
		i++
	}
	return -1
}

// escape sets escaped if what follows a part of a string is behind a backslash.
func (s *jsonEnd) escape(part []byte) {
	n := len(part)
	for n > 0 && part[n-1] == '\\' {
		n--
	}
	odd := (len(part)-n)%2 == 1
	if n == 0 && s.escaped { // the backslashes go on from the part before
		odd = !odd
	}
	s.escaped = odd
}

// scalarEnd finds the end of a number or a word.
type scalarEnd struct{}

func (scalarEnd) end(text []byte) int { return bytes.IndexAny(text, " \t\r\n,]}[{\"") }
