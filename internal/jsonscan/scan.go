// Package jsonscan reads JSON in place. It validates a text against RFC 8259 and returns its parts as substrings, so that a
// prediction can be validated, measured and stored without maps, and its numbers keep every digit.
//
// encoding/json would allocate each value and turn numbers into float64 or copies. This package allocates only strings
// that contain escapes.
package jsonscan

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth is the maximum nesting of arrays and objects, as in encoding/json. ParseElements counts it per element.
const MaxDepth = 10000

// A SyntaxError describes invalid JSON. Offset is in bytes from the start of the text. What never quotes the text, which
// may be confidential.
type SyntaxError struct {
	Offset int
	What   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// Is lets errors.Is find ErrNotFinite.
func (e *SyntaxError) Is(target error) bool { return target == ErrNotFinite && e.What == notFinite }

const notFinite = "NaN or an infinity"

// ErrNotFinite is the error, by errors.Is, of a text that has NaN or an infinity where its first error is. JSON has no such
// numbers, but Python's json.dumps, C's printf and others write them. ParseLoosely reads over them.
var ErrNotFinite = errors.New(notFinite)

// ErrSurrogate is returned for a string with a lone UTF-16 surrogate, which UTF-8 cannot encode.
var ErrSurrogate = errors.New("half of a UTF-16 surrogate pair")

// Kind is the type of a JSON value: the first byte of its text, with '0' for every number and 't' for both booleans.
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

// A Value is one JSON value: its text without surrounding white space, and the bytes of white space between its tokens.
// len(Text)-Spaces is its compacted length.
type Value struct {
	Text   string
	Spaces int
}

// Kind returns the type of the value, 0 for the zero Value.
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

// Parse validates that text is valid UTF-8 and one JSON value, with only white space around it.
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

// ParsePrefix validates the JSON value at the start of text, after white space, and returns the offset of its end.
// It does not check that strings are valid UTF-8.
func ParsePrefix(text string) (v Value, end int, err error) {
	sc := scanner{s: text}
	start := skipSpace(text, 0)
	if end, err = sc.value(start, 0); err != nil {
		return Value{}, 0, err
	}
	return Value{Text: text[start:end], Spaces: sc.spaces}, end, nil
}

// ParseLoosely is ParsePrefix for a text with an ErrNotFinite: it takes NaN and infinities for values. The other functions here
// must not be given the result.
func ParseLoosely(text string) (v Value, end int, err error) {
	sc := scanner{s: text, loose: true}
	start := skipSpace(text, 0)
	if end, err = sc.value(start, 0); err != nil {
		return Value{}, 0, err
	}
	return Value{Text: text[start:end], Spaces: sc.spaces}, end, nil
}

type scanner struct {
	s      string
	spaces int  // bytes of white space between tokens so far
	loose  bool // NaN and infinities are values
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// space skips and counts white space between tokens.
func (sc *scanner) space(i int) int {
	// Most tokens are followed by no white space.
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

// plain marks the bytes that need no escape in a JSON string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return
}()

// str validates the string whose opening quote is at i and returns the offset past its closing quote.
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
		return sc.noValue(i)
	}
	return i + len(word), nil
}

// noValue returns the error of a text at i that is no JSON value, or its end if it is read loosely.
func (sc *scanner) noValue(i int) (int, error) {
	n := notFiniteLen(sc.s[i:])
	switch {
	case n == 0:
		return 0, &SyntaxError{i, "not a JSON value"}
	case !sc.loose:
		return 0, &SyntaxError{i, notFinite}
	}
	return i + n, nil
}

// notFiniteLen returns the length of the NaN or infinity at the start of s, or 0. Encoders differ in case and spelling.
func notFiniteLen(s string) int {
	sign := 0
	if s[0] == '-' || s[0] == '+' {
		sign = 1
	}
	word := s[sign:]
	end := 0
	for end < len(word) && end <= len("infinity") && word[end]|0x20 >= 'a' && word[end]|0x20 <= 'z' {
		end++
	}
	switch strings.ToLower(word[:end]) {
	case "nan", "inf", "infinity":
		return sign + end
	}
	return 0
}

func (sc *scanner) number(i int) (int, error) {
	s, start := sc.s, i
	if s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if end := digits(s, i); end > i {
		i = end
	} else {
		return sc.noValue(start)
	}
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		if end == i+1 {
			return 0, &SyntaxError{end, "a number without digits after its point"}
		}
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		if end == i {
			return 0, &SyntaxError{i, "a number without digits in its exponent"}
		}
		i = end
	}
	return i, nil
}

// digits returns the offset of the first byte from i on that is not a digit.
func digits(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
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
