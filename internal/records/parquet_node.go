package records

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
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

// column sets how the values of a leaf column are written.
func (n *node) column(t parquet.Type) error {
	var logical any
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.DecimalType:
		n.number, n.leaf = true, decimalLeaf(t.Kind(), l.Scale)
	case *format.TimestampType:
		n.leaf = timestampLeaf(l)
	case *format.DateType:
		n.leaf = func(dst []byte, v parquet.Value) []byte {
			return time.Unix(int64(v.Int32())*86_400, 0).UTC().AppendFormat(dst, `"2006-01-02"`)
		}
	case *format.TimeType:
		n.leaf = timeLeaf(l, t.Kind())
	case *format.UUIDType:
		n.leaf = func(dst []byte, v parquet.Value) []byte {
			b := v.ByteArray()
			if len(b) != 16 {
				return appendBinary(dst, b)
			}
			return fmt.Appendf(dst, `"%x-%x-%x-%x-%x"`, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
	case *format.StringType, *format.JsonType, *format.EnumType:
		n.text, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendText(dst, v.ByteArray()) }
	default:
		return n.physical(t, logical)
	}
	return nil
}

// physical sets how the values of a type without a meaning of its own are written.
func (n *node) physical(t parquet.Type, logical any) error {
	integer, _ := logical.(*format.IntType)
	unsigned := integer != nil && !integer.IsSigned
	switch t.Kind() {
	case parquet.Boolean:
		n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendBool(dst, v.Boolean()) }
	case parquet.Int32:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, int64(v.Int32()), 10) }
		if unsigned {
			n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendUint(dst, uint64(v.Uint32()), 10) }
		}
	case parquet.Int64:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, v.Int64(), 10) }
		if unsigned {
			n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendUint(dst, v.Uint64(), 10) }
		}
	case parquet.Int96: // timestamps of old versions of Spark, Hive and Impala
		n.leaf = func(dst []byte, v parquet.Value) []byte { return appendTime(dst, int96Time(v.Int96()), true) }
	case parquet.Float:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, float64(v.Float()), 32) }
	case parquet.Double:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, v.Double(), 64) }
	case parquet.ByteArray, parquet.FixedLenByteArray:
		n.text = t.Kind() == parquet.ByteArray
		n.leaf = func(dst []byte, v parquet.Value) []byte { return appendBinary(dst, v.ByteArray()) }
	default:
		return errors.New("has a column of an unknown type")
	}
	return nil
}

// appendText appends a text. One that is not UTF-8 makes the row's JSON invalid, so that the row is rejected.
func appendText(dst, text []byte) []byte {
	if !utf8.Valid(text) {
		return append(append(append(dst, '"'), text...), '"')
	}
	return jsonscan.AppendQuoted(dst, string(text))
}

// appendBinary appends bytes that are no text, as base64.
func appendBinary(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
}

// appendFloat appends the shortest text that is the same number. NaN and infinities are no JSON: the row is rejected, as in the other
// formats.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "NaN"...)
	}
	kind := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) { // as in JSON of others
		kind = 'e'
	}
	return strconv.AppendFloat(dst, f, kind, -1, bits)
}

func float16(b []byte) float64 {
	if len(b) != 2 {
		return math.NaN()
	}
	bits := binary.LittleEndian.Uint16(b)
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	f := math.Ldexp(1+fraction/1024, exponent-15)
	switch exponent {
	case 0:
		f = math.Ldexp(fraction/1024, -14)
	case 31:
		return math.NaN()
	}
	if bits>>15 == 1 {
		f = -f
	}
	return f
}

// decimalLeaf writes decimals with all their digits.
func decimalLeaf(kind parquet.Kind, scale int32) func([]byte, parquet.Value) []byte {
	return func(dst []byte, v parquet.Value) []byte {
		var digits []byte
		switch kind {
		case parquet.Int32:
			digits = strconv.AppendInt(nil, int64(v.Int32()), 10)
		case parquet.Int64:
			digits = strconv.AppendInt(nil, v.Int64(), 10)
		default: // two's complement, big-endian
			b := v.ByteArray()
			n := new(big.Int).SetBytes(b)
			if len(b) > 0 && b[0]&0x80 != 0 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
			digits = n.Append(nil, 10)
		}
		return appendScaled(dst, digits, int(scale))
	}
}

// appendScaled appends digits with so many of them behind the point.
func appendScaled(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	if scale <= 0 {
		return append(dst, digits...)
	}
	whole := len(digits) - scale
	if whole <= 0 {
		dst = append(dst, "0."...)
		for range -whole {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	return append(append(append(dst, digits[:whole]...), '.'), digits[whole:]...)
}

// timestampLeaf writes times as RFC 3339. One that is not adjusted to UTC has no zone, and stands for no instant.
func timestampLeaf(t *format.TimestampType) func([]byte, parquet.Value) []byte {
	perSecond := unitsPerSecond(&t.Unit)
	return func(dst []byte, v parquet.Value) []byte {
		n := v.Int64()
		sec := n / perSecond
		rest := n % perSecond
		if rest < 0 {
			sec, rest = sec-1, rest+perSecond
		}
		return appendTime(dst, time.Unix(sec, rest*(1e9/perSecond)), t.IsAdjustedToUTC)
	}
}

func unitsPerSecond(u *format.TimeUnit) int64 {
	switch u.Value.(type) {
	case *format.NanoSeconds:
		return 1e9
	case *format.MicroSeconds:
		return 1e6
	}
	return 1e3
}

func appendTime(dst []byte, t time.Time, utc bool) []byte {
	form := `"2006-01-02T15:04:05.999999999"`
	if utc {
		form = `"2006-01-02T15:04:05.999999999Z"`
	}
	return t.UTC().AppendFormat(dst, form)
}

func timeLeaf(t *format.TimeType, kind parquet.Kind) func([]byte, parquet.Value) []byte {
	perSecond := unitsPerSecond(&t.Unit)
	return func(dst []byte, v parquet.Value) []byte {
		n := v.Int64()
		if kind == parquet.Int32 {
			n = int64(v.Int32())
		}
		return time.Unix(0, n*(1e9/perSecond)).UTC().AppendFormat(dst, `"15:04:05.999999999"`)
	}
}

// int96Time returns the time of nanoseconds of a day and the number of the Julian day.
func int96Time(v deprecated.Int96) time.Time {
	const epoch = 2_440_588 // Julian day of 1970-01-01
	nanos := int64(v[1])<<32 | int64(v[0])
	return time.Unix((int64(int32(v[2]))-epoch)*86_400, nanos)
}
