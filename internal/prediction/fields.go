package prediction

import (
	"errors"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/predcache/predcache/internal/jsonscan"
)

// Indexes of the contract's fields.
const (
	fieldID = iota
	fieldTimestamp
	fieldPayload
	fieldTTLSeconds
	fieldExpiresAt
	fieldDeleted
	numFields
)

type path struct {
	name  string   // as configured
	first string   // the first part
	rest  []string // the other parts of a path into nested objects
}

// prediction reads one prediction, whose members are scanned. It returns a Reject if the whole message must be rejected.
func (r *decoding) prediction(object jsonscan.Value) *Reject {
	p := Prediction{Raw: object.Text, Version: Version{Sent: r.order, Place: r.place, Hash: xxhash.Sum64String(object.Text)}}
	if why := r.read(&p); why != nil {
		r.reject(object.Text, why)
		return nil
	}
	if why := r.take(PredictionBytes + AttributeBytes*len(p.Attributes) + r.copied); why != nil {
		return why
	}
	r.dst.Predictions = append(r.dst.Predictions, p)
	r.place++
	r.parts++
	return nil
}

func (r *decoding) read(p *Prediction) *Reject {
	if r.flaw != nil {
		return r.flaw
	}
	r.copied = 0
	if why := r.unescape(r.dst.members); why != nil {
		return why
	}
	for field := range r.fields {
		var why *Reject
		if r.values[field], why = r.follow(field); why != nil {
			return why
		}
	}
	if why := r.id(p); why != nil {
		return why
	}
	if why := r.eventTime(p); why != nil {
		return why
	}
	if deleted := r.values[fieldDeleted]; deleted.Text != "" && deleted.Text != "false" {
		return r.readDelete(p)
	}
	if p.Payload = r.values[fieldPayload]; p.Payload.Text == "" {
		return r.missing(fieldPayload, "WORKER_FIELD_PREDICTION", "it holds the result, any JSON value")
	}
	if why := r.expiry(p); why != nil {
		return why
	}
	r.attributes(p)
	return nil
}

