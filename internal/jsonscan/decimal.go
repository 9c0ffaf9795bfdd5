package jsonscan

import "strings"

// A Decimal is the exact value of a JSON number: Digits × 10^Exp. Digits neither begins nor ends with a zero; the number
// zero has no digits.
type Decimal struct {
	Negative bool
	Digits   string
	Exp      int
}

// maxExponent keeps sums of exponents from overflowing. DynamoDB's numbers and clocks stay below a few hundred.
const maxExponent = 1 << 30

// IsNumber reports whether text is exactly one JSON number.
func IsNumber(text string) bool {
	if text == "" {
		return false
	}
	sc := scanner{s: text}
	end, err := sc.number(0)
	return err == nil && end == len(text)
}

// ParseDecimal parses a valid JSON number.
func ParseDecimal(s string) Decimal {
	var d Decimal
	if s[0] == '-' {
		d.Negative, s = true, s[1:]
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp, negative := 0, s[i+1] == '-'
		for _, c := range []byte(s[i+1:]) {
			if c-'0' <= 9 && exp < maxExponent {
				exp = exp*10 + int(c-'0')
			}
		}
		if exp = min(exp, maxExponent); negative {
			exp = -exp
		}
		d.Exp, s = exp, s[:i]
	}
	if whole, fraction, found := strings.Cut(s, "."); found {
		d.Exp -= len(fraction)
		s = whole + fraction
	}
	d.Digits = strings.TrimRight(s, "0")
	d.Exp += len(s) - len(d.Digits)
	d.Digits = strings.TrimLeft(d.Digits, "0")
	if d.Digits == "" {
		return Decimal{}
	}
	return d
}

// Magnitude returns the power of ten of the first digit: 0 for 1 to 9, 2 for 100 to 999, -1 for 0.1, and 0 for zero.
func (d Decimal) Magnitude() int {
	if d.Digits == "" {
		return 0
	}
	return d.Exp + len(d.Digits) - 1
}

// Append appends d in plain notation. Equal numbers get the same text. The caller must limit Exp, since it determines the
// length.
func (d Decimal) Append(dst []byte) []byte {
	if d.Digits == "" {
		return append(dst, '0')
	}
	if d.Negative {
		dst = append(dst, '-')
	}
	switch point := len(d.Digits) + d.Exp; {
	case d.Exp >= 0:
		dst = append(dst, d.Digits...)
		return appendZeros(dst, d.Exp)
	case point <= 0:
		dst = append(dst, '0', '.')
		dst = appendZeros(dst, -point)
		return append(dst, d.Digits...)
	default:
		dst = append(dst, d.Digits[:point]...)
		dst = append(dst, '.')
		return append(dst, d.Digits[point:]...)
	}
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}
