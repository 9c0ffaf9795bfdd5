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
	e := embedded{s: w.sc.s, j: start, room: dst[:cap(dst)]}
	if end := e.value(w.i); end > 0 {
		w.i = end
		return e.room[:e.j], utf8.Valid(e.room[start:e.j])
	}
	dst = w.AppendString(e.room[:start]) // whatever it was that stopped it
	if w.err != nil {
		return dst, false
	}
	_, err := Parse(string(dst[start:]))
	return dst, err == nil
}

// embedded copies JSON text out of a JSON string while it validates it. It gives up on what is rare, valid or not: escapes of
// white space and code points, and deep nesting. Its methods take an offset in s, and return the one after what they read, or 0
// if they give up.
type embedded struct {
	s    string
	room []byte // what was copied ends at j
	j    int
}

// maxEmbedded is how deep it goes.
const maxEmbedded = 64

// step is how much room there is before each token.
const step = 64

func (e *embedded) value(i int) int {
	s := e.s
	if i >= len(s) || s[i] != '"' {
		return 0
	}
	i++
	var objects uint64 // a bit for each level: an object, or else an array
	depth := 0
	for {
		if len(e.room)-e.j < step {
			e.grow(step)
		}
		if i = e.space(i); i >= len(s) {
			return 0
		}
		opened := false
		switch c := s[i]; c {
		case '{':
			if depth++; depth == maxEmbedded {
				return 0
			}
			objects = objects<<1 | 1
			e.room[e.j] = c
			e.j++
			if i = e.space(i + 1); i >= len(s) {
				return 0
			}
			if s[i] != '}' {
				if i = e.name(i); i == 0 {
					return 0
				}
				opened = true
			}
		case '[':
			if depth++; depth == maxEmbedded {
				return 0
			}
			objects <<= 1
			e.room[e.j] = c
			e.j++
			if i = e.space(i + 1); i >= len(s) {
				return 0
			}
			opened = s[i] != ']'
		case '\\':
			i = e.str(i)
		case 't':
			i = e.literal(i, "true")
		case 'f':
			i = e.literal(i, "false")
		case 'n':
			i = e.literal(i, "null")
		default:
			i = e.number(i)
		}
		if i == 0 {
			return 0
		}
		if opened {
			continue
		}
		// What follows a value: the ends of objects and arrays, a comma, or the end of it all.
		for {
			if i = e.space(i); i >= len(s) {
				return 0
			}
			c := s[i]
			if depth == 0 {
				if c != '"' {
					return 0
				}
				return i + 1
			}
			inObject := objects&1 == 1
			if c != ',' && (c != '}' || !inObject) && (c != ']' || inObject) {
				return 0
			}
			if len(e.room)-e.j < step {
				e.grow(step)
			}
			e.room[e.j] = c
			e.j++
			i++
			if c == ',' {
				if inObject {
					i = e.name(e.space(i))
				}
				break
			}
			depth--
			objects >>= 1
		}
		if i == 0 {
			return 0
		}
	}
}

func (e *embedded) grow(n int) {
	e.room = slices.Grow(e.room[:e.j], n)
	e.room = e.room[:cap(e.room)]
}

// space copies spaces. Other white space is escaped, and so none of its business.
func (e *embedded) space(i int) int {
	if i < len(e.s) && e.s[i] != ' ' {
		return i
	}
	for i < len(e.s) && e.s[i] == ' ' {
		e.grow(step + 1)
		e.room[e.j] = ' '
		e.j++
		i++
	}
	return i
}

// name copies a member's name and its colon.
func (e *embedded) name(i int) int {
	if i = e.str(i); i == 0 {
		return 0
	}
	if i = e.space(i); i >= len(e.s) || e.s[i] != ':' {
		return 0
	}
	if len(e.room)-e.j < step {
		e.grow(step)
	}
	e.room[e.j] = ':'
	e.j++
	return i + 1
}

func (e *embedded) literal(i int, word string) int {
	if len(e.s)-i < len(word) || e.s[i:i+len(word)] != word {
		return 0
	}
	e.j += copy(e.room[e.j:], word)
	return i + len(word)
}

func (e *embedded) number(i int) int {
	sc := scanner{s: e.s}
	end, err := sc.number(i)
	if err != nil {
		return 0
	}
	if len(e.room)-e.j < end-i+step {
		e.grow(end - i + step)
	}
	e.j += copy(e.room[e.j:], e.s[i:end])
	return end
}

// str copies a string: from its quote, which is escaped, to the next.
func (e *embedded) str(i int) int {
	s := e.s
	if i+1 >= len(s) || s[i] != '\\' || s[i+1] != '"' {
		return 0
	}
	i += 2
	j, room := e.j, e.room
	if len(room)-j < step {
		e.grow(step)
		room = e.room
	}
	room[j] = '"'
	j++
	for i+8 <= len(s) { // the last bytes of an answer are no payload's
		if len(room)-j < 16 {
			e.j = j
			e.grow(step)
			room = e.room
		}
		x := load(s, i)
		binary.LittleEndian.PutUint64(room[j:], x)
		m := specials(x)
		if m == 0 {
			i, j = i+8, j+8
			continue
		}
		n := lowest(m)
		i, j = i+n, j+n
		if s[i] != '\\' || i+3 >= len(s) {
			return 0
		}
		switch s[i+1] {
		case '"':
			room[j] = '"'
			e.j = j + 1
			return i + 2
		case '/':
			room[j] = '/'
			i, j = i+2, j+1
		case '\\': // an escape of the value's own
			c, width := s[i+2], 3
			if c == '\\' {
				if c, width = s[i+3], 4; c != '"' && c != '\\' && c != '/' {
					return 0
				}
			} else if c == '"' || simple[c] == 0 {
				return 0 // the end, or an escape of a code point, which is rare
			}
			room[j], room[j+1] = '\\', c
			i, j = i+width, j+2
		default:
			return 0
		}
	}
	return 0
}
