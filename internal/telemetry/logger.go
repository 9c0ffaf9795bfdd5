package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// NewLogger returns the worker's logger. An unknown level is info; any format but text is JSON. Repeated lines are combined:
// see summing.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: l}
	var h slog.Handler = slog.NewJSONHandler(w, options)
	if format == "text" {
		h = slog.NewTextHandler(w, options)
	}
	return slog.New(&summing{next: h, repeats: &repeats{seen: map[line]*repeat{}}})
}

// FlushLog logs the repeats that have been counted and not yet logged. Call it at the end of the process.
func FlushLog(log *slog.Logger) {
	if s, ok := log.Handler().(*summing); ok {
		s.repeats.flush()
	}
}

// keyPart is the key of the part that a line is about. See Part.
const keyPart = "part"

// summed is how long repeats of a logged line are counted instead of logged. It is less than a minute, after which Health
// logs a lasting condition again.
const summed = 50 * time.Second

// summing is a handler that logs the first of equal lines and counts those that follow, so that a log stays readable in an
// outage that flickers, or while a publisher sends nothing valid. Lines are equal by level, message and part. The counted
// ones become one line like the last of them, with their number as repeats and the time of the first as first. Debug lines
// are not combined.
type summing struct {
	next    slog.Handler
	repeats *repeats
}

type line struct {
	level         slog.Level
	message, part string
}

type repeat struct {
	since time.Time
	count int // of those not logged
	last  slog.Record
	next  slog.Handler // of the last one
	timer *time.Timer
}

type repeats struct {
	mu   sync.Mutex
	seen map[line]*repeat
}

func (s *summing) Enabled(ctx context.Context, l slog.Level) bool { return s.next.Enabled(ctx, l) }

func (s *summing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &summing{s.next.WithAttrs(attrs), s.repeats}
}

func (s *summing) WithGroup(name string) slog.Handler {
	return &summing{s.next.WithGroup(name), s.repeats}
}

func (s *summing) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !s.repeats.first(s.next, r) {
		return nil
	}
	return s.next.Handle(ctx, r)
}

// first reports whether a record is the first of its kind, and counts it otherwise.
func (s *repeats) first(next slog.Handler, r slog.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := line{level: r.Level, message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == keyPart {
			key.part = a.Value.String()
		}
		return key.part == ""
	})
	known := s.seen[key]
	if known == nil {
		s.seen[key] = &repeat{since: r.Time, timer: time.AfterFunc(summed, func() { s.end(key) })}
		return true
	}
	known.count++
	known.last, known.next = r.Clone(), next
	return false
}

// end logs the repeats of a line, if there are any.
func (s *repeats) end(key line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.seen[key]
	delete(s.seen, key)
	if known != nil {
		known.log()
	}
}

func (s *repeats) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.seen {
		known.timer.Stop()
		known.log()
	}
	clear(s.seen)
}

func (r *repeat) log() {
	if r.count == 0 {
		return
	}
	r.last.AddAttrs(slog.Int("repeats", r.count), slog.String("first", r.since.UTC().Format(time.RFC3339)))
	_ = r.next.Handle(context.Background(), r.last) // as for any line, nobody can be told
}
