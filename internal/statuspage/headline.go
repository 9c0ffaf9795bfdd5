package statuspage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// throttling are the error codes by which a service says that it is asked too much.
var throttling = map[string]bool{
	"ProvisionedThroughputExceededException": true, "ThrottlingException": true, "RequestLimitExceeded": true, "RequestThrottled": true, "OverLimit": true,
}

// headline puts the worker's state into words: the worst thing first, and what happens next. p.mu is held.
func (p *Page) headline(s *Snapshot, now, minute *telemetry.Values, working bool) {
	set := func(state, title, format string, args ...any) {
		s.State, s.Title, s.Text = state, title, fmt.Sprintf(format, args...)
	}
	var table, other *telemetry.Condition
	for i := range s.Failing {
		if s.Failing[i].Part == telemetry.PartTable {
			table = &s.Failing[i]
		} else if other == nil {
			other = &s.Failing[i]
		}
	}
	throttled := 0.0
	for kind, n := range now.Failures {
		if throttling[kind.Code] && (kind.Operation == telemetry.BatchWriteItem || kind.Operation == telemetry.PutItem) {
			throttled += n - minute.Failures[kind]
		}
	}
	limit := p.metrics.Limits().WriteConcurrency
	returned := now.Unprocessed - minute.Unprocessed
	ageKnown := !math.IsNaN(float64(s.Age.P50))
	switch {
	case !working && p.working:
		set("idle", "Draining", "Nothing more is received. What is held is written, deleted or released, and then the worker ends.")
	case !working:
		set("idle", "Starting", "The worker reads its queue and its table before it begins.")
	case table != nil:
		set("critical", "The table can't be written", "For %s nothing has been received: %s held and stay invisible to other workers. The worker tries again by itself, every 30 s at the latest, and opens up slowly once a write succeeds. The reason:",
			took(number(max(1, math.Round(now.Time.Sub(table.Since).Seconds())))), are(now.Held, "message"))
		s.Reason = table.Reason
	case other != nil:
		set("warning", capital(string(other.Part))+" fails", "For %s now. It is tried again by itself, and nothing is lost meanwhile. The reason:", took(number(max(1, math.Round(now.Time.Sub(other.Since).Seconds())))))
		s.Reason = other.Reason
	case (returned > 0 || throttled > 0) && int(now.Concurrency) < limit && now.State == writer.Up:
		set("warning", "Slowed down by the table", "In the last minute DynamoDB sent back %s and throttled %s. The worker writes with %s at once, of %d that it may, and speeds up again by itself.",
			count(returned, "item"), count(throttled, "call"), count(now.Concurrency, "call"), limit)
	case now.Received == minute.Received && s.Held.Pending == 0 && now.Held <= float64(10*max(now.Pollers, 1)) && now.State != writer.Down:
		set("idle", "Idle: nothing to receive", "%s for messages. What comes is written at once.", map[bool]string{true: "One poller waits", false: count(now.Pollers, "poller") + " wait"}[now.Pollers <= 1])
	case ageKnown:
		set("good", "Writing "+a(s.Outcomes[prediction.Written].Rate)+" a second",
			"In the last minute half of them were durable within %s of being sent, and 99 %% within %s.", took(s.Age.P50), took(s.Age.P99))
	default:
		set("good", "At work", "There is something to write; nothing has been written in the last minute.")
	}
}

// capital makes the first letter of an English text large.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// a says how many predictions there are.
func a(n number) string { return count(math.Round(float64(n)), "prediction") }

// count is a number with its noun.
func count(n float64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

func are(n float64, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return count(n, noun) + " are"
}

// thousands writes a number as people read it: 12,345.
func thousands(n float64) string {
	text := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// took is a time in seconds, in the unit that suits it.
func took(seconds number) string {
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
