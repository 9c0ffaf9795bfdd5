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
)

// traffic plans the messages: ids that recur, in order and out of order, exact repeats, and packed messages.
func (p *plan) traffic(r *rand.Rand) {
	g := &generator{p: p, r: r, ids: 2 + r.IntN(40)}
	p.gen = g
	count := 20 + r.IntN(160)
	span := time.Duration(1+r.IntN(180)) * time.Second
	p.hot = fmt.Sprintf("%s-0", secret)
	g.badness = []int{0, 10, 40}[r.IntN(3)]
	for range count {
		m := &message{at: time.Duration(r.Int64N(int64(span)))}
		if r.IntN(3) == 0 {
			m.at = m.at.Truncate(10 * time.Second) // bursts
		}
		size := 1
		if r.IntN(3) == 0 {
			size = 1 + r.IntN(30)
		}
		for range size {
			m.parts = append(m.parts, g.part(m.at, size == 1))
		}
		m.pack(r)
		p.messages = append(p.messages, m)
	}
	slices.SortStableFunc(p.messages, func(a, b *message) int { return int(a.at - b.at) })
}

// A generator makes parts, each with a unique mark.
type generator struct {
	p       *plan
	r       *rand.Rand
	ids     int     // how many ids there are
	badness int     // percent of parts that can't be stored
	mark    int     // the last one given
	sent    []*part // the good ones so far

	roundedEnds bool // predictions give their end, rounded up to a minute
}

// part makes the next part of a message; alone, if it is the only one.
func (g *generator) part(at time.Duration, alone bool) *part {
	g.mark++
	r := g.r
	switch {
	case len(g.sent) > 0 && r.IntN(4) == 0: // an exact repeat, more often of a recent one
		return g.sent[len(g.sent)-1-int(float64(len(g.sent))*r.Float64()*r.Float64()*r.Float64())]
	case alone && g.badness > 0 && r.IntN(20) == 0: // its whole message can't be read
		return &part{mark: g.mark, bad: true, raw: fmt.Sprintf(`{"predictionId":"%s-bad","note":"#%d#"`, secret, g.mark), expires: epoch + 86400}
	case r.IntN(100) < g.badness:
		return g.bad(at)
	}
	good := g.good(g.id(), at)
	g.sent = append(g.sent, good)
	return good
}

func (g *generator) good(id string, at time.Duration) *part {
	r := g.r
	event := epoch*1e6 + (at + g.p.skew).Microseconds()
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
	payload := fmt.Sprintf(`{"mark":"#%d#","of":"%s"}`, g.mark, secret)
	expires := event/1e6 + life
	if g.roundedEnds {
		expires += 60 - expires%60
		extra = fmt.Sprintf(`,"expiresAt":%d`, expires)
	}
	return &part{
		mark: g.mark, id: id, event: event, expires: expires, noted: strings.Contains(extra, "note"),
		payload: payload,
		raw:     fmt.Sprintf(`{"predictionId":"%s","timestamp":%d.%06d,"prediction":%s%s}`, id, event/1e6, event%1e6, payload, extra),
	}
}

