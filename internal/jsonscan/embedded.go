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

func (e *embedded) value(i, j int) (int, int) {
	s, room := e.s, e.room
	if i >= len(s) || s[i] != '"' {
		return 0, 0
	}
	i++
	var objects uint64 // a bit for each level: an object, or else an array
	for depth := 0; ; {
		if i < len(s) && s[i] == ' ' {
			i, j = e.spaces(i, j)
		}
		if i >= len(s) || j+step > len(room) {
			return 0, 0
		}
		switch c := s[i]; c {
		case '{', '[':
			if depth++; depth == maxEmbedded {
				return 0, 0
			}
			room[j] = c
			if i, j = e.spaces(i+1, j+1); i >= len(s) {
				return 0, 0
			}
			objects <<= 1
			if c == '[' && s[i] != ']' {
				continue
			}
			if c == '{' {
				objects |= 1
				if s[i] != '}' {
					if i, j = e.name(i, j); i == 0 {
						return 0, 0
					}
					continue
				}
			}
		case '\\':
			i, j = e.str(i, j)
		case 't':
			i, j = e.literal(i, j, "true")
		case 'f':
			i, j = e.literal(i, j, "false")
		case 'n':
			i, j = e.literal(i, j, "null")
		default:
			i, j = e.number(i, j)
		}
		if i == 0 {
			return 0, 0
		}
		if i, j, depth, objects = e.after(i, j, depth, objects); depth <= 0 {
			return i, j
		}
	}
}

// after reads what follows a value: the ends of objects and arrays, then a comma and the name of an object's next member. depth is 0
// or less after the end of it all, and if after gives up.
func (e *embedded) after(i, j, depth int, objects uint64) (int, int, int, uint64) {
	s, room := e.s, e.room
	for {
		if i < len(s) && s[i] == ' ' {
			i, j = e.spaces(i, j)
		}
		if i >= len(s) || j+step > len(room) {
			return 0, 0, 0, 0
		}
		c := s[i]
		i++
		if depth == 0 {
			if c != '"' {
				return 0, 0, 0, 0
			}
			return i, j, 0, 0
		}
		room[j] = c
		j++
		inObject := objects&1 == 1
		switch {
		case c == ',' && inObject:
			if i, j = e.name(i, j); i == 0 {
				return 0, 0, 0, 0
			}
			return i, j, depth, objects
		case c == ',':
			return i, j, depth, objects
		case c == '}' && inObject, c == ']' && !inObject:
			depth--
			objects >>= 1
		default:
			return 0, 0, 0, 0
		}
	}
}

// spaces copies spaces. Other white space is escaped, and so none of its business.
func (e *embedded) spaces(i, j int) (int, int) {
	for i < len(e.s) && e.s[i] == ' ' && j < len(e.room) {
		e.room[j] = ' '
		i, j = i+1, j+1
	}
	return i, j
}

// name copies a member's name and its colon.
func (e *embedded) name(i, j int) (int, int) {
	if i < len(e.s) && e.s[i] == ' ' {
		i, j = e.spaces(i, j)
	}
	if i, j = e.str(i, j); i < len(e.s) && e.s[i] == ' ' {
		i, j = e.spaces(i, j)
	}
	if i >= len(e.s) || e.s[i] != ':' || j >= len(e.room) {
		return 0, 0
	}
	e.room[j] = ':'
	return i + 1, j + 1
}

func (e *embedded) literal(i, j int, word string) (int, int) {
	if len(e.s)-i < len(word) || e.s[i:i+len(word)] != word {
		return 0, 0
	}
	return i + len(word), j + copy(e.room[j:], word)
}

func (e *embedded) number(i, j int) (int, int) {
	s := e.s
	sc := scanner{s: s}
	end, err := sc.number(i)
	if err != nil || j+(end-i)+step > len(e.room) {
		return 0, 0
	}
	if end-i <= 8 && i+8 <= len(s) {
		binary.LittleEndian.PutUint64(e.room[j:], load(s, i))
		return end, j + end - i
	}
	return end, j + copy(e.room[j:], s[i:end])
}

// str copies a string: from its quote, which is escaped, to the next.
func (e *embedded) str(i, j int) (int, int) {
	s, room := e.s, e.room
	if i+1 >= len(s) || s[i] != '\\' || s[i+1] != '"' || j >= len(room) {
		return 0, 0
	}
	room[j] = '"'
	i, j = i+2, j+1
	marks := e.marks
	for i+8 <= len(s) && j+16 <= len(room) { // the last bytes of an answer are no payload's
		x := load(s, i)
		binary.LittleEndian.PutUint64(room[j:], x)
		marks |= x
		m := specials(x)
		if m == 0 {
			i, j = i+8, j+8
			continue
		}
		n := lowest(m)
		i, j = i+n, j+n
		if s[i] != '\\' || i+3 >= len(s) {
			return 0, 0
		}
		switch s[i+1] {
		case '"':
			e.marks = marks
			room[j] = '"'
			return i + 2, j + 1
		case '/':
			room[j] = '/'
			i, j = i+2, j+1
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
