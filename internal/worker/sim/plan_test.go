package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A plan is derived from a seed: the settings, the traffic, the faults and the platform events. A seed can't determine the order
// in which the scheduler runs goroutines.
type plan struct {
	seed     uint64
	layout   item.Kind
	rejects  bool // there is a reject queue
	replicas int
	skew     time.Duration // the services' clock minus the host's
	latency  time.Duration // maximum of a call without faults
	hot      string        // the id that the fault "throttle keys" throttles

	// Settings of the workers and of the queue.
	visibility, receiveWait, linger, drain, callTimeout, addedLatency time.Duration
	pollers, writers, held, units                                     int
	ordering                                                          string
	deletes                                                           string // WORKER_DELETES
	perSecond                                                         int    // sort units per second

	// The queue and the reject queue.
	fifo        bool
	maxReceives int   // of the queue's redrive policy; 0: it has none
	rejectLimit int   // the reject queue's MaximumMessageSize
	heldBytes   int64 // WORKER_MAX_HELD_BYTES
	flooded     bool  // by messages that cost more than they are worth

	batches *batches // nil: no objects

	gen      *generator
	messages []*message // by time
	faults   []*fault
	events   []event       // by time
	end      time.Duration // when the last of these is over
}

// A message is sent at a time after the start.
type message struct {
	at         time.Duration
	body       string
	attributes map[string]string // of type String
	group      string            // of a FIFO queue
	parts      []*part
	junk       int // bad parts without a mark, which nothing follows
}

// bad returns how many parts can't be stored.
func (m *message) bad() int {
	n := m.junk
	for _, p := range m.parts {
		if p.bad {
			n++
		}
	}
	return n
}

// marks returns the marks of the message's parts.
func (m *message) marks() []int {
	marks := make([]int, len(m.parts))
	for i, p := range m.parts {
		marks[i] = p.mark
	}
	return marks
}

// size returns the minimum number of bytes that the message takes while it is held: a compressed one may not have been read yet.
func (m *message) size() int64 {
	n := len(m.body)
	for name, value := range m.attributes {
		n += len(name) + len(value)
	}
	return int64(n)
}

func (m *message) anyBad() bool { return m.bad() > 0 }

// deletes reports whether the message has a delete.
func (m *message) deletes() bool {
	return slices.ContainsFunc(m.parts, func(p *part) bool { return p.deleted })
}

// A part is one prediction or delete of a message, and what should become of it: an item, or a reject. Its text contains its
// mark between two #, by which a prediction is recognized in the table, and both in the reject queue.
type part struct {
	mark    int
	id      string
	event   int64 // microseconds since the epoch
	expires int64 // seconds since the epoch; of a delete, its own end, if it has one
	raw     string
	payload string
	bad     bool   // it can't be stored
	noted   bool   // it has an attribute "note"
	why     string // the reason in the reject queue, if it must be this one
	deleted bool   // it is a delete that the worker accepts
	life    int64  // of a delete in seconds, if it has its own

	// Of a row of an object.
	object *object
	offset int64
	wins   *part // which of the predictions of this key and event time must be left; nil where it does not matter
}

// key returns the table's primary key as docs/data-model.md defines it, without the worker's code.
func (p *part) key(of *plan) string {
	unit := int64(1e6) / int64(of.perSecond) // microseconds
	switch {
	case of.layout == item.LatestOnly:
		return p.id
	case of.layout == item.Versioned && p.deleted: // the unit, and (1 + its fraction) / 2
		decimals := len(strconv.FormatInt(unit, 10)) // one more than the fraction has
		fraction := fmt.Sprintf("%0*d", decimals, (unit+p.event%unit)*5)
		return fmt.Sprintf("%s/%d.%s", p.id, p.event/unit, strings.TrimRight(fraction, "0"))
	case of.layout == item.Versioned:
		return fmt.Sprintf("%s/%d", p.id, p.event/unit)
	case p.deleted: // its end depends on the sent time
		return fmt.Sprintf("%s/delete of %d", p.id, p.event)
	default:
		return fmt.Sprintf("%s/%d", p.id, p.expires)
	}
}

// version orders the versions of a key: by event time, and a delete after a prediction.
func (p *part) version() int64 { return versionOf(p.event, p.deleted) }

func versionOf(event int64, deleted bool) int64 {
	if deleted {
		return 2*event + 1
	}
	return 2 * event
}

