package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/worker"
)

// The invariants of batch outputs.
const (
	onceEach invariant = "batch outputs, a row is taken once for each reading of its range"
	covered  invariant = "batch outputs, a message is deleted when its rows are safe, or another message covers them"
	allowed  invariant = "batch outputs, only what WORKER_OBJECTS names is read"
	within   invariant = "batch outputs, a range lies within its object"
)

// objectState is what the oracle knows of the objects queue. It is guarded by oracle.mu.
type objectState struct {
	known    map[string]*objectMessage // by body
	messages map[string]*objectMessage // by SQS's id, once received
	live     map[*objectMessage]int    // how many of it are on the queue
	due      map[int]int               // by mark: readings of messages that have the row
	taken    map[int]int               // by mark: how often the row was passed to the window
}

// An objectMessage is what a message of the objects queue stands for: rows of an object.
type objectMessage struct {
	object *object
	rows   []*part
	event  bool
}

func newObjectState() objectState {
	return objectState{
		known: map[string]*objectMessage{}, messages: map[string]*objectMessage{}, live: map[*objectMessage]int{}, due: map[int]int{}, taken: map[int]int{},
	}
}

// stored records the rows of an object before it is stored.
func (o *oracle) stored(of *object) {
	if of.permitted() {
		o.sent(&message{body: of.bucket + "/" + of.key, parts: of.rows})
	}
}

// announced records an event before it is sent.
func (o *oracle) announced(of *object, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.objects.known[body]
	if m == nil {
		m = &objectMessage{object: of, rows: of.rows, event: true}
		o.objects.known[body] = m
	}
	o.objects.live[m]++
}

// goes records that a version of an object can't be read any more.
func (o *oracle) goes(of *object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.s.batches.versioned && of.gone.IsZero() {
		of.gone = time.Now()
	}
}

// excusedRow reports whether a row need not be written: its object is gone. It requires that oracle.mu is held.
func (p *part) excusedRow() bool { return p.object != nil && !p.object.gone.IsZero() }

// A sentRange is a worker's own message on the objects queue.
type sentRange struct {
	Bucket, Key, VersionID, ETag string
	Size, Start, End, Row        int64
}

// rangeOf reads a message of a worker. It requires that o.mu is held.
func (o *oracle) rangeOf(body string) (r sentRange, m *objectMessage) {
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return r, nil
	}
	for _, of := range o.s.batches.objects {
		if of.bucket != r.Bucket || of.key != r.Key || of.put.ETag != r.ETag || o.s.batches.versioned && of.put.VersionID != r.VersionID {
			continue
		}
		m = &objectMessage{object: of}
		for i, row := range of.rows {
			if r.End > 0 && r.Start <= row.offset && row.offset < r.End || r.End == 0 && int64(i) >= r.Row {
				m.rows = append(m.rows, row)
			}
		}
	}
	return r, m
}

// rangesAsked checks the ranges that a worker sends. That they cover the object shows when its event is deleted. It requires that
// o.mu is held.
func (o *oracle) rangesAsked(call *call, c *awstest.Call) {
	for _, e := range c.Entries {
		r, m := o.rangeOf(e.Body)
		switch {
		case m == nil:
			o.violated(within, "%s sends a range of no object: %s", call.replica.name, e.Body)
		case r.End > r.Size || r.Start >= r.Size && r.End > 0 || r.Size != int64(len(m.object.content)):
			o.violated(within, "%s sends a range beyond its object: %s", call.replica.name, e.Body)
		case !m.object.splits && r.End > 0:
			o.violated(within, "%s splits an object that can't be split: %s", call.replica.name, e.Body)
		}
	}
}

// rangeAccepted records a range that the queue has accepted.
func (o *oracle) rangeAccepted(body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m := o.objectMessage(body); m != nil {
		o.objects.live[m]++
	}
}

// objectMessage returns the message with this body, or nil. A range may be received before its sender hears that it was accepted. It
// requires that o.mu is held.
func (o *oracle) objectMessage(body string) *objectMessage {
	m := o.objects.known[body]
	if m == nil {
		if _, m = o.rangeOf(body); m != nil {
			o.objects.known[body] = m
		}
	}
	return m
}

