package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

const (
	maxMessageBytes  = 64 << 10 // the queue's MaximumMessageSize
	maxDecodedBytes  = 1 << 20  // WORKER_MAX_DECODED_BYTES
	defaultHeldBytes = 128 << 20
	maxReceives      = 50 // the redrive limit that docs/deploy.md recommends; a few seeds have 3
)

// themes adds special scenarios to the ordinary traffic and trouble of a seed.
func (p *plan) themes(r *rand.Rand) {
	p.rejectLimit, p.heldBytes = maxMessageBytes, defaultHeldBytes
	p.gen.r = r
	one := func(in int) bool { return r.IntN(in) == 0 }
	if p.fifo = one(10); p.fifo {
		p.beFIFO()
	}
	if one(2) {
		p.maxReceives = maxReceives
	}
	if one(6) {
		p.rejectTrouble(r)
	}
	if one(8) {
		p.flood(r)
	}
	if one(6) {
		p.tableChanges(r)
	}
	if one(6) {
		p.wrongClocks(r)
	}
	if one(4) {
		p.ordering = config.OrderingNewest
	}
	if one(3) {
		p.sharedEnds(r)
	}
	if one(8) && len(p.events) > 0 {
		p.stopInOutage(r)
	}
	if p.maxReceives > 0 && one(2) && p.undisturbed() {
		p.maxReceives = 3
	}
}

// beFIFO leaves out what holds up a message group of a FIFO queue for hours: a message that can't be rejected.
func (p *plan) beFIFO() {
	p.rejects = true
	for _, f := range p.faults {
		if f.kind == "refuse" {
			f.kind = "error"
		}
	}
}

// stopInOutage plans a SIGTERM while the table can't be written and SQS works: everything held must be released.
func (p *plan) stopInOutage(r *rand.Rand) {
	p.faults = slices.DeleteFunc(p.faults, func(f *fault) bool { return f.class != classWrite && f.class != classReject })
	from := time.Duration(r.Int64N(int64(p.messages[len(p.messages)-1].at) + 1))
	p.faults = append(p.faults, &fault{class: classWrite, kind: outageKinds[r.IntN(len(outageKinds))], chance: 1, from: from, to: from + 2*time.Minute})
	p.events = append(p.events, event{from + 5*time.Second + time.Duration(r.Int64N(int64(time.Minute))), "restart"})
}

// rejectTrouble plans trouble with the reject queue and with nothing else: what can be written must then be written
// promptly, however many rejects pile up.
func (p *plan) rejectTrouble(r *rand.Rand) {
	p.faults, p.events, p.units = nil, nil, 0
	p.rejects, p.fifo = true, false
	if r.IntN(3) == 0 {
		p.rejectLimit = 1024 << r.IntN(4)
	}
	if r.IntN(4) > 0 {
		f := &fault{class: classReject, chance: 1, to: p.messages[len(p.messages)-1].at + time.Duration(r.IntN(20))*time.Minute}
		f.kind = []string{"denied", "denied", "error", "drop", "hang", "refuse", "refuse", "partial"}[r.IntN(8)]
		if r.IntN(4) == 0 {
			f.chance = 0.3
		}
		p.faults = append(p.faults, f)
	}
	at := time.Duration(r.Int64N(int64(30 * time.Second)))
	for i := 0; i < 2*p.held && p.held < 1000; i++ { // more than may be held, where that is few
		p.addPacked(r, at, p.gen.next().bad(at))
	}
}

// calm reports whether only trouble with rejects, or the lack of a permission for removals, may delay a prediction.
func (p *plan) calm() bool {
	for _, f := range p.faults {
		denied := f.kind == "denied" && (f.class == classQuery || f.class == classRemove)
		if f.class != classReject && !f.ofObjects() && !denied {
			return false
		}
	}
	return len(p.events) == 0 && p.units == 0 && !p.fifo
}

// undisturbed reports whether nothing but a bad part makes a message return to the queue.
func (p *plan) undisturbed() bool {
	for _, f := range p.faults {
		if f.class != classWrite && f.class != classReject && !f.ofObjects() {
			return false
		}
	}
	return len(p.events) == 0 && p.visibility >= 20*time.Second
}

// rejectsFlow reports whether each reject is taken by the reject queue at once.
func (p *plan) rejectsFlow() bool {
	for _, f := range p.faults {
		if f.class == classReject {
			return false
		}
	}
	return p.rejects && p.rejectLimit == maxMessageBytes && !p.flooded
}

// add plans a message of this text and these parts.
func (p *plan) add(at time.Duration, body string, parts ...*part) *message {
	m := &message{at: at, body: body, parts: parts}
	p.messages = append(p.messages, m)
	return m
}

// addPacked plans a message of these parts, in one of the forms of the contract.
func (p *plan) addPacked(r *rand.Rand, at time.Duration, parts ...*part) {
	p.add(at, "", parts...).pack(r)
}

