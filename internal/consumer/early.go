package consumer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

// ErrAbandoned is the error of a reject that was not sent because the consumer stopped.
var ErrAbandoned = errors.New("the reject was not sent: the consumer stops")

// rejectStart is how much is sent of a part that is too long for the reject queue.
const rejectStart = 1 << 10

// RejectNow sends a part of the message to the reject queue without waiting for the other parts. It is for a message that stands for
// more rows than memory holds. done is called once, from any goroutine: with nil when the reject queue has accepted the part, with
// ErrAbandoned, or with the reason why the reject queue refuses it. RejectNow returns false, and calls nothing, without a reject queue.
//
// The caller keeps the part's memory counted, and the message unsettled, until done is called. A part that is too long for the reject
// queue is sent as its first KB: the reject says where the rest is.
func (m *Message) RejectNow(part prediction.RejectedPart, done func(error)) bool {
	c := m.c
	if c.cfg.Rejects == nil {
		return false
	}
	c.cfg.Observer.Rejected(part.Why)
	r := newRejection(m, part.Raw, "", &part)
	if r.maxSize() > c.cfg.MaxRejectBytes && r.encoding == "" {
		r.compress()
	}
	if r.maxSize() > c.cfg.MaxRejectBytes {
		why := *part.Why
		why.Detail = fmt.Sprintf("%s (%d bytes, of which the reject has the first)", why.Detail, len(part.Raw))
		part.Why, part.Raw = &why, firstBytes(part.Raw)
		r = newRejection(m, part.Raw, "", &part)
	}
	r.done = done
	c.rejects.Add(r)
	return true
}

// firstBytes returns a copy of the start of a text, cut between characters.
func firstBytes(text string) string {
	if len(text) <= rejectStart {
		return strings.Clone(text)
	}
	end := rejectStart
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end])
}
