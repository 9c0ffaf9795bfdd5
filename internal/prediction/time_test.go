package prediction

import (
	"cmp"
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

func parseTimeText(t *testing.T, text string) (Time, error) {
	t.Helper()
	v, err := jsonscan.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return parseTime(v)
}

func TestParseTime(t *testing.T) {
	t.Run("unit by size", func(t *testing.T) {
		for _, test := range []struct {
			text string
			sec  int64
			atto uint64
		}{
			{"0", 0, 0},
			{"-0", 0, 0},
			{"1769860800", 1769860800, 0},
			{"99999999999", 99999999999, 0}, // the last number of seconds
			{"100000000000", 100000000, 0},  // the first of milliseconds
			{"1769860800123", 1769860800, 123e15},
			{"99999999999999", 99999999999, 999e15},
			{"100000000000000", 100000000, 0}, // microseconds
			{"1769860800123456", 1769860800, 123456e12},
			{"99999999999999999", 99999999999, 999999e12},
			{"100000000000000000", 100000000, 0}, // nanoseconds
			{"1769860800123456789", 1769860800, 123456789e9},
			{"9223372036854775808", 9223372036, 854775808e9},
			{"18446744073709551616", 18446744073, 709551616e9}, // over 64 bits
			{"253402300799999999999", 253402300799, 999999999e9},
			// The integer part determines the unit, in any notation.
			{"99999999999.999", 99999999999, 999e15},
			{"100000000000.5", 100000000, 5e14},
			{"99999999999999.5", 99999999999, 9995e14},
			{"100000000000000.5", 100000000, 5e11},
			{"99999999999999999.5", 99999999999, 9999995e11},
			{"100000000000000000.5", 100000000, 5e8},
			{"1e11", 100000000, 0},
			{"9.9999999999e10", 99999999999, 0},
			{"1.769860800123E+12", 1769860800, 123e15},
			{"17698608001234567890e-10", 1769860800, 123456789e9},
		} {
			if got, err := parseTimeText(t, test.text); got != (Time{test.sec, test.atto}) || err != nil {
				t.Errorf("%s is %v, %v, want %v", test.text, got, err, Time{test.sec, test.atto})
			}
		}
	})

	t.Run("18 decimals", func(t *testing.T) {
		for text, want := range map[string]Time{
			"0.000000000000000001":                           {0, 1},
			"1769860800.123456789012345678":                  {1769860800, 123456789012345678},
			"1769860800.1000000000000000000000":              {1769860800, 1e17},
			"1769860800123.000000000000001":                  {1769860800, 123e15 + 1},
			"1769860800123456789.000000001":                  {1769860800, 123456789e9 + 1},
			`"2026-01-31T12:00:00.1234567890Z"`:              {1769860800, 123456789e9},
			`"2026-01-31T12:00:00.00000000001Z"`:             {1769860800, 1e7},
			`"2026-01-31T12:00:00.999999999999999999+00:00"`: {1769860800, 999999999999999999},
		} {
			got, err := parseTimeText(t, text)
			if got != want || err != nil {
				t.Errorf("%s is %v, %v, want %v", text, got, err, want)
			}
		}
	})

	t.Run("RFC 3339 zones", func(t *testing.T) {
		for _, text := range []string{
			`"2026-01-31T12:00:00Z"`, `"2026-01-31T12:00:00.000Z"`, `"2026-01-31T12:00:00+00:00"`, `"2026-01-31T12:00:00-00:00"`, `"2026-01-31T17:30:00+05:30"`,
			`"2026-01-31T04:00:00.0-08:00"`, `"2026-02-01T02:00:00+14:00"`, `"2026-01-31T12:00:00\u005a"`,
		} {
			if got, err := parseTimeText(t, text); got != (Time{Sec: 1769860800}) || err != nil {
				t.Errorf("%s is %v, %v", text, got, err)
			}
		}
	})

	t.Run("variants of RFC 3339", func(t *testing.T) {
		for _, text := range []string{
			`"2026-01-31 12:00:00+00:00"`, `"2026-01-31 12:00:00.000000+00:00"`, `"2026-01-31 12:00:00Z"`, `"2026-01-31t12:00:00z"`, `"2026-01-31T12:00:00+0000"`,
			`"2026-01-31T07:00:00.0-0500"`, `"2026-01-31 12:00:00+00"`, `"2026-01-31 17:30:00+0530"`,
		} {
			if got, err := parseTimeText(t, text); got != (Time{Sec: 1769860800}) || err != nil {
				t.Errorf("%s is %v, %v", text, got, err)
			}
		}
	})

	t.Run("numbers in strings", func(t *testing.T) {
		for text, want := range map[string]Time{
			`"1769860800"`: {1769860800, 0}, `"1769860800123"`: {1769860800, 123e15}, `"1.769860800123E+12"`: {1769860800, 123e15}, `"1769860800.5"`: {1769860800, 5e17}, `"1\u0030"`: {10, 0},
		} {
			if got, err := parseTimeText(t, text); got != want || err != nil {
				t.Errorf("%s is %v, %v, want %v", text, got, err, want)
			}
		}
	})

	t.Run("errors", func(t *testing.T) {
		for _, test := range []struct {
			want  error
			texts []string
		}{
			{errNegativeTime, []string{"-1", "-0.000000000000000001", "-1769860800000", "-1e300", `"1969-12-31T23:59:59Z"`, `"1969-12-31T23:59:59.9Z"`, `"1970-01-01T00:00:00+00:01"`}},
			{errLateTime, []string{"253402300800000000000", "253402300799999999999e9", "1e300", "1e999999999999", `"9999-12-31T23:59:59-00:01"`}},
			{errFineTime, []string{"1.0000000000000000001", "1e-19", "1e-999999999999", "1769860800123.0000000000000001", `"2026-01-31T12:00:00.1234567890123456789Z"`}},
			{errNoZone, []string{`"2026-01-31T12:00:00"`, `"2026-01-31 12:00:00"`, `"2026-01-31T12:00:00.5"`}},
			{errTimeForm, []string{
				`""`, `"yesterday"`, `"2026-01-31"`, `"2026-01-31T12:00Z"`, `"2026-01-31T12:00:00.Z"`, `"2026-01-31_12:00:00Z"`, `" 1769860800"`, `"1769860800 "`, `"01769860800"`,
				`"2026-01-31T12:00:00,5Z"`, `"2026-01-31T12:00:00,1234Z"`, `"2026.5-01-31T12:00:00Z"`, `"2026-01-31.5T12:00:00Z"`, `"2026-01-31T12:00:00Z.5"`, `"2026-01-31T12:00:60Z"`, `"2026-01-31T12:60:00Z"`, `"2026-00-31T12:00:00Z"`,
				`"2026-01-31T1:00:00Z"`, `"2026-01-31T1:00:00+01:00"`, `"2026-01-31T24:00:00Z"`, `"2026-02-30T12:00:00Z"`, `"2026-01-31T12:00:00+1"`, `"2026-01-31T12:00:00+010"`, `"2026-01-31T12:00:00+24:00"`,
				`"2026-01-31T12:00:00+01:60"`, `"2026-01-31T12:00:00 Z"`, `"2026-01-31T12:00:00.5.5Z"`, `"+026-01-31T12:00:00Z"`,
				`"2026-01-31T12:00:00\ud83d"`, `true`, `null`, `{}`, `[1769860800]`,
			}},
		} {
			for _, text := range test.texts {
				if got, err := parseTimeText(t, text); !errors.Is(err, test.want) {
					t.Errorf("%s is %v, %v, want %v", text, got, err, test.want)
				}
			}
		}
	})
}

func TestTimeUnits(t *testing.T) {
	for _, test := range []struct {
		time    Time
		seconds string
		ms      int64
	}{
		{Time{}, "0", 0},
		{Time{1769860800, 0}, "1769860800", 1769860800000},
		{Time{1769860800, 5e17}, "1769860800.5", 1769860800500},
		{Time{1769860800, 999999999999999999}, "1769860800.999999999999999999", 1769860800999},
		{Time{0, 1}, "0.000000000000000001", 0},
		{Time{maxSeconds, 1e15}, "253402300799.001", 253402300799001},
	} {
		if got := string(test.time.AppendSeconds([]byte("at "))); got != "at "+test.seconds {
			t.Errorf("%v is written %q", test.time, got)
		}
		if s, ms := test.time.In(1), test.time.In(1000); s != test.time.Sec || ms != test.ms {
			t.Errorf("%v is %d s, %d ms", test.time, s, ms)
		}
	}
	if got := FromMillis(1769860800123); got != (Time{1769860800, 123e15}) {
		t.Errorf("FromMillis: %v", got)
	}
}

func TestTimeCompare(t *testing.T) {
	ordered := []Time{{}, {0, 1}, {1, 0}, {1, 1e9 - 1}, {1, 1e9}, {1, 1e9 + 1}, {2, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if want := min(max(i-j, -1), 1); a.Compare(b) != want {
				t.Errorf("%v to %v: %d", a, b, a.Compare(b))
			}
		}
		if got, want := a.After(time.Unix(1, 1)), i > 4; got != want {
			t.Errorf("%v after 1.000000001: %v", a, got)
		}
	}
	if !slices.IsSortedFunc(ordered, Time.Compare) {
		t.Error("not sorted")
	}
}

// rfc3339 has the variants that parseDateTime reads; canonical writes them as RFC 3339.
var rfc3339 = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:([Zz])|([+-](?:[01]\d|2[0-3])):?([0-5]\d)?)$`)

func canonical(s string) string {
	m := rfc3339.FindStringSubmatch(s)
	switch {
	case m == nil || strings.HasSuffix(s, ":"):
		return ""
	case m[4] != "":
		return m[1] + "T" + m[2] + m[3] + "Z"
	}
	return m[1] + "T" + m[2] + m[3] + m[5] + ":" + cmp.Or(m[6], "00")
}

// FuzzTime compares numbers with math/big and strings with package time.
func FuzzTime(f *testing.F) {
	for _, text := range []string{
		"0", "-1", "99999999999.9", "100000000000", "99999999999999", "100000000000000", "99999999999999999", "100000000000000000", "9999999999999999999",
		"253402300799", "1.5e9", "17e-1", "1e-18", "1e-19", "1e25", "0E90060000000000000000", `"2026-01-31T12:00:00.5+05:30"`, `"2026-01-31T12:00:00,5Z"`, `"9999-12-31T23:59:59Z"`, `"0000-01-01T00:00:00Z"`,
		`"2026-01-31 12:00:00+0000"`, `"2026-01-31t12:00:00.5-08"`, `"2026-01-31T12:00:00"`, `"1769860800123"`, `"1e300"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := jsonscan.Parse(text)
		if err != nil {
			t.Skip()
		}
		got, err := parseTime(v)
		if err == nil {
			if got.Sec < 0 || got.Sec > maxSeconds || got.Atto >= attosPerSecond {
				t.Fatalf("%s is %v", text, got)
			}
			if back, err := decimalTime(jsonscan.ParseDecimal(string(got.AppendSeconds(nil)))); back != got || err != nil {
				t.Fatalf("%v is read back from %s as %v, %v", got, got.AppendSeconds(nil), back, err)
			}
		}
		switch v.Kind() {
		case jsonscan.Number:
			checkEpoch(t, v.Text, got, err)
		case jsonscan.String:
			s, _ := jsonscan.Unquote(inside(v))
			if jsonscan.IsNumber(s) {
				checkEpoch(t, s, got, err)
				return
			}
			want, wantErr := time.Parse(time.RFC3339Nano, canonical(s))
			switch {
			case err == nil && (wantErr != nil || want.Unix() != got.Sec || uint64(want.Nanosecond()) != got.Atto/attosPerNano):
				t.Fatalf("%s is %v, package time: %v, %v", s, got, want, wantErr)
			case errors.Is(err, errTimeForm) && wantErr == nil:
				t.Fatalf("%s: %v, package time: %v", s, err, want)
			}
		default:
			if !errors.Is(err, errTimeForm) {
				t.Fatalf("%s: %v", text, err)
			}
		}
	})
}

