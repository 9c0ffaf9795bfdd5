package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// A role is what a column holds.
type role uint8

const (
	ignored   role = iota // a column without a name, such as the index that pandas writes
	id                    // the id
	instant               // a time or a duration: text or a number, as it comes
	payload               // the payload: JSON, or a text
	deleted               // whether it is a delete
	attribute             // an attribute, or a member of the payload if no column is the payload
)

// columns are the columns of CSV and Parquet.
type columns struct {
	roles   []role
	names   [][]byte // "name":
	members bool     // no column is the payload: an object of the attributes is
	id      bool     // of type N
	payload []byte   // "name": of the payload
	inner   []byte   // the payload that is being made
}

// newColumns gives the columns their roles. The error says why there can't be predictions in them.
func newColumns(names []string, o Options) (*columns, error) {
	c := &columns{id: o.Table.HashType == item.TypeN, members: true, payload: member(o.Fields.Payload)}
	found := 0
	for i, name := range names {
		kind := attribute
		switch {
		case name == "":
			kind = ignored
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("has two columns %q", name)
		case name == o.Fields.ID:
			kind = id
		case name == o.Fields.Timestamp || name == o.Fields.TTLSeconds || name == o.Fields.ExpiresAt:
			kind = instant
		case name == o.Fields.Deleted:
			kind = deleted
		case name == o.Fields.Payload:
			kind, c.members = payload, false
		default:
			found++
		}
		c.roles = append(c.roles, kind)
		c.names = append(c.names, member(name))
	}
	switch {
	case !slices.Contains(c.roles, id):
		return nil, fmt.Errorf("has no column %q (WORKER_FIELD_ID)", o.Fields.ID)
	case c.members && found == 0:
		return nil, fmt.Errorf("has no column %q (WORKER_FIELD_PREDICTION), and no other columns that could be the payload", o.Fields.Payload)
	}
	return c, nil
}

func member(name string) []byte { return append(jsonscan.AppendQuoted(nil, name), ':') }

// begin returns dst with the start of a row.
func (c *columns) begin(dst []byte) []byte {
	c.inner = append(c.inner[:0], '{')
	return append(dst[:0], '{')
}

// end returns dst with the end of a row.
func (c *columns) end(dst []byte) []byte {
	if c.members {
		dst = append(append(append(comma(dst), c.payload...), c.inner...), '}')
	}
	return append(dst, '}')
}

// omits reports whether a value is left out: of a column without a name, or an absent one that is not null in a payload.
func (c *columns) omits(kind role, absent bool) bool {
	return kind == ignored || absent && (!c.members || kind != attribute)
}

// add appends a column's value by append, to the row or to the payload.
func (c *columns) add(dst []byte, column int, value func(dst []byte) []byte) []byte {
	if c.members && c.roles[column] == attribute {
		c.inner = value(append(comma(c.inner), c.names[column]...))
		return dst
	}
	return value(append(comma(dst), c.names[column]...))
}

// comma appends a comma between members.
func comma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}

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

// appendCell appends a cell as JSON. Numbers keep their digits. A cell in quotes is a text, but a payload is JSON in either case, for it
// can hardly be written without quotes.
func appendCell(dst []byte, cell string, kind role, quoted, numericID bool) []byte {
	plain := false
	switch kind {
	case id:
		plain = numericID && jsonscan.IsNumber(cell)
	case instant:
		plain = jsonscan.IsNumber(cell)
	case payload:
		_, err := jsonscan.Parse(cell)
		plain = err == nil
	case attribute, deleted:
		if quoted && kind == attribute {
			break
		}
		switch cell {
		case "true", "True", "TRUE":
			return append(dst, "true"...)
		case "false", "False", "FALSE":
			return append(dst, "false"...)
		}
		plain = fitsNumber(cell)
	}
	if plain {
		return append(dst, cell...)
	}
	return jsonscan.AppendQuoted(dst, cell)
}

// fitsNumber reports whether a text is a JSON number that DynamoDB can hold. Others are texts: an account's 40 digits are no number.
func fitsNumber(text string) bool {
	if !jsonscan.IsNumber(text) {
		return false
	}
	d := jsonscan.ParseDecimal(text)
	m := d.Magnitude()
	return len(d.Digits) <= 38 && m <= 125 && m >= -130
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
