package dynamodbfake

import (
	"slices"
	"strings"

	"github.com/predcache/predcache/internal/awstest/attribute"
)

// expression is a parsed condition or filter ("Condition and filter expressions, operators, and functions in DynamoDB").
type expression struct {
	op       string // OR AND NOT = <> < <= > >= BETWEEN, or a function's name
	children []*expression
	operands []operand
}

// operand is the name of an attribute or a value.
type operand struct {
	name  string
	value *attribute.Value
}

func (o operand) of(item attribute.Item) *attribute.Value {
	if o.value != nil {
		return o.value
	}
	return item[o.name]
}

// matches evaluates the expression; a nil one matches. A missing attribute makes a comparison false, but <> true.
func (e *expression) matches(item attribute.Item) bool {
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
	}
	first := e.operands[0].of(item)
	switch e.op {
	case "attribute_exists":
		return first != nil
	case "attribute_not_exists":
		return first == nil
	}
	second := e.operands[1].of(item)
	switch e.op {
	case "=":
		return attribute.Equal(first, second)
	case "<>":
		return !attribute.Equal(first, second)
	case "begins_with":
		return first != nil && first.Type() == second.Type() && strings.HasPrefix(first.Text(), second.Text())
	case "BETWEEN":
		return ordered(first, ">=", second) && ordered(first, "<=", e.operands[2].of(item))
	}
	return ordered(first, e.op, second)
}

// ordered compares two scalars of one type; it is false for anything else.
func ordered(a *attribute.Value, op string, b *attribute.Value) bool {
	if kind := a.Type(); kind != b.Type() || kind != "S" && kind != "N" && kind != "B" {
		return false
	}
	order := strings.Compare(a.SortKey(), b.SortKey())
	switch op {
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

// conjuncts takes an expression apart at its ANDs.
func (e *expression) conjuncts() []*expression {
	if e.op == "AND" {
		return append(e.children[0].conjuncts(), e.children[1].conjuncts()...)
	}
	return []*expression{e}
}

// names returns the attributes that the expression names.
func (e *expression) names() (all []string) {
	if e == nil {
		return nil
	}
	for _, o := range e.operands {
		if o.value == nil {
			all = append(all, o.name)
		}
	}
	for _, c := range e.children {
		all = append(all, c.names()...)
	}
	return all
}

// project returns the attributes of an item that are named, as ProjectionExpression answers them; all for nil.
func project(item attribute.Item, names []string) attribute.Item {
	if names == nil {
		return item
	}
	out := attribute.Item{}
	for name, v := range item {
		if slices.Contains(names, name) {
			out[name] = v
		}
	}
	return out
}
