package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/checkpoint"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
)

// ErrInterrupted is the error of a run that was stopped before it had proved that the ids are erased.
var ErrInterrupted = errors.New("interrupted")

// Run erases the ids, or only looks at them in a dry run. When ctx is done, it takes no further ids, and finishes those in progress until
// the worker's write deadline. It may be called once. Report says whether anything of an id is left.
func (r *Run) Run(ctx context.Context) error {
	ctx, r.abort = context.WithCancel(ctx)
	defer r.abort()
	working, stop := context.WithCancel(context.Background())
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if r.failure() != nil {
			stop()
			return
		}
		time.AfterFunc(r.o.Config.WriteDeadline(), stop)
	})()
	if r.o.DryRun {
		return r.ended(ctx, r.each(ctx, working, r.survey))
	}
	if err := r.save(); err != nil { // before anything is removed
		return err
	}
	stages, stopStages := context.WithCancel(working)
	defer stopStages()
	var background errgroup.Group
	background.Go(func() error { return r.writer.Run(stages) })
	if r.remover != nil {
		background.Go(func() error { return r.remover.Run(stages) })
	}
	background.Go(func() error { return checkpoint.Keep(stages, r.save) })

	err := r.each(ctx, working, func(ctx context.Context, i int) error {
		if r.ledger.isErased(i) {
			return nil
		}
		if err := r.erase(ctx, i); err != nil {
			return err
		}
		r.ledger.end(i)
		return nil
	})
	if err == nil && ctx.Err() == nil {
		err = r.each(ctx, working, r.prove)
	}
	stopStages()
	err = errors.Join(r.ended(ctx, err), background.Wait())
	if err == nil && r.counts.left.Load() == 0 {
		return r.removeState()
	}
	return errors.Join(err, r.save())
}

// ended returns the error of a run: the cause of a failure, or ErrInterrupted.
func (r *Run) ended(ctx context.Context, err error) error {
	switch failure := r.failure(); {
	case failure != nil:
		return failure
	case ctx.Err() != nil:
		return ErrInterrupted
	}
	return err
}

// each calls do for each id, for several at once, until ctx is done or a call fails. The calls get the context working.
func (r *Run) each(ctx, working context.Context, do func(ctx context.Context, i int) error) error {
	group, working := errgroup.WithContext(working)
	group.SetLimit(atOnce)
	for i := range r.keys {
		if ctx.Err() != nil || working.Err() != nil {
			break
		}
		group.Go(func() error { return do(working, i) })
	}
	return group.Wait() //nolint:wrapcheck // it says what was being done
}

// survey counts what erasing an id would remove and cost.
func (r *Run) survey(ctx context.Context, i int) error {
	units, items, size := 0, 0, 0
	reads := 1 // of the proof
	err := r.look(ctx, r.keys[i], func(f found) {
		r.counts.found(f)
		if r.layout.Kind == item.LatestOnly {
			return // the tombstone replaces it
		}
		if !f.deleted {
			units += item.Units(f.size)
		}
		items, size = items+1, size+f.size
		if items%removal.PageItems == 0 {
			reads += readUnits(size)
			size = 0
		}
	})
	if err != nil {
		return err
	}
	it, err := r.tombstone(r.keys[i], prediction.FromMillis(r.now().UnixMilli()))
	if err != nil {
		return err
	}
	if r.layout.Kind != item.LatestOnly {
		reads += readUnits(size) // the last page
		if units > 0 {
			reads++ // a second pass, which finds nothing
		}
	}
	r.counts.read(float64(reads))
	r.counts.wrote(float64(units + it.Units()))
	r.ledger.end(i)
	return nil
}

// readUnits returns the read units of a consistent read of so many bytes: one for each started 4 KB, at least one ("DynamoDB read and
// write operations").
func readUnits(size int) int { return max(1, (size+4095)/4096) }

// erase writes the tombstone of an id, as of the later of now and its newest item, and removes what is older.
func (r *Run) erase(ctx context.Context, i int) error {
	until := prediction.FromMillis(r.now().UnixMilli())
	err := r.look(ctx, r.keys[i], func(f found) {
		r.counts.found(f)
		if f.event.Compare(until) > 0 {
			until = f.event
		}
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.until[i] = until
	r.mu.Unlock()
	return r.eraseUntil(ctx, r.keys[i], until)
}

// eraseUntil writes the tombstone of an id as of an event time, and removes what is older.
func (r *Run) eraseUntil(ctx context.Context, key string, until prediction.Time) error {
	it, err := r.tombstone(key, until)
	if err != nil {
		return err
	}
	return r.write(ctx, it)
}

// tombstone returns the tombstone of an id.
func (r *Run) tombstone(key string, until prediction.Time) (*item.Item, error) {
	now := r.now()
	p := prediction.Prediction{
		ID: prediction.ID{Text: key, N: r.layout.HashType == item.TypeN}, EventTime: until,
		Expires: max(until.Sec, now.Unix()) + int64(r.o.Config.TombstoneLife()/time.Second),
		Version: prediction.Version{Event: until, Sent: now.UnixMilli(), Deleted: true},
	}
	it, why := r.layout.New(&p)
	if why != nil {
		return nil, fmt.Errorf("the tombstone of %.60q: %w", key, why)
	}
	return it, nil
}

// write writes an item, a tombstone or a removal, and waits until it is durable or superseded by something newer. What a tombstone
// hides has then been removed.
func (r *Run) write(ctx context.Context, it *item.Item) error {
	to := make(waiter, 1)
	if r.window.Admit(it, to) {
		r.writer.Submit(it)
	}
	select {
	case got := <-to:
		switch {
		case got.why != nil:
			return fmt.Errorf("erasing %.60q: %w", it.Key.ID, got.why)
		case got.outcome == prediction.Failed:
			return fmt.Errorf("erasing %.60q: %w", it.Key.ID, ErrInterrupted)
		}
		return nil
	case <-ctx.Done():
		return ErrInterrupted
	}
}

// A waiter receives the outcome of a write.
type waiter chan result

type result struct {
	outcome prediction.Outcome
	why     *prediction.Reject
}

// Resolve implements dedup.Waiter.
func (w waiter) Resolve(o prediction.Outcome, _ string, why *prediction.Reject) { w <- result{o, why} }
