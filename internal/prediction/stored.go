package prediction

import (
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// ParseSeconds reads what AppendSeconds writes, in any notation of a number: DynamoDB chooses its own.
func ParseSeconds(number string) (Time, error) {
	v, err := jsonscan.Parse(number)
	if err != nil || v.Kind() != jsonscan.Number || len(v.Text) != len(number) {
		return Time{}, errTimeForm
	}
	return decimalTime(jsonscan.ParseDecimal(number))
}

// ParseTime reads a time as a message may give it: RFC 3339, or a number of seconds, milliseconds, microseconds or
// nanoseconds since the epoch, told apart by size.
func ParseTime(text string) (Time, error) {
	if v, err := jsonscan.Parse(text); err == nil && v.Kind() == jsonscan.Number {
		return parseEpoch(v.Text)
	}
	return parseRFC3339(text)
}

// FromTime returns a clock's time, which must not be before 1970.
func FromTime(t time.Time) Time { return Time{t.Unix(), uint64(t.Nanosecond()) * attosPerNano} }

// Clock returns t as a time.Time, which has nanoseconds: finer digits are cut off.
func (t Time) Clock() time.Time { return time.Unix(t.Sec, int64(t.Atto/attosPerNano)).UTC() }
