package jsonscan

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// A Walker reads JSON whose structure the caller knows, such as a service's response, in one pass and without allocations.
// Each method reads one value and accepts null as an empty one. After an error every method does nothing; see Err.
//
//	w := jsonscan.Walk(text)
//	w.Object(func(name string) {
//		switch name {
//		case "Messages":
//			w.Array(func() { … })
//		}
//	})
type Walker struct {
	sc  scanner
	i   int // of the next value
	err error
}

// Walk returns a Walker for text, which holds one value.
func Walk(text string) Walker { return Walker{sc: scanner{s: text}, i: skipSpace(text, 0)} }

// Err returns the first error. Call it at the end: it also reports text after the value.
func (w *Walker) Err() error {
	if w.err == nil {
		if end := skipSpace(w.sc.s, w.i); end < len(w.sc.s) {
			w.err = &SyntaxError{end, "text after the value"}
		}
	}
	return w.err
}

// Failed reports whether there has been an error. If so, the last value read is invalid.
func (w *Walker) Failed() bool { return w.err != nil }

// Fail records an error of the caller and ends the reading.
func (w *Walker) Fail(what string) {
	if w.err == nil {
		w.err = &SyntaxError{w.i, what}
	}
}

// Object reads an object. It calls member for each name, which reads the value or leaves it to be skipped.
func (w *Walker) Object(member func(name string)) {
	for more := w.Open('{'); more; more = w.More('}') {
		name, start := w.Name(), w.i
		if w.err != nil {
			return
		}
		if member(name); w.i == start {
			w.Skip()
		}
	}
}

// Array reads an array. It calls element for each element, which reads it or leaves it to be skipped.
func (w *Walker) Array(element func()) {
	for more := w.Open('['); more; more = w.More(']') {
		start := w.i
		if element(); w.i == start {
			w.Skip()
		}
	}
}

// Open reads an opening bracket and reports whether a first part follows. Open, More and Name are what Object and Array consist
// of, for callers that read many small ones. The caller reads every part.
//
//	for more := w.Open('{'); more; more = w.More('}') {
//		name, value := w.Name(), w.Skip()
//	}
func (w *Walker) Open(opening byte) (more bool) {
	if w.err != nil || w.null() || w.err != nil {
		return false
	}
	s := w.sc.s
	if w.i >= len(s) || s[w.i] != opening {
		w.err = &SyntaxError{w.i, "not " + Kind(opening).String()}
		return false
	}
	w.i = skipSpace(s, w.i+1)
	if w.i < len(s) && s[w.i] == opening+2 { // '}' after '{', ']' after '['
		w.i++
		return false
	}
	return true
}

// More reads what follows a part, a comma or the closing bracket, and reports whether another part follows. It reports false after
// an error, as Open does.
func (w *Walker) More(closing byte) (more bool) {
	if w.err != nil {
		return false
	}
	s := w.sc.s
	switch w.i = skipSpace(s, w.i); {
	case w.i < len(s) && s[w.i] == ',':
		w.i = skipSpace(s, w.i+1)
		return true
	case w.i < len(s) && s[w.i] == closing:
		w.i++
		return false
	}
	w.err = &SyntaxError{w.i, "no comma or closing bracket after a part"}
	return false
}

// Name reads the name of an object's next member, and the colon after it. It returns the name's value, or, where that has a lone
// surrogate, the text between the quotes.
func (w *Walker) Name() string {
	if w.err != nil {
		return ""
	}
	s, start := w.sc.s, w.i+1
	i := start
	for i < len(s) && plain[s[i]] {
		i++
	}
	if i+1 < len(s) && s[i] == '"' && s[i+1] == ':' && s[start-1] == '"' { // nearly always
		w.i = skipSpace(s, i+2)
		return s[start:i]
	}
	end, err := w.sc.name(w.i)
	if err == nil {
		w.i, err = w.sc.colon(end)
	}
	if err != nil {
		w.err = err
		return ""
	}
	name := s[start : end-1]
	if unescaped, err := Unquote(name); err == nil {
		return unescaped
	}
	return name
}

// null reads a null if one is next. Another text that begins with n is an error.
func (w *Walker) null() bool {
	if w.i >= len(w.sc.s) || w.sc.s[w.i] != 'n' {
		return false
	}
	w.i, w.err = w.sc.literal(w.i, "null")
	return w.err == nil
}

// Skip reads any value and returns its text.
func (w *Walker) Skip() string {
	if w.err != nil {
		return ""
	}
	start := w.i
	if w.i, w.err = w.sc.value(start, 0); w.err != nil {
		return ""
	}
	return w.sc.s[start:w.i]
}

// String reads a string and returns the text between its quotes, with its escapes.
func (w *Walker) String() string {
	if w.err != nil || w.null() || w.err != nil {
		return ""
	}
	if w.i < len(w.sc.s) && w.sc.s[w.i] == '"' {
		text := w.Skip()
		return text[min(1, len(text)):max(len(text)-1, 0)]
	}
	w.err = &SyntaxError{w.i, "not a string"}
	return ""
}

// AppendString reads a string and appends its value, in one pass. Unlike Unquote it reads a lone surrogate as U+FFFD, as
// encoding/json does.
func (w *Walker) AppendString(dst []byte) []byte {
	if w.err != nil || w.null() || w.err != nil {
		return dst
	}
	s, i := w.sc.s, w.i
	if i >= len(s) || s[i] != '"' {
		w.err = &SyntaxError{i, "not a string"}
		return dst
	}
	i++
	j, room := len(dst), dst[:cap(dst)] // dst ends at j
	for {
		if len(room)-j < 8 {
			dst = slices.Grow(room[:j], 64)
			room = dst[:cap(dst)]
		}
		if i+8 <= len(s) {
			x := load(s, i)
			binary.LittleEndian.PutUint64(room[j:], x)
			m := specials(x)
			if m == 0 {
				i, j = i+8, j+8
				continue
			}
			n := lowest(m)
			i, j = i+n, j+n
		} else if i < len(s) && plain[s[i]] {
			room[j] = s[i]
			i, j = i+1, j+1
			continue
		}
		if i+1 < len(s) && s[i] == '\\' && simple[s[i+1]] != 0 {
			room[j] = simple[s[i+1]]
			i, j = i+2, j+1
			continue
		}
		dst = room[:j]
		switch {
		case i == len(s):
			w.err = &SyntaxError{i, "a string without its closing quote"}
			return dst
		case s[i] == '"':
			w.i = i + 1
			return dst
		case s[i] < ' ':
			w.err = &SyntaxError{i, "a control character in a string"}
			return dst
		case i+6 > len(s) || s[i+1] != 'u' || hex4(s[i+2:i+6]) < 0:
			w.err = &SyntaxError{i, "a broken escape"}
			return dst
		}
		r, n := unescape(s[i:])
		if r < 0 {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
		i, j, room = i+n, len(dst), dst[:cap(dst)]
	}
}

// simple maps the letter of a one-letter escape to its value.
var simple = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// Bool reads a boolean.
func (w *Walker) Bool() bool {
	if w.err != nil || w.null() || w.err != nil {
		return false
	}
	if w.i < len(w.sc.s) && (w.sc.s[w.i] == 't' || w.sc.s[w.i] == 'f') {
		return w.Skip() == "true"
	}
	w.err = &SyntaxError{w.i, "not a boolean"}
	return false
}
