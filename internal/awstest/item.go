package awstest

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item is an item, a key or the content of a map, in the order in which the client sent it.
type Item []Attribute

// Attribute is one attribute of an item.
type Attribute struct {
	Name  string
	Value Value
}

// Value is an attribute's value.
type Value struct {
	// Type is DynamoDB's: S, N, B, BOOL, NULL, SS, NS, BS, L or M.
	Type string
	// Text is the content of S, of N as DynamoDB returns it, and the bytes of B.
	Text string
	Bool bool
	Set  []string // SS, NS or BS, each as in Text
	List []Value
	Map  Item
}

// Get is the attribute's value, or nil.
func (it Item) Get(name string) *Value {
	for i := range it {
		if it[i].Name == name {
			return &it[i].Value
		}
	}
	return nil
}

// Text is the content of the S, N or B attribute of that name, or "".
func (it Item) Text(name string) string {
	if v := it.Get(name); v != nil {
		return v.Text
	}
	return ""
}

// JSON is the item as DynamoDB's JSON, its names in order, so that two equal items have one form.
func (it Item) JSON() string {
	return string(it.appendJSON(nil, true))
}

// SDK is the item as the SDK's types have it.
func (it Item) SDK() map[string]types.AttributeValue {
	m := make(map[string]types.AttributeValue, len(it))
	for _, a := range it {
		m[a.Name] = a.Value.sdk()
	}
	return m
}

func (v Value) sdk() types.AttributeValue {
	switch v.Type {
	case "S":
		return &types.AttributeValueMemberS{Value: v.Text}
	case "N":
		return &types.AttributeValueMemberN{Value: v.Text}
	case "B":
		return &types.AttributeValueMemberB{Value: []byte(v.Text)}
	case "BOOL":
		return &types.AttributeValueMemberBOOL{Value: v.Bool}
	case "NULL":
		return &types.AttributeValueMemberNULL{Value: true}
	case "SS":
		return &types.AttributeValueMemberSS{Value: v.Set}
	case "NS":
		return &types.AttributeValueMemberNS{Value: v.Set}
	case "BS":
		var set [][]byte
		for _, s := range v.Set {
			set = append(set, []byte(s))
		}
		return &types.AttributeValueMemberBS{Value: set}
	case "L":
		list := make([]types.AttributeValue, 0, len(v.List))
		for _, e := range v.List {
			list = append(list, e.sdk())
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.AttributeValueMemberM{Value: v.Map.SDK()}
	}
}

func (it Item) appendJSON(b []byte, ordered bool) []byte {
	if ordered {
		it = slices.Clone(it)
		slices.SortFunc(it, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	}
	b = append(b, '{')
	for i := range it {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, it[i].Name), ':')
		b = it[i].Value.appendJSON(b, ordered)
	}
	return append(b, '}')
}

func (v *Value) appendJSON(b []byte, ordered bool) []byte {
	b = append(append(append(b, `{"`...), v.Type...), `":`...)
	switch v.Type {
	case "S", "N":
		b = appendJSONString(b, v.Text)
	case "B":
		b = appendBase64(b, v.Text)
	case "BOOL", "NULL":
		if v.Bool {
			b = append(b, "true"...)
		} else {
			b = append(b, "false"...)
		}
	case "SS", "NS", "BS":
		b = append(b, '[')
		for i, s := range v.Set {
			if i > 0 {
				b = append(b, ',')
			}
			if v.Type == "BS" {
				b = appendBase64(b, s)
			} else {
				b = appendJSONString(b, s)
			}
		}
		b = append(b, ']')
	case "L":
		b = append(b, '[')
		for i := range v.List {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.List[i].appendJSON(b, ordered)
		}
		b = append(b, ']')
	case "M":
		b = v.Map.appendJSON(b, ordered)
	}
	return append(b, '}')
}

func appendBase64(b []byte, s string) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), []byte(s)), '"')
}

// size is the documented size ("DynamoDB item sizes and formats"): names and values, 1 byte and 1 per two significant digits
// for a number, 3 for a list or map and 1 for each of its elements.
func (it Item) size() int {
	n := 0
	for i := range it {
		n += len(it[i].Name) + it[i].Value.size()
	}
	return n
}

func (v *Value) size() int {
	switch v.Type {
	case "S", "B":
		return len(v.Text)
	case "N":
		return numberSize(v.Text)
	case "SS", "BS":
		n := 0
		for _, s := range v.Set {
			n += len(s)
		}
		return n
	case "NS":
		n := 0
		for _, s := range v.Set {
			n += numberSize(s)
		}
		return n
	case "L":
		n := 3 + len(v.List)
		for i := range v.List {
			n += v.List[i].size()
		}
		return n
	case "M":
		return 3 + len(v.Map) + v.Map.size()
	default:
		return 1
	}
}

func numberSize(s string) int { return 1 + (significant(s)+1)/2 }
