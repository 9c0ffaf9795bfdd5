package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A deletesOracle is the oracle's knowledge of the table's content and of deletes. Its fields are guarded by oracle.mu.
type deletesOracle struct {
	seq        int                           // counts the effects on the table
	rows       map[string]map[string]row     // by id and key: the table's items
	tombstones map[string]map[int64]tombtime // by id and event time: the tombstones that were ever written
	deleteOf   map[string][]*part            // by id
	goodOf     map[string][]*part            // by id: the predictions
	crashOn    string                        // crashAtTombstone or crashAtRemoval: the next effect of this kind kills its replica
}

// A row is an item of the table.
type row struct {
	event   int64 // microseconds since the epoch
	expires int64 // seconds since the epoch
	deleted bool
	mark    int // of a prediction
	seq     int // when it was written
}

// A tombtime is when a tombstone was first written.
type tombtime struct {
	seq     int
	expires int64
}

func newDeletesOracle() deletesOracle {
	return deletesOracle{rows: map[string]map[string]row{}, tombstones: map[string]map[int64]tombtime{}, deleteOf: map[string][]*part{}, goodOf: map[string][]*part{}}
}

// isTombstone reports whether an item says that its id is deleted.
func isTombstone(it attribute.Item) bool {
	v := it[item.AttrDeleted]
	return v.Type() == "BOOL" && *v.BOOL
}

// known records a part that will be sent. It requires that o.mu is held.
func (o *oracle) known(p *part) {
	of := o.goodOf
	if p.deleted {
		of = o.deleteOf
	}
	if !slices.Contains(of[p.id], p) {
		of[p.id] = append(of[p.id], p)
	}
}

