package statuspage

import (
	"math"
	"reflect"
	"time"

	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// step is the time between two points of the charts, and window the time span of the charts.
const (
	step   = 3 * time.Second
	window = 15 * time.Minute
)

// A Point is one point of the time charts: the step that ended at Time.
type Point struct {
	Time       int64  `json:"t"`
	Written    number `json:"written"`
	Deleted    number `json:"deleted"`
	Duplicate  number `json:"duplicate"`
	Superseded number `json:"superseded"`
	Expired    number `json:"expired"`
	Rejected   number `json:"rejected"`
	Failed     number `json:"failed"`
	P50        number `json:"p50"`
	P95        number `json:"p95"`
	P99        number `json:"p99"`
	Waiting    number `json:"waiting"`
	Held       number `json:"held"`
	HeldBytes  number `json:"heldBytes"`
	Allowed    number `json:"allowed"`
	InFlight   number `json:"inFlight"`
	Fill       number `json:"fill"`
	Errors     number `json:"errors"`
	Returned   number `json:"returned"`
	State      int    `json:"state"`
}

func point(now, before *telemetry.Values) Point {
	age := now.Age.Since(before.Age)
	each := func(o prediction.Outcome) number { return rate(now.Outcomes[o], before.Outcomes[o], now, before) }
	errs := 0.0
	for kind, n := range now.Failures {
		errs += n - before.Failures[kind]
	}
	allowed := now.Concurrency
	if now.State == writer.Down {
		allowed = 0 // the gauge has the concurrency after the outage
	}
	waiting := math.NaN()
	if now.Backlog != nil {
		waiting = float64(now.Backlog.Waiting)
	}
	return Point{
		Time:    now.Time.UnixMilli(),
		Written: each(prediction.Written), Deleted: each(prediction.Deleted), Duplicate: each(prediction.Duplicate), Superseded: each(prediction.Superseded),
		Expired: each(prediction.Expired), Rejected: each(prediction.Rejected), Failed: each(prediction.Failed),
		P50: number(age.Quantile(.5)), P95: number(age.Quantile(.95)), P99: number(age.Quantile(.99)),
		Waiting: number(waiting), Held: number(now.Held), HeldBytes: number(now.HeldBytes), Allowed: number(allowed), InFlight: number(now.Writing),
		Fill:   number(now.Batches.Since(before.Batches).Mean()),
		Errors: rate(errs, 0, now, before), Returned: rate(now.Unprocessed, before.Unprocessed, now, before),
		State: int(now.State),
	}
}

// columns turns points into one list per field: repeating the names would triple the size of the event.
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