// An event is an action of the platform.
type event struct {
	at   time.Duration
	what string // one of eventKinds
}

// secret is part of each id and each payload, and must never be logged.
const secret = "zq7"

// epoch is when a simulation starts, in seconds since the Unix epoch. A bubble's time begins in 2000, before which no event
// time is accepted.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Unix()

// newPlan derives a plan from a seed. The order of the draws is part of a seed's meaning: later additions draw from a separate
// generator, so that existing seeds keep their plans.
func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	pick := func(ds ...time.Duration) time.Duration { return ds[r.IntN(len(ds))] }
	p := &plan{
		seed:    seed,
		layout:  []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly, item.LatestOnly}[r.IntN(4)],
		rejects: r.IntN(5) > 0, replicas: []int{1, 1, 1, 2, 3}[r.IntN(5)],
		latency:    pick(0, 0, 5*time.Millisecond, 50*time.Millisecond),
		visibility: pick(10*time.Second, 30*time.Second, 30*time.Second, 2*time.Minute),
		linger:     pick(0, 200*time.Millisecond, time.Second), receiveWait: pick(time.Second, 5*time.Second, 20*time.Second),
		callTimeout: pick(time.Second, 5*time.Second),
		pollers:     1 + r.IntN(4), writers: 1 + r.IntN(4), held: []int{20, 50, 10_000}[r.IntN(3)],
		ordering: config.OrderingLastWrite,
	}
	p.addedLatency = []time.Duration{0, 0, 500 * time.Millisecond, 5 * time.Second}[rand.New(rand.NewPCG(seed, 2)).IntN(4)]
	if p.layout == item.LatestOnly && r.IntN(2) == 0 {
		p.ordering = config.OrderingNewest
	}
	p.drain = p.receiveWait + pick(4*time.Second, 10*time.Second)
	if r.IntN(8) == 0 {
		p.skew = pick(-2*time.Hour, -10*time.Minute, 10*time.Minute, 2*time.Hour)
	}
	if r.IntN(10) == 0 {
		p.units = 20 + r.IntN(100)
	}
	p.traffic(r)
	if r.IntN(8) > 0 {
		p.trouble(r)
	}
	p.themes(rand.New(rand.NewPCG(seed, 3)))
	p.planDeletes(rand.New(rand.NewPCG(seed, 4)))
	p.slowFlood(rand.New(rand.NewPCG(seed, 6)))
	p.batchOutputs(rand.New(rand.NewPCG(seed, 5)))
	p.finish()
	return p
}

// finish sorts the plan by time and computes its end.
func (p *plan) finish() {
	slices.SortStableFunc(p.messages, func(a, b *message) int { return int(a.at - b.at) })
	slices.SortFunc(p.events, func(a, b event) int { return int(a.at - b.at) })
	for _, m := range p.messages {
		p.end = max(p.end, m.at)
		m.group = cmp.Or(m.parts[0].id, secret)
	}
	for _, f := range p.faults {
		p.end = max(p.end, f.to)
	}
	if b := p.batches; b != nil {
		slices.SortStableFunc(b.steps, func(a, b step) int { return int(a.at - b.at) })
		p.end = max(p.end, b.steps[len(b.steps)-1].at)
	}
	for _, e := range p.events {
		p.end = max(p.end, e.at)
	}
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d replicas, %d messages, ordering %s, deletes %s", p.layout, p.replicas, len(p.messages), p.ordering, p.deletes)
	for _, also := range []struct {
		is   bool
		what string
	}{
		{p.fifo, "a FIFO queue"}, {!p.rejects, "no reject queue"}, {p.rejectLimit < maxMessageBytes, "a smaller reject queue"},
		{p.heldBytes < defaultHeldBytes, "little memory"}, {p.flooded, "a flood"}, {p.batches != nil, "objects"},
	} {
		if also.is {
			fmt.Fprintf(&b, ", %s", also.what)
		}
	}
	for _, f := range p.faults {
		fmt.Fprintf(&b, "; %s %s %.2f from %v to %v", f.class, f.kind, f.chance, f.from.Round(time.Second), f.to.Round(time.Second))
	}
	for _, e := range p.events {
		fmt.Fprintf(&b, "; %s at %v", e.what, e.at.Round(time.Second))
	}
	return b.String()
}
