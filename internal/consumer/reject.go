package consumer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/prediction"
)

// The message attributes of a reject. AttrSent keeps the time that the message was first sent: the worker takes it for
// the sent time when the prediction comes back.
const (
	AttrReason          = "predcache.reason"
	AttrField           = "predcache.field"
	AttrDetail          = "predcache.detail"
	AttrSent            = "predcache.sentTimestamp"
	AttrSource          = "predcache.source"
	AttrContentEncoding = "Content-Encoding"
)

const (
	// maxSend is how many bytes one call may send ("SendMessageBatch").
	maxSend = 1 << 20
	// maxRejects is how many parts of a message are rejected each by itself. A message with more is rejected as a whole: it costs
	// one send, and a publisher whose every part is wrong is better seen so.
	maxRejects = prediction.MaxRejectedParts - 1
	// maxSource bounds the description of the source message, and maxText a field's name and a detail.
	maxSource = 4 << 10
	maxText   = 512
	// rejectShare is the part of what may be held that may wait for the reject queue: a half while that takes messages, a
	// quarter while it fails. What exceeds it backs off, so that a reject queue that is slow, down or forbidden never stops good
	// messages.
	rejectShare        = 2
	rejectShareFailing = 4
)

// rejects are the parts of a message that can't be written.
type rejects struct {
	parts []prediction.RejectedPart // at most maxRejects and one
	count int                       // of parts, those not kept included
}

func (r *rejects) add(part prediction.RejectedPart, count int) {
	r.count += count
	if len(r.parts) <= maxRejects {
		r.parts = append(r.parts, part)
	}
}

// Outgoing is a message to send.
type Outgoing struct {
	Body       string
	Attributes []Attribute
	// GroupID and DeduplicationID are for FIFO queues.
	GroupID, DeduplicationID string
}

// Size is what SQS counts of the message.
func (o *Outgoing) Size() int { return (&Received{Body: o.Body, Attributes: o.Attributes}).size() }

// A rejection is one message for the reject queue. Its attributes are made when it leaves.
type rejection struct {
	m        *Message
	place    int
	body     string
	encoding string // Content-Encoding of body
	why      *prediction.Reject
	sent     int64  // AttrSent
	id       uint64 // tells it from the other rejections of its message, the same in each delivery
}

// rejectionSeed is the process's: what was sent is remembered by this process alone.
var rejectionSeed = maphash.MakeSeed()

// reject hands the message's rejects to the reject queue. Its end comes when that has them all. A message whose rejects can't be
// sent stays on its queue, as if there were no reject queue.
func (c *Consumer) reject(m *Message) {
	rejections, err := c.rejections(m)
	if err != nil {
		c.cfg.Observer.Undeliverable(err)
		c.release(m, c.backOff(m), BackedOff)
		return
	}
	c.mu.Lock()
	rejections = c.unsentOf(m, rejections)
	fits, failing := c.rejectFits(m), c.rejecting.failing
	if fits && len(rejections) > 0 {
		m.state, m.unsent = rejecting, len(rejections)
		c.rejecting.messages++
		c.rejecting.bytes += m.bytes
	}
	c.mu.Unlock()
	switch {
	case len(rejections) == 0: // the reject queue has had them all since an earlier receive
		c.finish(m)
	case !fits && !failing:
		c.release(m, max(c.cfg.Visibility, time.Second), BackedOff) // a burst: there will be room soon
	case !fits:
		c.release(m, c.backOff(m), BackedOff)
	default:
		c.rejects.Add(rejections...)
	}
}

// rejectFits reports whether one more message may wait for the reject queue. Beside those that do, a receive must always
// find room: with little memory, the share alone would stop all receives. c.mu is held.
func (c *Consumer) rejectFits(m *Message) bool {
	share := rejectShare
	if c.rejecting.failing {
		share = rejectShareFailing
	}
	messages := min(c.cfg.MaxMessages/share, c.cfg.MaxMessages-MaxBatch)
	bytes := min(c.cfg.MaxBytes/int64(share), c.cfg.MaxBytes-ReceiveBytes(c.cfg.MaxMessageBytes)-c.cfg.MaxDecodedBytes)
	return c.rejecting.messages < messages && c.rejecting.bytes+m.bytes <= bytes
}

