package sim

// crashIf kills the replica of a call that has just taken effect, if the plan wants it. It requires that o.mu is held.
func (o *oracle) crashIf(call *call, what string) {
	r := call.replica
	if o.crashOn != what || o.view(r).doomed {
		return
	}
	o.crashOn = ""
	o.struck[what]++
	o.isGone(r, true)
	r.die()
	o.s.crashed <- r // it has room
}

// crashAt arms a platform event that kills a replica right at the next effect of a kind, and reports whether the event is one.
func (s *simulation) crashAt(what string) bool {
	if what != crashAtTombstone && what != crashAtRemoval {
		return false
	}
	s.oracle.mu.Lock()
	defer s.oracle.mu.Unlock()
	s.oracle.crashOn = what
	return true
}

// endCrashes disarms crashAt.
func (s *simulation) endCrashes() {
	s.oracle.mu.Lock()
	s.oracle.crashOn = ""
	s.oracle.mu.Unlock()
	s.replaceCrashed()
}

// replaceCrashed starts a replica in place of each that the oracle has killed.
func (s *simulation) replaceCrashed() {
	for {
		select {
		case r := <-s.crashed:
			s.replace(r)
		default:
			return
		}
	}
}

func (s *simulation) replace(r *replica) {
	r.doomed = true
	r.terminate()
	if s.unusable {
		s.waiting++
		return
	}
	s.launch()
}