func checkEpoch(t *testing.T, text string, got Time, err error) {
	t.Helper()
	switch d := jsonscan.ParseDecimal(text); {
	case d.Digits == "":
		if got != (Time{}) || err != nil {
			t.Fatalf("%s is %v, %v", text, got, err)
		}
		return
	case d.Magnitude() > 100, d.Magnitude() < -100, len(text) > 200:
		return // math/big would take for ever
	}
	value, _ := new(big.Rat).SetString(text)
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	digits := len(strings.TrimPrefix(whole.String(), "-"))
	perSecond := int64(1)
	switch {
	case digits > 17:
		perSecond = 1e9
	case digits > 14:
		perSecond = 1e6
	case digits > 11:
		perSecond = 1e3
	}
	attos := new(big.Rat).Mul(value, new(big.Rat).SetFrac64(attosPerSecond/perSecond, 1))
	end := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(maxSeconds+1), big.NewInt(attosPerSecond)), big.NewInt(1))
	if fits := attos.IsInt() && attos.Sign() >= 0 && attos.Cmp(end) < 0; fits != (err == nil) {
		t.Fatalf("%s: error %v, but %s attoseconds", text, err, attos)
	}
	if err != nil {
		return
	}
	gotAttos := new(big.Int).Mul(big.NewInt(got.Sec), big.NewInt(attosPerSecond))
	gotAttos.Add(gotAttos, new(big.Int).SetUint64(got.Atto))
	if gotAttos.Cmp(attos.Num()) != 0 {
		t.Fatalf("%s is %v, want %s attoseconds", text, got, attos)
	}
}
