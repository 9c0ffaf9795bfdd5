// Package writer puts items into the table by BatchWriteItem, finds the one that makes a batch fail, and follows what the
// table can take.
package writer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// BatchWriteItem's limits ("BatchWriteItem", Amazon DynamoDB API Reference).
const (
	MaxItems = 25
	MaxBytes = 16 << 20
)

// A Table writes items. An error means that none of them is known to be written; to write one again is harmless.
type Table interface {
	// BatchWrite writes up to MaxItems items of different keys. Those that the table did not accept are returned by their
	// indexes; writing nothing at all is an error.
	BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error)
}

// What an error of a Table may be (errors.Is). Any other means that the table can't be written now, by a fault that may
// pass: no answer, a failing service, a missing permission or table.
var (
	ErrInvalid   = errors.New("refused as invalid")       // at least one item can never be written
	ErrThrottled = errors.New("throttled")                // too much for now
	ErrHotKeys   = errors.New("throttled by partition")   // too much for now for the keys of this call, not for the table
	ErrRefused   = errors.New("refused whatever is sent") // denied, or no such table: waiting for somebody's doing
)

// A Window decides what becomes of an item's predictions.
type Window interface {
	// Done ends an item's write; why is set where the outcome is Rejected.
	Done(it *item.Item, o prediction.Outcome, why *prediction.Reject)
	// Requeue takes back an item that is to be tried again.
	Requeue(it *item.Item)
}

// An Observer counts. Its methods are called by several goroutines.
type Observer interface {
	Batch(items, unprocessed int)
	Limit(batches int)
}

// Config of a Writer.
type Config struct {
	Table Table
	// Newest takes the place of Table where an older version must never replace a newer one, whoever wrote that.
	Newest   NewestTable
	Window   Window
	Observer Observer
	// Concurrency is how many calls may be under way at the most.
	Concurrency int
	// CallTimeout bounds each call: one that hangs would hold its items, and the whole drain.
	CallTimeout time.Duration
	// Linger is how long items may wait for others to make a full batch; see WORKER_MAX_ADDED_LATENCY.
	Linger time.Duration
	// MaxUnits caps the write units a second; 0 is no cap.
	MaxUnits int
	// Waiting, where it is set, is told about once a second that a batch waits for its write units.
	Waiting func()
	// Now is the services' clock: what expired over a minute ago by it is not paid for.
	Now func() time.Time
	// Recheck reads the table's description again after it refused an item, and says what has changed, if anything.
	Recheck func(ctx context.Context) error
	// OnState is told when writing stops and starts again.
	OnState func(s State, reason error)
}

// patience is for how long a batch that isn't full waits while another is under way: about two calls' time. A call that
// hangs so delays those after it by no more.
const patience = 10 * time.Millisecond

// backlog is how many full batches may wait for each call of Config.Concurrency, before more is received: a receive takes one to
// four times as long as a write, and brings more than one batch where messages carry many predictions.
const backlog = 4

// ExpiryGrace is for how long an expired prediction is written all the same: clocks differ a little.
const ExpiryGrace = time.Minute

// A Writer handles the batches of a batch.Batcher.
type Writer struct {
	cfg      Config
	units    *rate.Limiter
	governor *governor
	batcher  *batch.Batcher[*item.Item]
}

// New makes a Writer. take marks an item as under way: see batch.Config.
func New(cfg Config, take func(it *item.Item, room int) (size int, fits bool)) *Writer {
	w := &Writer{cfg: cfg}
	if cfg.MaxUnits > 0 {
		w.units = rate.NewLimiter(rate.Limit(cfg.MaxUnits), cfg.MaxUnits)
	}
	w.batcher = batch.New(batch.Config[*item.Item]{
		MaxItems: MaxItems, MaxBytes: MaxBytes, Workers: cfg.Concurrency, Take: take, Handle: w.handle,
		Linger: cfg.Linger, Patience: patience,
		// An unprocessed key is most often one of a busy partition, whose capacity is counted by the second.
		Backoff: batch.Backoff{Base: 50 * time.Millisecond, Max: 10 * time.Second},
	})
	w.governor = newGovernor(cfg, w.batcher.SetLimit)
	return w
}

// Run writes until ctx is done. What is then pending is given up: Failed.
func (w *Writer) Run(ctx context.Context) error {
	defer w.governor.stop()
	err := w.batcher.Run(ctx)
	for _, it := range w.batcher.Drain() {
		w.cfg.Window.Done(it, prediction.Failed, nil)
	}
	return err
}

