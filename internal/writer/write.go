package writer

import (
	"context"
	"errors"
	"sync"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// CallsPerBatch is the maximum number of concurrent calls for one batch, on a Table whose calls carry fewer items than a batch. One
// after the other, the 25 conditional writes of a batch would take 25 times as long as one BatchWriteItem.
const CallsPerBatch = 8

// An attempt holds the arrays of one attempt to write a batch, for reuse.
type attempt struct {
	items   [MaxItems]*item.Item
	results [MaxItems]Result
}

// write makes one attempt to write a batch. It settles the items with a final result and gives the others back to the batcher.
func (w *Writer) write(ctx context.Context, entries []*batch.Entry[*item.Item]) {
	a := w.attempts.Get().(*attempt)
	defer func() {
		*a = attempt{} // it must not keep the items alive
		w.attempts.Put(a)
	}()
	items, results := a.items[:len(entries)], a.results[:len(entries)]
	for i, e := range entries {
		items[i] = e.Value
	}
	w.call(ctx, items, results)

	var unfit error // the table can't accept any item
	t := tallyOf(results)
	if t.invalid > 0 && w.cfg.Recheck != nil {
		unfit = w.cfg.Recheck(ctx)
	}
	w.judge(ctx, &t, unfit)
	w.settle(ctx, entries, results, unfit)
}

// call makes the calls of a batch, each with up to Table.MaxItems items. It makes no further calls after one was throttled or refused,
// or after CallsPerBatch have failed: on a table that hangs, the batch would otherwise take several times CallTimeout.
func (w *Writer) call(ctx context.Context, items []*item.Item, results []Result) {
	size := w.cfg.Table.MaxItems()
	if len(items) <= size {
		w.callOnce(ctx, items, results)
		return
	}
	var mu sync.Mutex
	var calls sync.WaitGroup
	next, failed := 0, 0
	var stop Result
	for range min(CallsPerBatch, (len(items)+size-1)/size) {
		calls.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			for next < len(items) && stop.Kind == NoResult && ctx.Err() == nil {
				start, end := next, min(next+size, len(items))
				next = end
				mu.Unlock()
				w.callOnce(ctx, items[start:end], results[start:end])
				mu.Lock()
				switch r := results[start]; r.Kind {
				case Throttled, Refused:
					stop = r
				case Failed:
					if failed++; failed == CallsPerBatch {
						stop = r
					}
				}
			}
		})
	}
	calls.Wait()
	SetAll(results[next:], stop)
}

// callOnce makes a call with a timeout: one without an answer would hold its items, and block the drain, forever.
func (w *Writer) callOnce(ctx context.Context, items []*item.Item, results []Result) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	w.cfg.Table.Write(ctx, items, results)
}

// A tally counts the results of a batch.
type tally struct {
	items       int
	taken       int    // written or superseded
	unprocessed int    // returned by a call that accepted others
	back        int    // to be retried, without hot keys
	invalid     int    // invalid or suspect
	worst       Result // of the items to be retried, the one that says most about the table
}

func tallyOf(results []Result) (t tally) {
	t.items = len(results)
	for i := range results {
		r := &results[i]
		switch r.Kind {
		case Written, Superseded:
			t.taken++
			continue
		case Invalid, Suspect:
			t.invalid++
			continue
		case HotKey:
			continue
		case NoResult:
			*r = Result{Failed, errNoResult}
		case Unprocessed:
			t.unprocessed++
		}
		t.back++
		if r.Kind > t.worst.Kind {
			t.worst = *r
		}
	}
	return t
}

// judge reports a batch to the governor, by what its results say about the table.
func (w *Writer) judge(ctx context.Context, t *tally, unfit error) {
	if t.taken+t.unprocessed > 0 {
		w.cfg.Observer.Batch(t.items, t.unprocessed)
	}
	switch {
	case unfit != nil:
		w.governor.failed(Refused, unfit)
	case t.taken > 0:
		w.governor.succeeded(t.items, t.back)
	case t.back == 0:
		w.governor.answered() // invalid items; hot keys back off by themselves, and the table takes others
	case ctx.Err() != nil: // the writer is stopping
	case t.worst.Kind == Unprocessed:
		w.governor.failed(Throttled, errAllUnprocessed)
	default:
		w.governor.failed(t.worst.Kind, t.worst.Err)
	}
}

var errAllUnprocessed = errors.New("every item came back unprocessed")

// settle reports items with a final result to the window and gives the others back to the batcher. It writes suspects again in halves.
func (w *Writer) settle(ctx context.Context, entries []*batch.Entry[*item.Item], results []Result, unfit error) {
	suspects := entries[:0:0]
	var refused error
	for i, e := range entries {
		switch r := &results[i]; r.Kind {
		case Written:
			w.done(e, prediction.Written, nil)
		case Superseded:
			w.done(e, prediction.Superseded, nil)
		case Invalid, Suspect:
			switch {
			case unfit != nil:
				w.giveBack(e)
			case r.Kind == Invalid:
				w.reject(e, r.Err)
			default:
				suspects, refused = append(suspects, e), r.Err
			}
		default:
			w.giveBack(e)
		}
	}
	switch half := len(suspects) / 2; {
	case half > 0:
		w.write(ctx, suspects[:half])
		w.write(ctx, suspects[half:])
	case len(suspects) == 1:
		w.reject(suspects[0], refused)
	}
}

func (w *Writer) done(e *batch.Entry[*item.Item], o prediction.Outcome, why *prediction.Reject) {
	w.cfg.Window.Done(e.Value, o, why)
	e.Done()
}

func (w *Writer) reject(e *batch.Entry[*item.Item], err error) {
	w.done(e, prediction.Rejected, prediction.Rejectf(prediction.ReasonTable, "", "DynamoDB refused the item: %v", err))
}

func (w *Writer) giveBack(e *batch.Entry[*item.Item]) {
	w.cfg.Window.Requeue(e.Value)
	e.Retry()
}
