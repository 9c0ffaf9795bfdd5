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

// The platform events that strike between a tombstone and the end of its removal.
const (
	crashAtTombstone = "crash when a tombstone is written"
	crashAtRemoval   = "crash when an item is removed"
)

// deletesOff is the reason for which a worker rejects deletes while WORKER_DELETES is off.
const deletesOff = "deletes_off"

// planDeletes adds deletes to about half of the seeds, and to a few of the others for a worker that does not accept them.
func (p *plan) planDeletes(r *rand.Rand) {
	p.gen.r = r
	p.perSecond = 1
	recreated := slices.ContainsFunc(p.events, func(e event) bool { return e.what == deleteTable })
	chance := 0.7
	if p.layout != item.Versioned && p.ordering != config.OrderingNewest {
		chance = 0.3 // deletes would change the ordering
	}
	if recreated || r.Float64() > chance {
		p.deletes = config.DeletesOff
		if r.IntN(8) == 0 {
			p.unwelcomeDeletes(r)
		}
		return
	}
	p.deletes = []string{config.DeletesHide, config.DeletesRemove, config.DeletesRemove}[r.IntN(3)]
	if p.layout != item.Versioned {
		p.ordering = config.OrderingNewest
	} else if r.IntN(4) == 0 {
		p.perSecond = 1000
	}
	p.scatterDeletes(r)
	for range 1 + r.IntN(5) {
		p.contested(r)
	}
	if r.IntN(3) == 0 {
		p.longHistory(r)
	}
	if r.IntN(3) == 0 {
		p.events = append(p.events, event{time.Duration(r.Int64N(int64(p.span()))), []string{crashAtTombstone, crashAtRemoval}[r.IntN(2)]})
	}
	if p.deletes != config.DeletesRemove {
		return
	}
	if r.IntN(3) == 0 {
		p.races(r)
	}
	switch r.IntN(5) {
	case 0, 1:
		p.removalTrouble(r)
	case 2, 3:
		p.removalDenied(r)
	}
}

// span is when the last message is sent.
func (p *plan) span() time.Duration {
	last := time.Duration(1)
	for _, m := range p.messages {
		last = max(last, m.at)
	}
	return last
}

// unwelcomeDeletes plans deletes, each beside a prediction, for a worker that must reject them.
func (p *plan) unwelcomeDeletes(r *rand.Rand) {
	for range 1 + r.IntN(10) {
		at := time.Duration(r.Int64N(int64(p.span())))
		unwelcome := p.gen.next().delete(p.gen.id(), at)
		unwelcome.bad, unwelcome.deleted, unwelcome.why = true, false, deletesOff
		p.addPacked(r, at, unwelcome, p.gen.next().good(p.gen.id(), at))
	}
}

