package awstest

import (
	"strconv"
	"strings"
)

// expressions are the expressions of one request with their names and values.
type expressions struct {
	names      map[string]string
	values     map[string]*Value
	usedNames  map[string]bool
	usedValues map[string]bool
	given      bool // that some expression is there
}

// read reads ExpressionAttributeNames or ExpressionAttributeValues.
func (x *expressions) read(r *itemReader, member string) bool {
	switch member {
	case "ExpressionAttributeNames":
		x.names = r.strings()
	case "ExpressionAttributeValues":
		x.values = make(map[string]*Value)
		r.object(func(name string) {
			v := r.value(0)
			x.values[name] = &v
		})
	default:
		return false
	}
	return true
}

// condition parses a condition or filter; kind is the parameter's name, for errors. An absent one is nil.
func (x *expressions) condition(kind, text string) (*expression, *Error) {
	if text == "" {
		return nil, nil
	}
	p := x.parser(kind, text)
	e := p.or()
	if p.err == nil && p.token != "" {
		p.syntax()
	}
	return e, p.err
}

// projection parses a ProjectionExpression: paths with commas between them.
func (x *expressions) projection(text string) ([]path, *Error) {
	if text == "" {
		return nil, nil
	}
	p := x.parser("ProjectionExpression", text)
	var paths []path
	for p.err == nil {
		paths = append(paths, p.path())
		if !p.accept(",") {
			break
		}
	}
	if p.err == nil && p.token != "" {
		p.syntax()
	}
	return paths, p.err
}

// unused enforces that each name and value that was given is used.
func (x *expressions) unused() *Error {
	check := func(parameter string, unused []string) *Error {
		if len(unused) == 0 {
			return nil
		}
		if !x.given {
			return Validation(parameter + " can only be specified when using expressions")
		}
		return Validation("Value provided in " + parameter + " unused in expressions: keys: {" + strings.Join(unused, ", ") + "}")
	}
	var names, values []string
	for _, n := range sorted(x.names) {
		if !x.usedNames[n] {
			names = append(names, n)
		}
	}
	for _, v := range sorted(x.values) {
		if !x.usedValues[v] {
			values = append(values, v)
		}
	}
	if err := check("ExpressionAttributeNames", names); err != nil {
		return err
	}
	return check("ExpressionAttributeValues", values)
}

func (x *expressions) parser(kind, text string) *expressionParser {
	if x.usedNames == nil {
		x.usedNames, x.usedValues = make(map[string]bool), make(map[string]bool)
	}
	x.given = true
	p := &expressionParser{expressions: x, kind: kind, text: text}
	p.next()
	return p
}

// expressionParser is a recursive-descent parser; precedence is comparison, NOT, AND, OR.
type expressionParser struct {
	*expressions
	kind, text string
	pos        int
	token      string // the next one; "" at the end
	err        *Error
}

func (p *expressionParser) refuse(message string) {
	if p.err == nil {
		p.err = Validation("Invalid " + p.kind + ": " + message)
	}
	p.token, p.pos = "", len(p.text)
}

func (p *expressionParser) syntax() {
	near := p.text[max(0, min(len(p.text), p.pos-len(p.token)-8)):min(len(p.text), p.pos+8)]
	token := p.token
	if token == "" {
		token = "<EOF>"
	}
	p.refuse(`Syntax error; token: "` + token + `", near: "` + near + `"`)
}

func (p *expressionParser) next() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	start := p.pos
	if start == len(p.text) {
		p.token = ""
		return
	}
	p.pos++
	switch c := p.text[start]; {
	case strings.IndexByte("<>", c) >= 0:
		if p.pos < len(p.text) && (p.text[p.pos] == '=' || c == '<' && p.text[p.pos] == '>') {
			p.pos++
		}
	case c == '#' || c == ':' || wordByte(c):
		for p.pos < len(p.text) && wordByte(p.text[p.pos]) {
			p.pos++
		}
	}
	p.token = p.text[start:p.pos]
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *expressionParser) accept(token string) bool {
	if p.token == "" || !strings.EqualFold(p.token, token) {
		return false
	}
	p.next()
	return true
}

