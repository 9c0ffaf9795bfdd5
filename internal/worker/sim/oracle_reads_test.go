package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// checkReads checks at the end what the real reader gets: of each id the newest live prediction that no delete hides, or a miss.
func (o *oracle) checkReads() {
	if o.s.unusable || o.s.deletes == config.DeletesOff {
		return
	}
	reader, err := cache.New(awstest.Config(awstest.Transport(o.s.tables)), workertest.TableName, cache.Consistent())
	if err != nil {
		panic(err)
	}
	_, _ = reader.Get(context.Background(), secret) // its answer corrects the reader's clock
	for _, id := range o.deletedIDs() {
		p, err := reader.Get(context.Background(), id)
		o.checkRead(id, p, err)
	}
}

// deletedIDs returns the ids of which there is a delete, except those that something is about to end of.
func (o *oracle) deletedIDs() (ids []string) {
	const margin = 3 // seconds: the reader's clock is that of the answers' Date
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.deleteOf {
		ending := false
		for _, r := range o.rows[id] {
			ending = ending || r.expires > o.now()-margin && r.expires < o.now()+margin
		}
		if !ending {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// checkRead checks the result of a read against the table's content and against what was sent.
func (o *oracle) checkRead(id string, p *cache.Prediction, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := "a miss"
	switch {
	case err == nil:
		got = fmt.Sprintf("event %d", p.EventTime.UnixMicro())
	case !errors.Is(err, cache.ErrNotFound):
		got = err.Error()
	}
	want := "a miss"
	if r, found := o.visible(id); found {
		want = fmt.Sprintf("event %d", r.event)
	}
	if got != want {
		o.violated(hidden, "of %s the reader gets %s, and the table has %s", id, got, want)
	}
	if best, known := o.bestOf(id); known && got != best {
		o.violated(newerStays, "of %s the reader gets %s, and what was sent says %s", id, got, best)
	}
}

// bestOf returns what a reader must get at the end, by what was sent. It returns false if that is not known: another index may refuse
// a prediction, and without conditional writes an item of a key is that which was written last. It requires that o.mu is held.
func (o *oracle) bestOf(id string) (best string, known bool) {
	var newest *part
	var deleted int64 = -1
	for _, p := range o.deleteOf[id] {
		deleted = max(deleted, p.event)
	}
	keys, rivals := map[string]*part{}, map[string]bool{} // the version of each key that stays, and whether there are others
	for _, p := range o.goodOf[id] {
		if o.mayBeRefused(p) || p.excusedRow() || o.unsafe(p) != "" {
			return "", false // what never became safe is reported elsewhere
		}
		key := p.key(o.s.plan)
		other := keys[key]
		if other != nil && o.s.ordering != config.OrderingNewest {
			return "", false
		}
		rivals[key] = other != nil
		if other != nil && other.event == p.event && other.expires != p.expires {
			return "", false // the one that was sent later stays
		}
		if other == nil || p.event > other.event {
			keys[key] = p
		}
	}
	for key, p := range keys {
		switch {
		case p.event <= deleted:
			continue
		case p.expires <= o.now() && rivals[key]: // if it was dropped, an older one may have stayed
			return "", false
		case p.expires <= o.now():
			continue
		}
		if o.s.layout == item.LatestOnly || newest == nil || p.event > newest.event {
			newest = p
		}
	}
	if newest == nil {
		return "a miss", true
	}
	return fmt.Sprintf("event %d", newest.event), true
}
