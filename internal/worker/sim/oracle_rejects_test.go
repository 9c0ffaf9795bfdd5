package sim

import (
	"compress/gzip"
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"github.com/predcache/predcache/internal/consumer"
)

// settles reports whether the message leaves the queue with its first receive, if nothing else goes wrong. One with a bad part
// does so only if the reject queue takes it and few others wait for that: otherwise it returns, each time later. So does one with a
// delete whose removal can't be made for a while.
func (o *oracle) settles(m *message) bool {
	if m.deletes() && !o.s.removalsFlow() {
		return false
	}
	return o.badIn(m) == 0 || o.s.rejectsFlow() && o.s.held > 1000
}

// mayStay reports whether the message may stay on the queue for good: its rejects can't be sent.
func (o *oracle) mayStay(m *message) bool {
	const attributes = 1024 // of a reject, about
	return o.badIn(m) > 0 && (!o.s.rejects || len(m.body) > o.s.rejectLimit-attributes)
}

// manyRejects is how many bad parts a message has at least that may be rejected as a whole although it has good ones. A
// part that is too long for the reject queue is another reason for it.
const manyRejects = 11

// inRejectQueue records what the reject queue has accepted: a bad part of a message, or a message as a whole, which must have
// nothing good, many bad parts, or parts that are longer than itself.
func (o *oracle) inRejectQueue(call *call, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body = o.reveal(body)
	if m := o.bodies[body]; m != nil && o.s.rejectLimit == maxMessageBytes && o.badIn(m) < manyRejects && o.anyGood(m) && !o.grows(m) {
		o.violated(neighbours, "%s rejects a message as a whole that has %d bad parts, and good ones", call.replica.name, m.bad())
	}
	for _, mark := range o.rejects(body) {
		p := o.parts[mark]
		if p == nil || !p.bad && !o.mayBeRefused(p) {
			o.violated(neighbours, "%s rejects #%d#, which is good", call.replica.name, mark)
			continue
		}
		o.rejected[mark]++
		if p.bad && o.s.rejectsFlow() && o.rejected[mark] > o.deliveries[mark] {
			o.violated(needless, "%s sends #%d# to the reject queue again", call.replica.name, mark)
		}
	}
}

// anyGood reports whether a message has a prediction that must be written. It requires that o.mu is held.
func (o *oracle) anyGood(m *message) bool {
	return slices.ContainsFunc(m.parts, func(p *part) bool { return !p.bad && !o.mayBeRefused(p) && !o.expired(p) })
}

// grows reports whether the bad parts of a message are longer than its body, so that it may be rejected as a whole. It requires that
// o.mu is held.
func (o *oracle) grows(m *message) bool {
	n := 0
	for _, p := range m.parts {
		if p.bad || o.mayBeRefused(p) {
			n += len(p.raw)
		}
	}
	return n > len(m.body)
}

// badIn returns how many parts of a message may be rejected. It requires that o.mu is held.
func (o *oracle) badIn(m *message) int {
	n := m.bad()
	for _, p := range m.parts {
		if !p.bad && o.mayBeRefused(p) {
			n++
		}
	}
	return n
}

// rejects returns the marks of what a body in the reject queue rejects. It requires that o.mu is held.
func (o *oracle) rejects(body string) (marks []int) {
	m := o.bodies[body]
	if m == nil || o.badIn(m) == 0 {
		return marksOf(body)
	}
	for _, p := range m.parts {
		if p.bad || o.mayBeRefused(p) {
			marks = append(marks, p.mark)
		}
	}
	return marks
}

// reveal decompresses a reject that the reject queue could not carry as it was. It requires that o.mu is held.
func (o *oracle) reveal(body string) string {
	if o.bodies[body] != nil {
		return body
	}
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)))
	if err != nil {
		return body
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return body
	}
	return string(text)
}

// checkRejects checks at the end that the reject queue has each reject that it accepted, with its reason.
func (o *oracle) checkRejects() {
	messages := o.s.queues.Messages(o.s.rejectQueue)
	o.mu.Lock()
	defer o.mu.Unlock()
	reasons := map[int]string{}
	for _, m := range messages {
		for _, mark := range o.rejects(o.reveal(m.Body)) {
			reasons[mark] = m.Attributes[consumer.AttrReason]
		}
	}
	for mark := range o.rejected {
		p := o.parts[mark]
		reason, found := reasons[mark]
		switch {
		case !found:
			o.violated(safeDelete, "#%d# was sent to the reject queue, and is not there", mark)
		case reason == "" || p != nil && p.why != "" && p.why != reason:
			o.violated(explained, "#%d# is in the reject queue for the reason %q, want %q", mark, reason, p.why)
		}
	}
}
