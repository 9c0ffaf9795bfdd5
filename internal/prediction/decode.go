package prediction

import (
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/predcache/predcache/internal/jsonscan"
)

// Config says how messages are read. The zero value of a field name means that messages don't have the field.
type Config struct {
	Fields     Fields
	Attributes Attributes
	TTL        time.Duration // the life of a prediction that doesn't name one
	// TTLJitter shortens lives by up to this fraction, by a hash of the id, so that what was written in one burst does
	// not expire in one. An end given by ExpiresAt stays as it is.
	TTLJitter float64
	MaxFuture time.Duration // how far ahead of the clock an event time may be
	// MaxDecodedBytes is how long a body may be once it is decompressed: without it 1 MiB could become 1 GiB.
	MaxDecodedBytes int
}

// Fields are the names of a prediction's fields. A dotted name is a path into nested objects.
type Fields struct {
	ID, Timestamp, Payload, TTLSeconds, ExpiresAt string
}

// Attributes says which of a prediction's other fields are kept: all, or those of a list (of which none is one).
type Attributes struct {
	All   bool
	Names []string
}

func (a Attributes) keep(name string) bool {
	if a.All {
		return true
	}
	for _, n := range a.Names {
		if n == name {
			return true
		}
	}
	return false
}

// A Message is what a queue delivered.
type Message struct {
	Body            string
	ContentEncoding string // of the body: empty, gzip or zstd, the latter two in base64
	Sent            int64  // milliseconds since the epoch
}

// Decoded is what was found in a message. It can be used again for the next one.
type Decoded struct {
	Predictions []Prediction
	Rejected    []RejectedPart
	Inflated    int // bytes of the body once decompressed; 0 where it came plain

	members []jsonscan.Member
	nested  []jsonscan.Member
}

// A RejectedPart is a part of a message that can't become a prediction: its text as it came, and why.
type RejectedPart struct {
	Raw   string
	Whole bool // Raw is the message's whole body, still encoded if it came so
	Why   *Reject
}

// A Decoder reads messages. It may be used by several goroutines, each with a Decoded of its own.
type Decoder struct {
	cfg    Config
	fields [numFields]path
}

// The fields of the contract, as indexes.
const (
	fieldID = iota
	fieldTimestamp
	fieldPayload
	fieldTTLSeconds
	fieldExpiresAt
	numFields
)

type path struct {
	name  string   // as configured
	first string   // its first part
	rest  []string // the others, for a path into nested objects
}

// NewDecoder makes a Decoder. The configuration has been checked.
func NewDecoder(cfg Config) *Decoder {
	d := &Decoder{cfg: cfg}
	f := cfg.Fields
	for i, name := range [numFields]string{f.ID, f.Timestamp, f.Payload, f.TTLSeconds, f.ExpiresAt} {
		parts := strings.Split(name, ".")
		d.fields[i] = path{name, parts[0], parts[1:]}
	}
	return d
}

// Decode finds the predictions of m. now is the services' clock.
func (d *Decoder) Decode(dst *Decoded, m Message, now time.Time) {
	clear(dst.Predictions) // let go of the last message's body
	clear(dst.Rejected)
	dst.Predictions, dst.Rejected, dst.Inflated = dst.Predictions[:0], dst.Rejected[:0], 0
	run := decoding{Decoder: d, dst: dst, sent: m.Sent, now: now}
	if why := run.body(m.Body, m.ContentEncoding, 0); why != nil {
		// Nothing of a body that can't be read as a whole is kept, so that it goes to the reject queue in one piece.
		dst.Predictions = dst.Predictions[:0]
		dst.Rejected = append(dst.Rejected[:0], RejectedPart{m.Body, true, why})
	}
}

// decoding is one run of a Decoder over one message.
type decoding struct {
	*Decoder
	dst   *Decoded
	sent  int64
	now   time.Time
	place int32
}

// maxEnvelopes is how many envelopes may stand around a prediction: EventBridge to SNS to SQS makes two.
const maxEnvelopes = 3

