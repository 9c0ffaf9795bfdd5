package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

// csvRows reads CSV (RFC 4180). The delimiter is a comma, a tab or a semicolon, whichever shows the column of the id.
type csvRows struct {
	in      *input
	limit   int
	columns *columns
	comma   byte
	text    []byte
	cell    []byte // unescaped
}

func newCSV(in *input, o Options) (*csvRows, error) {
	header, tooLong, err := in.row(&csvEnd{comma: ','}, min(o.MaxRow, maxSniff))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, in.failed(err)
	}
	header = strings.TrimRight(header, "\r\n")
	if tooLong || !utf8.ValidString(header) {
		return nil, &FormatError{o.Name, "begins with no header, nor with JSON: " + wanted, nil}
	}
	var first error
	for _, comma := range []byte{',', '\t', ';'} {
		c := &csvRows{in: in, limit: o.MaxRow, comma: comma}
		var names []string
		c.split(header, func(_ int, cell string, _ bool) { names = append(names, strings.TrimSpace(cell)) })
		c.columns, err = newColumns(names, o)
		if err == nil {
			return c, nil
		}
		if first == nil || slices.Contains(names, o.Fields.ID) {
			first = err
		}
	}
	return nil, &FormatError{o.Name, fmt.Sprintf("does not begin with JSON, and read as CSV it %v: %s", first, wanted), nil}
}

func (c *csvRows) next() (r Record, blank int64, err error) {
	for {
		r.Offset = c.in.offset()
		end := csvEnd{comma: c.comma}
		row, tooLong, err := c.in.row(&end, c.limit)
		switch {
		case errors.Is(err, io.EOF):
			return r, 0, io.EOF
		case err != nil:
			return r, 0, c.in.failed(err)
		case tooLong:
			r.Text, r.Why = row, tooLongRow(c.limit)
			return r, 0, nil
		}
		if r.Text = strings.TrimRight(row, "\r\n"); r.Text == "" {
			continue
		}
		if r.Why = c.message(r.Text); r.Why == nil {
			r.Text = string(c.text)
		}
		return r, 0, nil
	}
}

// message makes the text of a row's prediction.
func (c *csvRows) message(row string) *prediction.Reject {
	if !utf8.ValidString(row) {
		return prediction.Rejectf(prediction.ReasonSyntax, "", "the row is not UTF-8")
	}
	c.text = c.columns.begin(c.text)
	n, good := c.split(row, func(column int, cell string, quoted bool) {
		if column < len(c.columns.roles) {
			c.value(column, cell, quoted)
		}
	})
	switch {
	case !good:
		return prediction.Rejectf(prediction.ReasonSyntax, "", "the row has a quoted cell that does not end where the cell does")
	case n != len(c.columns.roles):
		return prediction.Rejectf(prediction.ReasonSyntax, "", "the row has %d cells, and the header %d", n, len(c.columns.roles))
	}
	c.text = c.columns.end(c.text)
	return nil
}

// value appends a cell. An empty one without quotes is absent: null in a payload that the columns make.
func (c *csvRows) value(column int, cell string, quoted bool) {
	kind := c.columns.roles[column]
	absent := cell == "" && !quoted
	switch {
	case c.columns.omits(kind, absent):
	case absent:
		c.text = c.columns.add(c.text, column, func(dst []byte) []byte { return append(dst, "null"...) })
	default:
		c.text = c.columns.add(c.text, column, func(dst []byte) []byte { return appendCell(dst, cell, kind, quoted, c.columns.id) })
	}
}

// split calls cell for each cell of a row, and returns the number of cells. good is false if a quoted cell goes on behind its quote.
func (c *csvRows) split(row string, cell func(column int, text string, quoted bool)) (n int, good bool) {
	for ; ; n++ {
		if !strings.HasPrefix(row, `"`) {
			text, rest, more := cutByte(row, c.comma)
			cell(n, text, false)
			if row = rest; !more {
				return n + 1, true
			}
			continue
		}
		text, rest, closed := c.quoted(row[1:])
		if !closed || rest != "" && rest[0] != c.comma {
			return n + 1, false
		}
		cell(n, text, true)
		if rest == "" {
			return n + 1, true
		}
		row = rest[1:]
	}
}

func cutByte(s string, c byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// quoted returns the text of a cell up to its closing quote, and what follows. Two quotes stand for one.
func (c *csvRows) quoted(s string) (text, rest string, closed bool) {
	c.cell = c.cell[:0]
	for from := s; ; {
		i := strings.IndexByte(from, '"')
		if i < 0 {
			return "", "", false
		}
		if i+1 == len(from) || from[i+1] != '"' {
			if len(c.cell) == 0 {
				return from[:i], from[i+1:], true
			}
			c.cell = append(c.cell, from[:i]...)
			return string(c.cell), from[i+1:], true
		}
		c.cell = append(c.cell, from[:i+1]...)
		from = from[i+2:]
	}
}

// csvEnd finds the end of a row. A line break within quotes belongs to the cell.
type csvEnd struct {
	comma byte
	state uint8
}

const (
	cellStart  uint8 = iota
	cellPlain        // quotes have no meaning
	cellQuoted       // within quotes
	cellQuote        // behind a quote within quotes: it ends them, or is the first of two
)

func (s *csvEnd) end(text []byte) int {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch s.state {
		case cellQuoted:
			n := bytes.IndexByte(text[i:], '"')
			if n < 0 {
				return -1
			}
			i += n
			s.state = cellQuote
			continue
		case cellQuote:
			if c == '"' {
				s.state = cellQuoted
				continue
			}
			s.state = cellPlain
		case cellStart:
			s.state = cellPlain
			if c == '"' {
				s.state = cellQuoted
				continue
			}
		}
		switch c {
		case '\n':
			return i + 1
		case s.comma:
			s.state = cellStart
		}
	}
	return -1
}
