package alarmtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// points are a time series: a value a minute, NaN where there is none.
type points []float64

// evaluate computes an expression of CloudWatch's metric math over series of one length, as far as the alarms use it. A missing
// value makes the result missing, unless FILL is around it ("Using math expressions with CloudWatch metrics").
func evaluate(expression string, series map[string]points, length int) (points, error) {
	p := &mathParser{series: series, length: length}
	for _, r := range expression {
		last := len(p.tokens) - 1
		switch {
		case r == ' ':
			p.tokens = append(p.tokens, "")
		case last >= 0 && p.tokens[last] != "" && (isWord(r) && isWord(rune(p.tokens[last][0])) || r == '=' && strings.ContainsAny(p.tokens[last], "<>=!")):
			p.tokens[last] += string(r)
		default:
			p.tokens = append(p.tokens, string(r))
		}
	}
	p.tokens = slices.DeleteFunc(p.tokens, func(s string) bool { return s == "" })
	out := p.binary(0)
	if p.err == nil && len(p.tokens) > 0 {
		p.err = fmt.Errorf("%q is left", p.tokens)
	}
	if p.err != nil {
		return nil, fmt.Errorf("%s: %w", expression, p.err)
	}
	return out, nil
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '.' }

type mathParser struct {
	tokens []string
	series map[string]points
	length int
	err    error
}

func (p *mathParser) take() string {
	if len(p.tokens) == 0 {
		p.err = errors.New("the end is missing")
		return ""
	}
	token := p.tokens[0]
	p.tokens = p.tokens[1:]
	return token
}

func (p *mathParser) expect(token string) {
	if got := p.take(); got != token && p.err == nil {
		p.err = fmt.Errorf("%q in the place of %q", got, token)
	}
}

func isTrue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var operators = []map[string]func(a, b float64) float64{
	{"OR": func(a, b float64) float64 { return isTrue(a != 0 || b != 0) }},
	{"AND": func(a, b float64) float64 { return isTrue(a != 0 && b != 0) }},
	{
		">": func(a, b float64) float64 { return isTrue(a > b) }, "<": func(a, b float64) float64 { return isTrue(a < b) },
		">=": func(a, b float64) float64 { return isTrue(a >= b) }, "<=": func(a, b float64) float64 { return isTrue(a <= b) },
		"==": func(a, b float64) float64 { return isTrue(a == b) }, "!=": func(a, b float64) float64 { return isTrue(a != b) },
	},
	{"+": func(a, b float64) float64 { return a + b }, "-": func(a, b float64) float64 { return a - b }},
	{"*": func(a, b float64) float64 { return a * b }, "/": func(a, b float64) float64 {
		if b == 0 {
			return math.NaN()
		}
		return a / b
	}},
}

// binary reads operators of a precedence and above.
func (p *mathParser) binary(level int) points {
	if level == len(operators) {
		return p.primary()
	}
	left := p.binary(level + 1)
	for p.err == nil && len(p.tokens) > 0 && operators[level][p.tokens[0]] != nil {
		operate := operators[level][p.take()]
		right := p.binary(level + 1)
		left = p.each(func(i int) float64 {
			if math.IsNaN(left[i]) || math.IsNaN(right[i]) {
				return math.NaN()
			}
			return operate(left[i], right[i])
		})
	}
	return left
}

func (p *mathParser) each(value func(i int) float64) points {
	out := make(points, p.length)
	if p.err == nil {
		for i := range out {
			out[i] = value(i)
		}
	}
	return out
}

func (p *mathParser) primary() points {
	token := p.take()
	if n, err := strconv.ParseFloat(token, 64); err == nil {
		return p.each(func(int) float64 { return n })
	}
	switch token {
	case "(":
		inner := p.binary(0)
		p.expect(")")
		return inner
	case "FILL":
		args := p.args(2)
		return p.each(func(i int) float64 {
			if math.IsNaN(args[0][i]) {
				return args[1][i]
			}
			return args[0][i]
		})
	case "IF":
		args := p.args(3)
		return p.each(func(i int) float64 {
			switch {
			case math.IsNaN(args[0][i]):
				return math.NaN()
			case args[0][i] != 0:
				return args[1][i]
			}
			return args[2][i]
		})
	}
	s, known := p.series[token]
	if !known && p.err == nil {
		p.err = fmt.Errorf("%q is no metric of the alarm", token)
	}
	return p.each(func(i int) float64 { return s[i] })
}

func (p *mathParser) args(n int) (list []points) {
	p.expect("(")
	for i := range n {
		if i > 0 {
			p.expect(",")
		}
		list = append(list, p.binary(0))
	}
	p.expect(")")
	return list
}

// statistic aggregates the values that a minute got, as CloudWatch does. It is NaN where there are none.
func statistic(name string, values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch name {
	case "Sum":
		return sum
	case "Average":
		return sum / float64(len(values))
	case "Minimum":
		return slices.Min(values)
	case "Maximum":
		return slices.Max(values)
	case "SampleCount":
		return float64(len(values))
	}
	percent, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil {
		panic("unknown statistic " + name)
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(percent/100*float64(len(sorted))), len(sorted)-1)]
}