// body reads one object, an array of objects, or objects one a line.
func (r *decoding) body(text, contentEncoding string, envelopes int) *Reject {
	came := text
	text, why := decompress(text, contentEncoding, r.cfg.MaxDecodedBytes)
	if why != nil {
		return why
	}
	if len(text) != len(came) {
		r.dst.Inflated += len(text)
	}
	if text = trimSpace(text); text == "" {
		return Rejectf(ReasonSyntax, "", "the message is empty: send a JSON object, an array of them, or one a line")
	}
	if text[0] == '[' {
		v, err := jsonscan.Parse(text)
		if err != nil {
			return syntax(err)
		}
		for _, element := range jsonscan.Elements(nil, v) {
			r.element(element)
		}
		return nil
	}
	members, object, end, err := jsonscan.ParseMembers(r.dst.members[:0], text)
	r.dst.members = members
	switch {
	case err == nil && end == len(text):
		return r.object(object, envelopes)
	case looksLikeLines(text):
		r.lines(text)
		return nil
	case err == nil:
		return Rejectf(ReasonSyntax, "", "text after the JSON object at byte %d: put several predictions into an array, or one a line", end)
	default:
		return syntax(err)
	}
}

func syntax(err error) *Reject {
	return Rejectf(ReasonSyntax, "", "the message is not JSON: %v", err)
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// looksLikeLines tells objects one a line, of which some may be broken, from one broken object spread over lines: at
// least one line is an object by itself.
func looksLikeLines(text string) bool {
	for line := range strings.Lines(text) {
		if line = trimSpace(line); len(line) < len(text) && strings.HasPrefix(line, "{") {
			if _, err := jsonscan.Parse(line); err == nil {
				return true
			}
		}
	}
	return false
}

// lines reads objects one a line. A broken line is rejected by itself: where it ends is plain.
func (r *decoding) lines(text string) {
	for line := range strings.Lines(text) {
		if line = trimSpace(line); line == "" {
			continue
		}
		members, object, end, err := jsonscan.ParseMembers(r.dst.members[:0], line)
		r.dst.members = members
		switch {
		case err != nil:
			r.reject(line, Rejectf(ReasonSyntax, "", "the line is not a JSON object: %v", err))
		case end < len(line):
			r.reject(line, Rejectf(ReasonSyntax, "", "text after the line's JSON object at byte %d: one object a line", end))
		default:
			r.prediction(object)
		}
	}
}

func (r *decoding) element(v jsonscan.Value) {
	if v.Kind() != jsonscan.Object {
		r.reject(v.Text, Rejectf(ReasonFieldType, "", "an element of the array is %v: each must be an object", v.Kind()))
		return
	}
	r.dst.members = jsonscan.Members(r.dst.members[:0], v)
	r.prediction(v)
}

func (r *decoding) reject(raw string, why *Reject) {
	r.dst.Rejected = append(r.dst.Rejected, RejectedPart{raw, false, why})
	r.place++
}

// object reads a message's one object, with its members scanned: a prediction, or an envelope around some.
func (r *decoding) object(object jsonscan.Value, envelopes int) *Reject {
	if r.has(fieldID) { // whatever else it looks like
		r.prediction(object)
		return nil
	}
	switch {
	case r.member("Type").Text == `"Notification"` && r.member("TopicArn").Text != "" && r.member("Message").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "Message", "is inside too many envelopes: unwrap them before the queue")
		}
		return r.notification(envelopes + 1)
	case r.member("detail-type").Text != "" && r.member("source").Text != "" && r.member("detail").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "detail", "is inside too many envelopes: unwrap them before the queue")
		}
		return r.body(r.member("detail").Text, "", envelopes+1)
	}
	r.prediction(object) // which says what is missing
	return nil
}

