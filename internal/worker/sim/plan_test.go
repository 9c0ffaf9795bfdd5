package sim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A simPlan is what a seed decides: the settings, the traffic, the faults and what the platform does. What it can't decide
// is the order in which the scheduler runs goroutines.
type simPlan struct {
	seed     uint64
	layout   item.Kind
	rejects  bool // there is a reject queue
	replicas int
	skew     time.Duration // of the services' clock before the host's
	latency  time.Duration // of each call, at the most
	hot      string        // the id whose partition throttles, where a fault says so

	visibility, receiveWait, linger, drain, callTimeout, freshness time.Duration
	pollers, writers, held, units                                  int
	client, ordering                                               string

	messages []*simMessage
	faults   []*simFault
	events   []simEvent
	end      time.Duration // of the last of all these
}

// A simMessage is sent at a time after the start.
type simMessage struct {
	at    time.Duration
	body  string
	parts []*simPart
}

// A simPart is what a message should become: a prediction, or a reject. It is recognised by its mark, wherever it turns up.
type simPart struct {
	mark    int
	id      string
	event   int64 // microseconds since the epoch
	expires int64 // seconds since the epoch
	raw     string
	bad     bool
}

// key is the table's primary key, by the design's words and not by the worker's code.
func (p *simPart) key(layout item.Kind) string {
	switch layout {
	case item.Versioned:
		return fmt.Sprintf("%s/%d", p.id, p.event/1e6)
	case item.ExpirySorted:
		return fmt.Sprintf("%s/%d", p.id, p.expires)
	default:
		return p.id
	}
}

func (m *simMessage) anyBad() bool {
	return slices.ContainsFunc(m.parts, func(p *simPart) bool { return p.bad })
}

// The classes of calls that faults choose from.
const (
	classWrite   = "write"
	classReceive = "receive"
	classDelete  = "delete"
	classVisible = "visibility"
	classReject  = "reject"
)

// A simFault strikes the calls of a class for a time, each with a chance.
type simFault struct {
	class, kind string
	from, to    time.Duration
	chance      float64
}

// outage tells whether the fault keeps everything from being written.
func (f *simFault) outage() bool {
	return f.class == classWrite && f.chance == 1 && slices.Contains([]string{"throttle", "error", "drop", "hang", "denied"}, f.kind)
}

type simEvent struct {
	at   time.Duration
	what string // terminate, kill, start
}

// simSecret is in each id and each payload, and must never be in the log.
const simSecret = "zq7"

var simKinds = map[string][]string{
	classWrite:   {"throttle", "throttle keys", "unprocessed", "unprocessed all", "error", "drop", "hang", "lose", "tear", "error after", "hang answer", "delay", "denied", "late"},
	classReceive: {"error", "drop", "hang", "lose", "tear", "hang answer", "delay", "redeliver", "throttle", "denied"},
	classDelete:  {"partial", "error", "drop", "hang", "lose", "tear", "delay", "throttle"},
	classVisible: {"partial", "error", "drop", "hang", "lose", "delay", "throttle"},
	classReject:  {"partial", "error", "drop", "hang", "lose", "tear", "delay", "denied"},
}

// simStart is when a bubble's time begins, in seconds since the epoch.
var simStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func newSimPlan(seed uint64) *simPlan {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	pick := func(ds ...time.Duration) time.Duration { return ds[r.IntN(len(ds))] }
	p := &simPlan{
		seed:    seed,
		layout:  []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly, item.LatestOnly}[r.IntN(4)],
		rejects: r.IntN(5) > 0, replicas: []int{1, 1, 1, 2, 3}[r.IntN(5)],
		latency:    pick(0, 0, 5*time.Millisecond, 50*time.Millisecond),
		visibility: pick(10*time.Second, 30*time.Second, 30*time.Second, 2*time.Minute),
		linger:     pick(0, 200*time.Millisecond, time.Second), receiveWait: pick(time.Second, 5*time.Second, 20*time.Second),
		callTimeout: pick(time.Second, 5*time.Second),
		pollers:     1 + r.IntN(4), writers: 1 + r.IntN(4), held: []int{20, 50, 10_000}[r.IntN(3)],
		client: []string{config.ClientDirect, config.ClientDirect, config.ClientSDK}[r.IntN(3)], ordering: config.OrderingLastWrite,
	}
	// Drawn apart, so that seeds keep what they had before this was.
	p.freshness = []time.Duration{0, 0, 500 * time.Millisecond, 5 * time.Second}[rand.New(rand.NewPCG(seed, 2)).IntN(4)]
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
	slices.SortFunc(p.events, func(a, b simEvent) int { return int(a.at - b.at) })
	for _, m := range p.messages {
		p.end = max(p.end, m.at)
	}
	for _, f := range p.faults {
		p.end = max(p.end, f.to)
	}
	for _, e := range p.events {
		p.end = max(p.end, e.at)
	}
	return p
}

