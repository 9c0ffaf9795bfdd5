package jsonscan

import (
	"errors"
	"iter"
)

// A Member is one name and value of an object. Name is the text between the quotes, with its escapes.
type Member struct {
	Name  string
	Value Value
}

// Members returns the members of a valid object, in their order. A value of another kind has none.
func Members(object Value) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		if object.Kind() != Object {
			return
		}
		sc := scanner{s: object.Text}
		for i := skipSpace(sc.s, 1); sc.s[i] != '}'; i = skipSpace(sc.s, i) {
			if sc.s[i] == ',' {
				i = skipSpace(sc.s, i+1)
			}
			end, _ := sc.str(i)
			name := sc.s[i+1 : end-1]
			start := skipSpace(sc.s, skipSpace(sc.s, end)+1) // past the colon
			sc.spaces = 0
			i, _ = sc.value(start, 0)
			if !yield(Member{name, Value{sc.s[start:i], sc.spaces}}) {
				return
			}
		}
	}
}

// ErrMembers is the error of an object with more members than the caller allows.
var ErrMembers = errors.New("too many members")

// ParseMembers validates the object at the start of text and appends its members to dst, in one pass, until dst has most
// members. It also returns the object and the offset of its end. The error is a SyntaxError or ErrMembers.
func ParseMembers(dst []Member, text string, most int) (members []Member, object Value, end int, err error) {
	sc := scanner{s: text}
	return sc.members(dst, most)
}

// ParseMembersLoosely is ParseMembers for an object with an ErrNotFinite: it takes NaN and infinities for values. It also
// returns the index of the first member with such a value, or -1.
func ParseMembersLoosely(dst []Member, text string, most int) (members []Member, object Value, end, flawed int, err error) {
	sc := scanner{s: text, loose: true}
	before := len(dst)
	members, object, end, err = sc.members(dst, most)
	for i := before; i < len(members); i++ {
		if _, _, flaw := ParsePrefix(members[i].Value.Text); flaw != nil {
			return members, object, end, i, err
		}
	}
	return members, object, end, -1, err
}

func (sc *scanner) members(dst []Member, most int) (members []Member, object Value, end int, err error) {
	text := sc.s
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
		if len(dst) == most {
			return dst, Value{}, 0, ErrMembers
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

// ParseElements reads the array at the start of text, in one pass. It calls element with the text from each element on.
// element validates its element and returns the offset of its end, as ParseMembers and ParsePrefix do. ParseElements
// returns the offset of the array's end.
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

// Elements returns the elements of a valid array, in their order. A value of another kind has none.
func Elements(array Value) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if array.Kind() != Array {
			return
		}
		sc := scanner{s: array.Text}
		for i := skipSpace(sc.s, 1); sc.s[i] != ']'; i = skipSpace(sc.s, i) {
			if sc.s[i] == ',' {
				i = skipSpace(sc.s, i+1)
			}
			start := i
			sc.spaces = 0
			i, _ = sc.value(start, 0)
			if !yield(Value{sc.s[start:i], sc.spaces}) {
				return
			}
		}
	}
}
