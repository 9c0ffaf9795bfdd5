package records

import (
	"fmt"
	"slices"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
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
