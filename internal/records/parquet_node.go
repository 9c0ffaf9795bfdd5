package records

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A node is a column of Parquet, or a group of them. A value of it has, in each of its leaf columns, one or more values, whose levels say
// what is null and where a list's element ends ("Apache Parquet: Nested Encoding").
type node struct {
	first, last int // leaf columns
	def, rep    int // definition level at which it is not null, repetition level of its elements

	leaf   func(dst []byte, v parquet.Value) []byte // of a column
	text   bool                                     // the column holds texts, or bytes that may be one
	number bool                                     // the column holds numbers

	limit   int   // of the text of a list: what comes behind it is left out, since the row is rejected
	element *node // of a list
	key     *node // of a map, whose values are element
	members []*node
	names   [][]byte
}

// maxLevels bounds the nesting of a schema.
const maxLevels = 32

// A schema makes nodes of a file's schema.
type schema struct {
	leaf    int          // number of leaf columns that have nodes
	repeats []int        // maximum repetition level of each
	half    map[int]bool // leaf columns of type FLOAT16, which the library takes for bytes
	limit   int          // of the text of a list
}

func newSchema(elements []format.SchemaElement, limit int) *schema {
	s := &schema{half: map[int]bool{}, limit: limit}
	leaf := 0
	for i := range elements {
		if !elements[i].Type.Valid {
			continue
		}
		if _, half := elements[i].LogicalType.Value.(*format.Float16Type); half {
			s.half[leaf] = true
		}
		leaf++
	}
	return s
}

// node returns the node of a field.
func (s *schema) node(f parquet.Node, def, rep int) (n *node, err error) {
	if def > maxLevels {
		return nil, fmt.Errorf("has a column that is nested deeper than %d levels", maxLevels)
	}
	if f.Optional() {
		def++
	}
	if f.Repeated() { // a list without its own group
		list := &node{first: s.leaf, def: def, rep: rep + 1, limit: s.limit}
		list.element, err = s.node(parquet.Required(f), def+1, rep+1)
		list.last = s.leaf
		return list, err
	}
	n = &node{first: s.leaf, def: def, rep: rep, limit: s.limit}
	switch inner := repeatedChild(f); {
	case f.Leaf():
		if err = n.column(f.Type()); s.half[s.leaf] {
			n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, float16(v.ByteArray()), 32) }
		}
		s.repeats = append(s.repeats, rep)
		s.leaf++
	case inner != nil && isMap(f) && len(inner.Fields()) == 2:
		n.rep++
		if n.key, err = s.node(inner.Fields()[0], def+1, rep+1); err == nil {
			n.element, err = s.node(inner.Fields()[1], def+1, rep+1)
		}
	case inner != nil && isList(f):
		n.rep++
		element := parquet.Required(inner)
		if !inner.Leaf() && len(inner.Fields()) == 1 && inner.Name() != "array" && !strings.HasSuffix(inner.Name(), "_tuple") {
			element = inner.Fields()[0]
		}
		n.element, err = s.node(element, def+1, rep+1)
	default:
		for _, field := range f.Fields() {
			inner, err := s.node(field, def, rep)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, inner)
			n.names = append(n.names, member(field.Name()))
		}
	}
	n.last = s.leaf
	return n, err
}

// repeatedChild returns the only field of a group, if it is repeated.
func repeatedChild(f parquet.Node) parquet.Field {
	if f.Leaf() {
		return nil
	}
	if fields := f.Fields(); len(fields) == 1 && fields[0].Repeated() {
		return fields[0]
	}
	return nil
}

func isList(f parquet.Node) bool {
	t := f.Type().LogicalType()
	if t == nil {
		return false
	}
	_, list := t.Value.(*format.ListType)
	return list
}

func isMap(f parquet.Node) bool {
	t := f.Type().LogicalType()
	if t == nil {
		return false
	}
	_, isMap := t.Value.(*format.MapType)
	return isMap
}

// absent reports whether the value is null.
func (n *node) absent(values [][]parquet.Value) bool {
	return len(values) == 0 || len(values[0]) == 0 || values[0][0].DefinitionLevel() < n.def
}

// append appends a value as JSON. values are those of the node's leaf columns.
func (n *node) append(dst []byte, values [][]parquet.Value) []byte {
	switch {
	case n.absent(values):
		return append(dst, "null"...)
	case n.leaf != nil:
		return n.leaf(dst, values[0][0])
	case n.element != nil:
		return n.appendElements(dst, values)
	}
	dst = append(dst, '{')
	for i, m := range n.members {
		dst = m.append(append(comma(dst), n.names[i]...), values[m.first-n.first:m.last-n.first])
	}
	return append(dst, '}')
}

// appendElements appends a list or a map.
func (n *node) appendElements(dst []byte, values [][]parquet.Value) []byte {
	opening, closing := byte('['), byte(']')
	if n.key != nil {
		opening, closing = '{', '}'
	}
	dst = append(dst, opening)
	if values[0][0].DefinitionLevel() > n.def { // else it is empty
		rest := append([][]parquet.Value(nil), values...)
		one := make([][]parquet.Value, len(values))
		for first := true; len(rest[0]) > 0 && len(dst) <= n.limit; first = false {
			if !first {
				dst = append(dst, ',')
			}
			for i := range rest {
				end := min(1, len(rest[i]))
				for end < len(rest[i]) && rest[i][end].RepetitionLevel() > n.rep {
					end++
				}
				one[i], rest[i] = rest[i][:end], rest[i][end:]
			}
			dst = n.appendElement(dst, one)
		}
	}
	return append(dst, closing)
}

func (n *node) appendElement(dst []byte, one [][]parquet.Value) []byte {
	if n.key == nil {
		return n.element.append(dst, one)
	}
	keys := n.key.last - n.key.first
	key := n.key.append(nil, one[:keys])
	if len(key) == 0 || key[0] != '"' {
		key = jsonscan.AppendQuoted(nil, string(key))
	}
	return n.element.append(append(append(dst, key...), ':'), one[keys:])
}