// scatterDeletes plans deletes of the ids of the ordinary traffic: alone, packed with predictions, and sent again. Some of them can't
// be accepted.
func (p *plan) scatterDeletes(r *rand.Rand) {
	span := int64(p.span()) + 1
	for range 1 + r.IntN(20) {
		at := time.Duration(r.Int64N(span))
		id := p.gen.id()
		parts := []*part{p.gen.next().delete(id, at)}
		for range r.IntN(3) {
			parts = append(parts, p.gen.next().good([]string{id, p.gen.id()}[r.IntN(2)], at))
		}
		if r.IntN(10) == 0 {
			parts = append(parts, p.gen.next().badDelete(id, at))
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		p.addPacked(r, at, parts...)
		if r.IntN(3) == 0 {
			p.addPacked(r, at+time.Duration(r.Int64N(int64(time.Minute))), parts[r.IntN(len(parts))])
		}
	}
}

// contested plans predictions and deletes of one id within a few sort units, some at equal event times, in any order of arrival. Some
// arrive again, and some late.
func (p *plan) contested(r *rand.Rand) {
	id := fmt.Sprintf("%s-contest-%d", secret, p.gen.mark)
	start := time.Duration(r.Int64N(int64(p.span()) + 1))
	unit := int64(1e6) / int64(p.perSecond) // microseconds
	base := epoch*1e6 + (start + p.skew).Microseconds()
	base -= base % 1e6
	var parts []*part
	for range 4 + r.IntN(24) {
		at := base + unit*int64(r.IntN(3)) + []int64{0, 0, unit / 10, unit / 2, unit - 1}[r.IntN(5)]
		if r.IntN(4) == 0 {
			parts = append(parts, p.gen.next().deleteAt(id, at))
		} else {
			parts = append(parts, p.gen.next().goodAt(id, at))
		}
	}
	for i := 0; i < len(parts); {
		size := min(len(parts)-i, []int{1, 1, 1, 3, 10}[r.IntN(5)])
		at := start + time.Duration(r.Int64N(int64(5*time.Second)))
		if r.IntN(6) == 0 {
			at += time.Duration(r.Int64N(int64(90 * time.Second)))
		}
		p.addPacked(r, at, parts[i:i+size:i+size]...)
		if r.IntN(3) == 0 {
			p.addPacked(r, at+time.Duration(r.Int64N(int64(time.Minute))), parts[i+r.IntN(size)])
		}
		i += size
	}
}

// longHistory plans an id with many versions, and a delete in the midst of them.
func (p *plan) longHistory(r *rand.Rand) {
	id := fmt.Sprintf("%s-history-%d", secret, p.gen.mark)
	versions := 30 + r.IntN(120)
	start := time.Duration(r.Int64N(int64(p.span()) + 1))
	base := epoch*1e6 + (start + p.skew).Microseconds() - int64(versions+2)*1e6
	var parts []*part
	for i := range versions {
		parts = append(parts, p.gen.next().goodAt(id, base+int64(i)*1e6))
	}
	for i := 0; i < len(parts); i += 30 {
		p.addPacked(r, start, parts[i:min(i+30, len(parts)):min(i+30, len(parts))]...)
	}
	at := start + time.Duration(r.Int64N(int64(20*time.Second)))
	p.addPacked(r, at, p.gen.next().deleteAt(id, base+int64(r.IntN(versions+2))*1e6))
}

// races plans ids of which a delete and newer predictions of its sort unit, or of one end, arrive at once, while several replicas run.
func (p *plan) races(r *rand.Rand) {
	p.replicas, p.latency = 2+r.IntN(2), 50*time.Millisecond
	unit := int64(1e6) / int64(p.perSecond)
	span := int64(p.span()) + 1
	for i := range 40 {
		id := fmt.Sprintf("%s-race-%d", secret, i)
		at := time.Duration(r.Int64N(span))
		base := epoch*1e6 + (at + p.skew).Microseconds()
		base -= base % unit
		older := p.gen.next().goodAt(id, base)
		p.addPacked(r, at, older)
		at += time.Second
		p.addPacked(r, at, p.gen.next().deleteAt(id, base+unit/4))
		for j := range int64(2) {
			p.addPacked(r, at+time.Duration(r.Int64N(int64(300*time.Millisecond))), p.gen.next().goodAt(id, base+unit/2+j))
		}
	}
}

// removalDenied plans that the worker lacks a permission for removals, and nothing else: what can be written must then be written
// promptly.
func (p *plan) removalDenied(r *rand.Rand) {
	p.faults, p.events, p.units, p.fifo = nil, nil, 0, false
	c := []class{classQuery, classRemove, classRemove}[r.IntN(3)]
	p.faults = append(p.faults, &fault{class: c, kind: "denied", chance: 1, to: p.span() + time.Duration(r.IntN(10))*time.Minute})
}

// removalTrouble plans faults of the calls that only removals make: the worker may lack a permission for a while.
func (p *plan) removalTrouble(r *rand.Rand) {
	span := p.span() + 30*time.Second
	for range 1 + r.IntN(2) {
		c := []class{classQuery, classRemove}[r.IntN(2)]
		f := newFault(r, c, span)
		if r.IntN(2) == 0 && !p.fifo { // in a FIFO queue the message's group waits with it, for up to an hour
			f.kind, f.chance = "denied", 1
			if r.IntN(2) == 0 {
				f.to = f.from + time.Duration(1+r.IntN(10))*time.Minute
			}
		} else if f.kind == "denied" {
			f.kind = "error"
		}
		p.faults = append(p.faults, f)
	}
}

// removalsFlow reports whether no call that only removals make is kept from its effect for long.
func (p *plan) removalsFlow() bool {
	return p.deletes != config.DeletesRemove || !slices.ContainsFunc(p.faults, func(f *fault) bool { return f.class == classQuery || f.class == classRemove })
}

// delete makes a delete as of about its sent time.
func (g *generator) delete(id string, at time.Duration) *part {
	event := epoch*1e6 + (at + g.p.skew).Microseconds()
	switch g.r.IntN(4) {
	case 0: // late
		event -= g.r.Int64N(60e6)
	case 1: // at the event time of a prediction
		for _, sent := range g.sent {
			if sent.id == id {
				event = sent.event
			}
		}
	}
	return g.deleteAt(id, event)
}

// deleteAt makes a delete. What else it has is dropped.
func (g *generator) deleteAt(id string, event int64) *part {
	p := &part{mark: g.mark, id: id, event: event, deleted: true}
	extra := ""
	switch g.r.IntN(8) {
	case 0:
		p.life = 86400 + g.r.Int64N(86400)
		extra = fmt.Sprintf(`,"ttlSeconds":%d`, p.life)
	case 1:
		p.expires = event/1e6 + 10*86400
		extra = fmt.Sprintf(`,"expiresAt":%d`, p.expires)
	case 2:
		extra = `,"model":"m1"`
	}
	p.raw = fmt.Sprintf(`{"predictionId":"%s","timestamp":%d.%06d,"deleted":true,"note":"#%d# %s"%s}`, id, event/1e6, event%1e6, g.mark, secret, extra)
	if g.r.IntN(3) == 0 {
		p.raw = strings.TrimSuffix(p.raw, "}") + fmt.Sprintf(`,"prediction":{"of":"%s"}}`, secret)
	}
	return p
}

// badDelete makes a part of which the worker can't tell whether it is a delete.
func (g *generator) badDelete(id string, at time.Duration) *part {
	now := epoch + int64((at+g.p.skew)/time.Second)
	flag := []string{`"true"`, "1", "{}"}[g.r.IntN(3)]
	return &part{
		mark: g.mark, bad: true, why: "field_type", expires: now + 86400,
		raw: fmt.Sprintf(`{"predictionId":"%s","timestamp":%d,"deleted":%s,"prediction":"#%d# %s"}`, id, now, flag, g.mark, secret),
	}
}

// goodAt makes a prediction with a default life, now and then one that says that it is no delete.
func (g *generator) goodAt(id string, event int64) *part {
	payload := fmt.Sprintf(`{"mark":"#%d#","of":"%s"}`, g.mark, secret)
	extra := ""
	if g.r.IntN(10) == 0 {
		extra = `,"deleted":false`
	}
	return &part{
		mark: g.mark, id: id, event: event, expires: event/1e6 + 86400, payload: payload,
		raw: fmt.Sprintf(`{"predictionId":"%s","timestamp":%d.%06d,"prediction":%s%s}`, id, event/1e6, event%1e6, payload, extra),
	}
}
