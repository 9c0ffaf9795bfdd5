package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/worker"
)

// A removalView is the oracle's knowledge of a replica's removals.
type removalView struct {
	admissions int
	admitting  map[int]int               // by mark: how many admissions of a part are under way
	first      map[int]int               // by mark: the admission before which a part reached the window for the first time
	last       map[int]int               // by mark: the last admission that has ended
	known      map[int]int               // by mark: the effects on the table before the first admission
	passes     map[string][]int          // by the key of a tombstone: the effects that each Query of what is below it certainly saw
	ended      map[string][]endedRemoval // by id
}

// An endedRemoval is one whose delete left the queue.
type endedRemoval struct {
	event    int64 // of the delete
	admitted int   // the delete, for the first time
	pass     int   // the effects before it
}

func newRemovalView() removalView {
	return removalView{
		admitting: map[int]int{}, first: map[int]int{}, last: map[int]int{}, known: map[int]int{}, passes: map[string][]int{},
		ended: map[string][]endedRemoval{},
	}
}

// partsOf returns the parts that an item may be of: deletes of one id and event time are one item. It requires that o.mu is held.
func (o *oracle) partsOf(it *item.Item) (parts []*part) {
	if !it.Version.Deleted {
		if p := o.parts[markOf(it.Raw)]; p != nil {
			parts = append(parts, p)
		}
		return parts
	}
	for _, p := range o.deleteOf[it.Key.ID] {
		if p.event == it.Version.Event.In(1e6) {
			parts = append(parts, p)
		}
	}
	return parts
}

// watchOrder tells the oracle in which order the replica passes predictions and deletes to its window. It may receive them in
// another: the goroutine that has a receive's answer may run later than that of the next.
func (r *replica) watchOrder(next worker.Admit) worker.Admit {
	return func(it *item.Item, to dedup.Waiter) bool {
		hesitate()
		if it.Removal != item.NoRemoval {
			return next(it, to)
		}
		parts := r.s.oracle.admitting(r, it)
		defer r.s.oracle.hasAdmitted(r, parts)
		return next(it, to)
	}
}

// admitting records that a replica begins to pass an item to its window.
func (o *oracle) admitting(r *replica, it *item.Item) []*part {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, parts := &o.view(r).removals, o.partsOf(it)
	v.admissions++
	for _, p := range parts {
		v.admitting[p.mark]++
		if v.first[p.mark] == 0 {
			v.first[p.mark], v.known[p.mark] = v.admissions, o.seq
		}
	}
	return parts
}

// hasAdmitted records that the window has the parts.
func (o *oracle) hasAdmitted(r *replica, parts []*part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := &o.view(r).removals
	v.admissions++
	for _, p := range parts {
		v.admitting[p.mark]--
		v.last[p.mark] = v.admissions
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

// checkLanding checks that no prediction that a replica's window had before a delete is written after the removal. It requires that
// o.mu is held.
func (o *oracle) checkLanding(call *call, id string, r row) {
	v := o.view(call.replica)
	if o.late || v.removals.last[r.mark] == 0 || v.removals.admitting[r.mark] > 0 { // it may be admitted after the removal
		return
	}
	for _, ended := range v.removals.ended[id] {
		if r.event <= ended.event && v.removals.last[r.mark] < ended.admitted && !o.replaces(v, r, ended.event) {
			o.violated(removalLast, "%s writes #%d# of %s after the removal of what is not newer than %d, whose delete it admitted later", call.replica.name, r.mark, id, ended.event)
		}
	}
}

// replaces reports whether a replica has admitted a newer delete of a row's id, or a prediction that is newer than a delete and has the
// row's key. Then that, or the newer delete's removal, waits in the window behind the row's write, where the removal can't wait too. It
// follows at once. It requires that o.mu is held.
func (o *oracle) replaces(v *view, r row, until int64) bool {
	older := o.parts[r.mark]
	admitted := func(p *part) bool { return p.event > until && v.removals.first[p.mark] > 0 }
	return older == nil || slices.ContainsFunc(o.deleteOf[older.id], admitted) || slices.ContainsFunc(o.goodOf[older.id], func(p *part) bool {
		return admitted(p) && p.key(o.s.plan) == older.key(o.s.plan)
	})
}

// queried records that a Query took effect.
func (o *oracle) queried(call *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if call.below != "" {
		v := &o.view(call.replica).removals
		v.passes[call.below] = append(v.passes[call.below], call.pass)
	}
}

// removalEnded checks, before a delete's message is deleted, that what was written before its tombstone, or before the first pass over
// the id for it, has been removed. Further passes may be for other messages with the same delete. In the expiry-sorted layout, a pass
// does not say for which delete it is. It requires that o.mu is held.
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
	pass := hidden
	for _, seen := range v.removals.passes[p.key(o.s.plan)] {
		if seen >= v.removals.known[p.mark] {
			pass = max(pass, seen)
			break
		}
	}
	for key, r := range o.rows[p.id] {
		if !r.deleted && r.event <= p.event && r.seq <= pass {
			o.violated(removalLast, "%s deletes the message of the delete #%d# while #%d# at %s is still there", call.replica.name, p.mark, r.mark, key)
		}
	}
	admitted := v.removals.first[p.mark]
	for _, same := range o.deleteOf[p.id] { // a repeat in another message does not remove again
		if first := v.removals.first[same.mark]; same.event == p.event && first > 0 {
			admitted = min(admitted, first)
		}
	}
	v.removals.ended[p.id] = append(v.removals.ended[p.id], endedRemoval{p.event, admitted, pass})
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