// traffic decides what is sent: ids that come again and again, in order and out of it, repeated word for word, packed.
func (p *simPlan) traffic(r *rand.Rand) {
	ids := 2 + r.IntN(40)
	count := 20 + r.IntN(160)
	span := time.Duration(1+r.IntN(180)) * time.Second
	p.hot = fmt.Sprintf("%s-0", simSecret)
	badness := []int{0, 10, 40}[r.IntN(3)] // in a hundred
	var old []*simPart
	mark := 0
	for range count {
		m := &simMessage{at: time.Duration(r.Int64N(int64(span)))}
		if r.IntN(3) == 0 {
			m.at = m.at.Truncate(10 * time.Second) // bursts
		}
		size := 1
		if r.IntN(3) == 0 {
			size = 1 + r.IntN(30)
		}
		for range size {
			mark++
			switch {
			case len(old) > 0 && r.IntN(4) == 0: // word for word, one of the last ones more often
				m.parts = append(m.parts, old[len(old)-1-int(float64(len(old))*r.Float64()*r.Float64()*r.Float64())])
			case size == 1 && badness > 0 && r.IntN(20) == 0: // its whole message can't be read
				m.parts = append(m.parts, &simPart{mark: mark, bad: true, raw: fmt.Sprintf(`{"predictionId":"%s-bad","note":"#%d#"`, simSecret, mark), expires: simStart + 86400})
			case r.IntN(100) < badness:
				m.parts = append(m.parts, p.bad(r, mark, m.at))
			default:
				part := p.good(r, mark, fmt.Sprintf("%s-%d", simSecret, int(float64(ids)*r.Float64()*r.Float64())), m.at)
				m.parts = append(m.parts, part)
				old = append(old, part)
			}
		}
		m.body = p.pack(r, m)
		p.messages = append(p.messages, m)
	}
	slices.SortStableFunc(p.messages, func(a, b *simMessage) int { return int(a.at - b.at) })
}

func (p *simPlan) good(r *rand.Rand, mark int, id string, at time.Duration) *simPart {
	event := simStart*1e6 + (at + p.skew).Microseconds()
	switch r.IntN(4) {
	case 0: // late
		event -= r.Int64N(120e6)
	case 1: // one of a few in the same second
		event -= event%1e6 - int64(r.IntN(3))*1e5
	}
	life, extra := int64(86400), ""
	switch r.IntN(10) {
	case 0:
		life = 30 + r.Int64N(600)
		extra = fmt.Sprintf(`,"ttlSeconds":%d`, life)
	case 1:
		extra = fmt.Sprintf(`,"model":"m%d","note":%q`, r.IntN(3), strings.Repeat("x", r.IntN(1500)))
	}
	return &simPart{
		mark: mark, id: id, event: event, expires: event/1e6 + life,
		raw: fmt.Sprintf(`{"predictionId":"%s","timestamp":%d.%06d,"prediction":{"mark":"#%d#","of":"%s"}%s}`, id, event/1e6, event%1e6, mark, simSecret, extra),
	}
}

