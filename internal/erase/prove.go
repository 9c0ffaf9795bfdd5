package erase

import (
	"context"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A remainder is what the table has of an id beside the tombstone.
type remainder struct {
	until     prediction.Time // the event time of the newest tombstone, or of that which must be there
	hidden    bool            // there is such a tombstone, or only newer predictions
	left      []found         // not newer
	newer     int
	tombstone bool
}

// prove checks that the table has nothing of an id but a tombstone and what is newer. While the fleet runs, what it received before may
// have arrived since: that is removed again.
func (r *Run) prove(ctx context.Context, i int) error {
	for round := 0; ; round++ {
		rest, err := r.remainder(ctx, i)
		if err != nil {
			return err
		}
		if len(rest.left) == 0 && rest.hidden || round == rounds {
			r.counts.proved(r.keys[i], rest)
			return nil
		}
		r.window.Forget() // the tombstone may have been replaced
		if err := r.eraseUntil(ctx, r.keys[i], rest.until); err != nil {
			return err
		}
		if err := r.removeForeign(ctx, rest); err != nil {
			return err
		}
	}
}

// remainder reads what the table has of an id.
func (r *Run) remainder(ctx context.Context, i int) (rest remainder, err error) {
	r.mu.Lock()
	rest.until = r.until[i]
	r.mu.Unlock()
	if rest.until == (prediction.Time{}) { // the interrupted run wrote the tombstone
		rest.until = prediction.FromMillis(r.started)
	}
	var items []found
	err = r.look(ctx, r.keys[i], func(f found) {
		if f.deleted {
			rest.tombstone = rest.tombstone || f.event.Compare(rest.until) >= 0
			if f.event.Compare(rest.until) > 0 {
				rest.until = f.event
			}
			return
		}
		items = append(items, f)
	})
	for _, f := range items {
		if f.event.Compare(rest.until) > 0 {
			rest.newer++
		} else {
			rest.left = append(rest.left, f)
		}
	}
	// A newer prediction may have replaced the tombstone where they compete for a key.
	rest.hidden = rest.tombstone || rest.newer > 0 && r.layout.Kind != item.Versioned
	return rest, err
}

// removeForeign removes the items that the worker can't have written, which it leaves alone otherwise.
func (r *Run) removeForeign(ctx context.Context, rest remainder) error {
	version := prediction.Version{Event: rest.until, Sent: r.now().UnixMilli(), Deleted: true}
	for _, f := range rest.left {
		if !f.foreign || !f.keyed || r.layout.Kind == item.LatestOnly {
			continue
		}
		if err := r.write(ctx, r.layout.NewRemoval(f.key, f.event, version, f.size)); err != nil {
			return err
		}
	}
	return nil
}
