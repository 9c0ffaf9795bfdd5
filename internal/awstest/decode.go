package awstest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/awstest/attribute"
)

// decode reads one JSON value into a struct. It is used in place of encoding/json for two reasons. It is stricter: a member
// that the struct does not have is an error (to ignore a filter or a condition would let a wrong request pass), and so is
// one whose case differs. And it reads a request once, without a copy: with encoding/json the simulator needed a quarter
// more CPU. It shares no code with the worker's own parser, so that one mistake can't hide in both.
func decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return errors.New("the request is not UTF-8")
	}
	d := &decoder{text: string(body)}
	d.value(reflect.ValueOf(into).Elem())
	if d.peek() != 0 || d.pos < len(d.text) {
		d.fail("the request goes on after its value")
	}
	return d.err
}

// decoder reads its text from pos on. After the first error every method returns a zero value.
type decoder struct {
	text string
	pos  int
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format+" at byte %d", append(args, d.pos)...)
	}
	d.pos = len(d.text)
}

// peek skips white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for ; d.pos < len(d.text); d.pos++ {
		switch c := d.text[d.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// accept consumes a byte, or a word such as null, if it is next.
func (d *decoder) accept(token string) bool {
	d.peek()
	found := strings.HasPrefix(d.text[d.pos:], token)
	if found {
		d.pos += len(token)
	}
	return found
}

func (d *decoder) expect(token string) {
	if !d.accept(token) {
		d.fail("no %s", token)
	}
}

// list calls element for each element between two brackets.
func (d *decoder) list(open, end string, element func()) {
	d.expect(open)
	if d.accept(end) {
		return
	}
	for d.err == nil {
		element()
		if d.accept(end) {
			return
		}
		d.expect(",")
	}
}

// object calls member for each member, which must read the value.
func (d *decoder) object(member func(name string)) {
	d.list("{", "}", func() {
		name := d.str()
		d.expect(":")
		member(name)
	})
}

func (d *decoder) array(element func()) { d.list("[", "]", element) }

// value reads a value of v's type. null leaves v as it is.
func (d *decoder) value(v reflect.Value) {
	if d.accept("null") {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(v.Elem())
	case reflect.Struct:
		fields := fieldsOf(v.Type())
		d.object(func(name string) {
			if index, known := fields[name]; known {
				d.value(v.FieldByIndex(index))
			} else {
				d.fail("unknown parameter %q", name)
			}
		})
	case reflect.Map:
		d.mapping(v)
	case reflect.Slice:
		d.slice(v)
	case reflect.String:
		v.SetString(d.str())
	case reflect.Bool:
		v.SetBool(d.boolean())
	case reflect.Int, reflect.Int64:
		v.SetInt(d.integer())
	default:
		panic("awstest: no request has a " + v.Type().String())
	}
}

func (d *decoder) mapping(v reflect.Value) {
	if v.Type() == reflect.TypeFor[attribute.Item]() {
		v.Set(reflect.ValueOf(d.item()))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.object(func(name string) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(element)
		v.SetMapIndex(reflect.ValueOf(name), element)
	})
}

func (d *decoder) slice(v reflect.Value) {
	if v.Type() == reflect.TypeFor[[]byte]() {
		v.SetBytes(d.bytes())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 10))
	d.array(func() {
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		d.value(v.Index(v.Len() - 1))
	})
}

// fields caches the fields of each struct, by the names that they have in JSON.
var fields sync.Map

func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fields.Load(t); ok {
		return known.(map[string][]int)
	}
	byName := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous {
			byName[f.Name] = f.Index
		}
	}
	fields.Store(t, byName)
	return byName
}

// item reads an item, which is most of what the fakes read, without reflection.
func (d *decoder) item() attribute.Item {
	it := make(attribute.Item, 8)
	d.object(func(name string) { it[name] = d.attributeValue() })
	return it
}

