package consumer

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/batch"
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

// maxSend is how many bytes one call may send ("SendMessageBatch").
const maxSend = 1 << 20

// Outgoing is a message to send.
type Outgoing struct {
	Body       string
	Attributes []Attribute
	// GroupID and DeduplicationID are for FIFO queues.
	GroupID, DeduplicationID string
}

// Size is the bytes of the body and the attributes, as SQS counts them.
func (o *Outgoing) Size() int {
	return int(size(&Received{Body: o.Body, Attributes: o.Attributes}))
}

// Source says where a reject came from.
type Source struct {
	MessageID    string            `json:"messageId"`
	ReceiveCount int               `json:"receiveCount"`
	Attributes   []SourceAttribute `json:"attributes,omitempty"`
}

// SourceAttribute is one of the original message's attributes; the value of a Binary one is in base64.
type SourceAttribute struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// rejection is a reject on its way to the reject queue.
type rejection struct {
	m   *Message
	out Outgoing
}

// SentTime is when the message was sent, in milliseconds since the epoch: for one that comes back from the reject queue,
// when it was sent first. A time after SQS's own would win over every later version: it is no such message's.
func (r *Received) SentTime() int64 {
	if sent, err := strconv.ParseInt(r.Attribute(AttrSent), 10, 64); err == nil && sent > 0 && (r.Sent == 0 || sent <= r.Sent) {
		return sent
	}
	return r.Sent
}

// sendRejects hands the message's rejects on. Its end comes when the reject queue has them all.
func (c *Consumer) sendRejects(m *Message) {
	out := make([]rejection, len(m.rejects))
	for i := range m.rejects {
		out[i] = rejection{m, outgoing(m, i, c.cfg.MaxRejectBytes)}
		if out[i].out.Size() > c.cfg.MaxRejectBytes {
			// Even without what may be left out it is too long for the reject queue.
			c.leave(m, c.backOff(m), BackedOff)
			return
		}
	}
	c.mu.Lock()
	m.rejecting = len(out)
	c.mu.Unlock()
	c.rejects.Add(out...)
}

// outgoing makes the message of the i-th reject, of at most limit bytes if that can be.
func outgoing(m *Message, i, limit int) Outgoing {
	r := &m.rejects[i]
	o := Outgoing{Body: r.Raw, GroupID: m.GroupID, DeduplicationID: m.ID + "." + strconv.Itoa(i)}
	if o.GroupID == "" {
		o.GroupID = "predcache"
	}
	add := func(name, kind, value string) {
		if value != "" { // SQS refuses an empty one
			o.Attributes = append(o.Attributes, Attribute{name, kind, value})
		}
	}
	add(AttrReason, "String", string(r.Why.Reason))
	add(AttrSent, "Number", strconv.FormatInt(m.SentTime(), 10))
	if r.Whole {
		add(AttrContentEncoding, "String", m.Attribute(AttrContentEncoding)) // its body can't be read without
	}
	add(AttrField, "String", clean(r.Why.Field))
	add(AttrDetail, "String", clean(r.Why.Detail))
	if o.Size() <= limit {
		add(AttrSource, "String", source(m))
	}
	for o.Size() > limit && o.Attributes[len(o.Attributes)-1].Name != AttrSent {
		o.Attributes = o.Attributes[:len(o.Attributes)-1]
	}
	return o
}

func source(m *Message) string {
	s := Source{MessageID: m.ID, ReceiveCount: m.Receives}
	for _, a := range m.Attributes {
		if strings.HasPrefix(a.Name, "predcache.") {
			continue // of an earlier rejection
		}
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
	const most = 512
	if len(s) > most {
		s = s[:most]
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

func (c *Consumer) reject(ctx context.Context, entries []*batch.Entry[rejection]) {
	messages := make([]Outgoing, len(entries))
	for i, e := range entries {
		messages[i] = e.Value.out
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	failures, err := c.cfg.Rejects.Send(ctx, messages)
	conclude(c, entries, failures, err, func(i int, failure *Failure) bool {
		c.rejected(entries[i].Value.m, failure == nil)
		return true
	})
}

// rejected notes that the reject queue has one more of a message's rejects, or will never have it: such a message stays
// on its queue.
func (c *Consumer) rejected(m *Message, accepted bool) {
	c.mu.Lock()
	m.rejecting--
	refused := !accepted && !m.leaving
	last := m.rejecting == 0 && !m.leaving
	c.mu.Unlock()
	switch {
	case refused:
		c.leave(m, c.backOff(m), BackedOff)
	case last:
		c.letGo(m)
		c.deletes.Add(m)
	}
}

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
		c.leave(r.m, 0, Released)
	}
	return nil
}
