package prediction

import "github.com/predcache/predcache/internal/jsonscan"

// readDelete reads the rest of a delete, whose id and event time are known. A delete keeps nothing else: a payload and other fields
// may hold what the delete is meant to remove.
func (r *decoding) readDelete(p *Prediction) *Reject {
	name := r.fields[fieldDeleted].name
	switch v := r.values[fieldDeleted]; {
	case v.Kind() != jsonscan.Bool:
		return r.rejectf(ReasonFieldType, name, "is %v: send true for a delete, or leave it out", v.Kind())
	case r.cfg.RejectDeletes:
		return r.rejectf(ReasonDeletesOff, name, "is true, but the worker accepts no deletes: set WORKER_DELETES=hide or remove")
	}
	p.Version.Deleted = true
	return r.tombstoneExpiry(p)
}

// tombstoneExpiry sets p.Expires of a delete. Its lifetime begins at the later of its event time and its sent time, since what it
// hides may have been sent until then, and SQS may deliver that for 14 days more. There is no jitter: in the expiry-sorted layout it
// would sort the tombstone below what it hides. Like expiry, it does not use the clock.
func (r *decoding) tombstoneExpiry(p *Prediction) *Reject {
	ttl, end := r.values[fieldTTLSeconds], r.values[fieldExpiresAt]
	least := lifetime(r.cfg.TTL)
	life := least
	if r.cfg.TombstoneTTL > 0 {
		life = lifetime(r.cfg.TombstoneTTL)
	}
	if isAbsent(end) && !isAbsent(ttl) {
		var why *Reject
		if life, why = r.ttlSeconds(ttl); why != nil {
			return why
		}
	}
	if life.Compare(least) < 0 || !isAbsent(end) {
		life = least
	}
	begin := p.EventTime
	if sent := FromMillis(max(r.sent, 0)); sent.Compare(begin) > 0 {
		begin = sent
	}
	t, err := checkTime(begin.plus(life))
	if err != nil {
		return r.expiresTooLate()
	}
	if !isAbsent(end) {
		own, why := r.expiresAt(end)
		if why != nil {
			return why
		}
		if own.Compare(t) > 0 {
			t = own
		}
	}
	p.Expires = t.Sec
	return nil
}