// notification unwraps what SNS delivers when raw message delivery is off: Message is a string, and the publisher's
// attributes are inside the envelope ("Amazon SNS message format for Amazon SQS").
func (r *decoding) notification(envelopes int) *Reject {
	message := r.member("Message")
	if message.Kind() != jsonscan.String {
		return Rejectf(ReasonEnvelope, "Message", "is %v: SNS delivers a string", message.Kind())
	}
	text, err := jsonscan.Unquote(inside(message))
	if err != nil {
		return Rejectf(ReasonEnvelope, "Message", "holds %v", err)
	}
	contentEncoding := ""
	if attributes := r.member("MessageAttributes"); attributes.Kind() == jsonscan.Object {
		if attribute := find(jsonscan.Members(nil, attributes), "Content-Encoding"); attribute.Kind() == jsonscan.Object {
			if value := find(jsonscan.Members(nil, attribute), "Value"); value.Kind() == jsonscan.String {
				contentEncoding = inside(value)
			}
		}
	}
	return r.body(text, contentEncoding, envelopes)
}

func inside(v jsonscan.Value) string { return v.Text[1 : len(v.Text)-1] }

// member returns the member of the scanned object that has this name, or nothing.
func (r *decoding) member(name string) jsonscan.Value { return find(r.dst.members, name) }

func find(members []jsonscan.Member, name string) jsonscan.Value {
	for _, m := range members {
		if m.Name == name {
			return m.Value
		}
	}
	return jsonscan.Value{}
}

func (r *decoding) has(field int) bool { return r.follow(field).Text != "" }

// follow returns a field's value in the scanned object, by its path.
func (r *decoding) follow(field int) jsonscan.Value {
	p := &r.fields[field]
	if p.name == "" {
		return jsonscan.Value{}
	}
	v := r.member(p.first)
	for _, part := range p.rest {
		if v.Kind() != jsonscan.Object {
			return jsonscan.Value{}
		}
		r.dst.nested = jsonscan.Members(r.dst.nested[:0], v)
		v = find(r.dst.nested, part)
	}
	return v
}

// prediction reads one prediction, whose members have been scanned.
func (r *decoding) prediction(object jsonscan.Value) {
	p := Prediction{Raw: object.Text, Version: Version{Sent: r.sent, Place: r.place, Hash: xxhash.Sum64String(object.Text)}}
	if why := r.read(&p); why != nil {
		r.reject(object.Text, why)
		return
	}
	r.dst.Predictions = append(r.dst.Predictions, p)
	r.place++
}

func (r *decoding) read(p *Prediction) *Reject {
	if why := r.names(); why != nil {
		return why
	}
	if why := r.id(p); why != nil {
		return why
	}
	if why := r.eventTime(p); why != nil {
		return why
	}
	if p.Payload = r.follow(fieldPayload); p.Payload.Text == "" {
		return Rejectf(ReasonMissingField, r.fields[fieldPayload].name, "is missing: it holds the result, any JSON value")
	}
	if why := r.expiry(p); why != nil {
		return why
	}
	r.attributes(p)
	return nil
}

