package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

// delivered records a message that a receive is about to return, and checks that each receive beyond the first has a cause.
// again is true if a fault makes the queue deliver it once more; delivered returns it.
func (o *oracle) delivered(call *call, e awstest.Entry, again bool) bool {
	if call.objects {
		return o.objectDelivered(call, e, again)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id, m, r := e.MessageID, o.bodies[e.Body], call.replica
	o.messages[id] = m
	o.received[id] = append(o.received[id], fmt.Sprintf("by %s after %v", r.name, o.elapsed()))
	for _, p := range m.parts {
		o.deliveries[p.mark]++
	}
	o.traced("%s call %d receives %s %v", r.name, call.n, short(id), m.marks())
	v := o.view(r)
	if n := len(o.received[id]); o.strict && o.settles(m) && n > 1+o.excused[id] {
		o.violated(noReceives, "message %s was received %d times, of which faults and the platform caused %d: %s",
			short(id), n, o.excused[id], strings.Join(o.received[id], ", "))
	}
	if again {
		o.excused[id]++
	}
	v.delivered[id] = true
	if call.ended { // the replica has given up this poll
		if !v.killed && !call.struck {
			o.violated(drainsClean, "%s cut a receive short, which hides message %s", r.name, short(id))
		}
		o.excused[id]++
		o.holder[id] = nil
		return again
	}
	if v.doomed {
		o.excused[id]++
	}
	o.holder[id] = r
	call.delivered = append(call.delivered, id)
	o.checkOutage(v, r, m)
	return again
}

// outageNoticed is how long after its first failed write a worker may still receive: three calls may time out, and a long
// poll was under way.
const outageNoticed = 45 * time.Second

// checkOutage checks that while the table can't be written, at most one receive returns something to write. It requires
// that o.mu is held.
func (o *oracle) checkOutage(v *view, r *replica, m *message) {
	for f, since := range v.downSince {
		if o.elapsed() >= f.to || time.Since(since) < outageNoticed {
			continue
		}
		lasting := slices.ContainsFunc(m.parts, func(p *part) bool {
			return !p.bad && !p.deleted && p.expires > epoch+int64((f.to+o.s.skew)/time.Second)+120 && o.unsafe(p) != ""
		})
		if lasting {
			if v.deep[f]++; v.deep[f] == 11 {
				o.violated(noReceives, "%s goes on receiving, %v after it found that the table can't be written", r.name, time.Since(since))
			}
		}
	}
}

// answered records the end of a call for its replica, with or without an answer.
func (o *oracle) answered(call *call, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.view(call.replica)
	call.ended = true
	ok = ok && !call.spoiled
	o.traced("%s call %d ends, answered %v", call.replica.name, call.n, ok)
	o.writesAnswered(v, call, ok)
	for _, id := range call.delivered {
		if !ok {
			o.excused[id]++
			o.holder[id] = nil
			continue
		}
		v.out[id] = true
		if v.since[id].IsZero() {
			v.since[id] = time.Now()
		}
		if call.objects { // they have a limit of their own
			delete(v.out, id)
			continue
		}
		if len(v.out) > o.s.held && (o.s.rejectsFlow() || o.sentBad == 0) && o.s.removalsFlow() {
			o.violated(bounded, "%s holds %d messages, of at most %d", call.replica.name, len(v.out), o.s.held)
		}
	}
}

// holds checks the bytes that a replica counts as held before each of its calls: no more than the bound, and no less than
// what it certainly holds, the messages with a prediction that is not safe yet.
func (o *oracle) holds(r *replica) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Read under the lock: a count from before it would miss what was received while this goroutine waited.
	counted := r.pipeline.HeldBytes()
	if counted > o.s.heldBytes {
		o.violated(bounded, "%s counts %d bytes as held, of at most %d", r.name, counted, o.s.heldBytes)
	}
	v := o.view(r)
	if !o.s.flooded || v.doomed { // without large messages it costs more time than it is worth; a drain releases unwritten messages
		return
	}
	var held int64
	for id := range v.out {
		m := o.messages[id]
		if slices.ContainsFunc(m.parts, func(p *part) bool {
			return !p.bad && !o.mayBeRefused(p) && o.unsafe(p) != "" && !o.lostWithTable(p, v.since[id])
		}) {
			held += m.size()
		}
	}
	if counted < held {
		o.violated(bounded, "%s counts %d bytes as held, but holds at least %d", r.name, counted, held)
	}
}

// gone records the end of a replica: the messages that it holds will be received again.
func (o *oracle) gone(r *replica, killed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.isGone(r, killed)
}

// isGone is gone. It requires that o.mu is held.
func (o *oracle) isGone(r *replica, killed bool) {
	v := o.view(r)
	v.doomed, v.killed = true, killed
	for id := range v.delivered {
		o.excused[id]++
	}
}
