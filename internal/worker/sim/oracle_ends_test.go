package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest"
)

// drained checks that a replica that was told to stop has done so in time and hides nothing.
func (o *oracle) drained(r *replica, began time.Time) {
	took := time.Since(began)
	messages := o.s.queues.Messages(workertest.QueueName)
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
		if f.class != classWrite && f.class != classReject && f.from < to && f.to > from {
			return // SQS may have kept it from settling
		}
	}
	if r.left > 0 {
		o.violated(drainsClean, "%s left %d messages held", r.name, r.left)
	}
	for _, m := range messages {
		known := o.messages[m.ID]
		if m.State == sqsfake.InFlight && o.holder[m.ID] == r && !known.anyBad() {
			o.violated(drainsClean, "%s has ended, and message %s stays hidden for %v", r.name, short(m.ID), time.Until(m.VisibleAt))
		}
	}
}

// left says what is not where it should be, or "".
func (o *oracle) left() string {
	visible, inFlight, delayed := o.s.queues.Counts(workertest.QueueName)
	o.mu.Lock()
	defer o.mu.Unlock()
	stay := 0
	if !o.s.rejects {
		stay = o.sentBad
	}
	if n := visible + inFlight + delayed; n != stay {
		return fmt.Sprintf("the queue has %d messages, want %d: %d visible, %d in flight", n, stay, visible, inFlight)
	}
	for _, p := range o.parts {
		if why := o.unsafe(p); why != "" && (!p.bad || o.s.rejects) {
			return fmt.Sprintf("#%d# %s", p.mark, why)
		}
	}
	return ""
}

// final checks what must be true at the end.
func (o *oracle) final() {
	items := o.s.tables.Items(workertest.TableName)
	log := o.s.log.String()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checkTable(items)
	if at := strings.Index(log, secret); at >= 0 {
		o.violated(unlogged, "…%s…", log[max(0, at-100):min(len(log), at+60)])
	}
}
