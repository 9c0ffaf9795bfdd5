package telemetry

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Values are what the metrics hold at one moment. Rates and percentiles come from the difference of two.
type Values struct {
	Time time.Time

	Received, Redelivered float64
	Settled               [consumer.NumDispositions]float64
	Retries               float64 // of settling, over all operations
	Extended, LeasesLost  float64
	Held, HeldBytes       float64
	Pollers               float64

	Outcomes      [prediction.NumOutcomes]float64
	Saved         [prediction.NumOutcomes]float64 // write units
	Compression   float64                         // write units saved by it
	Rejects       []float64                       // by the order of prediction.Reasons
	LatestRejects []*LatestReject                 // by the same order; nil: none
	Age           Distribution                    // of written predictions, in seconds

	Batches              Distribution // items of each
	Unprocessed          float64
	Units                float64
	Concurrency, Writing float64
	Removed, Removing    float64 // items removed, and deletes whose items are being removed
	State                writer.State
	Window               dedup.Stats

	Calls    []CallValues
	Failures map[Failure]float64

	Objects *ObjectValues // nil if no objects are read

	NearRetention float64        // messages
	Behind        bool           // see WatchBehind
	InFlightLimit bool           // see Metrics.InFlightLimit
	Backlog       *BacklogValues // nil if unknown

	Predictions float64 // that had an outcome other than Failed
	Dollars     float64 // spent
}

// A LatestReject is the latest reject of a reason. It has no value of the message: see prediction.Reject.
type LatestReject struct {
	Time time.Time
	Why  *prediction.Reject
}

// CallValues are of one operation.
type CallValues struct {
	Operation Operation
	Total     float64
	Seconds   Distribution
}

// Values reads the metrics.
func (m *Metrics) Values(now time.Time) *Values {
	v := &Values{
		Time:     now,
		Received: value(m.received), Redelivered: value(m.redelivered),
		Extended: value(m.extended), LeasesLost: value(m.leasesLost),
		Held: value(m.held), HeldBytes: value(m.heldBytes), Pollers: value(m.pollers),
		Compression: value(m.compression),
		Age:         distribution(m.age), Batches: distribution(m.batchItems),
		Unprocessed: value(m.unprocessed), Units: value(m.units), Concurrency: value(m.concurrency), Writing: value(m.writing),
		Removed: value(m.removed), Removing: value(m.removing),
		Window:        m.Window(),
		Failures:      m.calls.failures.values(),
		NearRetention: value(m.nearRetention),
	}
	for how, c := range m.settled {
		v.Settled[how] = value(c)
	}
	for _, c := range m.retries {
		v.Retries += value(c)
	}
	for o := range prediction.NumOutcomes {
		v.Outcomes[o] = value(m.outcomes[o])
		if o != prediction.Failed { // which comes back, and is counted then
			v.Predictions += v.Outcomes[o]
		}
		if m.saved[o] != nil {
			v.Saved[o] = value(m.saved[o])
		}
	}
	for i, reason := range prediction.Reasons {
		v.Rejects = append(v.Rejects, value(m.rejects[reason]))
		v.LatestRejects = append(v.LatestRejects, m.latestRejects[i].Load())
	}
	for s, g := range m.state {
		if value(g) == 1 {
			v.State = writer.State(s)
		}
	}
	for _, o := range operations {
		// A HistogramVec is made of Histograms, although WithLabelValues returns Observers.
		seconds := distribution(m.calls.seconds[o].(prometheus.Histogram))
		v.Calls = append(v.Calls, CallValues{o, value(m.calls.total[o]), seconds})
	}
	v.Dollars = m.dollars()
	v.Objects = m.objectValues()
	v.Behind, v.InFlightLimit, v.Backlog = value(m.behind) == 1, value(m.inFlightLimit) == 1, m.backlog.values()
	return v
}

// value returns what a counter or gauge holds.
func value(m prometheus.Metric) float64 {
	var out dto.Metric
	if m.Write(&out) != nil {
		return 0 // it never fails for these
	}
	if c := out.GetCounter(); c != nil {
		return c.GetValue()
	}
	return out.GetGauge().GetValue()
}

// A Distribution is what a histogram holds.
type Distribution struct {
	Bounds []float64 // upper ones, of the buckets
	Counts []uint64  // of the buckets, each with those below it
	Count  uint64
	Sum    float64
}

func distribution(h prometheus.Metric) Distribution {
	var out dto.Metric
	if h.Write(&out) != nil {
		return Distribution{} // it never fails for these
	}
	d := Distribution{Count: out.GetHistogram().GetSampleCount(), Sum: out.GetHistogram().GetSampleSum()}
	for _, b := range out.GetHistogram().GetBucket() {
		d.Bounds, d.Counts = append(d.Bounds, b.GetUpperBound()), append(d.Counts, b.GetCumulativeCount())
	}
	return d
}

// Since returns what was observed after an earlier state.
func (d Distribution) Since(before Distribution) Distribution {
	diff := Distribution{Bounds: d.Bounds, Counts: make([]uint64, len(d.Counts)), Count: d.Count - before.Count, Sum: d.Sum - before.Sum}
	for i := range d.Counts {
		diff.Counts[i] = d.Counts[i]
		if i < len(before.Counts) {
			diff.Counts[i] -= before.Counts[i]
		}
	}
	return diff
}

// Mean is NaN where nothing was observed.
func (d Distribution) Mean() float64 { return d.Sum / float64(d.Count) }

// Quantile interpolates within the bucket, as PromQL's histogram_quantile does. It is NaN where nothing was observed.
func (d Distribution) Quantile(q float64) float64 {
	if d.Count == 0 {
		return math.NaN()
	}
	rank := q * float64(d.Count)
	below, from := 0.0, 0.0
	for i, bound := range d.Bounds {
		if n := float64(d.Counts[i]); n >= rank {
			if n == below {
				return bound
			}
			return from + (bound-from)*(rank-below)/(n-below)
		}
		below, from = float64(d.Counts[i]), bound
	}
	return from // beyond the last bound: that much is known
}
