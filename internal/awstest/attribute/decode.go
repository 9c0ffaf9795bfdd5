package attribute

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// UnmarshalJSON reads an item. Almost all items are flat, with strings and numbers only, and the simulator reads millions
// of them: for those, a loop by hand takes a quarter of the time of encoding/json, which reads all others.
func (it *Item) UnmarshalJSON(data []byte) error {
	if flat := readFlat(data); flat != nil {
		*it = flat
		return nil
	}
	type item map[string]*Value // without this method
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode((*item)(it))
}

// readFlat reads an item of strings and numbers in the compact form, or returns nil for anything else. The data is valid
// JSON: encoding/json has seen it.
func readFlat(data []byte) Item {
	if !utf8.Valid(data) {
		return nil
	}
	r := flatReader{data}
	if !r.skip(`{`) {
		return nil
	}
	it := make(Item, 8)
	for first := true; !r.skip(`}`); first = false {
		if !first && !r.skip(`,`) {
			return nil
		}
		name, ok := r.text()
		if !ok {
			return nil
		}
		kind := byte('S')
		if !r.skip(`:{"S":`) {
			if kind = 'N'; !r.skip(`:{"N":`) {
				return nil
			}
		}
		text, ok := r.text()
		if !ok || !r.skip(`}`) || it[name] != nil {
			return nil
		}
		it[name] = Scalar(string(kind), text)
	}
	return it
}

type flatReader struct{ rest []byte }

func (r *flatReader) skip(prefix string) bool {
	found := len(r.rest) >= len(prefix) && string(r.rest[:len(prefix)]) == prefix
	if found {
		r.rest = r.rest[len(prefix):]
	}
	return found
}

// text reads a string; only one with escapes needs encoding/json.
func (r *flatReader) text() (text string, ok bool) {
	if len(r.rest) == 0 || r.rest[0] != '"' {
		return "", false
	}
	escaped := false
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			quoted := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			if !escaped {
				return string(quoted[1:i]), true
			}
			return text, json.Unmarshal(quoted, &text) == nil
		}
	}
	return "", false
}
