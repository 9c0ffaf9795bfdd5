package warm

import (
	"sync/atomic"

	"github.com/predcache/predcache/internal/prediction"
)

// counts holds the numbers that a run reports.
type counts struct {
	outcomes   [prediction.NumOutcomes]atomic.Int64
	reasons    map[prediction.Reason]*atomic.Int64
	bytes      atomic.Int64 // of items written
	milliUnits atomic.Int64 // write units times 1000, since DynamoDB reports fractions
}

func (c *counts) init() {
	c.reasons = map[prediction.Reason]*atomic.Int64{}
	for _, reason := range prediction.Reasons {
		c.reasons[reason] = &atomic.Int64{}
	}
}

// Outcome implements dedup.Observer.
func (c *counts) Outcome(o prediction.Outcome, _ int, _ int64) {
	c.outcomes[o].Add(1)
}

func (c *counts) spent(units float64) { c.milliUnits.Add(int64(units * 1000)) }

// predictions returns the number of predictions with an outcome.
func (c *counts) predictions() (n int64) {
	for o := range c.outcomes {
		n += c.outcomes[o].Load()
	}
	return n
}

// Progress is the progress of a run.
type Progress struct {
	// Durable is the number of bytes of the sources whose predictions are in the table or rejected. Total is the size of the sources, -1
	// if unknown.
	Durable, Total int64
	Predictions    int64 // predictions of this run that have an outcome
}

// Progress returns the progress so far. It may be called while Run runs.
func (r *Run) Progress() Progress {
	_, _, passed := r.ledger.position()
	return Progress{Durable: passed, Total: r.total, Predictions: r.counts.predictions()}
}

// Resumed returns the file, and the row after which the run continues an interrupted one. file is "" for a new run.
func (r *Run) Resumed() (file string, row int64) {
	if r.resumed == nil {
		return "", 0
	}
	return r.resumed.File, r.resumed.Row
}

// A Report counts a run's predictions by outcome.
type Report struct {
	Predictions  int64
	Outcomes     [prediction.NumOutcomes]int64
	Rejects      map[prediction.Reason]int64
	Bytes, Units int64  // of items written
	File         string // up to this row of File, everything is durable
	Row          int64
}

// Report returns the counts so far.
func (r *Run) Report() Report {
	c := &r.counts
	at, _, _ := r.ledger.position()
	report := Report{
		Predictions: c.predictions(), Rejects: map[prediction.Reason]int64{}, Bytes: c.bytes.Load(), Units: (c.milliUnits.Load() + 500) / 1000,
		File: at.File, Row: at.Row,
	}
	for o := range c.outcomes {
		report.Outcomes[o] = c.outcomes[o].Load()
	}
	for reason, n := range c.reasons {
		report.Rejects[reason] = n.Load()
	}
	return report
}