// rejections returns what goes to the reject queue: the parts, or the whole message if it has many, holds nothing good, or has a
// part that doesn't fit. The error says why not even that can be sent.
func (c *Consumer) rejections(m *Message) ([]*rejection, error) {
	r := &m.rejects
	whole := r.count > maxRejects || !m.expected && r.count > 1
	rejections := make([]*rejection, 0, len(r.parts))
	for i := range r.parts {
		part := &r.parts[i]
		if whole = whole || part.Whole; whole {
			break
		}
		rj := newRejection(m, i, part.Raw, "", part)
		rejections = append(rejections, rj)
		whole = rj.maxSize() > c.cfg.MaxRejectBytes
	}
	if !whole {
		return rejections, nil
	}
	// Only the body is needed now, and not what was decoded of it.
	c.mu.Lock()
	decoded := m.bytes - int64(messageBytes+m.size())
	m.bytes -= decoded
	c.mu.Unlock()
	c.budget.release(0, decoded)
	why := *r.parts[0].Why
	r.parts = nil
	if r.count > 1 {
		why.Detail += fmt.Sprintf(" (and %d more parts of the message are rejected)", r.count-1)
	}
	rj := newRejection(m, 0, m.Body, m.Attribute(AttrContentEncoding), &prediction.RejectedPart{Why: &why})
	if rj.maxSize() > c.cfg.MaxRejectBytes && rj.encoding == "" {
		rj.compress()
	}
	if size := rj.maxSize(); size > c.cfg.MaxRejectBytes {
		return nil, fmt.Errorf("a reject takes %d bytes, but the reject queue's MaximumMessageSize is %d: set it to at least that of the queue", size, c.cfg.MaxRejectBytes)
	}
	return []*rejection{rj}, nil
}

func newRejection(m *Message, place int, body, encoding string, part *prediction.RejectedPart) *rejection {
	r := &rejection{m: m, place: place, body: body, encoding: encoding, why: part.Why, sent: m.SentTime(), id: maphash.String(rejectionSeed, body)}
	if part.Sent > 0 && (r.sent == 0 || part.Sent < r.sent) { // its envelope, which stays behind, has an earlier time
		r.sent = part.Sent
	}
	if !carriable(body) {
		r.compress()
	}
	return r
}

// compress makes the body shorter, and of characters that SQS can carry.
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