func (p *expressionParser) expect(token string) {
	if !p.accept(token) {
		p.syntax()
	}
}

func (p *expressionParser) or() *expression {
	e := p.and()
	for p.err == nil && p.accept("OR") {
		e = &expression{op: "OR", children: []*expression{e, p.and()}}
	}
	return e
}

func (p *expressionParser) and() *expression {
	e := p.not()
	for p.err == nil && p.accept("AND") {
		e = &expression{op: "AND", children: []*expression{e, p.not()}}
	}
	return e
}

func (p *expressionParser) not() *expression {
	if p.accept("NOT") {
		return &expression{op: "NOT", children: []*expression{p.not()}}
	}
	if p.accept("(") {
		e := p.or()
		p.expect(")")
		return e
	}
	return p.comparison()
}

// functions are those that make a condition, with their number of operands.
var functions = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2}

func (p *expressionParser) comparison() *expression {
	if n, ok := functions[p.token]; ok {
		e := &expression{op: p.token}
		p.next()
		p.expect("(")
		for i := range n {
			if i > 0 {
				p.expect(",")
			}
			e.operands = append(e.operands, p.operand())
		}
		p.expect(")")
		return e
	}
	first := p.operand()
	switch op := p.token; {
	case p.accept("BETWEEN"):
		low := p.operand()
		p.expect("AND")
		return &expression{op: "BETWEEN", operands: []operand{first, low, p.operand()}}
	case p.accept("IN"):
		e := &expression{op: "IN", operands: []operand{first}}
		p.expect("(")
		for p.err == nil {
			e.operands = append(e.operands, p.operand())
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
		return e
	case op == "=" || op == "<>" || op == "<" || op == "<=" || op == ">" || op == ">=":
		p.next()
		return &expression{op: op, operands: []operand{first, p.operand()}}
	}
	p.syntax()
	return nil
}

func (p *expressionParser) operand() operand {
	switch {
	case strings.HasPrefix(p.token, ":"):
		v := p.values[p.token]
		if v == nil {
			p.refuse("An expression attribute value used in expression is not defined; attribute value: " + p.token)
			return operand{}
		}
		p.usedValues[p.token] = true
		p.next()
		return operand{value: v}
	case p.token == "size" && strings.HasPrefix(strings.TrimLeft(p.text[p.pos:], " "), "("):
		p.next()
		p.expect("(")
		o := operand{path: p.path(), size: true}
		p.expect(")")
		return o
	}
	return operand{path: p.path()}
}

func (p *expressionParser) path() path {
	out := path{{name: p.name()}}
	for p.err == nil {
		switch {
		case p.accept("."):
			out = append(out, step{name: p.name()})
		case p.accept("["):
			n, err := strconv.Atoi(p.token)
			if err != nil || n < 0 {
				p.syntax()
				return out
			}
			p.next()
			p.expect("]")
			out = append(out, step{index: n, list: true})
		default:
			return out
		}
	}
	return out
}

// name reads an attribute name: an alias, or a word that is not reserved.
func (p *expressionParser) name() string {
	token := p.token
	switch {
	case strings.HasPrefix(token, "#"):
		name, ok := p.names[token]
		if !ok {
			p.refuse("An expression attribute name used in the document path is not defined; attribute name: " + token)
			return ""
		}
		p.usedNames[token] = true
		p.next()
		return name
	case token == "" || !wordByte(token[0]) || token[0] >= '0' && token[0] <= '9':
		p.syntax()
		return ""
	case reserved[strings.ToUpper(token)]:
		p.refuse("Attribute name is a reserved keyword; reserved keyword: " + token)
		return ""
	}
	p.next()
	return token
}
