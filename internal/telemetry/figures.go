package telemetry

import (
	"math"
	"reflect"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Figures are what the status page shows, at /status.json too. Rates are of the last ten seconds, percentiles and
// "recent" counts of the last minute; a number that is not known is null.
type Figures struct {
	Time     int64            `json:"time"` // milliseconds since the epoch
	Uptime   number           `json:"uptime"`
	State    string           `json:"state"` // good, warning, critical or idle
	Title    string           `json:"title"`
	Text     string           `json:"text"`
	Reason   string           `json:"reason,omitempty"` // of what fails, as the service said it
	Table    string           `json:"table"`
	Closed   bool             `json:"closed"` // nothing is received
	Failing  []Condition      `json:"failing"`
	Backlog  *Backlog         `json:"backlog"`
	Received number           `json:"received"` // a second
	Outcomes []OutcomeFigures `json:"outcomes"`
	Rejects  []RejectFigures  `json:"rejects"`
	Calls    []CallFigures    `json:"calls"`
	Age      AgeFigures       `json:"age"`
	Batch    BatchFigures     `json:"batch"`
	Held     HeldFigures      `json:"held"`
	Writers  WriterFigures    `json:"writers"`
	Units    UnitFigures      `json:"units"`
	Cost     *CostFigures     `json:"cost"`
	Counts   []Count          `json:"counts"` // since the start
}

// Count is a figure with its name.
type Count struct {
	Name string `json:"name"`
	N    number `json:"n"`
}

// Backlog is what the queue holds, about.
type Backlog struct {
	Waiting  int   `json:"waiting"`
	InFlight int   `json:"inFlight"`
	Time     int64 `json:"time"`
}

// OutcomeFigures are of one outcome.
type OutcomeFigures struct {
	Name  string `json:"name"`
	Total number `json:"total"`
	Rate  number `json:"rate"`
}

// RejectFigures are of one reason.
type RejectFigures struct {
	Reason  string `json:"reason"`
	Meaning string `json:"meaning"`
	Total   number `json:"total"`
	Recent  number `json:"recent"`
}

// CallFigures are of one operation.
type CallFigures struct {
	Operation string            `json:"operation"`
	Rate      number            `json:"rate"`
	P50       number            `json:"p50"`
	P99       number            `json:"p99"`
	Total     number            `json:"total"`
	Recent    number            `json:"recent"` // failures
	Failures  map[string]number `json:"failures"`
}

// AgeFigures say how old predictions were when they became durable, in seconds.
type AgeFigures struct {
	P50 number `json:"p50"`
	P95 number `json:"p95"`
	P99 number `json:"p99"`
}

// BatchFigures are of the BatchWriteItem calls.
type BatchFigures struct {
	Items       number `json:"items"` // on average
	Rate        number `json:"rate"`
	Unprocessed number `json:"unprocessed"` // a second
}

// HeldFigures say how much is held.
type HeldFigures struct {
	Messages      number `json:"messages"`
	MessagesLimit int    `json:"messagesLimit"`
	Bytes         number `json:"bytes"`
	BytesLimit    int64  `json:"bytesLimit"`
	Keys          int    `json:"keys"`
	KeysLimit     int    `json:"keysLimit"`
	Pending       int    `json:"pending"`
}

// WriterFigures say how many calls may be under way.
type WriterFigures struct {
	InFlight     number `json:"inFlight"`
	Allowed      number `json:"allowed"`
	Limit        int    `json:"limit"`
	Pollers      number `json:"pollers"`
	PollersLimit int    `json:"pollersLimit"`
}

// UnitFigures are of write units.
type UnitFigures struct {
	Rate  number            `json:"rate"`
	Used  number            `json:"used"`
	Saved map[string]number `json:"saved"` // by cause
}

// CostFigures are in dollars, by the prices in the settings.
type CostFigures struct {
	PerMillion number `json:"perMillion"`
	Spent      number `json:"spent"`
	Saved      number `json:"saved"`
}

// A number is rounded to what a page can show, which keeps the events short. NaN is null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return appendRounded(nil, f), nil
}