// carriable reports whether SQS can carry a text: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF
// ("SendMessage").
func carriable(text string) bool {
	for _, r := range text {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return utf8.ValidString(text)
}

// maxSize is an upper bound of what SQS will count of the message, without the description of its source, which may be left out.
func (r *rejection) maxSize() int {
	const names = len(AttrReason+AttrField+AttrDetail+AttrSent+AttrContentEncoding) + 5*len("String") + len("9223372036854775807") + len("gzip")
	return len(r.body) + len(r.encoding) + len(r.why.Reason) + min(len(r.why.Field), maxText) + min(len(r.why.Detail), maxText) + 2*len("…") + names
}

// outgoing makes the message, with the description of its source if that fits.
func (r *rejection) outgoing(limit int) Outgoing {
	m := r.m
	o := Outgoing{Body: r.body, GroupID: m.GroupID, DeduplicationID: m.ID + "." + strconv.Itoa(r.place)}
	if o.GroupID == "" {
		o.GroupID = "predcache"
	}
	add := func(name, kind, value string) {
		if value != "" { // SQS refuses an empty one
			o.Attributes = append(o.Attributes, Attribute{name, kind, value})
		}
	}
	add(AttrReason, "String", string(r.why.Reason))
	add(AttrSent, "Number", strconv.FormatInt(r.sent, 10))
	add(AttrContentEncoding, "String", r.encoding) // its body can't be read without
	add(AttrField, "String", clean(r.why.Field))
	add(AttrDetail, "String", clean(r.why.Detail))
	if s := source(m); o.Size()+len(AttrSource)+len("String")+len(s) <= limit {
		add(AttrSource, "String", s)
	}
	return o
}

// Source says where a reject came from.
type Source struct {
	MessageID    string            `json:"messageId"`
	ReceiveCount int               `json:"receiveCount"`
	Attributes   []SourceAttribute `json:"attributes,omitempty"`
	LeftOut      int               `json:"attributesLeftOut,omitempty"` // attributes for which there was no room
}

// SourceAttribute is one of the original message's attributes; the value of a Binary one is in base64.
type SourceAttribute struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// source describes a message in at most maxSource bytes or so.
func source(m *Message) string {
	s := Source{MessageID: m.ID, ReceiveCount: m.Receives}
	room := maxSource
	for _, a := range m.Attributes {
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
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers and bytes always marshal
	}
	return string(text)
}

// clean makes s fit for an attribute: SQS refuses control characters, and nobody reads a name of thousands of bytes.
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

// SentTime is when the message was sent, in milliseconds since the epoch: for one that comes back from the reject queue,
// when it was sent first. A time after SQS's own would win over every later version: it is no such message's.
func (r *Received) SentTime() int64 {
	if sent, err := strconv.ParseInt(r.Attribute(AttrSent), 10, 64); err == nil && sent > 0 && (r.Sent == 0 || sent <= r.Sent) {
		return sent
	}
	return r.Sent
}

func (c *Consumer) sendRejects(ctx context.Context, entries []*batch.Entry[*rejection]) {
	messages := make([]Outgoing, len(entries))
	for i, e := range entries {
		messages[i] = e.Value.outgoing(c.cfg.MaxRejectBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	failures, err := c.cfg.Rejects.Send(ctx, messages)
	c.mu.Lock()
	c.rejecting.failing = err != nil || len(failures) == len(messages)
	c.mu.Unlock()
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		if failure != nil {
			c.cfg.Observer.Undeliverable(fmt.Errorf("the reject queue refused a message: %s", failure.Code))
		}
		c.rejected(entries[i].Value, failure == nil)
		return true
	})
}

// rejected notes that the reject queue has one more of a message's rejects, or refused it. A message with a refused one stays on
// its queue, and what the reject queue has of it is remembered, so that it is not sent again at the next receive.
func (c *Consumer) rejected(r *rejection, accepted bool) {
	m := r.m
	c.mu.Lock()
	m.unsent--
	last := m.unsent == 0
	was := m.state
	if was == rejecting && (!accepted || last) {
		c.leaveRejecting(m)
	}
	switch {
	case accepted && last && was == rejecting:
		c.accepted.forget(m.ID)
	case accepted:
		c.accepted.add(m.ID, r.id)
	}
	c.mu.Unlock()
	switch {
	case was != rejecting: // it is being released: another of its rejects was refused
	case !accepted:
		c.release(m, c.backOff(m), BackedOff)
	case last:
		c.finish(m)
	}
}

// leaveRejecting gives back the message's place among those that wait for the reject queue. c.mu is held.
func (c *Consumer) leaveRejecting(m *Message) {
	c.rejecting.messages--
	c.rejecting.bytes -= m.bytes
	m.state = open
}

// unsentOf returns the rejections that the reject queue doesn't have from an earlier receive. c.mu is held.
func (c *Consumer) unsentOf(m *Message, rejections []*rejection) []*rejection {
	unsent := rejections[:0]
	for _, r := range rejections {
		if !c.accepted.has(m.ID, r.id) {
			unsent = append(unsent, r)
		}
	}
	return unsent
}

// acceptedRejects remembers what the reject queue took of messages that went back to their queue.
type acceptedRejects struct {
	messages map[string]map[uint64]bool
	order    []string // of the messages' coming
}

// maxAccepted bounds the memory. It is needed only where the reject queue refuses single messages.
const maxAccepted = 1000

func (a *acceptedRejects) add(message string, id uint64) {
	if a.messages == nil {
		a.messages = map[string]map[uint64]bool{}
	}
	if a.messages[message] == nil {
		if len(a.order) == maxAccepted {
			delete(a.messages, a.order[0])
			a.order = a.order[1:]
		}
		a.messages[message] = map[uint64]bool{}
		a.order = append(a.order, message)
	}
	a.messages[message][id] = true
}

func (a *acceptedRejects) has(message string, id uint64) bool { return a.messages[message][id] }

func (a *acceptedRejects) forget(message string) { delete(a.messages, message) }

// runRejects sends rejects until it is told to give up, and releases the messages of those that are left.
func (c *Consumer) runRejects(ctx context.Context) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.giveUp:
			stop()
		case <-sending.Done():
		}
	}()
	if err := c.rejects.Run(sending); err != nil {
		return err
	}
	for _, r := range c.rejects.Drain() {
		c.mu.Lock()
		waits := r.m.state == rejecting
		if waits {
			c.leaveRejecting(r.m)
		}
		c.mu.Unlock()
		if waits {
			c.release(r.m, 0, Released)
		}
	}
	return nil
}
