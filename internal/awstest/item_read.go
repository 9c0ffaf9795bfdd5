package awstest

import (
	"encoding/base64"
	"slices"
	"strings"
)

const (
	maxItemSize   = 400 << 10 // "Quotas in Amazon DynamoDB", item size
	maxNesting    = 32        // the same page, nested attribute depth; an item's attribute is level 1
	maxNameLength = 65_535    // "Supported data types and naming rules in Amazon DynamoDB"
	maxHashLength = 2048      // the same page, partition key length
	maxSortLength = 1024      // the same page, sort key length
)

// itemReader reads items and keeps the first rule that one breaks, which the service answers with once it has read all.
type itemReader struct {
	*jsonReader
	problem *Error
}

func (r *itemReader) refuse(message string) {
	if r.problem == nil {
		r.problem = Validation(message)
	}
}

func (r *itemReader) item(depth int) Item {
	it := make(Item, 0, 6)
	r.object(func(name string) {
		if name == "" {
			r.refuse("One or more parameter values were invalid: An attribute name may not be empty") // the service's own text is not known
		}
		if len(name) > maxNameLength {
			r.refuse("One or more parameter values were invalid: Attribute name is too large, must be less than 65536 bytes")
		}
		it = append(it, Attribute{Name: name, Value: r.value(depth)})
	})
	return it
}

// value reads an AttributeValue, in the checks and texts of "AttributeValue" (API reference). depth counts the lists and maps
// around it: 31 of them may hold a value, the innermost of 32 must be empty.
func (r *itemReader) value(depth int) (v Value) {
	members := 0
	if depth >= maxNesting {
		r.refuse("1 validation error detected: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
	}
	r.object(func(kind string) {
		members++
		v.Type = kind
		switch kind {
		case "S":
			v.Text = r.str()
		case "N":
			v.Text = r.number(r.str())
		case "B":
			v.Text = r.binary()
		case "BOOL":
			v.Bool = r.boolean()
		case "NULL":
			if v.Bool = r.boolean(); !v.Bool {
				r.refuse("One or more parameter values were invalid: Null attribute value types must have the value of true")
			}
		case "SS", "NS", "BS":
			r.set(&v)
		case "L":
			v.List = []Value{}
			r.array(func() { v.List = append(v.List, r.value(depth+1)) })
		case "M":
			v.Map = r.item(depth + 1)
		default:
			members--
			r.skip()
		}
	})
	switch {
	case members == 0:
		r.refuse("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case members > 1:
		r.refuse("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	return v
}

func (r *itemReader) number(s string) string {
	n, err := normalNumber(s)
	switch {
	case err == errNotNumber && s != "":
		r.refuse(err.Message + ": " + s)
	case err != nil:
		r.refuse(err.Message)
	}
	return n
}

func (r *itemReader) binary() string {
	raw, err := base64.StdEncoding.DecodeString(r.str())
	if err != nil {
		r.fail()
	}
	return string(raw)
}

func (r *itemReader) set(v *Value) {
	r.array(func() {
		switch v.Type {
		case "SS":
			v.Set = append(v.Set, r.str())
		case "NS":
			v.Set = append(v.Set, r.number(r.str()))
		case "BS":
			v.Set = append(v.Set, r.binary())
		}
	})
	if len(v.Set) == 0 {
		kind := map[string]string{"SS": "string", "NS": "number", "BS": "binary"}[v.Type]
		r.refuse("One or more parameter values were invalid: An " + kind + " set  may not be empty")
		return
	}
	seen := slices.Clone(v.Set)
	slices.Sort(seen)
	if len(slices.Compact(seen)) == len(v.Set) {
		return
	}
	switch v.Type {
	case "NS":
		r.refuse("Input collection contains duplicates")
	default:
		r.refuse("One or more parameter values were invalid: Input collection [" + strings.Join(v.Set, ", ") + "] contains duplicates.")
	}
}