// micros reads createdAt.
func micros(seconds string) int64 {
	whole, fraction, _ := strings.Cut(seconds, ".")
	n, err := strconv.ParseInt(whole+(fraction + "000000")[:6], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// ttlAttribute returns the name of the attribute that says when an item expires.
func (o *oracle) ttlAttribute() string {
	if o.s.layout == item.ExpirySorted {
		return "timestamp"
	}
	return "expiresAt"
}

// effect records what a write does to the table, at the moment when it does so, and checks what readers see from now on.
func (o *oracle) effect(c *awstest.Call, i int, _ attribute.Item) {
	call, _ := c.Context().Value(callKey{}).(*call)
	if call == nil {
		return
	}
	e := c.Entries[i]
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq++
	id, key := e.Item.Text("predictionId"), o.tableKey(e.Item)
	rows := o.rows[id]
	if rows == nil {
		rows = map[string]row{}
		o.rows[id] = rows
	}
	if e.Delete {
		if old, found := rows[key]; found && !old.deleted {
			o.checkRemoved(call, id, key, old)
		}
		delete(rows, key)
		o.crashIf(call, crashAtRemoval)
		o.checkVisible(call, id)
		return
	}
	r := row{event: micros(e.Item.Text(item.AttrCreatedAt)), deleted: isTombstone(e.Item), mark: markOf(e.Item.Text(item.AttrPayload)), seq: o.seq}
	r.expires, _ = strconv.ParseInt(e.Item.Text(o.ttlAttribute()), 10, 64) // the stored item is checked elsewhere
	rows[key] = r
	if r.deleted {
		if o.tombstones[id] == nil {
			o.tombstones[id] = map[int64]tombtime{}
		}
		if first, found := o.tombstones[id][r.event]; !found || first.expires < r.expires {
			if found {
				r.seq = first.seq
			}
			o.tombstones[id][r.event] = tombtime{r.seq, r.expires}
		}
		o.crashIf(call, crashAtTombstone)
	} else {
		o.checkLanding(call, id, r)
	}
	o.checkVisible(call, id)
}

// deletedUntil returns the event time of the newest live tombstone that was ever written for an id. It requires that o.mu is held.
func (o *oracle) deletedUntil(id string) (event int64, found bool) {
	for at, t := range o.tombstones[id] {
		if t.expires > o.now() && (!found || at > event) {
			event, found = at, true
		}
	}
	return event, found
}

// visible returns what a reader gets that sees all rows of an id: the newest live prediction that no live tombstone hides. It requires
// that o.mu is held.
func (o *oracle) visible(id string) (r row, found bool) {
	hidden := int64(-1)
	for _, other := range o.rows[id] {
		if other.deleted && other.expires > o.now() {
			hidden = max(hidden, other.event)
		}
	}
	for _, other := range o.rows[id] {
		if !other.deleted && other.expires > o.now() && other.event > hidden && (!found || other.event > r.event) {
			r, found = other, true
		}
	}
	return r, found
}

// checkVisible checks that no tombstone that was written has lost its effect. It requires that o.mu is held.
func (o *oracle) checkVisible(call *call, id string) {
	if until, found := o.deletedUntil(id); found {
		if r, visible := o.visible(id); visible && r.event <= until {
			o.violated(hidden, "after a write of %s a reader gets #%d# of %s at event %d, which was deleted up to %d", call.replica.name, r.mark, id, r.event, until)
		}
	}
}

// unsafeDelete returns why the message of a delete must not be deleted yet, or "". It requires that o.mu is held.
func (o *oracle) unsafeDelete(p *part) string {
	const missing = "is a delete without a tombstone"
	switch o.s.layout {
	case item.LatestOnly:
		if newest, found := o.top[p.id]; !found || newest < p.version() {
			return missing
		}
	case item.Versioned:
		if _, found := o.tombstones[p.id][p.event]; !found {
			return missing
		}
	case item.ExpirySorted: // a newer version at its key lives as long
		if until, found := o.deletedUntil(p.id); found && until >= p.event {
			return ""
		}
		for _, newer := range o.goodOf[p.id] {
			if newer.event > p.event && newer.expires >= p.event/1e6+86400 && o.top[newer.key(o.s.plan)] >= newer.version() {
				return ""
			}
		}
		return missing
	}
	return ""
}

// tombstoneTookEffect checks a tombstone that was written. It requires that o.mu is held.
func (o *oracle) tombstoneTookEffect(v *view, call *call, it attribute.Item) {
	id, key := it.Text("predictionId"), o.tableKey(it)
	for _, p := range o.deleteOf[id] {
		if p.event != micros(it.Text(item.AttrCreatedAt)) || !o.endOf(p, it.Text(o.ttlAttribute())) {
			continue
		}
		if o.s.layout != item.ExpirySorted && key != p.key(o.s.plan) || !o.bare(it) {
			break
		}
		if newest := v.acked[key]; o.remembered(newest) && p.version() < newest.version && !o.late {
			o.violated(keyOrder, "%s replaced a newer version of %s that it had written by the delete #%d#", call.replica.name, key, p.mark)
		}
		if o.s.layout != item.ExpirySorted { // where it may have been superseded at the key that an earlier message gave it
			o.written(key, p)
		}
		call.writes = append(call.writes, write{p, key, it.Text(item.AttrSent)})
		return
	}
	o.violated(stored, "%s wrote the tombstone %s", call.replica.name, it.JSON())
}

// endOf reports whether a delete ends at a time, which depends on when its message was sent. It requires that o.mu is held.
func (o *oracle) endOf(p *part, text string) bool {
	end, err := strconv.ParseInt(text, 10, 64)
	// The fake stamps sent times by its own clock, which is this one; the skew is in the Date of its answers.
	least, most := max(p.event/1e6, o.sentAt[p.mark].Unix()), max(p.event/1e6, time.Now().Unix())
	life := int64(14 * 86400)
	switch {
	case p.life > 0:
		life = p.life
	case p.expires > 0:
		return err == nil && end == p.expires // it is the later one, by far
	}
	return err == nil && end >= least+life && end <= most+life
}

// bare reports whether a tombstone has nothing but what it needs.
func (o *oracle) bare(it attribute.Item) bool {
	names := []string{"predictionId", "timestamp", o.ttlAttribute(), item.AttrCreatedAt, item.AttrDeleted}
	if o.s.ordering == config.OrderingNewest {
		names = append(names, item.AttrSent)
	}
	known := map[string]bool{}
	for _, name := range names {
		if known[name] = true; it[name] == nil {
			return false
		}
	}
	return len(it) == len(known)
}
