package statuspage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A number is rounded to the digits that the page shows, which keeps the events short. NaN becomes null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return appendRounded(nil, f), nil
}

// appendRounded appends a number with four significant digits, or as an integer if it is large.
func appendRounded(b []byte, f float64) []byte {
	if f >= 1000 || f <= -1000 {
		return strconv.AppendFloat(b, f, 'f', 0, 64)
	}
	text := strconv.FormatFloat(f, 'g', 4, 64)
	short, _ := strconv.ParseFloat(text, 64) // it was just formatted
	return strconv.AppendFloat(b, short, 'f', -1, 64)
}

// capital returns a text with its first letter in upper case.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// plural returns a whole number, grouped as in 12,345, with the singular or the plural of a noun.
func plural(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped returns a whole number, as in 12,345.
func grouped(n float64) string {
	text := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// threeDigits rounds a number to three significant digits.
func threeDigits(n float64) float64 {
	if n < 1000 {
		return math.Round(n)
	}
	to := math.Pow(10, math.Floor(math.Log10(n))-2)
	return math.Round(n/to) * to
}

// percent returns the share of a part.
func percent(part, all float64) string {
	share := 100 * part / all
	if share < 10 {
		return strconv.FormatFloat(math.Round(10*share)/10, 'f', -1, 64) + " %"
	}
	return grouped(share) + " %"
}

// roughly formats an estimate in seconds, in round numbers so that it does not change each second.
func roughly(seconds float64) string {
	round := func(n, to float64) string { return grouped(math.Max(1, math.Round(n/to)) * to) }
	minutes := seconds / 60
	switch {
	case seconds < 90:
		return round(seconds, 10) + " s"
	case minutes < 20:
		return round(minutes, 1) + " min"
	case minutes < 90:
		return round(minutes, 5) + " min"
	case minutes < 36*60:
		return round(minutes/60, 1) + " h"
	default:
		return round(minutes/60/24, 1) + " days"
	}
}

// duration formats a time in seconds, in a suitable unit.
func duration(seconds number) string {
	d := time.Duration(float64(seconds) * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	case d < time.Minute:
		return strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
}
