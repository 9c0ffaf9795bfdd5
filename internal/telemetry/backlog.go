package telemetry

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// The state "behind" of a worker, by the rule in behind.go: the median age of what it wrote in the last minute is above Limits.Age, and
// more messages wait in the queue than one round of receives takes. The queue is asked too, since redelivered messages are old without
// a backlog, and since a worker that has just caught up is no longer behind.
//
// The state does not flap: it ends when the median falls below half of Limits.Age, or when no more messages wait than that.
const (
	behindEvery  = 10 * time.Second
	medianWindow = time.Minute

	behindMeanwhile = "nothing is lost while the queue's retention lasts"
	behindRemedy    = "add workers, or raise the table's capacity if it throttles; see docs/runbook.md#predcachebehind"
)

// WatchBehind decides every ten seconds whether the worker is behind its queue, and reports it as PartBacklog, until ctx is done.
func (m *Metrics) WatchBehind(ctx context.Context) error {
	ages := []Distribution{{}} // one a behindEvery, of the last medianWindow
	ticker := time.NewTicker(behindEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		ages = append(ages, distribution(m.age))
		if most := int(medianWindow/behindEvery) + 1; len(ages) > most {
			ages = append(ages[:0], ages[len(ages)-most:]...)
		}
		median := ages[len(ages)-1].Since(ages[0]).Quantile(.5)
		m.setBehind(median, m.backlog.values())
	}
}

// setBehind applies the rule to the median age of the last minute in seconds, NaN if nothing was written, and the backlog, nil if
// unknown.
func (m *Metrics) setBehind(median float64, queue *BacklogValues) {
	limit, was := m.limits.Age.Seconds(), value(m.behind) == 1
	waits := queue == nil || queue.Waiting > maxReceived*m.limits.Pollers
	is := waits && median > limit
	switch {
	case was && waits && math.IsNaN(median): // an outage, say: the queue is not shorter for it
		is = queue != nil
	case was && waits:
		is = median >= limit/2
	}
	m.behind.Set(truth(is))
	switch {
	case is:
		m.health.warn(PartBacklog, behindMeanwhile, &behindError{median, queue}, 2*medianWindow)
	case was:
		m.health.Report(PartBacklog, "", nil)
	}
}

// maxReceived is the number of messages that a receive returns at most ("ReceiveMessage" in the Amazon SQS API reference).
const maxReceived = 10

// behindError is the error of PartBacklog.
type behindError struct {
	median float64
	queue  *BacklogValues
}

func (e *behindError) Error() string {
	var said []string
	if !math.IsNaN(e.median) {
		said = append(said, fmt.Sprintf("half of the predictions written in the last minute are older than %v", (time.Duration(e.median)*time.Second).String()))
	}
	if e.queue != nil {
		said = append(said, fmt.Sprintf("%d messages wait in the queue", e.queue.Waiting))
	}
	return "behind: " + strings.Join(said, ", and ")
}

// Remedy says what to do.
func (*behindError) Remedy() string { return behindRemedy }

// A backlog keeps the queue's approximate numbers of messages.
type backlog struct {
	mu      sync.Mutex
	samples []backlogSample // of the last trendWindow, oldest first
}

type backlogSample struct {
	at                time.Time
	waiting, inFlight int
}

const (
	// trendWindow is the time over which the change of the backlog is measured, and trendAfter the time that must have passed. SQS's
	// numbers lag by a minute ("GetQueueAttributes" in the Amazon SQS API reference), so less would measure the lag.
	trendWindow = 5 * time.Minute
	trendAfter  = time.Minute
	// backlogLasts is how long a number counts as current: it is read every minute.
	backlogLasts = 150 * time.Second
	// sampleEvery is the minimum distance of samples. Several viewers don't make more of them.
	sampleEvery = 5 * time.Second
)

// BacklogValues are the queue's approximate numbers of messages, for all workers together.
type BacklogValues struct {
	Time     time.Time // of the newest reading
	Waiting  int
	InFlight int
	// Change is the change of Waiting per second over the last minutes, the received less the sent. It is NaN until it is known, and
	// 0 if it can't be told from the fluctuation of SQS's numbers.
	Change float64
}

// longestCatchUp is the longest estimate that is given. What would take longer does not catch up.
const longestCatchUp = 7 * 24 * time.Hour

// CatchUp estimates the time until nothing waits, at the present change. It returns false if the queue grows, or if the change is
// unknown or too small.
func (b *BacklogValues) CatchUp() (time.Duration, bool) {
	if !(b.Change < 0) { // also NaN
		return 0, false
	}
	seconds := float64(b.Waiting) / -b.Change
	return time.Duration(seconds * float64(time.Second)), seconds <= longestCatchUp.Seconds()
}

// Backlog records the queue's approximate numbers of messages, as read just now.
func (m *Metrics) Backlog(waiting, inFlight int) {
	m.backlog.add(backlogSample{time.Now(), waiting, inFlight})
	m.queueMessages["waiting"].Set(float64(waiting))
	m.queueMessages["in_flight"].Set(float64(inFlight))
	_ = m.registry.Register(m.later["queue_messages"]) // which fails where it is there already
}

func (b *backlog) add(s backlogSample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.samples); n > 1 && s.at.Sub(b.samples[n-2].at) < sampleEvery {
		b.samples = b.samples[:n-1]
	}
	b.samples = append(b.samples, s)
	for s.at.Sub(b.samples[0].at) > trendWindow {
		b.samples = b.samples[1:]
	}
}

// values returns the newest numbers, or nil if they are unknown or old.
func (b *backlog) values() *BacklogValues {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.samples) == 0 {
		return nil
	}
	newest := b.samples[len(b.samples)-1]
	if time.Since(newest.at) > backlogLasts {
		return nil
	}
	return &BacklogValues{newest.at, newest.waiting, newest.inFlight, change(b.samples)}
}

// change returns the slope of the waiting messages, in messages per second: the least-squares line through the samples. It is NaN
// if the samples span too little time, and 0 if it is less than three times its standard error.
func change(samples []backlogSample) float64 {
	first, n := samples[0].at, float64(len(samples))
	if samples[len(samples)-1].at.Sub(first) < trendAfter {
		return math.NaN()
	}
	var meanX, meanY float64
	for _, s := range samples {
		meanX += s.at.Sub(first).Seconds() / n
		meanY += float64(s.waiting) / n
	}
	var xx, xy, yy float64
	for _, s := range samples {
		dx, dy := s.at.Sub(first).Seconds()-meanX, float64(s.waiting)-meanY
		xx, xy, yy = xx+dx*dx, xy+dx*dy, yy+dy*dy
	}
	slope := xy / xx
	if n > 2 {
		residual := max(yy-slope*xy, 0)
		if standardError := math.Sqrt(residual / (n - 2) / xx); math.Abs(slope) < 3*standardError {
			return 0
		}
	}
	return slope
}
