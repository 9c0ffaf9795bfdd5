package consumer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

// The message attributes of a reject. AttrSent keeps the time at which the message was first sent: see Received.SentTime.
const (
	AttrReason          = "predcache.reason"
	AttrField           = "predcache.field"
	AttrDetail          = "predcache.detail"
	AttrSent            = "predcache.sentTimestamp"
	AttrSource          = "predcache.source"
	AttrContentEncoding = "Content-Encoding"
)

// The description of the source message, and a field's name and a detail, are cut to these sizes.
const (
	maxSource = 4 << 10
	maxText   = 512
)

// An Outgoing is a message to send.
type Outgoing struct {
	Body       string
	Attributes []Attribute
	// GroupID and DeduplicationID are for FIFO queues; others ignore them.
	GroupID, DeduplicationID string
}

// Size returns the size of the message as SQS counts it.
func (o *Outgoing) Size() int { return (&Received{Body: o.Body, Attributes: o.Attributes}).size() }

// A rejection is a message for the reject queue. Its attributes are built when it is sent.
type rejection struct {
	m          *Message
	body       string
	encoding   string      // Content-Encoding of body
	attributes []Attribute // the message's, which loses its own when another of its rejects is refused
	why        *prediction.Reject
	sent       int64 // AttrSent
	id         rejectionID
	object     *prediction.ObjectPlace
	done       func(error) // set by RejectNow
}

// A rejectionID distinguishes the rejections of a message. It is a hash of the rejected text, so that it is the same in each
// delivery and in each worker. Their order is not: what DynamoDB refuses comes in any.
type rejectionID [16]byte

func newRejection(m *Message, body, encoding string, part *prediction.RejectedPart) *rejection {
	hash := sha256.Sum256([]byte(body))
	r := &rejection{m: m, body: body, encoding: encoding, attributes: m.Attributes, why: part.Why, sent: m.SentTime(), id: rejectionID(hash[:16]), object: part.Object}
	if part.Sent > 0 && (r.sent == 0 || part.Sent < r.sent) { // from its envelope, which is not sent
		r.sent = part.Sent
	}
	if !validBody(body) {
		r.compress()
	}
	return r
}

// compress makes the body shorter, and valid for SQS, by gzip and base64.
func (r *rejection) compress() {
	var out bytes.Buffer
	encoder := base64.NewEncoder(base64.StdEncoding, &out)
	w := gzip.NewWriter(encoder)
	_, err := w.Write([]byte(r.body))
	if err = errors.Join(err, w.Close(), encoder.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	r.body, r.encoding = out.String(), "gzip"
}

// validBody reports whether SQS accepts all characters of a text: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to
// #x10FFFF ("SendMessage").
func validBody(text string) bool {
	for _, r := range text {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return utf8.ValidString(text)
}

// maxSize returns the maximum size of the message as SQS counts it, without the description of its source, which is optional.
func (r *rejection) maxSize() int {
	const names = len(AttrReason+AttrField+AttrDetail+AttrSent+AttrContentEncoding) + 5*len("String") + len("9223372036854775807") + len("gzip")
	return len(r.body) + len(r.encoding) + len(r.why.Reason) + min(len(r.why.Field), maxText) + min(len(r.why.Detail), maxText) + 2*len("…") + names
}

// outgoing builds the message. It includes the description of its source if the size stays within limit.
func (r *rejection) outgoing(limit int) Outgoing {
	m := r.m
	o := Outgoing{Body: r.body, GroupID: m.GroupID, DeduplicationID: m.ID + "." + hex.EncodeToString(r.id[:])}
	if o.GroupID == "" {
		o.GroupID = "predcache"
	}
	add := func(name, kind, value string) {
		if value != "" { // SQS refuses an empty value
			o.Attributes = append(o.Attributes, Attribute{name, kind, value})
		}
	}
	add(AttrReason, "String", string(r.why.Reason))
	add(AttrSent, "Number", strconv.FormatInt(r.sent, 10))
	add(AttrContentEncoding, "String", r.encoding) // without it the body can't be read
	add(AttrField, "String", clean(r.why.Field))
	add(AttrDetail, "String", clean(r.why.Detail))
	if s := source(m, r.attributes, r.object); o.Size()+len(AttrSource)+len("String")+len(s) <= limit {
		add(AttrSource, "String", s)
	}
	return o
}

// A Source describes the message that a reject came from. It is the value of AttrSource, as JSON.
type Source struct {
	MessageID    string `json:"messageId"`
	ReceiveCount int    `json:"receiveCount"`
	// Object is where the reject was read, if it is of an object of S3.
	Object     *prediction.ObjectPlace `json:"object,omitempty"`
	Attributes []SourceAttribute       `json:"attributes,omitempty"`
	LeftOut    int                     `json:"attributesLeftOut,omitempty"` // number of attributes that did not fit
}

// A SourceAttribute is an attribute of the original message. Bytes holds the value of a Binary one, others have Value.
type SourceAttribute struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// source describes a message with the attributes that fit into maxSource bytes.
func source(m *Message, attributes []Attribute, object *prediction.ObjectPlace) string {
	s := Source{MessageID: m.ID, ReceiveCount: m.Receives, Object: object}
	room := maxSource
	for _, a := range attributes {
		if strings.HasPrefix(a.Name, "predcache.") {
			continue // of an earlier rejection
		}
		size := len(a.Name) + len(a.Type) + len(a.Value)
		if size > room {
			s.LeftOut++
			continue
		}
		room -= size
		attribute := SourceAttribute{Name: a.Name, Type: a.Type}
		if strings.HasPrefix(a.Type, "Binary") {
			attribute.Bytes = []byte(a.Value)
		} else {
			attribute.Value = a.Value
		}
		s.Attributes = append(s.Attributes, attribute)
	}
	for {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err) // strings, numbers and bytes always marshal
		}
		last := len(s.Attributes) - 1
		if len(text) <= maxSource || last < 0 {
			return string(text)
		}
		s.Attributes, s.LeftOut = s.Attributes[:last], s.LeftOut+1 // escapes made it longer
	}
}

// clean makes s a valid attribute value: SQS refuses control characters. It cuts s to maxText bytes.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xFFFE || r == 0xFFFF {
			return '?'
		}
		return r
	}, s)
}
