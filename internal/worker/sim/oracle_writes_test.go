package sim

import (
	"strconv"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// A write is one item that took effect.
type write struct {
	part *part
	key  string
	sent string // the item's predcache.sent, under newest
}

// An ack is a replica's knowledge of a write that it has made.
type ack struct {
	at      time.Time
	version int64
	sent    string
}

// remembered reports whether a replica must remember a write: what it wrote in the last half of WORKER_DEDUP_MAX_AGE, and not
// before it noticed that it has another table. It requires that o.mu is held.
func (o *oracle) remembered(a ack) bool {
	return time.Since(a.at) < o.s.base.DedupMaxAge/2 && (o.created.IsZero() || a.at.Sub(o.created) >= noticeTable)
}

// writeAsked checks that one worker never has two writes of a key under way, and that it doesn't write again what it knows
// to be written. It requires that o.mu is held.
func (o *oracle) writeAsked(v *view, call *call, c *awstest.Call) {
	if call.ended {
		return
	}
	for _, e := range c.Entries {
		key := o.tableKey(e.Item)
		if other := v.underWay[key]; other != nil && other != call {
			o.violated(keyOrder, "%s has two writes of %s under way", call.replica.name, key)
		}
		v.underWay[key] = call
		call.keys = append(call.keys, key)
		p := o.parts[markOf(e.Item.Text(item.AttrPayload))]
		// A repeat that was sent later is written under newest, so that the table knows it for the newer one.
		known := v.ackedMark[markOf(e.Item.Text(item.AttrPayload))]
		if p != nil && !p.bad && o.remembered(known) && known.sent == e.Item.Text(item.AttrSent) && o.tied[key][p.event] == p.mark {
			o.violated(needless, "%s writes #%d# of %s again", call.replica.name, p.mark, key)
		}
	}
}

func (o *oracle) tableKey(it attribute.Item) string {
	if o.s.layout == item.LatestOnly {
		return it.Text("predictionId")
	}
	return it.Text("predictionId") + "/" + it.Text("timestamp")
}

// writeTookEffect checks each item that was written: that it is what its prediction says, and no older than what the
// worker has written itself.
func (o *oracle) writeTookEffect(call *call, c *awstest.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.view(call.replica)
	call.table = o.table
	for i := range c.Entries {
		e := &c.Entries[i]
		if !e.Applied || e.Delete {
			continue
		}
		if isTombstone(e.Item) {
			o.tombstoneTookEffect(v, call, e.Item)
			continue
		}
		p := o.parts[markOf(e.Item.Text(item.AttrPayload))]
		key := o.tableKey(e.Item)
		if p == nil || p.bad || key != p.key(o.s.plan) || e.Item.Text(item.AttrPayload) != p.payload {
			o.violated(stored, "%s wrote %s", call.replica.name, e.Item.JSON())
			continue
		}
		ttl := "expiresAt"
		if o.s.layout == item.ExpirySorted {
			ttl = "timestamp"
		}
		if got := e.Item.Text(ttl); got != strconv.FormatInt(p.expires, 10) {
			o.violated(stored, "#%d# expires at %s, want %d", p.mark, got, p.expires)
		}
		if newest := v.acked[key]; o.remembered(newest) && p.version() < newest.version && !o.late {
			o.violated(keyOrder, "%s replaced a newer version of %s that it had written by #%d#", call.replica.name, key, p.mark)
		}
		o.written(key, p)
		call.writes = append(call.writes, write{p, key, e.Item.Text(item.AttrSent)})
	}
}

// maxAge is how long after it was sent a prediction must be written, if nothing keeps it from that.
const maxAge = 30 * time.Second

// written records that a version of a key is safe. It requires that o.mu is held.
func (o *oracle) written(key string, p *part) {
	if newest, found := o.top[key]; !found || p.version() > newest {
		o.checkAge(key, newest, p.version())
		o.top[key] = p.version()
	}
}

// checkAge checks how old the versions of a key are that are safe now, and were not while the newest one was before. It
// requires that o.mu is held.
func (o *oracle) checkAge(key string, before, now int64) {
	if !o.s.calm() {
		return
	}
	for _, p := range o.byKey[key] {
		if age := time.Since(o.sentAt[p.mark]); p.object == nil && p.version() > before && p.version() <= now && age > maxAge && p.object == nil && !o.removed(p) {
			o.violated(prompt, "#%d# is written %v after it was sent", p.mark, age)
		}
	}
}

// writesAnswered records what a replica knows after its call. It requires that o.mu is held.
func (o *oracle) writesAnswered(v *view, call *call, ok bool) {
	for _, key := range call.keys {
		if v.underWay[key] == call {
			delete(v.underWay, key)
		}
	}
	if !ok || call.table != o.table {
		return
	}
	for _, w := range call.writes {
		a := ack{time.Now(), w.part.version(), w.sent}
		v.ackedMark[w.part.mark] = a
		if a.version >= v.acked[w.key].version {
			v.acked[w.key] = a
		}
	}
}

// checkTable checks what the table has at the end: known items, of each key the newest version that was written. A late
// effect excuses an older one, and so does another replica or a worker that has forgotten the newer one, unless writes are
// conditional. It requires that o.mu is held.
func (o *oracle) checkTable(items []attribute.Item) {
	remembered := o.elapsed() < o.s.base.DedupMaxAge/2 && o.table == 0 // a worker forgets a table, and once more when it reads that it has another
	ordered := len(o.s.replicas) == 1 && !o.late && remembered || o.s.ordering == config.OrderingNewest
	for _, it := range items {
		if isTombstone(it) {
			continue
		}
		p := o.parts[markOf(it.Text(item.AttrPayload))]
		if p == nil {
			o.violated(stored, "the table %s has %s", workertest.TableName, it.JSON())
			continue
		}
		if ordered && o.table == 0 && p.wins != nil && p.wins != p && !o.removed(p) {
			o.violated(newestLeft, "#%d# of %s is left, though #%d# counts as sent later", p.mark, p.id, p.wins.mark)
		}
		if newest := o.top[p.key(o.s.plan)]; ordered && p.version() < newest && !o.removed(p) {
			o.violated(newestLeft, "%s is left at version %d, though %d had been written", p.id, p.version(), newest)
		}
	}
}