// bad makes a part that can't be stored. One kind looks sound, and only the table refuses it.
func (g *generator) bad(at time.Duration) *part {
	now := epoch + int64((at+g.p.skew)/time.Second)
	mark := g.mark
	note := fmt.Sprintf(`"prediction":"#%d# %s"`, mark, secret)
	refused := g.refused(at).raw
	forms := []string{
		fmt.Sprintf(`{%s}`, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","note":"#%d#"}`, secret, mark),
		fmt.Sprintf(`{"predictionId":%d,%s}`, mark, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","createdAt":1,%s}`, secret, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","timestamp":%d,%s}`, secret, now+36_000, note),
		fmt.Sprintf(`{"predictionId":"%s-bad","timestamp":"yesterday",%s}`, secret, note),
		fmt.Sprintf(`{"predictionId":"","timestamp":%d,%s}`, now, note),
		fmt.Sprintf(`"#%d# %s"`, mark, secret),
		refused, refused,
	}
	return &part{mark: mark, bad: true, raw: forms[g.r.IntN(len(forms))], expires: now + 86400}
}

// refused makes a part that looks sound, and that the table refuses.
func (g *generator) refused(at time.Duration) *part {
	now := epoch + int64((at+g.p.skew)/time.Second)
	return &part{mark: g.mark, bad: true, expires: now + 86400, raw: fmt.Sprintf(`{"predictionId":"%s-%d","timestamp":%d,"prediction":"#%d# %s"}`, refusedID, g.mark, now, g.mark, secret)}
}

// unreadable makes a part that is no prediction.
func (g *generator) unreadable() *part {
	return &part{mark: g.mark, bad: true, raw: fmt.Sprintf(`{"predictionId":"%s-bad","note":"#%d#"}`, secret, g.mark), expires: epoch + 86400}
}

// next gives the next part its mark.
func (g *generator) next() *generator {
	g.mark++
	return g
}

// id picks an id, the first ones more often.
func (g *generator) id() string {
	return fmt.Sprintf("%s-%d", secret, int(float64(g.ids)*g.r.Float64()*g.r.Float64()))
}

// badText is a part that is no object.
func (g *generator) badText() *part {
	return &part{mark: g.mark, bad: true, raw: fmt.Sprintf(`"#%d# %s"`, g.mark, secret), expires: epoch + 86400}
}

// clockless is a part whose event time no clock gives: a zero, seconds divided by something, another epoch, a time ahead.
func (g *generator) clockless(at time.Duration) *part {
	now := epoch + int64((at+g.p.skew)/time.Second)
	ahead := now + 36_000 + g.r.Int64N(30_000) // still ahead when it was received for the last time
	forms := []struct{ why, field string }{
		{"past", `"timestamp":0`},
		{"past", `"timestamp":"1970-01-01T00:00:00Z"`},
		{"past", fmt.Sprintf(`"timestamp":%d`, now/60)},
		{"past", fmt.Sprintf(`"timestamp":%d.25`, now/86400)},
		{"past", fmt.Sprintf(`"timestamp":%d`, now/1000)},
		{"past", fmt.Sprintf(`"timestamp":%d`, now-978_307_200)}, // since 2001, as Apple's clocks count
		{"past", fmt.Sprintf(`"timestamp":%d,"expiresAt":0`, now)},
		{"future", fmt.Sprintf(`"timestamp":%d`, ahead)},
		{"future", fmt.Sprintf(`"timestamp":%d123`, ahead)}, // milliseconds
	}
	f := forms[g.r.IntN(len(forms))]
	return &part{
		mark: g.mark, bad: true, why: f.why, expires: now + 86400,
		raw: fmt.Sprintf(`{"predictionId":"%s-clock",%s,"prediction":"#%d# %s"}`, secret, f.field, g.mark, secret),
	}
}

// refusedID begins the ids that the table refuses with a ValidationException.
const refusedID = secret + "-refused"

// pack makes a message's body of its parts, in one of the forms of the contract.
func (m *message) pack(r *rand.Rand) {
	raws := make([]string, len(m.parts))
	for i, part := range m.parts {
		raws[i] = part.raw
	}
	body := raws[0]
	switch {
	case len(raws) > 1 && r.IntN(3) == 0 && strings.HasPrefix(raws[0], `{"predictionId":"`+secret+`-`) && !m.anyBad():
		body = strings.Join(raws, "\n")
	case len(raws) > 1 || body[0] != '{':
		body = "[" + strings.Join(raws, ", ") + "]"
	}
	attributes := ""
	if r.IntN(12) == 0 && (len(m.parts) != 1 || !m.parts[0].bad) { // otherwise the mark can't be found in the reject queue
		body, attributes = compress(body), `,"MessageAttributes":{"Content-Encoding":{"Type":"String","Value":"gzip"}}`
	}
	if attributes != "" || r.IntN(10) == 0 {
		text, _ := json.Marshal(body) // a string always marshals
		body = fmt.Sprintf(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":%s%s}`, text, attributes)
	}
	m.body = body
}

// compress is gzip and base64.
func compress(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a buffer takes everything
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
