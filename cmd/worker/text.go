package main

import (
	"fmt"
	"strings"
	"time"
)

// wrap breaks text into lines of at most width characters, at blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// brief shortens a text to limit characters.
func brief(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}

// lasting writes a duration with its two largest units: 1d 2h.
func lasting(d time.Duration) string {
	if d < 0 {
		return "-" + lasting(-d)
	}
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	units := []struct {
		name string
		long time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var parts []string
	for _, u := range units {
		if n := d / u.long; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprint(int64(n), u.name))
			d %= u.long
		} else if len(parts) == 1 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// thousands writes a number with its digits in groups.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a number with its noun: 1 argument, 2 arguments.
func counted(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