// meanings says what each reason covers, to somebody who sees it for the first time.
var meanings = map[prediction.Reason]string{
	prediction.ReasonEncoding:      "the body's compression is unknown or broken",
	prediction.ReasonTooLarge:      "over 400 KB as an item, or too long once decompressed",
	prediction.ReasonSyntax:        "not JSON",
	prediction.ReasonEnvelope:      "an SNS or EventBridge envelope without its content",
	prediction.ReasonMissingField:  "a field that must be there isn't",
	prediction.ReasonFieldType:     "a field has the wrong type",
	prediction.ReasonFieldValue:    "a field's value is out of range",
	prediction.ReasonReservedName:  "a field is named like one of the worker's own",
	prediction.ReasonDuplicateName: "a field is there twice",
	prediction.ReasonFuture:        "the event time is too far in the future",
	prediction.ReasonKey:           "the key is empty, too long or of the wrong type",
	prediction.ReasonNumber:        "a number that DynamoDB can't hold",
	prediction.ReasonNesting:       "nested deeper than DynamoDB can hold",
	prediction.ReasonIndexKey:      "not what an index of the table declares",
	prediction.ReasonTable:         "refused by DynamoDB",
	prediction.ReasonInternal:      "a fault of the worker's own: please report it",
}

// figures compares the newest sample with one of ten seconds ago and one of a minute ago.
func (s *Status) figures(now, ten, minute *sample) *Figures {
	f := &Figures{
		Time: now.at.UnixMilli(), Uptime: number(now.at.Sub(s.started).Seconds()),
		Table: now.state.String(), Closed: now.state == writer.Down,
		Received: rate(now.received, ten.received, now, ten),
	}
	f.Counts = []Count{
		{"messages received", number(now.received)}, {"of those, redelivered", number(now.redelivered)}, {"deleted", number(now.settled[consumer.Deleted])},
		{"moved to the rejects", number(now.settled[consumer.Rejected])}, {"released", number(now.settled[consumer.Released])}, {"backed off", number(now.settled[consumer.BackedOff])},
		{"leases extended", number(now.extended)}, {"leases lost", number(now.leasesLost)}, {"settling retried", number(now.retries)},
	}
	for o := range prediction.NumOutcomes {
		f.Outcomes = append(f.Outcomes, OutcomeFigures{o.String(), number(now.outcomes[o]), rate(now.outcomes[o], ten.outcomes[o], now, ten)})
	}
	for i, reason := range prediction.Reasons {
		if now.rejects[i] > 0 {
			f.Rejects = append(f.Rejects, RejectFigures{string(reason), meanings[reason], number(now.rejects[i]), number(now.rejects[i] - minute.rejects[i])})
		}
	}
	for i, operation := range operations {
		recent := now.calls[i].seconds.since(minute.calls[i].seconds)
		c := CallFigures{
			Operation: operation, Total: number(now.calls[i].total), Rate: rate(now.calls[i].total, ten.calls[i].total, now, ten),
			P50: number(recent.quantile(.5)), P99: number(recent.quantile(.99)), Failures: map[string]number{},
		}
		for kind, n := range now.failures {
			if kind.operation == operation {
				c.Failures[kind.code] = number(n)
				c.Recent += number(n - minute.failures[kind])
			}
		}
		f.Calls = append(f.Calls, c)
	}
	age := now.age.since(minute.age)
	f.Age = AgeFigures{number(age.quantile(.5)), number(age.quantile(.95)), number(age.quantile(.99))}
	f.Batch = BatchFigures{
		number(now.batches.since(minute.batches).mean()), rate(float64(now.batches.count), float64(ten.batches.count), now, ten),
		rate(now.unprocessed, ten.unprocessed, now, ten),
	}
	f.Held = HeldFigures{Messages: number(now.held), MessagesLimit: s.facts.Limits.HeldMessages, Bytes: number(now.heldBytes), BytesLimit: s.facts.Limits.HeldBytes, KeysLimit: s.facts.Limits.DedupKeys}
	if w := s.metrics.window.Load(); w != nil {
		stats := (*w)()
		f.Held.Keys, f.Held.Pending = stats.Written, stats.Pending
	}
	f.Writers = WriterFigures{number(now.writing), number(now.concurrency), s.facts.Limits.WriteConcurrency, number(now.pollers), s.facts.Limits.Pollers}
	f.Counts = append(f.Counts, Count{"keys on their way", number(f.Held.Pending)}, Count{"keys remembered", number(f.Held.Keys)})
	f.Units = UnitFigures{Rate: rate(now.units, ten.units, now, ten), Used: number(now.units), Saved: map[string]number{}}
	for o, m := range s.metrics.saved {
		if m != nil {
			f.Units.Saved[prediction.Outcome(o).String()] = number(now.saved[o])
		}
	}
	f.Units.Saved["compression"] = number(read(s.metrics.cost.compression))
	f.Cost = s.metrics.spending(now)
	return f
}

