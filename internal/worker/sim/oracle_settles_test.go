package sim

import (
	"fmt"

	"github.com/predcache/predcache/internal/awstest"
)

// deleteAsked checks that the worker deletes only safe messages. It requires that o.mu is held.
func (o *oracle) deleteAsked(v *view, call *call, c *awstest.Call) {
	if c.Resource == objectsQueue {
		o.objectsDeleted(v, call, c)
		return
	}
	for _, e := range c.Entries {
		delete(v.out, e.MessageID)
		m := o.messages[e.MessageID]
		if m == nil {
			o.violated(safeDelete, "%s deletes a message that nobody has received", call.replica.name)
			continue
		}
		for _, p := range m.parts {
			if why := o.unsafe(p); why != "" && !o.lostWithTable(p, v.since[e.MessageID]) {
				o.violated(safeDelete, "%s deletes message %s, but #%d# %s", call.replica.name, short(e.MessageID), p.mark, why)
			}
			if p.deleted {
				o.removalEnded(v, call, p)
			}
		}
	}
}

// unsafe returns why the message of p must not be deleted yet, or "". It requires that o.mu is held.
func (o *oracle) unsafe(p *part) string {
	switch {
	case p.excusedRow():
	case p.bad && o.rejected[p.mark] > 0:
	case p.bad:
		return "is not in the reject queue"
	case o.mayBeRefused(p) && o.rejected[p.mark] > 0:
	case o.expired(p):
	case p.deleted:
		return o.unsafeDelete(p)
	default:
		if newest, found := o.top[p.key(o.s.plan)]; (!found || newest < p.version()) && !o.removed(p) {
			return fmt.Sprintf("(%s, event %d) is not in the table", p.id, p.event)
		}
	}
	return ""
}

// mayBeRefused reports whether the table may refuse a good prediction because of an index that was added. It requires that o.mu
// is held.
func (o *oracle) mayBeRefused(p *part) bool { return p.noted && o.noted }

// expired reports whether a prediction may be dropped: it expired more than a minute ago. The worker's clock may be a few
// seconds off.
func (o *oracle) expired(p *part) bool { return !p.deleted && p.expires < o.now()-60+7 }

// visibilityAsked records released messages. A running worker never needs to release one. It requires that o.mu be
// held.
func (o *oracle) visibilityAsked(v *view, call *call, c *awstest.Call) {
	for _, e := range c.Entries {
		if e.Visibility == 0 {
			delete(v.out, e.MessageID)
			delete(v.since, e.MessageID)
			if m, of := o.objects.messages[e.MessageID]; !v.doomed && (!of || o.strictObjects(m)) {
				o.violated(noReceives, "%s releases message %s without need", call.replica.name, short(e.MessageID))
			}
		} else if m := o.messages[e.MessageID]; m != nil && (m.anyBad() || m.deletes() && !o.s.removalsFlow()) {
			delete(v.out, e.MessageID) // perhaps it backs off: too many messages wait for the reject queue or for a removal
		}
	}
}
