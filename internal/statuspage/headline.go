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

// A State is what the worker is doing, or its worst problem.
type State string

// The states, the worst first. docs/operations.md explains them.
const (
	Draining  State = "draining"
	Starting  State = "starting"
	Outage    State = "outage"    // the table can't be written
	Failing   State = "failing"   // calls of SQS fail, or the removal of what deletes hide
	Blocked   State = "blocked"   // SQS's limit of messages in flight is reached
	Behind    State = "behind"    // see telemetry.WatchBehind
	Attention State = "attention" // another warning
	Rejecting State = "rejecting" // an unusual share of the predictions is rejected
	Throttled State = "throttled" // the table slows the worker down
	Idle      State = "idle"
	Writing   State = "writing"
)

// A Level is how bad a State is. It sets the colour of the page.
type Level string

// The levels.
const (
	Good     Level = "good"
	Neutral  Level = "idle" // nothing to do, starting, draining
	Warning  Level = "warning"
	Critical Level = "critical"
)

var levels = map[State]Level{
	Draining: Neutral, Starting: Neutral, Idle: Neutral, Writing: Good, Outage: Critical,
	Failing: Warning, Blocked: Warning, Behind: Warning, Attention: Warning, Rejecting: Warning, Throttled: Warning,
}

// set sets the headline.
func (s *Snapshot) set(state State, title, format string, args ...any) {
	s.State, s.Level, s.Title, s.Text = state, levels[state], title, fmt.Sprintf(format, args...)
}

// headline sets the line at the top of the page: the worst problem, what the worker does about it, and what to do. It requires that
// p.mu is held.
func (p *Page) headline(s *Snapshot, now, minute *telemetry.Values, working bool) {
	table, other, warning := failing(s.Failing)
	p.rejecting = isRejecting(p.rejecting, now, minute)
	throttled, returned := throttledCalls(now, minute), now.Unprocessed-minute.Unprocessed
	limit := p.metrics.Limits().WriteConcurrency
	switch {
	case !working && p.working:
		s.set(Draining, "Draining", "Nothing more is received. What is held is written, deleted or released, and then the worker ends.")
	case !working:
		s.set(Starting, "Starting", "The worker reads its queue and its table before it begins.")
	case table != nil:
		s.set(Outage, "The table can't be written", "For %s nothing has been received: %s held and stay invisible to other workers. The worker tries again at least every 30 s, and speeds up slowly once a write succeeds.",
			since(now.Time, table), plural(now.Held, "message is", "messages are"))
		s.Reason, s.Remedy = table.Reason, table.Action
	case other != nil:
		s.set(Failing, capital(string(other.Part))+" fails", "For %s now. The worker tries again, and nothing is lost meanwhile.", since(now.Time, other))
		s.Reason, s.Remedy = other.Reason, other.Action
	case now.InFlightLimit:
		s.set(Blocked, "SQS returns nothing: its in-flight limit is reached", "120,000 messages are received and not yet deleted, by all consumers of the queue together. Messages wait, and receives stay empty until some of those are deleted.")
		s.Remedy = "find the consumer that holds them; lower WORKER_MAX_HELD_MESSAGES or the number of workers"
	case now.Behind:
		p.behind(s, now, minute)
	case warning != nil:
		s.set(Attention, capital(string(warning.Part))+" needs attention", "For %s now. The worker writes what it can.", since(now.Time, warning))
		s.Reason, s.Remedy = warning.Reason, warning.Action
	case p.rejecting:
		p.rejects(s, now, minute)
	case (returned > 0 || throttled > 0) && int(now.Concurrency) < limit && now.State == writer.Up:
		s.set(Throttled, "Slowed down by the table", "In the last minute DynamoDB sent back %s and throttled %s. The worker makes %s at once, of %d that it may, and speeds up again by itself.",
			plural(returned, "item", "items"), plural(throttled, "call", "calls"), plural(now.Concurrency, "call", "calls"), limit)
		s.Remedy = raiseCapacity
	case now.Received == minute.Received && s.Held.Pending == 0 && now.Held <= float64(10*max(now.Pollers, 1)) && now.State != writer.Down:
		pollers := "One poller waits"
		if now.Pollers > 1 {
			pollers = grouped(now.Pollers) + " pollers wait"
		}
		s.set(Idle, "Idle: nothing to receive", "%s for messages.", pollers)
	default:
		writing(s, now, minute)
	}
}

func writing(s *Snapshot, now, minute *telemetry.Values) {
	switch {
	case !math.IsNaN(float64(s.Age.P50)):
		written := math.Round(float64(s.Outcomes[prediction.Written].Rate))
		s.set(Writing, "Writing "+plural(written, "prediction", "predictions")+" a second",
			"In the last minute half of them were durable within %s of being sent, and 99 %% within %s.", duration(s.Age.P50), duration(s.Age.P99))
	case s.Outcomes[prediction.Deleted].Rate > 0 || now.Removed > minute.Removed:
		s.set(Writing, "Writing deletes", "In the last minute %s were done, and %s that they hide were removed.",
			plural(now.Outcomes[prediction.Deleted]-minute.Outcomes[prediction.Deleted], "delete", "deletes"), plural(now.Removed-minute.Removed, "item", "items"))
	default:
		s.set(Writing, "At work", "There is something to write; nothing has been written in the last minute.")
	}
}

