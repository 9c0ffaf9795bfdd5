package writer

import (
	"context"
	"errors"
	"sync"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// ErrSuperseded is the error of an item that was not written, since the table has a newer version of its key.
var ErrSuperseded = errors.New("the table has a newer version")

// A NewestTable writes an item only over an older version of its key, or none. See docs/architecture.md for why each write must
// be conditional.
type NewestTable interface {
	// PutNewest writes one item. Its errors are ErrSuperseded and those of a Table. To write an item again is harmless: it is
	// not newer than itself.
	PutNewest(ctx context.Context, it *item.Item) error
}

// PutsAtOnce is how many items of a batch are written at once. A conditional write is a call of its own: one after the other,
// a batch of 25 would take 25 times as long as one BatchWriteItem.
const PutsAtOnce = 8

// writeNewest writes a batch item by item. To the governor it is one call, some of whose items may come back unprocessed.
func (w *Writer) writeNewest(ctx context.Context, entries []*batch.Entry[*item.Item]) {
	errs := make([]error, len(entries))
	var next int
	var mu sync.Mutex
	var puts sync.WaitGroup
	for range min(PutsAtOnce, len(entries)) {
		puts.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(entries) {
					return
				}
				errs[i] = w.put(ctx, entries[i].Value)
			}
		})
	}
	puts.Wait()

	answered, back, hot := 0, 0, 0
	var failure error
	for i, e := range entries {
		switch err := errs[i]; {
		case err == nil:
			answered++
			w.cfg.Window.Done(e.Value, prediction.Written, nil)
			e.Done()
		case errors.Is(err, ErrSuperseded):
			answered++
			w.cfg.Window.Done(e.Value, prediction.Superseded, nil)
			e.Done()
		case errors.Is(err, ErrInvalid):
			if changed := w.recheck(ctx); changed != nil {
				failure = changed
				back++
				w.giveBack(entries[i : i+1])
				continue
			}
			answered++
			why := prediction.Rejectf(prediction.ReasonTable, "", "DynamoDB refused the item: %v", err)
			w.cfg.Window.Done(e.Value, prediction.Rejected, why)
			e.Done()
		default:
			back++
			if errors.Is(err, ErrHotKeys) {
				hot++
			} else if failure == nil || !errors.Is(err, ErrThrottled) { // a fault says more than throttling
				failure = err
			}
			w.giveBack(entries[i : i+1])
		}
	}
	switch {
	case answered > 0:
		w.governor.succeeded(len(entries), back-hot)
	case failure == nil:
		w.governor.answered() // each key backs off by itself; the table takes others
	case ctx.Err() == nil: // else it is only that we are stopping
		w.governor.failed(failure)
	}
}

func (w *Writer) put(ctx context.Context, it *item.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	return w.cfg.Newest.PutNewest(ctx, it)
}
