package prediction

import (
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// ParseSeconds parses the output of AppendSeconds, in any notation of a number, since DynamoDB may return another.
func ParseSeconds(number string) (Time, error) {
	// Most numbers are in plain notation.
	if whole, fraction, _ := strings.Cut(number, "."); whole != "" && len(whole) <= 12 && len(fraction) <= attoDigits && allDigits(whole) && allDigits(fraction) && number[len(number)-1] != '.' {
		sec, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return Time{}, errTimeForm
		}
		return checkTime(Time{sec, attos(fraction)})
	}
	v, err := jsonscan.Parse(number)
	if err != nil || v.Kind() != jsonscan.Number || len(v.Text) != len(number) {
		return Time{}, errTimeForm
	}
	return decimalTime(jsonscan.ParseDecimal(number))
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

// ParseTime parses a time in the forms of a message: a date and time with its zone, or a number of seconds, milliseconds,
// microseconds or nanoseconds since the epoch. The size of the number determines its unit.
func ParseTime(text string) (Time, error) {
	if jsonscan.IsNumber(text) {
		return parseEpoch(text)
	}
	return parseDateTime(text)
}

// FromTime returns t as a Time. t must not be before 1970.
func FromTime(t time.Time) Time { return Time{t.Unix(), uint64(t.Nanosecond()) * attosPerNano} }

// Clock returns t as a time.Time, truncated to nanoseconds.
func (t Time) Clock() time.Time { return time.Unix(t.Sec, int64(t.Atto/attosPerNano)).UTC() }
