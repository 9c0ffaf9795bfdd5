package attribute

import (
	"strconv"
	"strings"
)

// number is a decimal 0.digits × 10^exp, with no zero at either end of digits; zero has no digits.
type number struct {
	negative bool
	digits   string
	exp      int
}

const (
	errNotNumber   = ValidationError("The parameter cannot be converted to a numeric value")
	errManyDigits  = ValidationError("Attempting to store more than 38 significant digits in a Number")
	errNumberLarge = ValidationError("Number overflow. Attempting to store a number with magnitude larger than supported range")
	errNumberSmall = ValidationError("Number underflow. Attempting to store a number with magnitude smaller than supported range")
)

// IsNumber reports whether s is a number in DynamoDB's form and range.
func IsNumber(s string) bool {
	_, err := parseNumber(s)
	return err == nil
}

// parseNumber enforces "Supported data types and naming rules in Amazon DynamoDB", Number: up to 38 digits, and 1E-130 to
// 9.99…E+125 either side of zero.
func parseNumber(s string) (number, error) {
	var n number
	rest := s
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		n.negative = rest[0] == '-'
		rest = rest[1:]
	}
	mantissa := rest
	exp := 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.Atoi(rest[i+1:])
		if err != nil || e > 1_000_000 || e < -1_000_000 {
			return n, errNotNumber
		}
		mantissa, exp = rest[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return n, errNotNumber
	}
	digits := whole
	if fraction != "" {
		digits += fraction
	}
	n.exp = len(whole) + exp
	trimmed := strings.TrimLeft(digits, "0")
	n.exp -= len(digits) - len(trimmed)
	n.digits = strings.TrimRight(trimmed, "0")
	switch {
	case n.digits == "":
		return number{}, nil
	case n.exp-1 > 125:
		return n, errNumberLarge
	case n.exp-1 < -130:
		return n, errNumberSmall
	case len(n.digits) > 38:
		return n, errManyDigits
	}
	return n, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// String is the number as DynamoDB returns it: no exponent, no zeros but those that the value needs.
func (n number) String() string {
	if n.digits == "" {
		return "0"
	}
	var b strings.Builder
	if n.negative {
		b.WriteByte('-')
	}
	switch {
	case n.exp <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -n.exp))
		b.WriteString(n.digits)
	case n.exp >= len(n.digits):
		b.WriteString(n.digits)
		b.WriteString(strings.Repeat("0", n.exp-len(n.digits)))
	default:
		b.WriteString(n.digits[:n.exp])
		b.WriteByte('.')
		b.WriteString(n.digits[n.exp:])
	}
	return b.String()
}

// sortable encodes the number so that strings order as numbers do: a sign, an exponent that is turned round for negative
// numbers, then the digits, turned round likewise.
func (n number) sortable() string {
	if n.digits == "" {
		return "1"
	}
	exp := byte(n.exp + 129) // -129 to 126
	if !n.negative {
		return string([]byte{'2', exp}) + n.digits
	}
	b := []byte{'0', 255 - exp}
	for i := range len(n.digits) {
		b = append(b, '0'+'9'-n.digits[i])
	}
	return string(append(b, '~')) // a longer number is a smaller one, so the end comes last
}

// significant counts the digits of a normalised number.
func significant(s string) int {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(s, ".")
	if dotted {
		return len(strings.TrimLeft(whole+fraction, "0"))
	}
	return len(strings.TrimRight(whole, "0"))
}
