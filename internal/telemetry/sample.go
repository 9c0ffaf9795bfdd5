package telemetry

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// A sample is what the metrics say at one moment. Rates and percentiles come from the difference of two.
type sample struct {
	at time.Time

	received, redelivered float64
	settled               map[consumer.How]float64
	retries               float64
	extended, leasesLost  float64
	held, heldBytes       float64
	pollers               float64

	outcomes [prediction.NumOutcomes]float64
	saved    [prediction.NumOutcomes]float64 // write units
	rejects  []float64                       // by the order of prediction.Reasons
	age      distribution

	batches              distribution
	unprocessed          float64
	units                float64
	concurrency, writing float64
	state                writer.State

	calls    []callSample // by the order of operations
	failures map[failure]float64
}

type callSample struct {
	total   float64
	seconds distribution
}

// A distribution is a histogram's state: counts of its buckets, each holding the ones below it.
type distribution struct {
	bounds []float64
	counts []uint64
	count  uint64
	sum    float64
}

func (m *Metrics) sample(now time.Time) *sample {
	s := &sample{
		at:       now,
		received: read(m.received), redelivered: read(m.redelivered),
		settled:  map[consumer.How]float64{},
		extended: read(m.extended), leasesLost: read(m.leasesLost),
		held: read(m.held), heldBytes: read(m.heldBytes), pollers: read(m.pollers),
		age: distributionOf(m.age), batches: distributionOf(m.batchItems),
		unprocessed: read(m.unprocessed), units: read(m.units), concurrency: read(m.concurrency), writing: read(m.writing),
		failures: m.calls.failures(),
	}
	for how, c := range m.settled {
		s.settled[how] = read(c)
	}
	for _, c := range m.retries {
		s.retries += read(c)
	}
	for o := range prediction.NumOutcomes {
		s.outcomes[o] = read(m.outcomes[o])
		if m.saved[o] != nil {
			s.saved[o] = read(m.saved[o])
		}
	}
	for _, reason := range prediction.Reasons {
		s.rejects = append(s.rejects, read(m.rejects[reason]))
	}
	for i, g := range m.state {
		if read(g) == 1 {
			s.state = writer.State(i)
		}
	}
	for _, operation := range operations {
		c := m.calls.known[operation]
		s.calls = append(s.calls, callSample{read(c.total), distributionOf(c.seconds)})
	}
	return s
}

// read returns the value of a counter or gauge.
func read(m prometheus.Metric) float64 {
	var out dto.Metric
	if m.Write(&out) != nil {
		return 0 // it never fails for these
	}
	if c := out.GetCounter(); c != nil {
		return c.GetValue()
	}
	return out.GetGauge().GetValue()
}

func distributionOf(h prometheus.Metric) distribution {
	var out dto.Metric
	if h.Write(&out) != nil {
		return distribution{} // it never fails for these
	}
	d := distribution{count: out.GetHistogram().GetSampleCount(), sum: out.GetHistogram().GetSampleSum()}
	for _, b := range out.GetHistogram().GetBucket() {
		d.bounds, d.counts = append(d.bounds, b.GetUpperBound()), append(d.counts, b.GetCumulativeCount())
	}
	return d
}

// since is what was observed after an earlier state.
func (d distribution) since(before distribution) distribution {
	diff := distribution{bounds: d.bounds, counts: make([]uint64, len(d.counts)), count: d.count - before.count, sum: d.sum - before.sum}
	for i := range d.counts {
		diff.counts[i] = d.counts[i]
		if i < len(before.counts) {
			diff.counts[i] -= before.counts[i]
		}
	}
	return diff
}

// mean is NaN where nothing was observed.
func (d distribution) mean() float64 { return d.sum / float64(d.count) }

// quantile interpolates within the bucket, as histogram_quantile does. It is NaN where nothing was observed.
func (d distribution) quantile(q float64) float64 {
	if d.count == 0 {
		return math.NaN()
	}
	rank := q * float64(d.count)
	below, from := 0.0, 0.0
	for i, bound := range d.bounds {
		if n := float64(d.counts[i]); n >= rank {
			if n == below {
				return bound
			}
			return from + (bound-from)*(rank-below)/(n-below)
		}
		below, from = float64(d.counts[i]), bound
	}
	return from // beyond the last bound: that much is known
}
