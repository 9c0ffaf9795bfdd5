package cache

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Stats are counts since the Cache was made. They are read one by one, so that their sum may be off by what happens meanwhile.
type Stats struct {
	// What answered callers of Get, GetMany and GetOrCompute, one an id:
	FrontHits    int64 // the front, within its MaxAge
	NegativeHits int64 // the front: it remembered a miss
	ComputedHits int64 // the memory of what GetOrCompute has computed in this process
	StaleHits    int64 // the front, past its MaxAge, as the table did not answer
	Unavailable  int64 // ErrUnavailable: the front did not hold the id, and the table did not answer
	Shared       int64 // the read of another caller, of the same id at the same time; it is counted below once

	// What the table answered, one for each read of an id, by callers or in the background:
	TableHits   int64
	Misses      int64 // of which
	ExpiredOnly int64 // had only expired items. It is not known in the expiry-sorted layout, and not with Where
	Deleted     int64 // of Misses: a delete hides what there was
	ItemErrors  int64 // items that can't be read
	Errors      int64 // reads that failed, after their retries

	Calls     int64   // GetItem, BatchGetItem and Query, hedges included, retries of the client not
	ReadUnits float64 // that they cost, as the service says
	Hedges    int64   // calls that were made a second time
	HedgeWins int64   // of which the second answer came first
	Refreshes int64   // reads in the background: entries in use were renewed before their age ended
	Probes    int64   // reads that asked whether the table answers again

	Computed      int64 // predictions that GetOrCompute computed
	EarlyComputed int64 // of which before the end of the last one's life
	ComputeErrors int64 // computations that failed

	FrontEntries int   // that the front holds, remembered misses included
	FrontBytes   int64 // of memory that they take
	Available    bool  // false while the table does not answer

	// FrontAges are the ages of FrontHits, since their reads were sent. EventAges are the ages of TableHits, since their event
	// times: they grow when the pipeline stops.
	FrontAges, EventAges Histogram
}

// A Histogram counts durations. Bucket i holds those below Bounds[i] and not below Bounds[i-1]; the last one has no bound.
type Histogram struct {
	Bounds []time.Duration
	Counts []int64 // one more than Bounds
	Sum    time.Duration
}

// Count is the number of durations.
func (h Histogram) Count() (n int64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// HitRate is the share of answers that cost no call, from 0 to 1: 0 where there were none.
func (s Stats) HitRate() float64 {
	free := s.FrontHits + s.NegativeHits + s.ComputedHits + s.StaleHits
	all := free + s.Shared + s.TableHits + s.Misses + s.ItemErrors + s.Errors + s.Unavailable - s.Refreshes - s.Probes
	if all <= 0 {
		return 0
	}
	return float64(free) / float64(all)
}

// counters are what Stats shows.
type counters struct {
	frontAges                                                          ages // their number is that of front hits
	negative, computedHits, stale, unavailable, shared                 counter
	tableHits, misses, expiredOnly, deleted, itemErrors, errors, calls counter
	refreshes, hedges, hedgeWins, probes                               counter
	computed, early, computeErrors                                     counter
	eventAges                                                          ages
	milliUnits                                                         counter // thousandths of a read unit
}

// stripes are how many places a counter has, so that many cores that count don't wait for each other's cache line.
const stripes = 8

// A counter counts, without contention.
type counter [stripes]struct {
	atomic.Int64
	_ [56]byte // a cache line of its own
}

func (c *counter) Add(n int64) { c[rand.Uint32()%stripes].Add(n) }

func (c *counter) Load() (n int64) {
	for i := range c {
		n += c[i].Load()
	}
	return n
}

// ages count durations in buckets that double, from 1 ms to 12 days.
type ages [stripes]struct {
	sum     atomic.Int64
	buckets [ageBuckets]atomic.Int64
}

const ageBuckets = 32

func (a *ages) add(d time.Duration) {
	s := &a[rand.Uint32()%stripes]
	s.sum.Add(int64(d))
	s.buckets[min(bits.Len64(uint64(max(d, 0)/time.Millisecond)), ageBuckets-1)].Add(1)
}

func (a *ages) histogram() Histogram {
	h := Histogram{Counts: make([]int64, ageBuckets)}
	for i := range ageBuckets - 1 {
		h.Bounds = append(h.Bounds, time.Millisecond<<i)
	}
	for i := range a {
		h.Sum += time.Duration(a[i].sum.Load())
		for b := range a[i].buckets {
			h.Counts[b] += a[i].buckets[b].Load()
		}
	}
	return h
}

func (s *counters) addUnits(units float64) {
	if units > 0 {
		s.milliUnits.Add(int64(math.Round(units * 1000)))
	}
}

// read counts what the table answered for one id.
func (s *counters) read(p *Prediction, expired bool, err error, now time.Time) {
	switch {
	case err != nil && answered(err):
		s.itemErrors.Add(1)
	case err != nil:
		s.errors.Add(1)
	case p != nil && !p.deleted:
		s.tableHits.Add(1)
		s.eventAges.add(now.Sub(p.EventTime))
	default:
		s.misses.Add(1)
		if expired {
			s.expiredOnly.Add(1)
		}
		if p != nil {
			s.deleted.Add(1)
		}
	}
}

// Stats returns what the Cache has done so far.
func (c *Cache) Stats() Stats {
	s := &c.stats
	out := Stats{
		NegativeHits: s.negative.Load(), ComputedHits: s.computedHits.Load(), StaleHits: s.stale.Load(),
		Unavailable: s.unavailable.Load(), Shared: s.shared.Load(),
		TableHits: s.tableHits.Load(), Misses: s.misses.Load(), ExpiredOnly: s.expiredOnly.Load(), Deleted: s.deleted.Load(),
		ItemErrors: s.itemErrors.Load(), Errors: s.errors.Load(),
		Calls: s.calls.Load(), ReadUnits: float64(s.milliUnits.Load()) / 1000,
		Hedges: s.hedges.Load(), HedgeWins: s.hedgeWins.Load(), Refreshes: s.refreshes.Load(), Probes: s.probes.Load(),
		Computed: s.computed.Load(), EarlyComputed: s.early.Load(), ComputeErrors: s.computeErrors.Load(),
		Available: !c.health.away(), FrontAges: s.frontAges.histogram(), EventAges: s.eventAges.histogram(),
	}
	out.FrontHits = out.FrontAges.Count()
	if c.front != nil {
		out.FrontEntries, out.FrontBytes = c.front.size()
	}
	return out
}