// names unescapes the members' names and refuses one that is there twice: either could be meant.
func (r *decoding) names() *Reject {
	members := r.dst.members
	for i := range members {
		name, err := jsonscan.Unquote(members[i].Name)
		if err != nil {
			return Rejectf(ReasonFieldValue, "", "the name of a field holds %v", err)
		}
		members[i].Name = name
	}
	const few = 24
	if len(members) <= few {
		for i := range members {
			for j := range i {
				if members[i].Name == members[j].Name {
					return twice(members[i].Name)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(members))
	for i := range members {
		if _, found := seen[members[i].Name]; found {
			return twice(members[i].Name)
		}
		seen[members[i].Name] = struct{}{}
	}
	return nil
}

func twice(name string) *Reject {
	return Rejectf(ReasonDuplicateName, name, "is there twice: send it once")
}

func (r *decoding) id(p *Prediction) *Reject {
	name := r.fields[fieldID].name
	switch v := r.follow(fieldID); v.Kind() {
	case jsonscan.String:
		text, err := jsonscan.Unquote(inside(v))
		if err != nil {
			return Rejectf(ReasonKey, name, "holds %v: an id is valid Unicode", err)
		}
		p.ID.Text = text
	case jsonscan.Number:
		p.ID = ID{v.Text, true}
	case 0, jsonscan.Null:
		return Rejectf(ReasonMissingField, name, "is missing: it names what was predicted, a string or a number")
	default:
		return Rejectf(ReasonFieldType, name, "is %v: send a string or a number", v.Kind())
	}
	return nil
}

func (r *decoding) eventTime(p *Prediction) *Reject {
	name := r.fields[fieldTimestamp].name
	v := r.follow(fieldTimestamp)
	if isAbsent(v) {
		p.EventTime = FromMillis(r.sent)
	} else {
		t, err := parseTime(v)
		if err != nil {
			return badTime(name, err)
		}
		if t.After(r.now.Add(r.cfg.MaxFuture)) {
			return Rejectf(ReasonFuture, name, "is over %v in the future: send the time of the event, or allow more with WORKER_MAX_FUTURE", r.cfg.MaxFuture)
		}
		p.EventTime = t
	}
	p.Version.Event = p.EventTime
	return nil
}

// isAbsent holds for a field that may be missing: many publishers send null for what they don't have.
func isAbsent(v jsonscan.Value) bool { return v.Text == "" || v.Kind() == jsonscan.Null }

func badTime(field string, err error) *Reject {
	reason := ReasonFieldValue
	if err == errTimeForm {
		reason = ReasonFieldType
	}
	return Rejectf(reason, field, "%v: send Unix seconds, ms, us or ns, or RFC 3339", err)
}

// expiry is decided by the event time and the message alone, never by the clock, so that a redelivery makes the same item.
func (r *decoding) expiry(p *Prediction) *Reject {
	ttl, end := r.follow(fieldTTLSeconds), r.follow(fieldExpiresAt)
	ttlName, endName := r.fields[fieldTTLSeconds].name, r.fields[fieldExpiresAt].name
	if !isAbsent(end) {
		if !isAbsent(ttl) {
			return Rejectf(ReasonFieldValue, endName, "is there beside %s: send one of them", ttlName)
		}
		t, err := parseTime(end)
		if err != nil {
			return badTime(endName, err)
		}
		p.Expires = t.Sec
		return nil
	}
	life := Time{int64(r.cfg.TTL / time.Second), uint64(r.cfg.TTL%time.Second) * attosPerNano}
	if !isAbsent(ttl) {
		if ttl.Kind() != jsonscan.Number {
			return Rejectf(ReasonFieldType, ttlName, "is %v: send a number of seconds", ttl.Kind())
		}
		var err error
		if life, err = decimalTime(jsonscan.ParseDecimal(ttl.Text)); err != nil || life == (Time{}) {
			return Rejectf(ReasonFieldValue, ttlName, "is out of range: send a number of seconds above 0")
		}
	}
	if r.cfg.TTLJitter > 0 {
		part := float64(xxhash.Sum64String(p.ID.Text)>>11) / (1 << 53) // 0 to 1
		life.Sec -= int64(float64(life.Sec) * r.cfg.TTLJitter * part)
	}
	t, err := checkTime(p.EventTime.plus(life))
	if err != nil {
		return Rejectf(ReasonFieldValue, ttlName, "makes the end of its life fall after the year 9999: send a shorter life")
	}
	p.Expires = t.Sec
	return nil
}

// attributes keeps the other fields. An object that a path leads into stays whole.
func (r *decoding) attributes(p *Prediction) {
	if !r.cfg.Attributes.All && len(r.cfg.Attributes.Names) == 0 {
		return
	}
	for _, m := range r.dst.members {
		if r.isField(m.Name) || !r.cfg.Attributes.keep(m.Name) {
			continue
		}
		if p.Attributes == nil {
			p.Attributes = make([]Attribute, 0, len(r.dst.members))
		}
		p.Attributes = append(p.Attributes, Attribute{m.Name, m.Value})
	}
}

func (r *decoding) isField(name string) bool {
	for i := range r.fields {
		if p := &r.fields[i]; p.name != "" && p.first == name && len(p.rest) == 0 {
			return true
		}
	}
	return false
}
