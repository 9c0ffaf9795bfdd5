package prediction

import (
	"testing"
	"time"
)

func TestParseSeconds(t *testing.T) {
	for _, want := range []Time{{}, {1, 0}, {0, 1}, {1795550700, 210_000_000_000_000_000}, {maxSeconds, attosPerSecond - 1}, {7, 70}} {
		text := string(want.AppendSeconds(nil))
		if got, err := ParseSeconds(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]Time{"1.5E3": {1500, 0}, "15e-1": {1, attosPerSecond / 2}, "007": {7, 0}, "1.50": {1, attosPerSecond / 2}} {
		if got, err := ParseSeconds(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".5", "5.", "-1", "1e12", "253402300800", "1.0000000000000000001", " 1", "1 ", "x", "1_0", "1..2", "+1"} {
		if got, err := ParseSeconds(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if got := (Time{5, 1_999_999_999}).Clock(); !got.Equal(time.Unix(5, 1)) {
		t.Errorf("got %v", got)
	}
	for text, want := range map[string]Time{"1795550700210": {1795550700, 210_000_000_000_000_000}, "2026-01-31T12:00:00Z": {1769860800, 0}} {
		if got, err := ParseTime(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
}
