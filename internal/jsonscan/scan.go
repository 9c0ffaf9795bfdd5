// Package jsonscan reads JSON in place: it checks a text against RFC 8259 and hands out its parts as substrings, so
// that a prediction can be checked, measured and stored without being unpacked into maps, and its numbers keep every digit.
//
// The general decoders of the standard library would allocate for each value and turn numbers into float64 or into
// copies; here nothing is allocated but an unescaped string that had escapes.
package jsonscan

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest, as in encoding/json; ParseElements counts each element by itself.
const MaxDepth = 10000

// A SyntaxError says what is wrong with a JSON text and where: Offset is in bytes from the text's start.
// It never quotes the text, which may be somebody's data.
type SyntaxError struct {
	Offset int
	What   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// ErrSurrogate is the error of a string with half of a UTF-16 surrogate pair, which no UTF-8 text can hold.
var ErrSurrogate = errors.New("half of a UTF-16 surrogate pair")

// Kind tells what a JSON value is: the first byte of its text, with '0' for every number and 't' for both booleans.
type Kind byte

// The kinds of JSON values.
const (
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0'
	Bool   Kind = 't'
	Null   Kind = 'n'
)

func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "an array"
	case String:
		return "a string"
	case Number:
		return "a number"
	case Bool:
		return "a boolean"
	case Null:
		return "null"
	}
	return "nothing"
}

// A Value is one JSON value: its text without surrounding white space, and how many bytes of white space stand
// between its tokens, so that len(Text)-Spaces is its length once compacted.
type Value struct {
	Text   string
	Spaces int
}

// Kind tells what the value is.
func (v Value) Kind() Kind {
	if v.Text == "" {
		return 0
	}
	switch c := v.Text[0]; c {
	case '{', '[', '"', 'n':
		return Kind(c)
	case 't', 'f':
		return Bool
	default:
		return Number
	}
}

// Parse checks that text is one JSON value with nothing but white space around it, and valid UTF-8.
func Parse(text string) (Value, error) {
	if !utf8.ValidString(text) {
		return Value{}, &SyntaxError{0, "invalid UTF-8"}
	}
	v, end, err := ParsePrefix(text)
	if err != nil {
		return Value{}, err
	}
	if end = skipSpace(text, end); end < len(text) {
		return Value{}, &SyntaxError{end, "text after the value"}
	}
	return v, nil
}

// ParsePrefix checks the JSON value that text starts with, after white space, and tells where it ends.
// It does not check that strings are valid UTF-8.
func ParsePrefix(text string) (v Value, end int, err error) {
	sc := scanner{s: text}
	start := skipSpace(text, 0)
	if end, err = sc.value(start, 0); err != nil {
		return Value{}, 0, err
	}
	return Value{Text: text[start:end], Spaces: sc.spaces}, end, nil
}

// A Member is one name and value of an object. Name is the name as written, between its quotes.
type Member struct {
	Name  string
	Value Value
}

// Members appends the members of object, a valid object, to dst in their order.
func Members(dst []Member, object Value) []Member {
	sc := scanner{s: object.Text}
	i := skipSpace(sc.s, 1)
	for sc.s[i] != '}' {
		if sc.s[i] == ',' {
			i = skipSpace(sc.s, i+1)
		}
		end, _ := sc.str(i)
		name := sc.s[i+1 : end-1]
		i = skipSpace(sc.s, skipSpace(sc.s, end)+1) // past the colon
		sc.spaces = 0
		end, _ = sc.value(i, 0)
		dst = append(dst, Member{name, Value{sc.s[i:end], sc.spaces}})
		i = skipSpace(sc.s, end)
	}
	return dst
}

// ParseMembers is Members for an object that text starts with and that hasn't been checked: both in one pass.
// It returns the whole object too, and where it ends.
func ParseMembers(dst []Member, text string) (members []Member, object Value, end int, err error) {
	sc := scanner{s: text}
	start := skipSpace(text, 0)
	if start == len(text) || text[start] != '{' {
		return dst, Value{}, 0, &SyntaxError{start, "not an object"}
	}
	spaces := 0
	i := sc.space(start + 1)
	for first := true; ; first = false {
		if i < len(text) && text[i] == '}' && first {
			break
		}
		nameEnd, err := sc.name(i)
		if err != nil {
			return dst, Value{}, 0, err
		}
		name := text[i+1 : nameEnd-1]
		if i, err = sc.colon(nameEnd); err != nil {
			return dst, Value{}, 0, err
		}
		spaces += sc.spaces
		sc.spaces = 0
		valueEnd, err := sc.value(i, 1)
		if err != nil {
			return dst, Value{}, 0, err
		}
		dst = append(dst, Member{name, Value{text[i:valueEnd], sc.spaces}})
		i = sc.space(valueEnd)
		if i < len(text) && text[i] == ',' {
			i = sc.space(i + 1)
			continue
		}
		if i == len(text) || text[i] != '}' {
			return dst, Value{}, 0, &SyntaxError{i, "no comma or closing brace after an object's member"}
		}
		break
	}
	return dst, Value{text[start : i+1], spaces + sc.spaces}, i + 1, nil
}