// objectDelivered records a message of the objects queue that a receive is about to return, and checks that each receive beyond the
// first has a cause. It requires that o.mu is not held.
func (o *oracle) objectDelivered(call *call, e awstest.Entry, again bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, r, v := e.MessageID, call.replica, o.view(call.replica)
	m := o.objectMessage(e.Body)
	o.objects.messages[id] = m
	o.received[id] = append(o.received[id], fmt.Sprintf("by %s after %v", r.name, o.elapsed()))
	if n := len(o.received[id]); o.strictObjects(m) && n > 1+o.excused[id] {
		o.violated(noReceives, "message %s of the objects queue was received %d times, of which faults and the platform caused %d: %s: %v",
			short(id), n, o.excused[id], e.Body, o.received[id])
	}
	if again {
		o.excused[id]++
	}
	v.delivered[id] = true
	if call.ended || v.doomed {
		o.excused[id]++
	}
	if call.ended {
		o.holder[id] = nil
		return again
	}
	o.holder[id] = r
	call.delivered = append(call.delivered, id)
	if m == nil {
		return again
	}
	split := m.event && m.object.splits && int64(len(m.object.content)) > o.s.batches.rangeBytes
	for _, row := range m.rows {
		o.deliveries[row.mark]++
		if !split {
			o.objects.due[row.mark]++
		}
	}
	return again
}

// strictObjects reports whether each receive of a message beyond the first needs an excuse. While a bucket denies its objects, some
// messages go back to the queue.
func (o *oracle) strictObjects(m *objectMessage) bool {
	denies := slices.ContainsFunc(o.s.batches.steps, func(s step) bool { return s.what == "the bucket denies" })
	return o.strict && !denies && m != nil && (o.s.rejectsFlow() || !o.rejectable(m))
}

// rejectable reports whether something of a message goes to the reject queue. It requires that o.mu is held.
func (o *oracle) rejectable(m *objectMessage) bool {
	return !m.object.permitted() || !m.object.gone.IsZero() || slices.ContainsFunc(m.rows, func(p *part) bool { return p.bad || o.mayBeRefused(p) })
}

// objectsDeleted checks that a worker deletes a message of the objects queue only if each of its rows is safe, or covered by another
// message. It requires that o.mu is held.
func (o *oracle) objectsDeleted(v *view, call *call, c *awstest.Call) {
	for _, e := range c.Entries {
		m := o.objects.messages[e.MessageID]
		delete(v.out, e.MessageID)
		if m == nil {
			continue
		}
		o.objects.live[m] = max(o.objects.live[m]-1, 0)
		if !m.object.permitted() || m.object.skipped {
			continue
		}
		for _, p := range m.rows {
			if why := o.unsafe(p); why != "" && !o.coveredRow(p) && !o.lostWithTable(p, v.since[e.MessageID]) {
				o.violated(covered, "%s deletes message %s, but #%d# at %d of %s %s, and no other message has it",
					call.replica.name, short(e.MessageID), p.mark, p.offset, m.object.key, why)
			}
		}
	}
}

// coveredRow reports whether a message on the objects queue has a row. It requires that o.mu is held.
func (o *oracle) coveredRow(p *part) bool {
	for m, n := range o.objects.live {
		if n > 0 && m.object == p.object && slices.Contains(m.rows, p) {
			return true
		}
	}
	return false
}

// readAsked checks that a worker reads only what the settings allow. It requires that o.mu is held.
func (o *oracle) readAsked(call *call, c *awstest.Call) {
	of := &object{bucket: c.Resource, key: c.Entries[0].Key}
	if !of.permitted() {
		o.violated(allowed, "%s reads %s/%s", call.replica.name, of.bucket, of.key)
	}
}

// admitted records a row that a replica passes to its window, and checks that each reading of its range does so once.
func (o *oracle) admitted(r *replica, it *item.Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.parts[markOf(string(it.AppendJSON(nil)))]
	if p == nil || p.object == nil || o.view(r).killed {
		return
	}
	if o.objects.taken[p.mark]++; o.objects.taken[p.mark] > o.objects.due[p.mark] {
		o.violated(onceEach, "%s takes #%d# at %d of %s, which has been taken %d times, by %d readings", r.name, p.mark, p.offset, p.object.key,
			o.objects.taken[p.mark], o.objects.due[p.mark])
	}
}

// objectsLeft describes what is left on the objects queue, or returns "". bad is true if only messages are left that may return several
// times before they can be rejected.
func (o *oracle) objectsLeft() (what string, bad bool) {
	if o.s.batches == nil {
		return "", false
	}
	messages := o.s.queues.Messages(objectsQueue)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		known := o.objects.messages[m.ID]
		if known != nil && !o.s.rejects && o.rejectable(known) {
			continue // it stays for good
		}
		what = fmt.Sprintf("message %s of the objects queue is still there, %s, after %d receives: %s", short(m.ID), m.State, m.ReceiveCount, m.Body)
		// A range that no worker has sent is rejected too.
		if bad = !o.s.rejectsFlow() && (known == nil || o.rejectable(known)); !bad {
			break
		}
	}
	return what, bad
}

// watchRows tells the oracle of each row of an object that the replica passes to its window.
func (r *replica) watchRows(next worker.Admit) worker.Admit {
	if r.s.batches == nil {
		return next
	}
	return func(it *item.Item, to dedup.Waiter) bool {
		r.s.oracle.admitted(r, it)
		return next(it, to)
	}
}
