// Package attribute holds DynamoDB's items as they are on the wire, with the rules that need no table: types, numbers,
// sizes, nesting and the order of keys.
package attribute

import (
	"bytes"
	"encoding/json"
)

// Item is an item, a key or the content of a map.
type Item map[string]*Value

// Value is an AttributeValue: a struct with exactly one member ("AttributeValue", API reference). N is in the form in
// which DynamoDB returns it once Normalize has run.
type Value struct {
	S    *string  `json:",omitempty"`
	N    *string  `json:",omitempty"`
	B    []byte   `json:",omitzero"`
	BOOL *bool    `json:",omitempty"`
	NULL *bool    `json:",omitempty"`
	SS   []string `json:",omitzero"`
	NS   []string `json:",omitzero"`
	BS   [][]byte `json:",omitzero"`
	L    []*Value `json:",omitzero"`
	M    Item     `json:",omitzero"`
}

// Scalar makes a value of type S, N or B. It panics for another type.
func Scalar(kind, text string) *Value {
	switch kind {
	case "S":
		return &Value{S: &text}
	case "N":
		return &Value{N: &text}
	case "B":
		return &Value{B: []byte(text)}
	}
	panic("attribute: no scalar type: " + kind)
}

// Type is the name of the only member, e.g. "S", or "" if v is nil.
func (v *Value) Type() string {
	switch {
	case v == nil:
		return ""
	case v.S != nil:
		return "S"
	case v.N != nil:
		return "N"
	case v.B != nil:
		return "B"
	case v.BOOL != nil:
		return "BOOL"
	case v.NULL != nil:
		return "NULL"
	case v.SS != nil:
		return "SS"
	case v.NS != nil:
		return "NS"
	case v.BS != nil:
		return "BS"
	case v.L != nil:
		return "L"
	case v.M != nil:
		return "M"
	}
	return ""
}

// Text is the content of S, N or B, or "" for another type.
func (v *Value) Text() string {
	switch v.Type() {
	case "S":
		return *v.S
	case "N":
		return *v.N
	case "B":
		return string(v.B)
	}
	return ""
}

// Text is the content of the S, N or B attribute of that name, or "".
func (it Item) Text(name string) string { return it[name].Text() }

// JSON is the item as DynamoDB's JSON, its names in order, so that two equal items have one form.
func (it Item) JSON() string { return toJSON(it) }

func toJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, booleans and bytes
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// Equal reports whether two values have the same type and content.
func Equal(a, b *Value) bool {
	kind := a.Type()
	if kind == "" || kind != b.Type() {
		return false
	}
	if kind == "S" || kind == "N" || kind == "B" {
		return a.Text() == b.Text()
	}
	return toJSON(a) == toJSON(b)
}

// SortKey makes a string of a scalar that orders as DynamoDB orders keys: UTF-8 bytes, bytes, or numbers.
func (v *Value) SortKey() string {
	if v.Type() != "N" {
		return v.Text()
	}
	n, _ := parseNumber(*v.N)
	return n.sortable()
}

// Size is the item's size in bytes ("DynamoDB item sizes and formats"): the names and the values.
func (it Item) Size() int {
	n := 0
	for name, v := range it {
		n += len(name) + v.size()
	}
	return n
}

// size is 1 byte and 1 per two significant digits for a number; 3 for a list or map and 1 for each of its elements.
func (v *Value) size() int {
	n := 0
	switch v.Type() {
	case "S", "B":
		return len(v.Text())
	case "N":
		return numberSize(*v.N)
	case "SS":
		for _, s := range v.SS {
			n += len(s)
		}
	case "BS":
		for _, b := range v.BS {
			n += len(b)
		}
	case "NS":
		for _, s := range v.NS {
			n += numberSize(s)
		}
	case "L":
		n = 3 + len(v.L)
		for _, e := range v.L {
			n += e.size()
		}
	case "M":
		n = 3 + len(v.M) + v.M.Size()
	default:
		n = 1
	}
	return n
}

func numberSize(s string) int { return 1 + (significant(s)+1)/2 }
