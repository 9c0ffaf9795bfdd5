package jsonscan_test

import (
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

func TestParseDecimal(t *testing.T) {
	for _, test := range []struct {
		texts     []string // notations of one number
		want      jsonscan.Decimal
		magnitude int
		plain     string
	}{
		{[]string{"0", "-0", "0.000", "0e99", "-0.0E-5"}, jsonscan.Decimal{}, 0, "0"},
		{[]string{"1", "1.0", "10e-1", "0.1e1", "1e0", "0.001E+3"}, jsonscan.Decimal{Digits: "1"}, 0, "1"},
		{[]string{"100", "1e2", "1.00e+02"}, jsonscan.Decimal{Digits: "1", Exp: 2}, 2, "100"},
		{[]string{"-0.125", "-125e-3", "-0.0125e1"}, jsonscan.Decimal{Negative: true, Digits: "125", Exp: -3}, -1, "-0.125"},
		{[]string{"12.5", "1.25e1", "125e-1"}, jsonscan.Decimal{Digits: "125", Exp: -1}, 1, "12.5"},
		{[]string{"0.00102", "1.02e-3"}, jsonscan.Decimal{Digits: "102", Exp: -5}, -3, "0.00102"},
		{[]string{"9007199254740993", "9.007199254740993e15"}, jsonscan.Decimal{Digits: "9007199254740993"}, 15, "9007199254740993"},
	} {
		for _, text := range test.texts {
			d := jsonscan.ParseDecimal(text)
			if d != test.want || d.Magnitude() != test.magnitude || string(d.Append(nil)) != test.plain {
				t.Errorf("ParseDecimal(%s) = %+v with magnitude %d and text %s", text, d, d.Magnitude(), d.Append(nil))
			}
		}
	}
}

func TestIsNumber(t *testing.T) {
	for _, text := range []string{"0", "-0", "1", "-12.50", "1e5", "1E-5", "0.1e+10"} {
		if !jsonscan.IsNumber(text) {
			t.Errorf("%q is a number", text)
		}
	}
	for _, text := range []string{"", "-", "+1", " 1", "1 ", "01", "1.", ".5", "1e", "1,2", "NaN", "-Infinity", "true", `"1"`, "[1]", "1é", "\xff"} {
		if jsonscan.IsNumber(text) {
			t.Errorf("%q is not a number", text)
		}
	}
}

func TestParseDecimalHugeExponent(t *testing.T) {
	for _, text := range []string{"1e99999999999999999999", "1E+1073741824", "1e" + strings.Repeat("9", 1000)} {
		if m := jsonscan.ParseDecimal(text).Magnitude(); m < 1e9 {
			t.Errorf("%.30s has magnitude %d", text, m)
		}
		negative := strings.NewReplacer("e", "e-", "E+", "E-").Replace(text)
		if m := jsonscan.ParseDecimal(negative).Magnitude(); m > -1e9 {
			t.Errorf("%.30s has magnitude %d", negative, m)
		}
	}
}
