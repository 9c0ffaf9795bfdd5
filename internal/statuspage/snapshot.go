package statuspage

import (
	"math"
	"strings"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// A Snapshot is the content of the page at one moment, and of /status.json. Rates cover the last ten seconds, percentiles and
// recent counts the last minute. Times are in seconds where nothing else is said. An unknown number is null. docs/operations.md
// describes the fields, and a test holds it to them.
type Snapshot struct {
	Time     int64                 `json:"time"` // milliseconds since the epoch
	Uptime   number                `json:"uptime"`
	State    State                 `json:"state"`
	Level    Level                 `json:"level"`
	Title    string                `json:"title"`
	Text     string                `json:"text"`
	Reason   string                `json:"reason,omitempty"` // the service's error, or the reason of most rejects
	Remedy   string                `json:"remedy,omitempty"` // what to do
	Table    string                `json:"table"`
	Closed   bool                  `json:"closed"` // nothing is received
	Failing  []telemetry.Condition `json:"failing"`
	Backlog  *Backlog              `json:"backlog"`
	Received number                `json:"received"` // a second
	Outcomes []OutcomeStats        `json:"outcomes"`
	Rejects  []RejectStats         `json:"rejects"`
	Calls    []CallStats           `json:"calls"`
	Age      AgeStats              `json:"age"`
	Batch    BatchStats            `json:"batch"`
	Held     HeldStats             `json:"held"`
	Writers  WriterStats           `json:"writers"`
	Units    WriteUnitStats        `json:"units"`
	Cost     *CostStats            `json:"cost"`
	Counts   []Count               `json:"counts"` // since the start
	Objects  *ObjectStats          `json:"objects,omitempty"`
}

// ObjectStats are about the objects of S3 that the worker reads. They are nil if it reads none.
type ObjectStats struct {
	Backlog *Backlog `json:"backlog"` // of the objects queue
	Reading number   `json:"reading"` // objects and ranges
	Left    number   `json:"left"`    // bytes of them
	Rate    number   `json:"rate"`    // rows a second
	Rows    number   `json:"rows"`    // since the start
	Held    number   `json:"held"`    // messages of the objects queue
	// Outcomes counts objects, ranges and events since the start.
	Outcomes []Count `json:"outcomes"`
}

// A Count is a number with its name.
type Count struct {
	Name string `json:"name"`
	N    number `json:"n"`
}

// A Backlog is the approximate content of the queue, for all workers together.
type Backlog struct {
	Waiting  int   `json:"waiting"`
	InFlight int   `json:"inFlight"`
	Time     int64 `json:"time"` // of the reading, in milliseconds since the epoch
	// Change is the change of Waiting per second, and CatchUp the seconds until nothing waits at that change. They are absent for the
	// objects queue, and null if they are unknown.
	Change  *number `json:"change,omitempty"`
	CatchUp *number `json:"catchUp,omitempty"`
}

func newBacklog(b *telemetry.BacklogValues) *Backlog {
	if b == nil {
		return nil
	}
	change, left := number(b.Change), number(math.NaN())
	if d, catchesUp := b.CatchUp(); catchesUp {
		left = number(d.Seconds())
	}
	return &Backlog{b.Waiting, b.InFlight, b.Time.UnixMilli(), &change, &left}
}

// OutcomeStats counts predictions of one outcome.
type OutcomeStats struct {
	Name  string `json:"name"`
	Total number `json:"total"`
	Rate  number `json:"rate"`
}

// RejectStats counts rejects of one reason. Field and Example are of the latest one: a field's name, and what is wrong with it. They
// have no value of a message, and no id (guarantee 8).
type RejectStats struct {
	Reason  string `json:"reason"`
	Meaning string `json:"meaning"`
	Field   string `json:"field,omitempty"`
	Example string `json:"example,omitempty"`
	Latest  int64  `json:"latest"` // milliseconds since the epoch
	Total   number `json:"total"`
	Recent  number `json:"recent"`
}

// CallStats counts the calls of one operation. Times are in seconds.
type CallStats struct {
	Operation telemetry.Operation `json:"operation"`
	Rate      number              `json:"rate"`
	P50       number              `json:"p50"`
	P99       number              `json:"p99"`
	Total     number              `json:"total"`
	Recent    number              `json:"recent"` // failures
	Failures  map[string]number   `json:"failures"`
}

// AgeStats are the ages of predictions when they became durable, in seconds.
type AgeStats struct {
	P50 number `json:"p50"`
	P95 number `json:"p95"`
	P99 number `json:"p99"`
	// Limit is the median above which the worker counts as behind, if messages wait.
	Limit  number `json:"limit"`
	Behind bool   `json:"behind"`
}

// BatchStats counts BatchWriteItem calls.
type BatchStats struct {
	Items       number `json:"items"` // on average
	Rate        number `json:"rate"`
	Unprocessed number `json:"unprocessed"` // a second
}

// HeldStats are the messages and bytes that the worker holds.
type HeldStats struct {
	Messages      number `json:"messages"`
	MessagesLimit int    `json:"messagesLimit"`
	Bytes         number `json:"bytes"`
	BytesLimit    int64  `json:"bytesLimit"`
	Keys          int    `json:"keys"`
	KeysLimit     int    `json:"keysLimit"`
	Pending       int    `json:"pending"`
}

// WriterStats are the concurrency of writes and receives, with their limits.
type WriterStats struct {
	InFlight     number `json:"inFlight"`
	Allowed      number `json:"allowed"`
	Limit        int    `json:"limit"`
	Pollers      number `json:"pollers"`
	PollersLimit int    `json:"pollersLimit"`
}

// WriteUnitStats counts write units.
type WriteUnitStats struct {
	Rate  number            `json:"rate"`
	Used  number            `json:"used"`
	Saved map[string]number `json:"saved"` // by cause
}

// CostStats are costs in dollars, by the prices in the settings.
type CostStats struct {
	PerMillion number `json:"perMillion"`
	Spent      number `json:"spent"`
	Saved      number `json:"saved"`
}

// meanings explains each reject reason in one sentence.
var meanings = map[prediction.Reason]string{
	prediction.ReasonEncoding:      "the body's compression is unknown or broken",
	prediction.ReasonTooLarge:      "over 400 KB as an item, or too long once decompressed",
	prediction.ReasonSyntax:        "not JSON",
	prediction.ReasonEnvelope:      "an envelope without its content",
	prediction.ReasonMissingField:  "a field that must be there isn't",
	prediction.ReasonFieldType:     "a field has the wrong type",
	prediction.ReasonFieldValue:    "a field's value is out of range",
	prediction.ReasonReservedName:  "a field is named like one of the worker's own",
	prediction.ReasonDuplicateName: "a field occurs twice",
	prediction.ReasonFuture:        "the event time is too far in the future",
	prediction.ReasonPast:          "the event time or the expiry is earlier than any clock's",
	prediction.ReasonKey:           "the key is empty, too long or of the wrong type",
	prediction.ReasonNumber:        "a number that DynamoDB can't hold",
	prediction.ReasonNesting:       "nested deeper than DynamoDB can hold",
	prediction.ReasonIndexKey:      "not what an index of the table declares",
	prediction.ReasonDeletesOff:    "a delete, and WORKER_DELETES is off",
	prediction.ReasonTable:         "refused by DynamoDB",
	prediction.ReasonObject:        "an object of S3 that can't be read, or may not be",
	prediction.ReasonInternal:      "a fault of the worker's own: please report it",
}

// maxExample bounds an example of a reject, in bytes.
const maxExample = 300

func clip(text string) string {
	if len(text) > maxExample {
		return strings.ToValidUTF8(text[:maxExample], "") + "…"
	}
	return text
}

// snapshot compares the newest values with those of ten seconds and of a minute ago. It requires that p.mu is held.
func (p *Page) snapshot(now, ten, minute *telemetry.Values) *Snapshot {
	limits, window := p.metrics.Limits(), now.Window
	s := &Snapshot{
		Time: now.Time.UnixMilli(), Uptime: number(now.Time.Sub(p.started).Seconds()),
		Table: now.State.String(), Closed: now.State == writer.Down,
		Backlog:  newBacklog(now.Backlog),
		Received: rate(now.Received, ten.Received, now, ten),
		Outcomes: outcomes(now, ten), Rejects: rejects(now, minute), Calls: calls(now, ten, minute),
		Batch: BatchStats{
			Items:       number(now.Batches.Since(minute.Batches).Mean()),
			Rate:        rate(float64(now.Batches.Count), float64(ten.Batches.Count), now, ten),
			Unprocessed: rate(now.Unprocessed, ten.Unprocessed, now, ten),
		},
		Held: HeldStats{
			Messages: number(now.Held), MessagesLimit: limits.HeldMessages, Bytes: number(now.HeldBytes), BytesLimit: limits.HeldBytes,
			Keys: window.Written, KeysLimit: limits.DedupKeys, Pending: window.Pending,
		},
		Writers: WriterStats{
			InFlight: number(now.Writing), Allowed: number(now.Concurrency), Limit: limits.WriteConcurrency,
			Pollers: number(now.Pollers), PollersLimit: limits.Pollers,
		},
		Cost: p.cost(now),
		Counts: []Count{
			{"messages received", number(now.Received)}, {"of those, redelivered", number(now.Redelivered)},
			{"messages deleted", number(now.Settled[consumer.Deleted])}, {"moved to the rejects", number(now.Settled[consumer.Rejected])},
			{"released", number(now.Settled[consumer.Released])}, {"backed off", number(now.Settled[consumer.BackedOff])},
			{"leases extended", number(now.Extended)}, {"leases lost", number(now.LeasesLost)}, {"settling retried", number(now.Retries)},
			{"items removed", number(now.Removed)}, {"deletes being removed", number(now.Removing)},
			{"keys on their way", number(window.Pending)}, {"keys remembered", number(window.Written)},
		},
	}
	if o := now.Objects; o != nil {
		s.Objects = &ObjectStats{Reading: number(o.Reading), Left: number(o.Left), Rows: number(o.Rows), Held: number(o.Held)}
		if ten.Objects != nil {
			s.Objects.Rate = rate(o.Rows, ten.Objects.Rows, now, ten)
		}
		for _, c := range o.Outcomes {
			s.Objects.Outcomes = append(s.Objects.Outcomes, Count{string(c.Outcome), number(c.Total)})
		}
	}
	age := now.Age.Since(minute.Age)
	s.Age = AgeStats{number(age.Quantile(.5)), number(age.Quantile(.95)), number(age.Quantile(.99)), number(limits.Age.Seconds()), now.Behind}
	s.Units = WriteUnitStats{Rate: rate(now.Units, ten.Units, now, ten), Used: number(now.Units), Saved: map[string]number{
		"compression": number(now.Compression),
	}}
	for _, o := range []prediction.Outcome{prediction.Duplicate, prediction.Superseded, prediction.Expired} {
		s.Units.Saved[o.String()] = number(now.Saved[o])
	}
	return s
}

func outcomes(now, ten *telemetry.Values) (all []OutcomeStats) {
	for o := range prediction.NumOutcomes {
		all = append(all, OutcomeStats{o.String(), number(now.Outcomes[o]), rate(now.Outcomes[o], ten.Outcomes[o], now, ten)})
	}
	return all
}

func rejects(now, minute *telemetry.Values) (all []RejectStats) {
	for i, reason := range prediction.Reasons {
		if n := now.Rejects[i]; n > 0 {
			r := RejectStats{Reason: string(reason), Meaning: meanings[reason], Total: number(n), Recent: number(n - minute.Rejects[i])}
			if latest := now.LatestRejects[i]; latest != nil {
				r.Latest, r.Field = latest.Time.UnixMilli(), latest.Why.Field
				if reason != prediction.ReasonTable { // DynamoDB's own words can have values
					r.Example = clip(latest.Why.Detail)
				}
			}
			all = append(all, r)
		}
	}
	return all
}

func calls(now, ten, minute *telemetry.Values) (all []CallStats) {
	for i, c := range now.Calls {
		if (c.Operation == telemetry.PutItem || c.Operation == telemetry.GetObject) && c.Total == 0 {
			continue // of WORKER_ORDERING=newest alone, and of batch outputs
		}
		recent := c.Seconds.Since(minute.Calls[i].Seconds)
		stats := CallStats{
			Operation: c.Operation, Total: number(c.Total), Rate: rate(c.Total, ten.Calls[i].Total, now, ten),
			P50: number(recent.Quantile(.5)), P99: number(recent.Quantile(.99)), Failures: map[string]number{},
		}
		for kind, n := range now.Failures {
			if kind.Operation == c.Operation {
				stats.Failures[kind.Code] = number(n)
				stats.Recent += number(n - minute.Failures[kind])
			}
		}
		all = append(all, stats)
	}
	return all
}

// cost returns what the worker has spent and saved since its start, or nil before its first prediction.
func (p *Page) cost(v *telemetry.Values) *CostStats {
	if v.Predictions == 0 {
		return nil
	}
	saved := v.Compression
	for _, units := range v.Saved {
		saved += units
	}
	return &CostStats{
		PerMillion: number(v.Dollars * 1e6 / v.Predictions), Spent: number(v.Dollars), Saved: number(saved * p.metrics.Prices().WriteUnits / 1e6),
	}
}

// rate returns the increase of a counter between two moments, per second.
func rate(now, before float64, at, since *telemetry.Values) number {
	return number((now - before) / max(at.Time.Sub(since.Time).Seconds(), .001))
}