func (d *decoder) attributeValue() *attribute.Value {
	if d.accept("null") {
		return nil
	}
	v := &attribute.Value{}
	d.object(func(kind string) {
		switch kind {
		case "S":
			v.S = new(d.str())
		case "N":
			v.N = new(d.str())
		case "B":
			v.B = d.bytes()
		case "BOOL":
			v.BOOL = new(d.boolean())
		case "NULL":
			v.NULL = new(d.boolean())
		case "M":
			v.M = d.item()
		case "L":
			v.L = []*attribute.Value{}
			d.array(func() { v.L = append(v.L, d.attributeValue()) })
		case "SS", "NS":
			set := []string{}
			d.array(func() { set = append(set, d.str()) })
			if v.SS = set; kind == "NS" {
				v.SS, v.NS = nil, set
			}
		case "BS":
			v.BS = [][]byte{}
			d.array(func() { v.BS = append(v.BS, d.bytes()) })
		default:
			d.fail("unknown type of attribute %q", kind)
		}
	})
	return v
}

func (d *decoder) boolean() bool {
	if d.accept("true") {
		return true
	}
	d.expect("false")
	return false
}

func (d *decoder) integer() int64 {
	d.peek()
	length := strings.IndexFunc(d.text[d.pos:], func(c rune) bool { return c != '-' && (c < '0' || c > '9') })
	if length < 0 {
		length = len(d.text) - d.pos
	}
	n, err := strconv.ParseInt(d.text[d.pos:d.pos+length], 10, 64)
	if err != nil {
		d.fail("not a whole number")
		return 0
	}
	d.pos += length
	return n
}

func (d *decoder) bytes() []byte {
	raw, err := base64.StdEncoding.DecodeString(d.str())
	if err != nil {
		d.fail("not base64")
	}
	return raw
}

// str reads a string. Without escapes it shares the memory of the request.
func (d *decoder) str() string {
	d.expect(`"`)
	start := d.pos
	for ; d.pos < len(d.text); d.pos++ {
		switch c := d.text[d.pos]; {
		case c == '"':
			d.pos++
			return d.text[start : d.pos-1]
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			d.fail("a control character in a string")
		}
	}
	d.fail("a string without its end")
	return ""
}

// escaped reads the rest of a string from its first escape on.
func (d *decoder) escaped(start int) string {
	b := make([]byte, 0, 2*(d.pos-start)+64)
	b = append(b, d.text[start:d.pos]...)
	for d.pos < len(d.text) {
		c := d.text[d.pos]
		d.pos++
		switch {
		case c == '"':
			return string(b)
		case c == '\\':
			b = d.escape(b)
		case c < ' ':
			d.fail("a control character in a string")
		default:
			b = append(b, c)
		}
	}
	d.fail("a string without its end")
	return ""
}

const escapes, escapeds = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

func (d *decoder) escape(b []byte) []byte {
	if d.pos == len(d.text) {
		return b
	}
	c := d.text[d.pos]
	d.pos++
	if i := strings.IndexByte(escapes, c); i >= 0 {
		return append(b, escapeds[i])
	}
	if c != 'u' {
		d.fail("an unknown escape")
		return b
	}
	r := d.hex()
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(b, r)
	}
	if strings.HasPrefix(d.text[d.pos:], `\u`) {
		before := d.pos
		d.pos += 2
		if pair := utf16.DecodeRune(r, d.hex()); pair != utf8.RuneError {
			return utf8.AppendRune(b, pair)
		}
		d.pos = before
	}
	return utf8.AppendRune(b, loneSurrogate)
}

// loneSurrogate stands for half of a surrogate pair, which no UTF-8 has: a character that SQS refuses as well.
const loneSurrogate = '\uffff'

func (d *decoder) hex() rune {
	if d.pos+4 > len(d.text) {
		d.fail("an escape without its end")
		return 0
	}
	n, err := strconv.ParseUint(d.text[d.pos:d.pos+4], 16, 16)
	if err != nil {
		d.fail("an escape without its digits")
		return 0
	}
	d.pos += 4
	return rune(n)
}