// bad makes a part that can't be stored. One kind looks sound, and only the table refuses it.
func (p *simPlan) bad(r *rand.Rand, mark int, at time.Duration) *simPart {
	now := simStart + int64((at+p.skew)/time.Second)
	note := fmt.Sprintf(`"prediction":"#%d# %s"`, mark, simSecret)
	forms := []string{
		fmt.Sprintf(`{%s}`, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","note":"#%d#"}`, simSecret, mark),
		fmt.Sprintf(`{"predictionId":%d,%s}`, mark, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","createdAt":1,%s}`, simSecret, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","timestamp":%d,%s}`, simSecret, now+7200, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","timestamp":"yesterday",%s}`, simSecret, note),
		fmt.Sprintf(`{"predictionId":"","timestamp":%d,%s}`, now, note),
		fmt.Sprintf(`"#%d# %s"`, mark, simSecret),
		fmt.Sprintf(`{"predictionId":"%s-refused-%d","timestamp":%d,%s}`, simSecret, mark, now, note),
		fmt.Sprintf(`{"predictionId":"%s-refused-%d","timestamp":%d,%s}`, simSecret, mark, now, note),
	}
	return &simPart{mark: mark, bad: true, raw: forms[r.IntN(len(forms))], expires: now + 86400}
}

// pack makes a message's body of its parts, in one of the forms of the contract.
func (p *simPlan) pack(r *rand.Rand, m *simMessage) string {
	raws := make([]string, len(m.parts))
	for i, part := range m.parts {
		raws[i] = part.raw
	}
	body := raws[0]
	switch {
	case len(raws) > 1 && r.IntN(3) == 0 && strings.HasPrefix(raws[0], `{"predictionId":"`+simSecret+`-`) && !m.anyBad():
		body = strings.Join(raws, "\n")
	case len(raws) > 1 || body[0] != '{':
		body = "[" + strings.Join(raws, ", ") + "]"
	}
	attributes := ""
	if r.IntN(12) == 0 && (len(m.parts) != 1 || !m.parts[0].bad) { // else the mark could not be found in the reject queue
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(body)) // a buffer takes everything
		_ = z.Close()
		body, attributes = base64.StdEncoding.EncodeToString(b.Bytes()), `,"MessageAttributes":{"Content-Encoding":{"Type":"String","Value":"gzip"}}`
	}
	if attributes != "" || r.IntN(10) == 0 {
		text, _ := json.Marshal(body) // a string always marshals
		body = fmt.Sprintf(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":%s%s}`, text, attributes)
	}
	return body
}

// trouble decides what goes wrong.
func (p *simPlan) trouble(r *rand.Rand) {
	span := p.messages[len(p.messages)-1].at + 30*time.Second
	classes := []string{classWrite, classWrite, classWrite, classReceive, classReceive, classDelete, classDelete, classVisible, classReject}
	for range r.IntN(6) {
		class := classes[r.IntN(len(classes))]
		f := &simFault{class: class, kind: simKinds[class][r.IntN(len(simKinds[class]))], chance: 0.05 + 0.5*r.Float64()}
		f.from = time.Duration(r.Int64N(int64(span)))
		f.to = f.from + time.Duration(1+r.IntN(90))*time.Second
		if r.IntN(4) == 0 {
			f.chance = 1
		}
		if f.kind == "late" && r.IntN(3) > 0 {
			f.kind = "lose" // a late effect excuses much, so let it be rare
		}
		if f.kind == "redeliver" {
			f.chance = min(f.chance, 0.4) // a queue that delivers all again at once, for ever, is none
		}
		if f.class == classReceive && f.chance > 0.5 {
			f.to = min(f.to, f.from+20*time.Second) // each burns receives, and the queue has so many
		}
		p.faults = append(p.faults, f)
	}
	if r.IntN(12) == 0 { // an hour's outage
		f := &simFault{class: classWrite, kind: []string{"throttle", "error", "drop", "hang", "denied"}[r.IntN(5)], chance: 1, from: time.Duration(r.Int64N(int64(span)))}
		f.to = f.from + time.Duration(10+r.IntN(50))*time.Minute
		p.faults = append(p.faults, f)
	}
	for range []int{0, 0, 1, 2, 4}[r.IntN(5)] {
		p.events = append(p.events, simEvent{time.Duration(r.Int64N(int64(span))), []string{"terminate", "kill", "start", "restart", "crash"}[r.IntN(5)]})
	}
}
