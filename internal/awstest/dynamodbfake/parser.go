package dynamodbfake

import (
	"maps"
	"slices"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// expressions are the names and values of a request's expressions.
type expressions struct {
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues attribute.Item

	usedNames, usedValues map[string]bool
	given                 bool // that some expression is there
}

// condition parses a condition or filter; kind is the parameter's name, for errors. An absent one is nil.
func (x *expressions) condition(kind, text string) (*expression, *awstest.Error) {
	if err := normalize(x.ExpressionAttributeValues); err != nil {
		return nil, err
	}
	if text == "" {
		return nil, nil
	}
	p := x.parser(kind, text)
	e := p.or()
	p.end()
	return e, p.err
}

// projection parses a ProjectionExpression: names with commas between them. Paths into maps and lists are not known here.
func (x *expressions) projection(text string) ([]string, *awstest.Error) {
	if text == "" {
		return nil, nil
	}
	p := x.parser("ProjectionExpression", text)
	names := []string{p.name()}
	for p.accept(",") {
		names = append(names, p.name())
	}
	p.end()
	return names, p.err
}

// unused enforces that each name and value that was given is used ("Using expressions in DynamoDB").
func (x *expressions) unused() *awstest.Error {
	check := func(parameter string, given []string, used map[string]bool) *awstest.Error {
		unused := slices.DeleteFunc(given, func(name string) bool { return used[name] })
		switch {
		case len(unused) == 0:
			return nil
		case !x.given:
			return Validation(parameter + " can only be specified when using expressions")
		}
		return Validation("Value provided in " + parameter + " unused in expressions: keys: {" + strings.Join(unused, ", ") + "}")
	}
	if err := check("ExpressionAttributeNames", slices.Sorted(maps.Keys(x.ExpressionAttributeNames)), x.usedNames); err != nil {
		return err
	}
	return check("ExpressionAttributeValues", slices.Sorted(maps.Keys(x.ExpressionAttributeValues)), x.usedValues)
}

func (x *expressions) parser(kind, text string) *parser {
	if x.usedNames == nil {
		x.usedNames, x.usedValues = make(map[string]bool), make(map[string]bool)
	}
	x.given = true
	p := &parser{expressions: x, kind: kind, text: text}
	p.next()
	return p
}

// parser is a recursive-descent parser; precedence is comparison, NOT, AND, OR. It knows the operators and functions that
// this project uses, and refuses the others.
type parser struct {
	*expressions
	kind, text string
	pos        int
	token      string // the next one; "" at the end
	err        *awstest.Error
}

func (p *parser) refuse(message string) {
	if p.err == nil {
		p.err = Validation("Invalid " + p.kind + ": " + message)
	}
	p.token, p.pos = "", len(p.text)
}

func (p *parser) syntax() {
	near := p.text[max(0, min(len(p.text), p.pos-len(p.token)-8)):min(len(p.text), p.pos+8)]
	token := p.token
	if token == "" {
		token = "<EOF>"
	}
	p.refuse(`Syntax error; token: "` + token + `", near: "` + near + `"`)
}

// end enforces that the text is over.
func (p *parser) end() {
	if p.err == nil && p.token != "" {
		p.syntax()
	}
}

func (p *parser) next() {
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
	case c == '<' || c == '>':
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

func (p *parser) accept(token string) bool {
	if p.token == "" || !strings.EqualFold(p.token, token) {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(token string) {
	if !p.accept(token) {
		p.syntax()
	}
}

func (p *parser) or() *expression {
	e := p.and()
	for p.accept("OR") {
		e = &expression{op: "OR", children: []*expression{e, p.and()}}
	}
	return e
}

func (p *parser) and() *expression {
	e := p.not()
	for p.accept("AND") {
		e = &expression{op: "AND", children: []*expression{e, p.not()}}
	}
	return e
}

func (p *parser) not() *expression {
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

// functions are those that make a condition, with their number of operands. Their names are case-sensitive.
var functions = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "begins_with": 2}

func (p *parser) comparison() *expression {
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
	switch op := p.token; op {
	case "=", "<>", "<", "<=", ">", ">=":
		p.next()
		return &expression{op: op, operands: []operand{first, p.operand()}}
	}
	if !p.accept("BETWEEN") {
		p.syntax()
		return nil
	}
	low := p.operand()
	p.expect("AND")
	high := p.operand()
	p.checkBounds(low.value, high.value)
	return &expression{op: "BETWEEN", operands: []operand{first, low, high}}
}

// checkBounds enforces that the bounds of a BETWEEN have one type and are in order, in conditions of every kind
// ("Condition and filter expressions, operators, and functions in DynamoDB"; the texts are the service's own).
func (p *parser) checkBounds(low, high *attribute.Value) {
	bounds := func() string {
		return "; lower bound operand: AttributeValue: {" + low.Type() + ":" + low.Text() + "}, upper bound operand: AttributeValue: {" + high.Type() + ":" + high.Text() + "}"
	}
	switch {
	case low == nil || high == nil:
	case low.Type() != high.Type():
		p.refuse("The BETWEEN operator requires same data type for lower and upper bounds" + bounds())
	case ordered(low, ">", high):
		p.refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound" + bounds())
	}
}

func (p *parser) operand() operand {
	if !strings.HasPrefix(p.token, ":") {
		return operand{name: p.name()}
	}
	v := p.ExpressionAttributeValues[p.token]
	if v == nil {
		p.refuse("An expression attribute value used in expression is not defined; attribute value: " + p.token)
		return operand{}
	}
	p.usedValues[p.token] = true
	p.next()
	return operand{value: v}
}

// name reads an attribute name: an alias, or a word that is not reserved.
func (p *parser) name() string {
	token := p.token
	switch {
	case strings.HasPrefix(token, "#"):
		name, ok := p.ExpressionAttributeNames[token]
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
	case isReserved(token):
		p.refuse("Attribute name is a reserved keyword; reserved keyword: " + token)
		return ""
	}
	p.next()
	return token
}
