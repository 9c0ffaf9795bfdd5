package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/config"
)

// A removalView is the oracle's knowledge of a replica's removals.
type removalView struct {
	arrivals int
	first    map[int]int               // by mark: the first arrival of a part
	last     map[int]int               // by mark: the last one
	passes   map[string]int            // by the key of a tombstone: the effects that the last Query of what is below it certainly saw
	ended    map[string][]endedRemoval // by id
}

// An endedRemoval is one whose delete left the queue.
type endedRemoval struct {
	event   int64 // of the delete
	arrived int   // of the delete, for the first time
	pass    int   // the effects before it
}

func newRemovalView() removalView {
	return removalView{first: map[int]int{}, last: map[int]int{}, passes: map[string]int{}, ended: map[string][]endedRemoval{}}
}

// arrived records that a replica has received a message. It requires that o.mu is held.
func (o *oracle) arrived(v *view, m *message) {
	v.removals.arrivals++
	for _, p := range m.parts {
		if v.removals.first[p.mark] == 0 {
			v.removals.first[p.mark] = v.removals.arrivals
		}
		v.removals.last[p.mark] = v.removals.arrivals
	}
}

// checkRemoved checks that a prediction may be removed. It requires that o.mu is held.
func (o *oracle) checkRemoved(call *call, id, key string, old row) {
	if until, found := o.deletedUntil(id); found && old.event <= until {
		return
	}
	for _, p := range o.deleteOf[id] {
		if p.event >= old.event {
			o.violated(removalDue, "%s removes #%d# at %s before the tombstone is written", call.replica.name, old.mark, key)
			return
		}
	}
	o.violated(newerStays, "%s removes #%d# at %s, which is newer than every delete", call.replica.name, old.mark, key)
}

// checkLanding checks that no prediction that a replica had received before a delete is written after the removal. It requires that
// o.mu is held.
func (o *oracle) checkLanding(call *call, id string, r row) {
	v := o.view(call.replica)
	if o.late || v.removals.last[r.mark] == 0 { // a row of an object
		return
	}
	for _, ended := range v.removals.ended[id] {
		if r.event <= ended.event && v.removals.last[r.mark] < ended.arrived && !o.replaces(v, r, ended.event) {
			o.violated(removalLast, "%s writes #%d# of %s after the removal of what is not newer than %d, whose delete it received later", call.replica.name, r.mark, id, ended.event)
		}
	}
}

// replaces reports whether a replica has received a newer delete of a row's id, or a prediction that is newer than a delete and has the
// row's key. Then that, or the newer delete's removal, waits in the window behind the row's write, where the removal can't wait too. It
// follows at once. It requires that o.mu is held.
func (o *oracle) replaces(v *view, r row, until int64) bool {
	older := o.parts[r.mark]
	received := func(p *part) bool { return p.event > until && v.removals.last[p.mark] > 0 }
	return older == nil || slices.ContainsFunc(o.deleteOf[older.id], received) || slices.ContainsFunc(o.goodOf[older.id], func(p *part) bool {
		return received(p) && p.key(o.s.plan) == older.key(o.s.plan)
	})
}

// queried records that a Query took effect.
func (o *oracle) queried(call *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if call.below != "" {
		o.view(call.replica).removals.passes[call.below] = call.pass
	}
}

// removalEnded checks, before a delete's message is deleted, that what was written before its tombstone or before the last pass over
// the id has been removed. In the expiry-sorted layout, a pass does not say for which delete it is. It requires that o.mu is held.
func (o *oracle) removalEnded(v *view, call *call, p *part) {
	if o.s.deletes != config.DeletesRemove {
		return
	}
	hidden := 0 // when the first tombstone was written that hides what this delete hides
	for event, t := range o.tombstones[p.id] {
		if event >= p.event && (hidden == 0 || t.seq < hidden) {
			hidden = t.seq
		}
	}
	pass := max(v.removals.passes[p.key(o.s.plan)], hidden)
	for key, r := range o.rows[p.id] {
		if !r.deleted && r.event <= p.event && r.seq <= pass {
			o.violated(removalLast, "%s deletes the message of the delete #%d# while #%d# at %s is still there", call.replica.name, p.mark, r.mark, key)
		}
	}
	v.removals.ended[p.id] = append(v.removals.ended[p.id], endedRemoval{p.event, v.removals.first[p.mark], pass})
}

// removed reports whether the worker may drop a prediction because its id is deleted. It requires that o.mu is held.
func (o *oracle) removed(p *part) bool {
	until, found := o.deletedUntil(p.id)
	return found && o.s.deletes == config.DeletesRemove && p.event <= until
}

// checkRows checks that the oracle knows the table's content, and that no removal has left what it should have removed. It requires
// that o.mu is held.
func (o *oracle) checkRows(items []attribute.Item) {
	n := 0
	for _, rows := range o.rows {
		n += len(rows)
	}
	if n != len(items) && o.table == 0 {
		o.violated(stored, "the table has %d items, and %d are known", len(items), n)
	}
	for _, v := range o.views {
		for id, ended := range v.removals.ended {
			for _, done := range ended {
				for key, r := range o.rows[id] {
					if !r.deleted && r.event <= done.event && r.seq <= done.pass {
						o.violated(removalLast, "#%d# at %s outlived the removal of what is not newer than %d", r.mark, key, done.event)
					}
				}
			}
		}
	}
}

// firstPageOf returns the key of the tombstone below which a Query reads from the first item on, or "" for another Query.
func firstPageOf(req *http.Request) string {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return ""
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var in struct {
		ExclusiveStartKey         map[string]any
		ExpressionAttributeValues map[string]struct{ S, N string }
	}
	if json.Unmarshal(body, &in) != nil || in.ExclusiveStartKey != nil {
		return ""
	}
	id, sort := "", ""
	for _, v := range in.ExpressionAttributeValues {
		id, sort = id+v.S, sort+v.N
	}
	return id + "/" + sort
}