// flood plans a burst of messages that would cost a worker more memory than they have bytes.
func (p *plan) flood(r *rand.Rand) {
	p.flooded = true
	p.heldBytes = []int64{5 << 19, 5 << 19, 4 << 20}[r.IntN(3)]
	start := time.Duration(r.Int64N(int64(p.messages[len(p.messages)-1].at) + 1))
	kinds := []func(r *rand.Rand, at time.Duration){p.vector, p.crowd, p.mixed, p.bigAttributes, p.bomb, p.large}
	chosen := []func(r *rand.Rand, at time.Duration){kinds[r.IntN(len(kinds))], kinds[r.IntN(len(kinds))]}
	if slow := r.IntN(2) == 0; slow && p.units == 0 && !p.calm() { // large messages then pile up
		p.units, p.held = 50+r.IntN(50), 10_000
		chosen[1] = p.large
	}
	for i := range 60 + r.IntN(100) {
		chosen[i%2](r, start+time.Duration(r.Int64N(int64(5*time.Second))))
	}
}

// slowFlood adds to a few seeds a burst of large messages that several pollers receive at once, while writes are slow: what they receive
// must have been reserved.
func (p *plan) slowFlood(r *rand.Rand) {
	if r.IntN(20) > 0 || p.fifo || p.calm() {
		return
	}
	p.gen.r, p.flooded, p.heldBytes, p.pollers, p.held = r, true, 5<<19, 4, 10_000
	p.units, p.latency = 50+r.IntN(50), 50*time.Millisecond
	start := time.Duration(r.Int64N(int64(p.span())))
	for range 150 {
		p.large(r, start+time.Duration(r.Int64N(int64(2*time.Second))))
	}
}

// junk plans an array of a bad element many times over, and then these parts.
func (p *plan) junk(at time.Duration, element string, times int, parts ...*part) *message {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(part.raw + ", ")
	}
	m := p.add(at, "["+strings.Repeat(element, times)+strings.TrimSuffix(b.String(), ", ")+"]", parts...)
	m.junk = times
	return m
}

// vector is a publisher that forgot the envelope.
func (p *plan) vector(r *rand.Rand, at time.Duration) {
	p.junk(at, "0.125, ", 200+r.IntN(600), p.gen.next().badText())
}

// crowd is a message of many bad parts.
func (p *plan) crowd(r *rand.Rand, at time.Duration) {
	var parts []*part
	for range 20 + r.IntN(200) {
		parts = append(parts, p.gen.next().unreadable())
	}
	p.addPacked(r, at, parts...)
}

// mixed is a message of many bad parts with a few good ones among them.
func (p *plan) mixed(r *rand.Rand, at time.Duration) {
	p.junk(at, "0, ", 100+r.IntN(1000), p.gen.next().good(p.gen.id(), at), p.gen.next().badText(), p.gen.next().good(p.gen.id(), at))
}

// bigAttributes is a message, bad or good, with attributes about as long as a message may be.
func (p *plan) bigAttributes(r *rand.Rand, at time.Duration) {
	var m *message
	if r.IntN(2) == 0 {
		m = p.junk(at, "0, ", r.IntN(200), p.gen.next().badText())
	} else {
		part := p.gen.next().good(p.gen.id(), at)
		m = p.add(at, part.raw, part)
	}
	m.attributes = map[string]string{"trace": strings.Repeat("x", 20_000+r.IntN(30_000)), "team": secret}
}

// bomb is a small body that is large once decompressed: within the limit, or beyond it.
func (p *plan) bomb(r *rand.Rand, at time.Duration) {
	m := p.junk(at, "0,", 1000<<r.IntN(11), p.gen.next().badText())
	m.body = compress(m.body)
	m.attributes = map[string]string{"Content-Encoding": "gzip"}
}

// large is a prediction about as long as a message may be.
func (p *plan) large(r *rand.Rand, at time.Duration) {
	part := p.gen.next().good(p.gen.id(), at)
	part.raw = strings.TrimSuffix(part.raw, "}") + fmt.Sprintf(`,"pad":%q}`, strings.Repeat("x", 40_000+r.IntN(20_000)))
	p.add(at, part.raw, part)
}

// wrongClocks plans publishers whose event times no clock gives, beside neighbours whose times are right.
func (p *plan) wrongClocks(r *rand.Rand) {
	span := int64(p.messages[len(p.messages)-1].at) + 1
	for range 5 + r.IntN(25) {
		at := time.Duration(r.Int64N(span))
		parts := []*part{p.gen.next().clockless(at)}
		if r.IntN(2) == 0 {
			parts = append(parts, p.gen.next().good(p.gen.id(), at))
		}
		p.addPacked(r, at, parts...)
	}
}

// sharedEnds plans predictions of few ids that give their end, rounded to a minute: several event times share an end, and so
// a key where the table is sorted by it.
func (p *plan) sharedEnds(r *rand.Rand) {
	if p.layout == item.ExpirySorted && r.IntN(2) == 0 { // where it matters
		p.ordering, p.replicas = config.OrderingNewest, 2+r.IntN(2)
	}
	p.gen.roundedEnds = true
	span := int64(p.messages[len(p.messages)-1].at) + 1
	for range 10 + r.IntN(60) {
		at := time.Duration(r.Int64N(span))
		p.addPacked(r, at, p.gen.next().good(fmt.Sprintf("%s-end-%d", secret, r.IntN(3)), at))
	}
}
