package jsonscan

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// AppendJSON reads a string whose value is JSON text, such as a payload in an item, and appends the value. It reports whether the
// value is valid JSON. The result is that of AppendString and Parse, in one pass if the text is a common one: each of the two
// would stop at every quote.
func (w *Walker) AppendJSON(dst []byte) (_ []byte, valid bool) {
	if w.err != nil {
		return dst, false
	}
	start := len(dst)
	dst = slices.Grow(dst, min(len(w.sc.s)-w.i, maxRoom)+2*step)
	e := embedded{s: w.sc.s, room: dst[:cap(dst)]}
	if i, j := e.value(w.i, start); i > 0 {
		w.i = i
		return e.room[:j], e.marks&high == 0 || utf8.Valid(e.room[start:j])
	}
	dst = w.AppendString(dst) // whatever it was that stopped it
	if w.err != nil {
		return dst, false
	}
	_, err := Parse(string(dst[start:]))
	return dst, err == nil
}

// embedded copies JSON text out of a JSON string while it validates it. It gives up on what is rare, valid or not: escapes of
// white space and code points, deep nesting, and a text longer than its room. (AppendString then makes the room, which a caller
// that reuses its memory has the next time.)
//
// Its methods take an offset in s and one in room. They return those after what they read, or 0 and 0 if they give up.
type embedded struct {
	s     string
	room  []byte
	marks uint64 // the high bit of a byte is set if a string may have a byte beyond ASCII
}

const (
	// maxEmbedded is how deep it goes.
	maxEmbedded = 64
	// maxRoom is the room that is made for a text whose length is not known.
	maxRoom = 16 << 10
	// step is the room that is left before each token. It is enough for one that is not a string, a number or spaces, with the
	// punctuation around it, and for the eight bytes that a string may write past its end.
	step = 32
)

// value copies a value and reads the quote after it.
func (e *embedded) value(i, j int) (int, int) {
	s, room := e.s, e.room
	if i >= len(s) || s[i] != '"' {
		return 0, 0
	}
	i++
	var objects uint64 // a bit for each level: an object, or else an array
	depth := 0
	name := false // the next token is the name of a member
	for {
		if i+8 > len(s) || j+step > len(room) { // the last bytes of an answer are no payload's
			return 0, 0
		}
		switch c := s[i]; c {
		case ' ':
			room[j] = ' '
			i, j = i+1, j+1
			continue
		case '\\':
			if i, j = e.str(i, j); i == 0 {
				return 0, 0
			}
			if name {
				if s[i] == ' ' {
					i, j = e.spaces(i, j)
				}
				if i >= len(s) || s[i] != ':' || j >= len(room) {
					return 0, 0
				}
				room[j] = ':'
				i, j, name = i+1, j+1, false
				continue
			}
		case '{', '[':
			if depth++; depth == maxEmbedded || name {
				return 0, 0
			}
			room[j] = c
			if i, j = i+1, j+1; s[i] == ' ' {
				i, j = e.spaces(i, j)
			}
			objects <<= 1
			if c == '{' {
				objects |= 1
			}
			if i < len(s) && s[i] != c+2 { // not empty
				name = c == '{'
				continue
			}
		default:
			if i, j = e.scalar(i, j); i == 0 || name {
				return 0, 0
			}
		}
		if i, j, depth, objects = e.after(i, j, depth, objects); depth <= 0 {
			return i, j
		}
		name = objects&1 == 1
	}
}

// after reads what follows a value: the ends of objects and arrays, then a comma, or the quote at the end of it all. depth is 0 or
// less after that quote, and if after gives up.
func (e *embedded) after(i, j, depth int, objects uint64) (int, int, int, uint64) {
	s, room := e.s, e.room
	for i < len(s) && j < len(room) {
		c := s[i]
		if depth == 0 && c == '"' {
			return i + 1, j, 0, 0
		}
		room[j] = c
		i, j = i+1, j+1
		switch {
		case c == ' ':
		case depth == 0:
			return 0, 0, 0, 0
		case c == ',':
			return i, j, depth, objects
		case c == '}' && objects&1 == 1, c == ']' && objects&1 == 0:
			depth--
			objects >>= 1
		default:
			return 0, 0, 0, 0
		}
	}
	return 0, 0, 0, 0
}

// spaces copies spaces. Other white space is escaped, and so none of its business.
func (e *embedded) spaces(i, j int) (int, int) {
	for i < len(e.s) && e.s[i] == ' ' && j < len(e.room) {
		e.room[j] = ' '
		i, j = i+1, j+1
	}
	return i, j
}

// scalar copies a number, true, false or null.
func (e *embedded) scalar(i, j int) (int, int) {
	s := e.s
	switch s[i] {
	case 't':
		return e.literal(i, j, "true")
	case 'f':
		return e.literal(i, j, "false")
	case 'n':
		return e.literal(i, j, "null")
	}
	sc := scanner{s: s}
	end, err := sc.number(i)
	if err != nil || j+(end-i)+step > len(e.room) {
		return 0, 0
	}
	if end-i <= 8 {
		binary.LittleEndian.PutUint64(e.room[j:], load(s, i))
		return end, j + end - i
	}
	return end, j + copy(e.room[j:], s[i:end])
}

func (e *embedded) literal(i, j int, word string) (int, int) {
	if e.s[i:min(i+len(word), len(e.s))] != word {
		return 0, 0
	}
	return i + len(word), j + copy(e.room[j:], word)
}

// str copies a string: from its quote, which is escaped, to the next. At least eight bytes follow i, and a step of room j. Room for
// a colon is left.
func (e *embedded) str(i, j int) (int, int) {
	s, room := e.s, e.room
	if s[i+1] != '"' {
		return 0, 0
	}
	room[j] = '"'
	i, j = i+2, j+1
	for i+8 <= len(s) && j+16 <= len(room) {
		x := load(s, i)
		binary.LittleEndian.PutUint64(room[j:], x)
		e.marks |= x
		m := specials(x)
		if m == 0 {
			i, j = i+8, j+8
			continue
		}
		n := lowest(m)
		i, j = i+n, j+n
		if i+8 > len(s) || s[i] != '\\' {
			return 0, 0
		}
		switch c := s[i+1]; c {
		case '"', '/':
			room[j] = c
			i, j = i+2, j+1
			if c == '"' {
				return i, j
			}
		case '\\': // an escape of the value's own
			c, width := s[i+2], 3
			if c == '\\' {
				if c, width = s[i+3], 4; c != '"' && c != '\\' && c != '/' {
					return 0, 0
				}
			} else if c == '"' || simple[c] == 0 {
				return 0, 0 // the end, or an escape of a code point, which is rare
			}
			room[j], room[j+1] = '\\', c
			i, j = i+width, j+2
		default:
			return 0, 0
		}
	}
	return 0, 0
}
