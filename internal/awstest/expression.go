package awstest

import (
	"strconv"
	"strings"
)

// expression is a parsed condition or filter ("Condition and filter expressions, operators, and functions in DynamoDB").
type expression struct {
	op       string // OR AND NOT = <> < <= > >= BETWEEN IN, or a function's name
	children []*expression
	operands []operand
}

// operand is a document path, a value, or the size of a path.
type operand struct {
	path  path
	value *Value
	size  bool
}

// path is a document path: a name, then names in maps and places in lists.
type path []step

type step struct {
	name  string
	index int
	list  bool
}

func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case s.list:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

func (p path) find(item Item) *Value {
	v := item.Get(p[0].name)
	for _, s := range p[1:] {
		switch {
		case v == nil:
			return nil
		case s.list && v.Type == "L" && s.index < len(v.List):
			v = &v.List[s.index]
		case !s.list && v.Type == "M":
			v = v.Map.Get(s.name)
		default:
			return nil
		}
	}
	return v
}

func (o operand) of(item Item) *Value {
	if o.value != nil {
		return o.value
	}
	v := o.path.find(item)
	if !o.size || v == nil {
		return v
	}
	n := len(v.Text)
	switch v.Type {
	case "L":
		n = len(v.List)
	case "M":
		n = len(v.Map)
	case "SS", "NS", "BS":
		n = len(v.Set)
	case "N", "BOOL", "NULL":
		return nil
	}
	return &Value{Type: "N", Text: strconv.Itoa(n)}
}

// matches evaluates the expression; a nil one matches. A missing attribute makes a comparison false, but <> true.
func (e *expression) matches(item Item) bool {
	if e == nil {
		return true
	}
	switch e.op {
	case "OR":
		return e.children[0].matches(item) || e.children[1].matches(item)
	case "AND":
		return e.children[0].matches(item) && e.children[1].matches(item)
	case "NOT":
		return !e.children[0].matches(item)
	case "attribute_exists":
		return e.operands[0].of(item) != nil
	case "attribute_not_exists":
		return e.operands[0].of(item) == nil
	}
	first := e.operands[0].of(item)
	if e.op == "<>" {
		return !equal(first, e.operands[1].of(item))
	}
	if first == nil {
		return false
	}
	second := e.operands[1].of(item)
	switch e.op {
	case "IN":
		for _, o := range e.operands[1:] {
			if equal(first, o.of(item)) {
				return true
			}
		}
		return false
	case "BETWEEN":
		low, ok := compare(first, second)
		high, okHigh := compare(first, e.operands[2].of(item))
		return ok && okHigh && low >= 0 && high <= 0
	case "=":
		return equal(first, second)
	}
	if second == nil {
		return false
	}
	switch e.op {
	case "attribute_type":
		return first.Type == second.Text
	case "begins_with":
		return first.Type == second.Type && first.Type != "N" && strings.HasPrefix(first.Text, second.Text)
	case "contains":
		return contained(first, second)
	}
	order, ok := compare(first, second)
	if !ok {
		return false
	}
	switch e.op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func contained(whole, part *Value) bool {
	switch whole.Type {
	case "S", "B":
		return whole.Type == part.Type && strings.Contains(whole.Text, part.Text)
	case "SS", "NS", "BS":
		return whole.Type[:1] == part.Type && contains(whole.Set, part.Text)
	case "L":
		for i := range whole.List {
			if equal(&whole.List[i], part) {
				return true
			}
		}
	}
	return false
}

func equal(a, b *Value) bool {
	if a == nil || b == nil || a.Type != b.Type {
		return false
	}
	switch a.Type {
	case "S", "N", "B":
		return a.Text == b.Text
	}
	return string(a.appendJSON(nil, true)) == string(b.appendJSON(nil, true))
}

// compare orders two scalars of one type; it says false for anything else.
func compare(a, b *Value) (int, bool) {
	if a == nil || b == nil || a.Type != b.Type || a.Type != "S" && a.Type != "N" && a.Type != "B" {
		return 0, false
	}
	return strings.Compare(encodeKey(a), encodeKey(b)), true
}

// conjuncts takes an expression apart at its ANDs.
func (e *expression) conjuncts() []*expression {
	if e == nil {
		return nil
	}
	if e.op == "AND" {
		return append(e.children[0].conjuncts(), e.children[1].conjuncts()...)
	}
	return []*expression{e}
}

// paths are the document paths that the expression names.
func (e *expression) paths() (all []path) {
	if e == nil {
		return nil
	}
	for _, o := range e.operands {
		if o.path != nil {
			all = append(all, o.path)
		}
	}
	for _, c := range e.children {
		all = append(all, c.paths()...)
	}
	return all
}

// project is the part of an item that the paths name, as ProjectionExpression answers it.
func project(item Item, paths []path) Item {
	if paths == nil {
		return item
	}
	var out Item
	for _, a := range item {
		var inner []path
		whole := false
		for _, p := range paths {
			if p[0].name == a.Name {
				whole = whole || len(p) == 1
				inner = append(inner, p[1:])
			}
		}
		if whole {
			out = append(out, a)
		} else if len(inner) > 0 {
			if v, ok := projectValue(a.Value, inner); ok {
				out = append(out, Attribute{a.Name, v})
			}
		}
	}
	return out
}

func projectValue(v Value, paths []path) (Value, bool) {
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
	}
	switch v.Type {
	case "M":
		var named []path
		for _, p := range paths {
			if !p[0].list {
				named = append(named, p)
			}
		}
		v.Map = project(v.Map, named)
		return v, len(named) > 0 && len(v.Map) > 0
	case "L":
		var list []Value
		for i := range v.List {
			var inner []path
			for _, p := range paths {
				if p[0].list && p[0].index == i {
					inner = append(inner, p[1:])
				}
			}
			if len(inner) > 0 {
				if e, ok := projectValue(v.List[i], inner); ok {
					list = append(list, e)
				}
			}
		}
		v.List = list
		return v, len(list) > 0
	}
	return v, false
}
