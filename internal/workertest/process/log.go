package process

import (
	"context"
	"strings"
	"sync"
)

// Log keeps the end of what a process has written. Its zero value is empty.
type Log struct {
	mu      sync.Mutex
	bytes   []byte
	cut     bool          // the beginning is gone
	changed chan struct{} // closed and replaced by each Write; nil while nobody waits
}

// maxLog is how many bytes a Log keeps at least.
const maxLog = 1 << 20

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes = append(l.bytes, b...)
	if len(l.bytes) > 2*maxLog { // so that a byte is moved once, not with each line
		l.bytes = append(l.bytes[:0], l.bytes[len(l.bytes)-maxLog:]...)
		l.cut = true
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return len(b), nil
}

// String returns the whole lines that are kept.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text()
}

func (l *Log) text() string {
	text := string(l.bytes)
	if l.cut { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimRight(text, "\n")
}

// Tail returns the last n lines.
func (l *Log) Tail(n int) string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Line blocks until a line contains the text, and returns that line. It returns an error if ctx is done first.
func (l *Log) Line(ctx context.Context, text string) (string, error) {
	for {
		l.mu.Lock()
		for line := range strings.Lines(l.text()) {
			if strings.Contains(line, text) {
				l.mu.Unlock()
				return strings.TrimRight(line, "\n"), nil
			}
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
