package jsonscan

import "errors"

// A Member is one name and value of an object. Name is the text between the quotes, with its escapes.
type Member struct {
	Name  string
	Value Value
}

// Members appends the members of a valid object to dst, in their order.
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

// ParseMembers validates the object at the start of text and appends its members to dst, in one pass. It also returns the
// object and the offset of its end.
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

// Elements appends the elements of a valid array to dst, in their order.
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