// unescape unescapes the members' names. It rejects a name that occurs twice, since either value could be meant.
func (r *decoding) unescape(members []jsonscan.Member) *Reject {
	for i := range members {
		name, err := jsonscan.Unquote(members[i].Name)
		if err != nil {
			return r.rejectf(ReasonFieldValue, "", "the name of a field holds %v", err)
		}
		r.copies(members[i].Name, name)
		members[i].Name = name
	}
	const few = 24
	if len(members) <= few {
		for i := range members {
			for j := range i {
				if members[i].Name == members[j].Name {
					return r.twice(members[i].Name)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(members))
	for i := range members {
		if _, found := seen[members[i].Name]; found {
			return r.twice(members[i].Name)
		}
		seen[members[i].Name] = struct{}{}
	}
	return nil
}

// copies counts the memory of text if it is a copy, which unescaping makes. It is shorter then.
func (r *decoding) copies(escaped, text string) {
	const allocation = 16 // an allocation of 1 byte takes 8, and larger ones are rounded up too
	if len(text) < len(escaped) {
		r.copied += allocation + len(text)
	}
}

func (r *decoding) twice(name string) *Reject {
	return r.rejectf(ReasonDuplicateName, name, "occurs twice: send it once")
}

func (r *decoding) id(p *Prediction) *Reject {
	name := r.fields[fieldID].name
	switch v := r.values[fieldID]; v.Kind() {
	case jsonscan.String:
		text, err := jsonscan.Unquote(inside(v))
		if err != nil {
			return r.rejectf(ReasonKey, name, "holds %v: an id is valid Unicode", err)
		}
		r.copies(inside(v), text)
		p.ID.Text = text
	case jsonscan.Number:
		p.ID = ID{v.Text, true}
	case 0, jsonscan.Null:
		return r.missing(fieldID, "WORKER_FIELD_ID", "it names what was predicted, a string or a number")
	default:
		return r.rejectf(ReasonFieldType, name, "is %v: send a string or a number", v.Kind())
	}
	return nil
}

// missing rejects a prediction without a field. A field with a similar name is probably the one.
func (r *decoding) missing(field int, setting, purpose string) *Reject {
	if len(r.dst.Rejected) == MaxRejectedParts {
		return errMore // see rejectf, which would allocate its arguments
	}
	name := r.fields[field].name
	for i := range r.dst.members {
		if other := r.dst.members[i].Name; similar(name, other) {
			return Rejectf(ReasonMissingField, name, "is missing: %s. Is it %q? Then rename that field, or set %s", purpose, clip(other), setting)
		}
	}
	return Rejectf(ReasonMissingField, name, "is missing: %s", purpose)
}

// similar reports whether two names are the same but for case and separators, as predictionId and prediction_id are.
func similar(name, other string) bool {
	return other != name && len(other) <= 2*len(name) && strings.EqualFold(separators.Replace(name), separators.Replace(other))
}

var separators = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

func (r *decoding) eventTime(p *Prediction) *Reject {
	name := r.fields[fieldTimestamp].name
	v := r.values[fieldTimestamp]
	if isAbsent(v) {
		if r.cfg.RequireTimestamp && !r.inEnvelope {
			return r.rejectf(ReasonMissingField, name, "is missing: it orders the predictions of an id, and a file has no sent time that could stand in for it")
		}
		p.EventTime = FromMillis(r.sent)
		if why := r.checkPast(name, p.EventTime); why != nil {
			return why
		}
	} else {
		t, err := parseTime(v)
		if err != nil {
			return r.badTime(name, err)
		}
		if t.After(r.now.Add(r.cfg.MaxFuture)) {
			return r.rejectf(ReasonFuture, name, "is over %v in the future: send the time of the event, or allow more with WORKER_MAX_FUTURE", r.cfg.MaxFuture)
		}
		if why := r.checkPast(name, t); why != nil {
			return why
		}
		p.EventTime = t
	}
	p.Version.Event = p.EventTime
	return nil
}

// checkPast rejects a time before Config.MinEventTime.
func (r *decoding) checkPast(field string, t Time) *Reject {
	if least := r.cfg.MinEventTime; t.Compare(least) < 0 {
		return r.rejectf(ReasonPast, field, "is before %s, a time that no clock gives: send Unix seconds, ms, us or ns since 1970, or RFC 3339, or allow more with WORKER_MIN_EVENT_TIME",
			least.Clock().Format(time.RFC3339Nano))
	}
	return nil
}

// isAbsent reports whether an optional field is missing or null, which many publishers send instead.
func isAbsent(v jsonscan.Value) bool { return v.Text == "" || v.Kind() == jsonscan.Null }

func (r *decoding) badTime(field string, err error) *Reject {
	switch {
	case errors.Is(err, errNoZone):
		return r.rejectf(ReasonFieldType, field, "%v", err)
	case errors.Is(err, errTimeForm):
		return r.rejectf(ReasonFieldType, field, "%v: send Unix seconds, ms, us or ns, or RFC 3339", err)
	}
	return r.rejectf(ReasonFieldValue, field, "%v: send Unix seconds, ms, us or ns, or RFC 3339", err)
}

// expiry sets p.Expires from the event time and the message. It does not use the clock, so that a redelivery makes the same
// item.
func (r *decoding) expiry(p *Prediction) *Reject {
	ttl, end := r.values[fieldTTLSeconds], r.values[fieldExpiresAt]
	if !isAbsent(end) {
		t, why := r.expiresAt(end)
		p.Expires = t.Sec
		return why
	}
	life := lifetime(r.cfg.TTL)
	if !isAbsent(ttl) {
		var why *Reject
		if life, why = r.ttlSeconds(ttl); why != nil {
			return why
		}
	}
	if r.cfg.TTLJitter > 0 {
		part := float64(xxhash.Sum64String(p.ID.Text)>>11) / (1 << 53) // 0 to 1
		life.Sec -= int64(float64(life.Sec) * r.cfg.TTLJitter * part)
	}
	t, err := checkTime(p.EventTime.plus(life))
	if err != nil {
		return r.expiresTooLate()
	}
	p.Expires = t.Sec
	return nil
}

// expiresAt reads a prediction's own expiry.
func (r *decoding) expiresAt(end jsonscan.Value) (Time, *Reject) {
	name := r.fields[fieldExpiresAt].name
	if !isAbsent(r.values[fieldTTLSeconds]) {
		return Time{}, r.rejectf(ReasonFieldValue, name, "is set together with %s: send one of them", r.fields[fieldTTLSeconds].name)
	}
	t, err := parseTime(end)
	if err != nil {
		return Time{}, r.badTime(name, err)
	}
	return t, r.checkPast(name, t)
}

// ttlSeconds reads a prediction's own lifetime.
func (r *decoding) ttlSeconds(ttl jsonscan.Value) (Time, *Reject) {
	name := r.fields[fieldTTLSeconds].name
	seconds := ttl.Text
	if ttl.Kind() == jsonscan.String {
		seconds = unquoted(inside(ttl))
	}
	if !jsonscan.IsNumber(seconds) {
		return Time{}, r.rejectf(ReasonFieldType, name, "is %v: send a number of seconds", ttl.Kind())
	}
	life, err := decimalTime(jsonscan.ParseDecimal(seconds))
	if err != nil || life == (Time{}) {
		return Time{}, r.rejectf(ReasonFieldValue, name, "is out of range: send a number of seconds above 0")
	}
	return life, nil
}

func (r *decoding) expiresTooLate() *Reject {
	return r.rejectf(ReasonFieldValue, r.fields[fieldTTLSeconds].name, "makes it expire after the year 9999: send a shorter lifetime")
}

// lifetime returns a duration as a Time.
func lifetime(d time.Duration) Time {
	return Time{int64(d / time.Second), uint64(d%time.Second) * attosPerNano}
}

// attributes stores the other fields. An object that a path leads into remains whole.
func (r *decoding) attributes(p *Prediction) {
	if !r.cfg.Attributes.All && len(r.cfg.Attributes.Names) == 0 {
		return
	}
	kept := max(len(r.dst.members)-2, 1) // without the id and the payload
	if !r.cfg.Attributes.All {
		kept = min(kept, len(r.cfg.Attributes.Names))
	}
	for _, m := range r.dst.members {
		if r.isField(m.Name) || !r.cfg.Attributes.keep(m.Name) {
			continue
		}
		if p.Attributes == nil {
			p.Attributes = make([]Attribute, 0, kept)
		}
		p.Attributes = append(p.Attributes, Attribute{m.Name, m.Value})
	}
}

func (r *decoding) isField(name string) bool {
	for i := range r.fields {
		if r.fields[i].name != "" && r.fields[i].name == name {
			return true
		}
	}
	return false
}

func inside(v jsonscan.Value) string { return v.Text[1 : len(v.Text)-1] }

// member returns the value of a member of the scanned object, or the zero Value.
func (r *decoding) member(name string) jsonscan.Value { return find(r.dst.members, name) }

func find(members []jsonscan.Member, name string) jsonscan.Value {
	for _, m := range members {
		if m.Name == name {
			return m.Value
		}
	}
	return jsonscan.Value{}
}

// has reports whether the scanned object has a field, valid or not.
func (r *decoding) has(field int) bool {
	v, why := r.follow(field)
	return v.Text != "" || why != nil
}

// follow returns the value of a field in the scanned object, along its path. A member that is named like the whole path wins:
// flattened publishers send {"meta.id": …}.
func (r *decoding) follow(field int) (jsonscan.Value, *Reject) {
	p := &r.fields[field]
	if p.name == "" {
		return jsonscan.Value{}, nil
	}
	if len(p.rest) > 0 {
		if v := r.member(p.name); v.Text != "" {
			return v, nil
		}
	}
	v := r.member(p.first)
	for i, part := range p.rest {
		if v.Kind() != jsonscan.Object {
			return jsonscan.Value{}, nil
		}
		var found jsonscan.Value
		for m := range jsonscan.Members(v) {
			if unquoted(m.Name) != part {
				continue
			}
			if found.Text != "" {
				return jsonscan.Value{}, r.twice(p.first + "." + strings.Join(p.rest[:i+1], "."))
			}
			found = m.Value
		}
		v = found
	}
	return v, nil
}
