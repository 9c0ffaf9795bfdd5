package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

// A screen shows lines and, on a terminal, one live line below them that is written over. Elsewhere, live lines are
// left out: what matters follows as a line.
//
// What can't be written is lost: there is nobody else to tell.
type screen struct {
	out      io.Writer
	terminal bool
	shown    bool // a live line is there
	begun    bool
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		s.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return s
}

const clearLine = "\r\033[K"

func (s *screen) live(format string, args ...any) {
	if s.terminal {
		_, _ = fmt.Fprintf(s.out, clearLine+format, args...)
		s.shown = true
	}
}

func (s *screen) line(format string, args ...any) {
	if s.shown {
		_, _ = fmt.Fprint(s.out, clearLine)
		s.shown = false
	}
	s.begun = true
	_, _ = fmt.Fprintln(s.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (s *screen) title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.terminal {
		text = "\033[1m" + text + "\033[0m"
	}
	if s.begun {
		text = "\n" + text
	}
	s.line("%s", text)
}

// wrap breaks a text into lines of at most so many bytes, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// bar is a progress bar.
func bar(done, all int) string {
	const width = 24
	full := min(width, done*width/max(1, all))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// count writes a number with its thousands apart.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plural writes a number of things. The second form is the first one with an s, unless it is given.
func plural(n int, forms ...string) string {
	switch {
	case n == 1:
		return "1 " + forms[0]
	case len(forms) > 1:
		return count(n) + " " + forms[1]
	}
	return count(n) + " " + forms[0] + "s"
}

// each says how many things a call handled on average.
func each(things int, name string, calls int) string {
	if calls == 0 || things == 0 {
		return ""
	}
	return fmt.Sprintf("calls of %.1f %ss each", float64(things)/float64(calls), name)
}

func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return "under 0.01 s"
	case d < time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// days writes a long time in its two largest units.
func days(d time.Duration) string {
	if d < 0 {
		return "-" + days(-d)
	}
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%s %d h", plural(int(d/day), "day"), d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func recordedOn(messages []recording.Message) string {
	return time.Unix(int64(messages[len(messages)-1].SentAt), 0).UTC().Format("2 January 2006")
}

func tableText(layout expect.Layout) string {
	switch layout {
	case expect.ExpirySorted:
		return "expiry-sorted: key predictionId and timestamp, which is the TTL too"
	case expect.LatestOnly:
		return "latest-only: key predictionId, TTL on expiresAt"
	default:
		return "versioned: key predictionId and timestamp, TTL on expiresAt"
	}
}
