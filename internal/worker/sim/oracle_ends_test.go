package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest"
)

// drained checks that a replica that got SIGTERM has stopped in time and has released what it held.
func (o *oracle) drained(r *replica, began time.Time) {
	took := time.Since(began)
	messages := o.s.queues.Messages(o.s.queue)
	ofObjects := o.s.queues.Messages(objectsQueue)
	o.mu.Lock()
	defer o.mu.Unlock()
	if took > o.s.drain+2*time.Second {
		o.violated(drainsClean, "%s took %v to stop, of at most %v", r.name, took, o.s.drain)
	}
	if r.err != nil {
		o.violated(drainsClean, "%s ended with %v", r.name, r.err)
	}
	from, to := began.Sub(o.s.start)-time.Minute, o.elapsed()
	for _, f := range o.s.faults {
		if f.class != classWrite && f.class != classReject && f.class != classRead && f.from < to && f.to > from {
			return // a fault of SQS or of a removal may have kept it from settling
		}
	}
	if r.left > 0 {
		o.violated(drainsClean, "%s left %d messages held", r.name, r.left)
	}
	for _, m := range messages {
		known := o.messages[m.ID]
		if m.State == sqsfake.InFlight && o.holder[m.ID] == r && o.settles(known) {
			o.violated(drainsClean, "%s has ended, and message %s stays hidden for %v", r.name, short(m.ID), time.Until(m.VisibleAt))
		}
	}
	for _, m := range ofObjects {
		if known := o.objects.messages[m.ID]; m.State == sqsfake.InFlight && o.holder[m.ID] == r && o.strictObjects(known) {
			o.violated(drainsClean, "%s has ended, and message %s of the objects queue stays hidden for %v", r.name, short(m.ID), time.Until(m.VisibleAt))
		}
	}
}

// left describes what is not where it should be, or returns "". bad is true if only messages are left that may return several
// times before they can be rejected.
func (o *oracle) left() (what string, bad bool) {
	messages := o.s.queues.Messages(o.s.queue)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.parts {
		if why := o.unsafe(p); why != "" && !p.bad && !o.mayBeRefused(p) && o.lost[p.key(o.s.plan)] < p.version() {
			return fmt.Sprintf("#%d# %s", p.mark, why), false
		}
	}
	for _, m := range messages {
		known := o.messages[m.ID]
		if known != nil && o.mayStay(known) {
			continue
		}
		what = fmt.Sprintf("message %s is still on the queue, %s, after %d receives", short(m.ID), m.State, m.ReceiveCount)
		if bad = known != nil && !o.settles(known); !bad {
			break
		}
	}
	return what, bad
}

// final checks what must be true at the end.
func (o *oracle) final() {
	o.checkRejects()
	o.checkReads()
	items := o.s.tables.Items(workertest.TableName)
	dead := o.s.queues.Messages(o.s.deadLetters)
	log := o.s.log.String()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checkTable(items)
	o.checkRows(items)
	for _, m := range dead {
		if known := o.messages[m.ID]; o.settles(known) {
			o.violated(noReceives, "message %s is in the dead-letter queue, after %d receives", short(m.ID), m.ReceiveCount)
		}
	}
	if o.s.calm() && strings.Contains(log, `part="the table"`) {
		o.violated(prompt, "a worker takes the table for down, though it can be written")
	}
	if at := strings.Index(log, secret); at >= 0 {
		o.violated(unlogged, "…%s…", log[max(0, at-100):min(len(log), at+60)])
	}
}
