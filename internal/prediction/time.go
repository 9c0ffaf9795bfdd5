package prediction

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A Time is an instant, exact to 18 decimals of a second. Event times order predictions, so they keep every digit of the
// message. The zero Time is the epoch.
type Time struct {
	Sec  int64  // since the epoch, never negative
	Atto uint64 // 1e-18 s, below attosPerSecond
}

const (
	attoDigits     = 18
	attosPerSecond = 1_000_000_000_000_000_000
	attosPerNano   = 1_000_000_000

	// maxSeconds is the last second of the year 9999, the maximum of RFC 3339.
	maxSeconds = 253402300799
)

var (
	errNegativeTime = errors.New("is before 1970")
	errLateTime     = errors.New("is after the year 9999")
	errFineTime     = errors.New("has more than 18 decimals of a second")
	errTimeForm     = errors.New("is neither a number nor an RFC 3339 time with its zone, like 2026-01-31T12:00:00.5Z")
	errNoZone       = errors.New("is a time without its zone, so its instant is unknown: append Z if it is UTC, or its offset, like +01:00")
)

// FromMillis returns the Time of ms milliseconds since the epoch.
func FromMillis(ms int64) Time {
	return Time{ms / 1000, uint64(ms%1000) * (attosPerSecond / 1000)}
}

// Compare returns -1 if t is before u, 1 if it is after, and 0 if they are equal.
func (t Time) Compare(u Time) int {
	return cmp.Or(cmp.Compare(t.Sec, u.Sec), cmp.Compare(t.Atto, u.Atto))
}

// After reports whether t is after u.
func (t Time) After(u time.Time) bool {
	return t.Compare(Time{u.Unix(), uint64(u.Nanosecond()) * attosPerNano}) > 0
}

// In returns the time since the epoch in units of 1/perSecond of a second, rounded down.
func (t Time) In(perSecond uint64) int64 {
	return t.Sec*int64(perSecond) + int64(t.Atto/(attosPerSecond/perSecond))
}

// plus adds a duration, given as a Time.
func (t Time) plus(d Time) Time {
	sum := Time{t.Sec + d.Sec, t.Atto + d.Atto}
	if sum.Atto >= attosPerSecond {
		sum.Sec++
		sum.Atto -= attosPerSecond
	}
	return sum
}

// AppendSeconds appends t as decimal seconds without trailing zeros.
func (t Time) AppendSeconds(dst []byte) []byte {
	dst = strconv.AppendInt(dst, t.Sec, 10)
	if t.Atto == 0 {
		return dst
	}
	// The leading 1 keeps the zeros after the point, which then overwrites it.
	point := len(dst)
	dst = strconv.AppendUint(dst, attosPerSecond+t.Atto, 10)
	dst[point] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// parseTime parses a time of a message: a date and time with its zone, or a number of seconds, milliseconds, microseconds or
// nanoseconds since the epoch. The size of the number determines its unit. A number may be in a string: protobuf's JSON mapping
// writes int64 so, and DynamoDB's JSON every number.
func parseTime(v jsonscan.Value) (Time, error) {
	switch v.Kind() {
	case jsonscan.Number:
		return parseEpoch(v.Text)
	case jsonscan.String:
		text, err := jsonscan.Unquote(inside(v))
		if err != nil {
			return Time{}, errTimeForm
		}
		if jsonscan.IsNumber(text) {
			return parseEpoch(text)
		}
		return parseDateTime(text)
	default:
		return Time{}, errTimeForm
	}
}

// epochDecimals returns the power of ten of the unit of a Unix time with so many integer digits: up to 11 digits (below 1e11)
// are seconds (0), up to 14 milliseconds (3), up to 17 microseconds (6), more are nanoseconds (9).
func epochDecimals(integerDigits int) int {
	switch {
	case integerDigits <= 11:
		return 0
	case integerDigits <= 14:
		return 3
	case integerDigits <= 17:
		return 6
	default:
		return 9
	}
}

func parseEpoch(s string) (Time, error) {
	// Most times are plain integers.
	if len(s) <= 19 && s[0] != '-' && strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) < 0 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Time{}, errTimeForm
		}
		perSecond := uint64(1)
		for range epochDecimals(len(s)) {
			perSecond *= 10
		}
		return checkTime(Time{int64(n / perSecond), n % perSecond * (attosPerSecond / perSecond)})
	}
	// Most others are seconds with decimals, like Python's time.time().
	whole, fraction, found := strings.Cut(s, ".")
	if found && s[0] != '-' && epochDecimals(len(whole)) == 0 && len(fraction) <= attoDigits && !strings.ContainsAny(fraction, "eE") {
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return Time{}, errTimeForm
		}
		return checkTime(Time{n, attos(fraction)})
	}
	d := jsonscan.ParseDecimal(s)
	d.Exp -= epochDecimals(d.Magnitude() + 1)
	return decimalTime(d)
}

