package dedup

import (
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A Delete is a delete whose tombstone is durable, or need not be written, and whose older items are to be removed before it gets
// its outcome. It is the Waiter of the tombstone.
type Delete struct {
	Key     item.Key // of the tombstone
	Version prediction.Version

	window  *Window
	units   int
	queued  int64
	outcome prediction.Outcome
	raw     string
	to      Waiter
}

// Resolve implements Waiter.
func (d *Delete) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	d.outcome, d.raw = o, raw
	switch o {
	case prediction.Deleted, prediction.Duplicate, prediction.Superseded:
		d.window.cfg.Remove(d)
	default:
		d.end(o, why)
	}
}

// Done ends the delete: with its outcome if what it hides was removed, else with Failed, so that its message is received again. It
// must be called once.
func (d *Delete) Done(removed bool) {
	if !removed {
		d.outcome = prediction.Failed
	}
	d.end(d.outcome, nil)
}

func (d *Delete) end(o prediction.Outcome, why *prediction.Reject) {
	d.window.cfg.Observer.Outcome(o, d.units, d.queued)
	d.to.Resolve(o, d.raw, why)
}

// A Staller is a Waiter that can wait for longer than a write takes. Stall returns false if too many others do so already.
type Staller interface{ Stall() bool }

// Stall announces that the delete waits for longer than a write takes. It returns false if its message can't: too many others wait so.
// The caller then ends the delete with Done(false).
func (d *Delete) Stall() bool {
	s, ok := d.to.(Staller)
	return !ok || s.Stall()
}

// A Pending is a write that is on its way to the table.
type Pending struct {
	Key   item.Key
	Event prediction.Time
}

// Older returns the pending writes of an id whose versions are not newer than a delete of it, tombstones excepted. What
// removes the older items of the id must remove these too, since they may reach the table after it has looked there.
func (w *Window) Older(id string, deleted prediction.Version) []Pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	var older []Pending
	for k, p := range w.pending {
		if k.ID != id {
			continue
		}
		last := p.last()
		tombstone := last.version.Deleted && last.item.Removal == item.NoRemoval
		if !tombstone && last.version.Compare(deleted) <= 0 {
			older = append(older, Pending{k, last.version.Event})
		}
	}
	return older
}
