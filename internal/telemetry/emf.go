package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// EMFNamespace is the CloudWatch namespace of the metrics that EMF writes.
const EMFNamespace = "predcache"

// EMFDimension is their only dimension: the queue's name. CloudWatch bills each metric for each value of its dimensions, so a
// dimension for the task would multiply the price by the number of tasks that a month sees. The field Host has that.
const EMFDimension = "Queue"

// emfInterval is the time between two lines. CloudWatch stores standard metrics by the minute.
const emfInterval = time.Minute

// maxEMFValues is the maximum of values that a metric may have in one line ("Specification: Embedded metric format").
const maxEMFValues = 100

// An emfMetric is the declaration of one metric of the embedded metric format. Docs and the tests of the alarms read it.
type emfMetric struct {
	name, unit, meaning string
	// read returns a number or a list of numbers, of what happened between two readings. It returns nil for nothing.
	read func(m *Metrics, now, before *Values) any
	// state marks what holds at this moment. The last line leaves it out: the worker is going, and CloudWatch would count it
	// twice in its last minute.
	state bool
}

// emfMetrics are at most 15, at $0.30 a month each. All of them come from Metrics; nothing is counted for them.
var emfMetrics = []emfMetric{
	{name: "Received", unit: "Count", meaning: "Messages received, redeliveries included.",
		read: func(_ *Metrics, now, before *Values) any { return now.Received - before.Received }},
	{name: "Written", unit: "Count", meaning: "Predictions and deletes that became durable.",
		read: outcomes(prediction.Written, prediction.Deleted)},
	{name: "Skipped", unit: "Count", meaning: "Predictions that needed no write: duplicate or superseded.",
		read: outcomes(prediction.Duplicate, prediction.Superseded)},
	{name: "Expired", unit: "Count", meaning: "Predictions that had expired when they were received.",
		read: outcomes(prediction.Expired)},
	{name: "Rejected", unit: "Count", meaning: "Predictions, or whole messages, that can't be stored.",
		read: func(_ *Metrics, now, before *Values) any { return sum(now.Rejects) - sum(before.Rejects) }},
	{name: "Age", unit: "Seconds", meaning: "From when the queue accepted a message until its prediction was durable: up to 100 evenly spaced quantiles of a minute's predictions. Use it with p50, p95 and p99, not with Sum or SampleCount.",
		read: func(_ *Metrics, now, before *Values) any { return quantiles(now.Age.Since(before.Age)) }},
	{name: "Calls", unit: "Count", meaning: "Calls of AWS, failed ones included.",
		read: func(_ *Metrics, now, before *Values) any { return now.calls() - before.calls() }},
	{name: "FailedCalls", unit: "Count", meaning: "Failed calls of AWS, without those that the worker canceled at its end.",
		read: func(_ *Metrics, now, before *Values) any { return now.failed() - before.failed() }},
	{name: "Throttled", unit: "Count", meaning: "Items that the table returned unprocessed, and items of writes that it refused for its capacity. A refused batch counts as 25.",
		read: func(_ *Metrics, now, before *Values) any { return now.throttled() - before.throttled() }},
	{name: "Dollars", unit: "None", meaning: "Cost of write units and SQS requests, by `WORKER_PRICE_WRITE_UNITS` and `WORKER_PRICE_SQS_REQUESTS`.",
		read: func(_ *Metrics, now, before *Values) any { return round(now.Dollars-before.Dollars, 9) }},
	{name: "Pending", unit: "Count", state: true, meaning: "Keys on their way to the table.",
		read: func(_ *Metrics, now, _ *Values) any { return max(float64(now.Window.Pending)-now.Removing, 0) }},
	{name: "HeldPercent", unit: "Percent", state: true, meaning: "Share of `WORKER_MAX_HELD_MESSAGES` or `WORKER_MAX_HELD_BYTES` in use, whichever is greater.",
		read: func(m *Metrics, now, _ *Values) any {
			messages, bytes := float64(max(m.limits.HeldMessages, 1)), float64(max(m.limits.HeldBytes, 1))
			return round(100*max(now.Held/messages, now.HeldBytes/bytes), 1)
		}},
	{name: "TableDown", unit: "Count", state: true, meaning: "1 if this worker finds that the table can't be written, else 0. Minimum: every worker does.",
		read: func(_ *Metrics, now, _ *Values) any { return truth(now.State == writer.Down) }},
	{name: "Ready", unit: "Count", state: true, meaning: "1 if this worker is ready, else 0. SampleCount: workers that report. Sum: workers that are ready.",
		read: func(m *Metrics, _, _ *Values) any { return truth(m.health.IsReady()) }},
	{name: "Attention", unit: "Count", state: true, meaning: "Conditions that need an operator although the worker is ready. The field Warnings names them.",
		read: func(m *Metrics, now, before *Values) any { return float64(len(m.warnings(now, before))) }},
}

// outcomes counts predictions by outcome.
func outcomes(which ...prediction.Outcome) func(*Metrics, *Values, *Values) any {
	return func(_ *Metrics, now, before *Values) any {
		n := 0.0
		for _, o := range which {
			n += now.Outcomes[o] - before.Outcomes[o]
		}
		return n
	}
}

func sum(values []float64) (s float64) {
	for _, v := range values {
		s += v
	}
	return s
}

func (v *Values) calls() (n float64) {
	for _, c := range v.Calls {
		n += c.Total
	}
	return n
}

func (v *Values) failed() (n float64) {
	for kind, count := range v.Failures {
		if kind.Code != codeCanceled {
			n += count
		}
	}
	return n
}