// decimalTime returns the Time of d seconds.
func decimalTime(d jsonscan.Decimal) (Time, error) {
	switch {
	case d.Digits == "":
		return Time{}, nil
	case d.Negative:
		return Time{}, errNegativeTime
	case d.Magnitude() > 11:
		return Time{}, errLateTime
	case d.Exp < -attoDigits:
		return Time{}, errFineTime
	}
	var buf [attoDigits + 16]byte
	whole, fraction, _ := strings.Cut(string(d.Append(buf[:0])), ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return Time{}, errTimeForm
	}
	return checkTime(Time{sec, attos(fraction)})
}

// attos parses at most 18 decimals of a second.
func attos(decimals string) uint64 {
	var n uint64
	for i := range attoDigits {
		n *= 10
		if i < len(decimals) {
			n += uint64(decimals[i] - '0')
		}
	}
	return n
}

// parseDateTime parses RFC 3339 and its usual variants, which can mean nothing else: a space for the T, as Python's str and SQL
// write it, and offsets like +0000 and +00. It parses by itself, since time.Parse keeps only nine decimals.
func parseDateTime(s string) (Time, error) {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) < seconds || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' || strings.IndexByte("Tt ", s[10]) < 0 {
		return Time{}, errTimeForm
	}
	year, month, day := number(s[:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if min(year, month, day, hour, minute, second) < 0 || hour > 23 || minute > 59 || second > 59 {
		return Time{}, errTimeForm
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if t.Month() != time.Month(month) || t.Day() != day { // such as February 30
		return Time{}, errTimeForm
	}
	zone, fraction := s[seconds:], ""
	if zone != "" && zone[0] == '.' {
		end := 1
		for end < len(zone) && zone[end]-'0' <= 9 {
			end++
		}
		if end == 1 {
			return Time{}, errTimeForm
		}
		zone, fraction = zone[end:], strings.TrimRight(zone[1:end], "0")
	}
	offset, err := parseOffset(zone)
	switch {
	case err != nil:
		return Time{}, err
	case len(fraction) > attoDigits:
		return Time{}, errFineTime
	}
	return checkTime(Time{t.Unix() - int64(offset), attos(fraction)})
}

// parseOffset returns the seconds that a zone is ahead of UTC: Z, +hh:mm, +hhmm or +hh.
func parseOffset(zone string) (int, error) {
	switch {
	case zone == "":
		return 0, errNoZone
	case zone == "Z" || zone == "z":
		return 0, nil
	case zone[0] != '+' && zone[0] != '-':
		return 0, errTimeForm
	}
	var hours, minutes int
	switch digits := zone[1:]; {
	case len(digits) == 2:
		hours = number(digits)
	case len(digits) == 4:
		hours, minutes = number(digits[:2]), number(digits[2:])
	case len(digits) == 5 && digits[2] == ':':
		hours, minutes = number(digits[:2]), number(digits[3:])
	default:
		return 0, errTimeForm
	}
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, errTimeForm
	}
	offset := hours*3600 + minutes*60
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, nil
}

// number returns the value of decimal digits, or -1 if there is another byte.
func number(digits string) int {
	n := 0
	for i := range len(digits) {
		if digits[i]-'0' > 9 {
			return -1
		}
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

func checkTime(t Time) (Time, error) {
	switch {
	case t.Sec < 0:
		return Time{}, errNegativeTime
	case t.Sec > maxSeconds:
		return Time{}, errLateTime
	}
	return t, nil
}