// behind is the headline of a worker that is behind its queue: by how much, until when, and what limits it.
func (p *Page) behind(s *Snapshot, now, minute *telemetry.Values) {
	title := "Behind"
	if age := s.Age.P50; !math.IsNaN(float64(age)) {
		title += " by about " + roughly(float64(age))
	}
	var text []string
	if b := now.Backlog; b != nil {
		left, catchesUp := b.CatchUp()
		waiting := "About " + grouped(threeDigits(float64(b.Waiting))) + " messages wait"
		perSecond := plural(math.Max(1, math.Round(math.Abs(b.Change))), "message", "messages") + " a second"
		switch {
		case math.IsNaN(b.Change):
			text = append(text, waiting+". Whether their number falls is known after a minute.")
		case catchesUp:
			title += ", caught up in about " + roughly(left.Seconds())
			text = append(text, fmt.Sprintf("%s, falling by %s.", waiting, perSecond))
		case b.Change > 0:
			title += ", and growing"
			text = append(text, fmt.Sprintf("%s, rising by %s.", waiting, perSecond))
		default:
			title += ", and not catching up"
			text = append(text, waiting+", and their number is not falling.")
		}
	}
	limit, remedy := p.limitedBy(now, minute)
	s.set(Behind, title, "%s", strings.Join(append(text, limit), " "))
	s.Remedy = remedy
}

const (
	raiseCapacity = "raise the table's write capacity, or make it on demand: see PredcacheThrottled in docs/runbook.md"
	// nearly is the share of a limit at which it limits.
	nearly = .9
)

// limitedBy returns what limits a worker that is behind, and what to do about it.
func (p *Page) limitedBy(now, minute *telemetry.Values) (limit, remedy string) {
	elapsed := now.Time.Sub(minute.Time).Seconds()
	maxUnits := p.setting("WORKER_MAX_WRITE_UNITS")
	switch {
	case now.Unprocessed > minute.Unprocessed || throttledCalls(now, minute) > 0:
		return "The table is the limit: it throttles.", raiseCapacity
	case maxUnits > 0 && now.Units-minute.Units >= nearly*maxUnits*elapsed:
		return fmt.Sprintf("WORKER_MAX_WRITE_UNITS is the limit: %.0f write units a second.", maxUnits), "raise WORKER_MAX_WRITE_UNITS, if the table takes more"
	case now.Held >= nearly*float64(p.metrics.Limits().HeldMessages):
		return "The table is the limit: as many messages are held as are allowed, since they wait for it.",
			"look at the time of BatchWriteItem below: if it is normal, raise WORKER_WRITE_CONCURRENCY"
	default:
		return "The workers are the limit: the table takes all that they write.", "add workers, or give each more CPU"
	}
}

// setting returns the value of a numeric setting, or 0.
func (p *Page) setting(name string) float64 {
	for _, s := range p.facts.Settings {
		if s.Name == name {
			n, _ := strconv.ParseFloat(s.Value, 64) // 0 if it is no number
			return n
		}
	}
	return 0
}

// rejectShare is the share of rejects above which the headline is about them, as in the alert PredcacheRejects.
const rejectShare = .01

// isRejecting reports whether the share of rejects is unusual. It begins two standard errors above rejectShare, so that a few rejects
// among few predictions are no news, and ends at half of rejectShare.
func isRejecting(was bool, now, minute *telemetry.Values) bool {
	rejected, all := now.Outcomes[prediction.Rejected]-minute.Outcomes[prediction.Rejected], now.Predictions-minute.Predictions
	if was {
		return rejected > rejectShare/2*all
	}
	return rejected-2*math.Sqrt(rejected) > rejectShare*all
}

// rejects is the headline about rejects: their share, the reason of most of them, and an example.
func (p *Page) rejects(s *Snapshot, now, minute *telemetry.Values) {
	rejected, all := now.Outcomes[prediction.Rejected]-minute.Outcomes[prediction.Rejected], now.Predictions-minute.Predictions
	s.set(Rejecting, fmt.Sprintf("Rejecting %s of the predictions", percent(rejected, all)), "In the last minute %s of %s could not be stored. The others are written.",
		plural(rejected, "prediction", "predictions"), grouped(all))
	var most *RejectStats
	for i := range s.Rejects {
		if r := &s.Rejects[i]; most == nil || r.Recent > most.Recent {
			most = r
		}
	}
	if most != nil {
		s.Reason = fmt.Sprintf("%s: %s", most.Reason, most.Meaning)
		if most.Example != "" {
			s.Reason = fmt.Sprintf("%s: %s", most.Reason, strings.TrimSpace(most.Field+" "+most.Example))
		}
	}
	s.Remedy = "correct the publisher, then send the rejects back: `worker redrive` lists them, with an example of each"
	if p.facts.Rejects == "" {
		s.Remedy = "correct the publisher, and set WORKER_REJECT_QUEUE_URL: without it these messages return to their queue again and again"
	}
}

// failing returns the condition of the table, the oldest of the others, and the oldest warning beside the backlog.
func failing(conditions []telemetry.Condition) (table, other, warning *telemetry.Condition) {
	for i := range conditions {
		switch c := &conditions[i]; {
		case c.Part == telemetry.PartTable:
			table = c
		case c.Warning && warning == nil && c.Part != telemetry.PartBacklog:
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