// spending is what a worker has spent and saved since its start; nil before it has done anything.
func (m *Metrics) spending(s *sample) *CostFigures {
	p, predictions := m.prices.Load(), m.predictions()
	if p == nil || predictions == 0 {
		return nil
	}
	spent, saved := s.units*p.WriteUnits+read(m.cost.requests)*p.Requests, read(m.cost.compression)
	for o := range prediction.NumOutcomes {
		saved += s.saved[o]
	}
	return &CostFigures{PerMillion: number(spent / predictions), Spent: number(spent / 1e6), Saved: number(saved * p.WriteUnits / 1e6)}
}

// rate is what was counted a second between two samples.
func rate(now, before float64, at, since *sample) number {
	return number((now - before) / max(at.at.Sub(since.at).Seconds(), .001))
}

// A Point is a place on the time charts: what happened in one step before Time.
type Point struct {
	Time       int64  `json:"t"`
	Written    number `json:"written"`
	Duplicate  number `json:"duplicate"`
	Superseded number `json:"superseded"`
	Expired    number `json:"expired"`
	Rejected   number `json:"rejected"`
	Failed     number `json:"failed"`
	P50        number `json:"p50"`
	P95        number `json:"p95"`
	P99        number `json:"p99"`
	Held       number `json:"held"`
	Allowed    number `json:"allowed"`
	InFlight   number `json:"inFlight"`
	Fill       number `json:"fill"`
	Errors     number `json:"errors"`
	Returned   number `json:"returned"`
	State      int    `json:"state"`
}

func point(now, before *sample) Point {
	age := now.age.since(before.age)
	each := func(o prediction.Outcome) number { return rate(now.outcomes[o], before.outcomes[o], now, before) }
	errs := 0.0
	for kind, n := range now.failures {
		errs += n - before.failures[kind]
	}
	allowed := now.concurrency
	if now.state == writer.Down {
		allowed = 0 // the gauge keeps what is allowed once it is up again
	}
	return Point{
		Time:    now.at.UnixMilli(),
		Written: each(prediction.Written), Duplicate: each(prediction.Duplicate), Superseded: each(prediction.Superseded),
		Expired: each(prediction.Expired), Rejected: each(prediction.Rejected), Failed: each(prediction.Failed),
		P50: number(age.quantile(.5)), P95: number(age.quantile(.95)), P99: number(age.quantile(.99)),
		Held: number(now.held), Allowed: number(allowed), InFlight: number(now.writing),
		Fill:   number(now.batches.since(before.batches).mean()),
		Errors: rate(errs, 0, now, before), Returned: rate(now.unprocessed, before.unprocessed, now, before),
		State: int(now.state),
	}
}

// columns turns points into one list a field, since to repeat the names would treble the event.
func columns(points []Point) map[string][]any {
	out, t := map[string][]any{}, reflect.TypeFor[Point]()
	for i := range t.NumField() {
		list := make([]any, len(points))
		for j := range points {
			list[j] = reflect.ValueOf(points[j]).Field(i).Interface()
		}
		out[t.Field(i).Tag.Get("json")] = list
	}
	return out
}

// step is the time between two points of the charts, window the time that they show.
const (
	step   = 3 * time.Second
	window = 15 * time.Minute
)
