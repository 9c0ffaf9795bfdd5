package statuspage

import (
	"fmt"
	"math"
	"time"

	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// A State is the overall state of the worker. It sets the colour of the page.
type State string

// The states.
const (
	Good     State = "good"
	Idle     State = "idle" // also starting and draining
	Warning  State = "warning"
	Critical State = "critical"
)

// headline sets the line at the top of the page: the worst problem, and what the worker does about it. It requires that p.mu is
// held.
func (p *Page) headline(s *Snapshot, now, minute *telemetry.Values, working bool) {
	set := func(state State, title, format string, args ...any) {
		s.State, s.Title, s.Text = state, title, fmt.Sprintf(format, args...)
	}
	table, other, warning := failing(s.Failing)
	throttled, returned := throttledCalls(now, minute), now.Unprocessed-minute.Unprocessed
	limit := p.metrics.Limits().WriteConcurrency
	switch {
	case !working && p.working:
		set(Idle, "Draining", "Nothing more is received. What is held is written, deleted or released, and then the worker ends.")
	case !working:
		set(Idle, "Starting", "The worker reads its queue and its table before it begins.")
	case table != nil:
		held := plural(now.Held, "message is", "messages are")
		set(Critical, "The table can't be written", "For %s nothing has been received: %s held and stay invisible to other workers. The worker tries again by itself, every 30 s at the latest, and opens up slowly once a write succeeds. The reason:",
			since(now.Time, table), held)
		s.Reason = table.Reason
	case other != nil:
		set(Warning, capital(string(other.Part))+" fails", "For %s now. It is tried again by itself, and nothing is lost meanwhile. The reason:", since(now.Time, other))
		s.Reason = other.Reason
	case warning != nil:
		set(Warning, capital(string(warning.Part))+" needs attention", "For %s now. The worker writes what it can. What to do: %s. The reason:", since(now.Time, warning), warning.Remedy)
		s.Reason = warning.Reason
	case (returned > 0 || throttled > 0) && int(now.Concurrency) < limit && now.State == writer.Up:
		set(Warning, "Slowed down by the table", "In the last minute DynamoDB sent back %s and throttled %s. The worker writes with %s at once, of %d that it may, and speeds up again by itself.",
			plural(returned, "item", "items"), plural(throttled, "call", "calls"), plural(now.Concurrency, "call", "calls"), limit)
	case now.Received == minute.Received && s.Held.Pending == 0 && now.Held <= float64(10*max(now.Pollers, 1)) && now.State != writer.Down:
		pollers := "One poller waits"
		if now.Pollers > 1 {
			pollers = plural(now.Pollers, "", "pollers wait")
		}
		set(Idle, "Idle: nothing to receive", "%s for messages. What comes is written at once.", pollers)
	case !math.IsNaN(float64(s.Age.P50)):
		written := math.Round(float64(s.Outcomes[prediction.Written].Rate))
		set(Good, "Writing "+plural(written, "prediction", "predictions")+" a second",
			"In the last minute half of them were durable within %s of being sent, and 99 %% within %s.", duration(s.Age.P50), duration(s.Age.P99))
	case s.Outcomes[prediction.Deleted].Rate > 0 || now.Removed > minute.Removed:
		set(Good, "Writing deletes", "In the last minute %s were done, and %s that they hide were removed.",
			plural(now.Outcomes[prediction.Deleted]-minute.Outcomes[prediction.Deleted], "delete", "deletes"), plural(now.Removed-minute.Removed, "item", "items"))
	default:
		set(Good, "At work", "There is something to write; nothing has been written in the last minute.")
	}
}

// failing returns the condition of the table, the oldest of the others, and the oldest warning.
func failing(conditions []telemetry.Condition) (table, other, warning *telemetry.Condition) {
	for i := range conditions {
		switch c := &conditions[i]; {
		case c.Part == telemetry.PartTable:
			table = c
		case c.Warning && warning == nil:
			warning = c
		case !c.Warning && other == nil:
			other = c
		}
	}
	return table, other, warning
}

// throttling are the error codes of throttled calls.
var throttling = map[string]bool{
	"ProvisionedThroughputExceededException": true, "ThrottlingException": true, "RequestLimitExceeded": true,
}

// throttledCalls returns the number of write calls that were throttled as a whole.
func throttledCalls(now, before *telemetry.Values) (n float64) {
	for kind, total := range now.Failures {
		if throttling[kind.Code] && (kind.Operation == telemetry.BatchWriteItem || kind.Operation == telemetry.PutItem) {
			n += total - before.Failures[kind]
		}
	}
	return n
}

// since formats how long a condition has lasted, at least one second.
func since(now time.Time, c *telemetry.Condition) string {
	return duration(number(max(1, math.Round(now.Sub(c.Since).Seconds()))))
}
