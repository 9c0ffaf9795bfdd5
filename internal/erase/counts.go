package erase

import (
	"sync"
	"sync/atomic"
)

// maxLeft is how many ids of which something is left a report names.
const maxLeft = 10

// counts holds the numbers that a run reports.
type counts struct {
	items, bytes           atomic.Int64 // found, without tombstones
	removed                atomic.Int64 // items, without those that a tombstone replaced
	newer                  atomic.Int64 // predictions that are newer than the tombstones
	proven                 atomic.Int64 // ids that were looked at in the end
	left                   atomic.Int64 // ids of which something is left
	milliReads, milliUnits atomic.Int64 // read and write units times 1000, since DynamoDB reports fractions

	mu  sync.Mutex
	ids []string // the first ids of which something is left
}

func (c *counts) read(units float64)  { c.milliReads.Add(int64(units * 1000)) }
func (c *counts) wrote(units float64) { c.milliUnits.Add(int64(units * 1000)) }

// found records an item of an id that is to be erased.
func (c *counts) found(f found) {
	if !f.deleted {
		c.items.Add(1)
		c.bytes.Add(int64(f.size))
	}
}

// Removed implements removal.Observer.
func (c *counts) Removed(items int) { c.removed.Add(int64(items)) }

// Removing implements removal.Observer.
func (c *counts) Removing(int) {}

// proved records the proof of an id.
func (c *counts) proved(id string, rest remainder) {
	c.proven.Add(1)
	c.newer.Add(int64(rest.newer))
	if len(rest.left) == 0 && rest.hidden {
		return
	}
	c.left.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) < maxLeft {
		c.ids = append(c.ids, id)
	}
}

// Progress is the progress of a run.
type Progress struct {
	IDs, Erased, Proved int   // how many there are, and how many of them are erased, and proved to be
	Removed             int64 // items
}

// Progress returns the progress so far. It may be called while Run runs.
func (r *Run) Progress() Progress {
	_, erased := r.ledger.progress()
	return Progress{IDs: len(r.keys), Erased: erased, Proved: int(r.counts.proven.Load()), Removed: r.counts.removed.Load()}
}

// A Report says what a run found, removed and spent. That of a dry run says what a run would spend.
type Report struct {
	IDs, Erased      int
	Items, Bytes     int64 // found, without tombstones
	Removed          int64 // items, without those that a tombstone replaced
	Newer            int64 // predictions that are newer than the tombstones, and stay
	ReadUnits, Units int64
	Left             int64    // ids of which something is left
	LeftIDs          []string // the first of them
	Indexed          bool     // the table has indexes, whose entries cost write units too
}

// Report returns the counts so far.
func (r *Run) Report() Report {
	c := &r.counts
	_, erased := r.ledger.progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	return Report{
		IDs: len(r.keys), Erased: erased, Items: c.items.Load(), Bytes: c.bytes.Load(), Removed: c.removed.Load(), Newer: c.newer.Load(),
		ReadUnits: (c.milliReads.Load() + 500) / 1000, Units: (c.milliUnits.Load() + 500) / 1000,
		Left: c.left.Load(), LeftIDs: c.ids, Indexed: len(r.layout.Indexes) > 0,
	}
}