// throttled counts the items that the table did not take for its capacity.
func (v *Values) throttled() float64 {
	n := v.Unprocessed
	for kind, count := range v.Failures {
		if !strings.Contains(kind.Code, "Throttling") && !strings.Contains(kind.Code, "ThroughputExceeded") && !strings.Contains(kind.Code, "RequestLimitExceeded") {
			continue
		}
		switch kind.Operation {
		case BatchWriteItem:
			n += 25 * count
		case PutItem:
			n += count
		}
	}
	return n
}

// quantiles returns up to 100 values that stand for a distribution, at most one for each observation. It returns nil for an
// empty one.
func quantiles(d Distribution) any {
	n := int(min(d.Count, maxEMFValues))
	if n == 0 {
		return nil
	}
	values := make([]float64, n)
	for i := range values {
		values[i] = round(d.Quantile((float64(i)+0.5)/float64(n)), 4)
	}
	return values
}

func round(v float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(v*scale) / scale
}

// warnings names the conditions that need an operator although the worker is ready. Being behind is not among them: the alarms on
// ages tell that, and a backlog after an outage passes by itself.
func (m *Metrics) warnings(now, before *Values) []string {
	names := []string{}
	conditions, _ := m.health.Conditions()
	for _, c := range conditions {
		if c.Warning && c.Part != PartBacklog {
			names = append(names, string(c.Part))
		}
	}
	if value(m.ttl) == 0 {
		names = append(names, "the table's TTL is off")
	}
	if value(m.inFlightLimit) == 1 {
		names = append(names, "the queue's limit of messages in flight is reached")
	}
	if now.NearRetention > before.NearRetention {
		names = append(names, "messages are near the end of their retention")
	}
	return names
}

// failing names what the worker needs and does not get.
func (m *Metrics) failing() []string {
	names := []string{}
	conditions, working := m.health.Conditions()
	if !working {
		names = append(names, "starting or draining")
	}
	for _, c := range conditions {
		if !c.Warning {
			names = append(names, string(c.Part))
		}
	}
	return names
}

// An EMF writes the metrics in CloudWatch's embedded metric format, a line of JSON a minute. CloudWatch Logs makes metrics of
// such lines, whichever log driver sends them ("Specification: Embedded metric format", "Using the PutLogEvents API to send
// manually-created embedded metric format logs").
type EMF struct {
	// Metrics are what it writes.
	Metrics *Metrics
	// Out takes each line in one Write. It must be standard output, and nothing else may write there.
	Out io.Writer
	Log *slog.Logger
	// Queue is the queue's name, the dimension. Table, Host and Version are further fields.
	Queue, Table, Host, Version string

	before *Values
}

// Run writes a line in the middle of each minute, so that each minute of CloudWatch has one line of each worker. It writes a
// last one when ctx is done. A blocked Out blocks Run and nothing else.
func (e *EMF) Run(ctx context.Context) {
	e.before = &Values{}
	next := time.NewTimer(untilMidMinute(time.Now()))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			e.flush(true)
			return
		case <-next.C:
			e.flush(false)
			// Not the one that has just passed, if the clock was set back a little: a minute has one line.
			const rest = emfInterval / 4
			next.Reset(rest + untilMidMinute(time.Now().Add(rest)))
		}
	}
}

// untilMidMinute returns the time until the next middle of a minute.
func untilMidMinute(now time.Time) time.Duration {
	const middle = emfInterval / 2
	return now.Add(-middle).Truncate(emfInterval).Add(emfInterval + middle).Sub(now)
}

// flush writes what has happened since the last line.
func (e *EMF) flush(last bool) {
	now := e.Metrics.Values(time.Now())
	line, err := e.line(now, last)
	if err == nil {
		_, err = e.Out.Write(line)
	}
	if err != nil {
		e.Log.Warn("metrics not written", "reason", err.Error(), "remedy", "WORKER_METRICS=emf writes to standard output: leave it open, or set WORKER_METRICS=none; predictions are written all the same")
		return // the next line has it all
	}
	e.before = now
}

type emfUnit struct {
	Name string
	Unit string
}

type emfDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []emfUnit
}

// line returns a document of the format, with a newline.
func (e *EMF) line(now *Values, last bool) ([]byte, error) {
	directive := emfDirective{Namespace: EMFNamespace, Dimensions: [][]string{{EMFDimension}}}
	root := map[string]any{
		EMFDimension: e.Queue, "Table": e.Table, "Host": e.Host, "Version": e.Version,
		"Failing": e.Metrics.failing(), "Warnings": e.Metrics.warnings(now, e.before),
	}
	for _, metric := range emfMetrics {
		if metric.state && last {
			continue
		}
		if v := metric.read(e.Metrics, now, e.before); v != nil {
			root[metric.name] = v
			directive.Metrics = append(directive.Metrics, emfUnit{metric.name, metric.unit})
		}
	}
	root["_aws"] = map[string]any{"Timestamp": now.Time.UnixMilli(), "CloudWatchMetrics": []emfDirective{directive}}
	text, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("writing the metrics: %w", err)
	}
	return append(text, '\n'), nil
}

// EMFMetricNames returns the names of the metrics, in the order of the docs.
func EMFMetricNames() (names []string) {
	for _, m := range emfMetrics {
		names = append(names, m.name)
	}
	return names
}

// EMFMarkdown returns the table of the metrics as docs/telemetry.md has it.
func EMFMarkdown() string {
	var b strings.Builder
	b.WriteString("| metric | unit | meaning |\n|---|---|---|\n")
	for _, m := range emfMetrics {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, m.unit, m.meaning)
	}
	return b.String()
}