// ParseElements reads the array that text starts with, which hasn't been checked, in one pass. element is called with the text
// from each element on; it reads the element and returns where it ends, as ParseMembers and ParsePrefix do. ParseElements returns
// where the array ends.
func ParseElements(text string, element func(rest string) (end int, err error)) (end int, err error) {
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '[' {
		return 0, &SyntaxError{i, "not an array"}
	}
	i = skipSpace(text, i+1)
	if i < len(text) && text[i] == ']' {
		return i + 1, nil
	}
	for {
		end, err := element(text[i:])
		if err != nil {
			var wrong *SyntaxError
			if errors.As(err, &wrong) {
				err = &SyntaxError{i + wrong.Offset, wrong.What}
			}
			return 0, err
		}
		i = skipSpace(text, i+end)
		switch {
		case i < len(text) && text[i] == ',':
			i = skipSpace(text, i+1)
		case i < len(text) && text[i] == ']':
			return i + 1, nil
		default:
			return 0, &SyntaxError{i, "no comma or closing bracket after an array's element"}
		}
	}
}

// Elements appends the elements of array, a valid array, to dst in their order.
func Elements(dst []Value, array Value) []Value {
	sc := scanner{s: array.Text}
	i := skipSpace(sc.s, 1)
	for sc.s[i] != ']' {
		if sc.s[i] == ',' {
			i = skipSpace(sc.s, i+1)
		}
		sc.spaces = 0
		end, _ := sc.value(i, 0)
		dst = append(dst, Value{sc.s[i:end], sc.spaces})
		i = skipSpace(sc.s, end)
	}
	return dst
}

type scanner struct {
	s      string
	spaces int // white space between tokens so far
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// space skips white space that compacting would drop.
func (sc *scanner) space(i int) int {
	// Most tokens have nothing or one blank after them.
	if i < len(sc.s) && sc.s[i] > ' ' {
		return i
	}
	end := skipSpace(sc.s, i)
	sc.spaces += end - i
	return end
}

func (sc *scanner) value(i, depth int) (int, error) {
	if i >= len(sc.s) {
		return 0, &SyntaxError{i, "unexpected end"}
	}
	switch sc.s[i] {
	case '{':
		return sc.object(i, depth+1)
	case '[':
		return sc.array(i, depth+1)
	case '"':
		return sc.str(i)
	case 't':
		return sc.literal(i, "true")
	case 'f':
		return sc.literal(i, "false")
	case 'n':
		return sc.literal(i, "null")
	default:
		return sc.number(i)
	}
}

func (sc *scanner) object(i, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, &SyntaxError{i, "nested too deep"}
	}
	i = sc.space(i + 1)
	if i < len(sc.s) && sc.s[i] == '}' {
		return i + 1, nil
	}
	for {
		end, err := sc.name(i)
		if err != nil {
			return 0, err
		}
		if i, err = sc.colon(end); err != nil {
			return 0, err
		}
		if i, err = sc.value(i, depth); err != nil {
			return 0, err
		}
		i = sc.space(i)
		if i < len(sc.s) && sc.s[i] == ',' {
			i = sc.space(i + 1)
			continue
		}
		if i < len(sc.s) && sc.s[i] == '}' {
			return i + 1, nil
		}
		return 0, &SyntaxError{i, "no comma or closing brace after an object's member"}
	}
}

func (sc *scanner) name(i int) (int, error) {
	if i >= len(sc.s) || sc.s[i] != '"' {
		return 0, &SyntaxError{i, "no name where an object's member starts"}
	}
	return sc.str(i)
}

func (sc *scanner) colon(i int) (int, error) {
	i = sc.space(i)
	if i >= len(sc.s) || sc.s[i] != ':' {
		return 0, &SyntaxError{i, "no colon after a name"}
	}
	return sc.space(i + 1), nil
}

func (sc *scanner) array(i, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, &SyntaxError{i, "nested too deep"}
	}
	i = sc.space(i + 1)
	if i < len(sc.s) && sc.s[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = sc.value(i, depth); err != nil {
			return 0, err
		}
		i = sc.space(i)
		if i < len(sc.s) && sc.s[i] == ',' {
			i = sc.space(i + 1)
			continue
		}
		if i < len(sc.s) && sc.s[i] == ']' {
			return i + 1, nil
		}
		return 0, &SyntaxError{i, "no comma or closing bracket after an array's element"}
	}
}

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return
}()

// str checks the string whose opening quote is at i and returns where it ends, past its closing quote.
func (sc *scanner) str(i int) (int, error) {
	s := sc.s
	for i++; ; i++ {
		short := min(i+shortString, len(s))
		for i < short && plain[s[i]] {
			i++
		}
		if i == short {
			i = plainEnd(s, i)
		}
		switch {
		case i == len(s):
			return 0, &SyntaxError{i, "a string without its closing quote"}
		case s[i] == '"':
			return i + 1, nil
		case s[i] < ' ':
			return 0, &SyntaxError{i, "a control character in a string"}
		}
		i++ // the backslash
		if i == len(s) {
			return 0, &SyntaxError{i, "a string without its closing quote"}
		}
		switch s[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if i+5 > len(s) || hex4(s[i+1:i+5]) < 0 {
				return 0, &SyntaxError{i, "a broken \\u escape"}
			}
			i += 4
		default:
			return 0, &SyntaxError{i, "an unknown escape"}
		}
	}
}

func (sc *scanner) literal(i int, word string) (int, error) {
	if !strings.HasPrefix(sc.s[i:], word) {
		return 0, &SyntaxError{i, "not a JSON value"}
	}
	return i + len(word), nil
}

func (sc *scanner) number(i int) (int, error) {
	s, start := sc.s, i
	if s[i] == '-' {
		i++
	}
	digits := func() bool {
		first := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		return i > first
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case !digits():
		return 0, &SyntaxError{start, "not a JSON value"}
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return 0, &SyntaxError{i, "a number without digits after its point"}
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0, &SyntaxError{i, "a number without digits in its exponent"}
		}
	}
	return i, nil
}

func hex4(s string) rune {
	var r rune
	for i := range 4 {
		switch c := s[i]; {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}
