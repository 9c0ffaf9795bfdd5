package awstest

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errSyntax is what a request that is not JSON of the expected form fails with.
var errSyntax = errors.New("the request is not JSON of the expected form")

// jsonReader pulls values out of a request's body. Strings without escapes share the body's memory, which makes reading 25
// items of 1 KB cost a few microseconds: the fakes stand under load tests, and must not be what those measure. It is not
// the parser of the code under test, so that one error can't hide in both.
//
// After the first error every method returns a zero value; callers look at err once.
type jsonReader struct {
	s   string
	pos int
	err error

	scratch []byte // for decoding a string with escapes
}

func (r *jsonReader) fail() {
	if r.err == nil {
		r.err = errSyntax
	}
	r.pos = len(r.s)
}

// peek skips white space and returns the next byte, or 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.s) {
		switch c := r.s[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) expect(c byte) bool {
	if r.peek() != c {
		r.fail()
		return false
	}
	r.pos++
	return true
}

// null consumes a null, if one is next.
func (r *jsonReader) null() bool {
	if r.peek() == 'n' && strings.HasPrefix(r.s[r.pos:], "null") {
		r.pos += len("null")
		return true
	}
	return false
}

// object calls member for each member; member must consume the value.
func (r *jsonReader) object(member func(name string)) {
	if r.null() || !r.expect('{') {
		return
	}
	if r.peek() == '}' {
		r.pos++
		return
	}
	for r.err == nil {
		name := r.str()
		if !r.expect(':') {
			return
		}
		member(name)
		if r.peek() == '}' {
			r.pos++
			return
		}
		if !r.expect(',') {
			return
		}
	}
}

// array calls element for each element; element must consume the value.
func (r *jsonReader) array(element func()) {
	if r.null() || !r.expect('[') {
		return
	}
	if r.peek() == ']' {
		r.pos++
		return
	}
	for r.err == nil {
		element()
		if r.peek() == ']' {
			r.pos++
			return
		}
		if !r.expect(',') {
			return
		}
	}
}

func (r *jsonReader) str() string {
	if r.null() || !r.expect('"') {
		return ""
	}
	start := r.pos
	end := strings.IndexByte(r.s[start:], '"')
	if end < 0 {
		r.fail()
		return ""
	}
	if plain := r.s[start : start+end]; strings.IndexByte(plain, '\\') < 0 {
		r.pos = start + end + 1
		return plain
	}
	return r.escaped(start)
}

// escaped reads a string that has escapes, from the byte after its quote. A JSON text in a JSON string has one every few
// bytes, so this goes byte by byte, into a buffer that is as long as the whole request: no string gets longer by decoding.
func (r *jsonReader) escaped(start int) string {
	if r.scratch == nil {
		r.scratch = make([]byte, len(r.s))
	}
	b, n := r.scratch, 0
	for i := start; i < len(r.s); i++ {
		c := r.s[i]
		if c == '"' {
			r.pos = i + 1
			return string(b[:n])
		}
		if c == '\\' {
			i++
			if i == len(r.s) {
				break
			}
			switch c = r.s[i]; c {
			case '"', '\\', '/':
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'u':
				ch, size := unicodeEscape(r.s, i+1)
				if size == 0 {
					r.fail()
					return ""
				}
				i += size
				n += utf8.EncodeRune(b[n:], ch)
				continue
			default:
				r.fail()
				return ""
			}
		}
		b[n] = c
		n++
	}
	r.fail()
	return ""
}

// unicodeEscape reads what follows a \u, with the second half of a surrogate pair where there is one, and its length.
func unicodeEscape(s string, i int) (rune, int) {
	ch, ok := hexRune(s, i)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(ch) && strings.HasPrefix(s[i+4:], `\u`) {
		if low, ok := hexRune(s, i+6); ok {
			if pair := utf16.DecodeRune(ch, low); pair != utf8.RuneError {
				return pair, 10
			}
		}
	}
	return ch, 4
}

func hexRune(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[i:i+4], 16, 32)
	return rune(n), err == nil
}

// token reads a number, true or false as it is written.
func (r *jsonReader) token() string {
	r.peek()
	start := r.pos
	for r.pos < len(r.s) {
		c := r.s[r.pos]
		if c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '"' || c == '{' || c == '[' || c == ':' {
			break
		}
		r.pos++
	}
	if r.pos == start {
		r.fail()
	}
	return r.s[start:r.pos]
}

// integer reads a whole number; set is false for null.
func (r *jsonReader) integer() (n int, set bool) {
	if r.null() {
		return 0, false
	}
	n, err := strconv.Atoi(r.token())
	if err != nil {
		r.fail()
	}
	return n, true
}

func (r *jsonReader) boolean() bool {
	if r.null() {
		return false
	}
	switch r.token() {
	case "true":
		return true
	case "false":
	default:
		r.fail()
	}
	return false
}

// skip passes over any value.
func (r *jsonReader) skip() {
	switch r.peek() {
	case '{':
		r.object(func(string) { r.skip() })
	case '[':
		r.array(r.skip)
	case '"':
		r.str()
	default:
		r.token()
	}
}

// strings reads an object of strings.
func (r *jsonReader) strings() map[string]string {
	m := make(map[string]string)
	r.object(func(name string) { m[name] = r.str() })
	return m
}

// list reads an array of strings.
func (r *jsonReader) list() (list []string) {
	r.array(func() { list = append(list, r.str()) })
	return list
}

// appendJSONString appends s quoted, as JSON. Bytes that are no UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			ch, size := utf8.DecodeRuneInString(s[i:])
			if ch == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
