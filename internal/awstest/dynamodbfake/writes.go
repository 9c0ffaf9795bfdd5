package dynamodbfake

import (
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// Write is one write of one item that a client asked for.
type Write struct {
	Operation string
	// Call is the number of the call of that operation, as in Call.N.
	Call  int
	Table string
	// Key is the primary key for people: the hash key, then "/" and the sort key if there is one.
	Key string
	// Item is what was put; for a delete, the key.
	Item   attribute.Item
	Delete bool
	// Applied is true if it took effect. A write that did not came back unprocessed, failed its condition, or was in a call
	// that failed.
	Applied bool
	// Start and End are those of the call; End is zero while the call is under way.
	Start, End time.Time
}

// writeRecord is a Write whose call may still be under way.
type writeRecord struct {
	Write
	call *awstest.Call
}

// Writes returns all writes asked for so far, if recording: those that took effect in the order of their effects, each of
// the others where its call ended.
func (s *Service) Writes() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := make([]Write, len(s.writes))
	for i, w := range s.writes {
		writes[i] = w.Write
		writes[i].End = s.EndOf(w.call)
	}
	return writes
}

// OverlappingWrites returns the pairs of writes of one key whose calls were under way at the same time, which the worker
// must never cause. Calls that end and start at the same instant do not overlap.
func (s *Service) OverlappingWrites() (pairs [][2]Write) {
	byKey := make(map[string][]Write)
	for _, w := range s.Writes() {
		id := w.Table + "\x00" + w.Key
		for _, other := range byKey[id] {
			if (other.End.IsZero() || w.Start.Before(other.End)) && (w.End.IsZero() || other.Start.Before(w.End)) &&
				(other.Operation != w.Operation || other.Call != w.Call) {
				pairs = append(pairs, [2]Write{other, w})
			}
		}
		byKey[id] = append(byKey[id], w)
	}
	return pairs
}

// SetEffect sets a function that is called at the moment each write takes effect, in the order of the effects: with the
// call, the place of the write in Call.Entries, and the item that it replaced or deleted, nil if there was none. The function
// must not call the Service, which is locked.
func (s *Service) SetEffect(effect func(c *awstest.Call, i int, old attribute.Item)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effect = effect
}

// SetDiscarding switches between keeping what is put (the default), and checking it, passing it to the function of
// [Service.SetEffect], and forgetting it: millions of items then take no memory.
func (s *Service) SetDiscarding(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discards = on
}

// record adds a write that took effect. It requires that s.mu be held.
func (s *Service) record(c *awstest.Call, i int, t *table) {
	c.Entries[i].Applied = true
	if !s.Recording() {
		return
	}
	w := newWrite(c, i)
	w.Key, w.Applied = t.keyText(w.Item), true
	s.writes = append(s.writes, w)
}

func newWrite(c *awstest.Call, i int) writeRecord {
	e := c.Entries[i]
	return writeRecord{call: c, Write: Write{Operation: c.Operation, Call: c.N, Table: e.Table, Item: e.Item, Delete: e.Delete, Start: c.Start}}
}

// recordUnapplied adds the writes of a call that had no effect.
func (s *Service) recordUnapplied(c *awstest.Call) {
	if c.Operation != "BatchWriteItem" && c.Operation != "PutItem" && c.Operation != "DeleteItem" || !s.Recording() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range c.Entries {
		if !e.Applied {
			w := newWrite(c, i)
			if t := s.tables[e.Table]; t != nil {
				w.Key = t.keyText(e.Item)
			}
			s.writes = append(s.writes, w)
		}
	}
}