// Submit queues items, together.
func (w *Writer) Submit(items ...*item.Item) { w.batcher.Add(items...) }

// Ready waits until there is little left to write, so that more may be received. It is a soft bound: what the receives bring that
// began meanwhile comes on top. It returns false where ctx has ended.
func (w *Writer) Ready(ctx context.Context) bool {
	return w.batcher.Below(ctx, backlog*w.cfg.Concurrency*MaxItems)
}

func (w *Writer) handle(ctx context.Context, entries []*batch.Entry[*item.Item]) {
	live := entries[:0:0]
	limit := w.cfg.Now().Add(-ExpiryGrace).Unix()
	units := 0
	for _, e := range entries {
		if e.Value.Expires < limit {
			w.cfg.Window.Done(e.Value, prediction.Expired, nil)
			e.Done()
			continue
		}
		units += e.Value.Units()
		live = append(live, e)
	}
	if len(live) == 0 {
		return
	}
	if !w.governor.begin() {
		w.giveBack(live)
		return
	}
	if w.pay(ctx, units) != nil { // ctx has ended
		w.giveBack(live)
		return
	}
	if w.cfg.Newest != nil {
		w.writeNewest(ctx, live)
		return
	}
	w.write(ctx, live)
}

// pay waits until so many write units may be used. A batch may need more than a second's: it then waits for as many seconds.
func (w *Writer) pay(ctx context.Context, units int) error {
	for w.units != nil && units > 0 {
		n := min(units, w.cfg.MaxUnits)
		if err := w.units.WaitN(ctx, n); err != nil {
			return err
		}
		if units -= n; w.cfg.Waiting != nil {
			w.cfg.Waiting()
		}
	}
	return nil
}

func (w *Writer) giveBack(entries []*batch.Entry[*item.Item]) {
	for _, e := range entries {
		w.cfg.Window.Requeue(e.Value)
		e.Retry()
	}
}

// write makes one call, or halves the batch until the item that can't be written is alone.
func (w *Writer) write(ctx context.Context, entries []*batch.Entry[*item.Item]) {
	items := make([]*item.Item, len(entries))
	for i, e := range entries {
		items[i] = e.Value
	}
	unprocessed, err := w.call(ctx, items)
	switch {
	case err == nil:
		w.cfg.Observer.Batch(len(items), len(unprocessed))
		if len(unprocessed) == len(items) {
			w.governor.failed(fmt.Errorf("%w: every item came back unprocessed", ErrThrottled))
		} else {
			w.governor.succeeded(len(items), len(unprocessed))
		}
		w.settle(entries, unprocessed)
	case errors.Is(err, ErrInvalid):
		if changed := w.recheck(ctx); changed != nil {
			w.governor.failed(changed)
			w.giveBack(entries)
			return
		}
		w.governor.answered()
		if len(entries) == 1 {
			why := prediction.Rejectf(prediction.ReasonTable, "", "DynamoDB refused the item: %v", err)
			w.cfg.Window.Done(items[0], prediction.Rejected, why)
			entries[0].Done()
			return
		}
		half := len(entries) / 2
		w.write(ctx, entries[:half])
		w.write(ctx, entries[half:])
	case errors.Is(err, ErrHotKeys):
		w.governor.answered() // the keys back off by themselves; the table takes others
		w.giveBack(entries)
	default:
		if ctx.Err() == nil { // else it is only that we are stopping
			w.governor.failed(err)
		}
		w.giveBack(entries)
	}
}

// call makes one attempt: a service that doesn't answer must not hold a writer for ever.
func (w *Writer) call(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	return w.cfg.Table.BatchWrite(ctx, items)
}

func (w *Writer) recheck(ctx context.Context) error {
	if w.cfg.Recheck == nil {
		return nil
	}
	return w.cfg.Recheck(ctx)
}

// settle ends the writes that were accepted and gives back the others, whose indexes are in order or not.
func (w *Writer) settle(entries []*batch.Entry[*item.Item], unprocessed []int) {
	var back [MaxItems]bool
	for _, i := range unprocessed {
		back[i] = true
	}
	for i, e := range entries {
		if back[i] {
			w.cfg.Window.Requeue(e.Value)
			e.Retry()
			continue
		}
		w.cfg.Window.Done(e.Value, prediction.Written, nil)
		e.Done()
	}
}
