// Package writer writes items to the table. It retries items that were not written, finds the item because of which a call fails,
// and adapts the number of concurrent calls to what the table accepts.
package writer

import (
	"context"
	"slices"
	"sync"
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

// batchBytes is the maximum size of a request, below DynamoDB's limit: 8 requests in flight take up to 16 MiB. It splits a batch of 25
// only if its items are longer than 80 KB on average, and writing those takes longer than an additional call.
const batchBytes = 2 << 20

// A Window passes the outcome of an item's write to its predictions: see dedup.Window.
type Window interface {
	// Done ends an item's write. why is set if the outcome is Rejected.
	Done(it *item.Item, o prediction.Outcome, why *prediction.Reject)
	// Requeue marks an item as no longer in flight. It will be retried.
	Requeue(it *item.Item)
}

// An Observer counts what the writer decides. Calls are counted by a wrapper of the Table. Its methods are called concurrently.
type Observer interface {
	// Batch reports a batch that the table answered: the number of its items, and of those returned as unprocessed.
	Batch(items, unprocessed int)
	// Limit reports the maximum number of batches in flight.
	Limit(batches int)
}

// Config of a Writer.
type Config struct {
	Table    Table
	Window   Window
	Observer Observer
	// Concurrency is the maximum number of batches in flight. On a Table that writes one item per call, each batch makes up to
	// CallsPerBatch concurrent calls.
	Concurrency int
	// CallTimeout bounds each call.
	CallTimeout time.Duration
	// Linger is the maximum time that items wait for others to fill a batch: see WORKER_MAX_ADDED_LATENCY.
	Linger time.Duration
	// Hold, if set, returns how long an item waits instead, for a newer version of its key that takes its place.
	Hold func(it *item.Item) time.Duration
	// MaxUnits is the maximum number of write units per second. 0 means no limit.
	MaxUnits int
	// Behind, if set, is a Writer of more urgent items. A batch waits for up to a second while that Writer has a full batch waiting, and
	// its write units count against that one's MaxUnits too.
	Behind *Writer
	// Waiting, if set, is called about once a second while a batch waits for its write units.
	Waiting func()
	// Now is the services' clock. An item that expired more than ExpiryGrace ago is not written, but for a tombstone.
	Now func() time.Time
	// Recheck, if set, checks the table's key after the table refused an item as invalid. It returns an error if the key has changed, so
	// that the table would refuse every item. The writer then rejects none and goes down.
	Recheck func(ctx context.Context) error
	// OnState is called when the state changes, with the reason for Down. It must not call the Writer.
	OnState func(s State, reason error)
}

// patience is the maximum time that a batch that is not full waits while another is in flight: about the time of two calls. A call
// that hangs delays later batches by no more than this.
const patience = 10 * time.Millisecond

// backlog is the number of full batches, times Config.Concurrency, that may be pending before receiving pauses. A receive takes one
// to four times as long as a write, and returns more than one batch if messages carry many predictions.
const backlog = 4

// maxHeld is the maximum number of items that wait for a newer version. Beyond it, the one that has waited longest is written, so
// that a backlog is written as fast as the table allows.
const maxHeld = 1000

// ExpiryGrace is how long an expired prediction is still written, since clocks differ a little.
const ExpiryGrace = time.Minute

// A Writer batches items and writes them to the table.
type Writer struct {
	cfg      Config
	units    *rate.Limiter
	governor *governor
	batcher  *batch.Batcher[*item.Item]
	attempts sync.Pool // of *attempt
}

// New returns a Writer. take marks an item as in flight: see batch.Config.Take.
func New(cfg Config, take func(it *item.Item, room int) (size int, fits bool)) *Writer {
	w := &Writer{cfg: cfg}
	w.attempts.New = func() any { return new(attempt) }
	if cfg.MaxUnits > 0 {
		w.units = rate.NewLimiter(rate.Limit(cfg.MaxUnits), cfg.MaxUnits)
	}
	w.batcher = batch.New(batch.Config[*item.Item]{
		MaxItems: MaxItems, MaxBytes: batchBytes, Workers: cfg.Concurrency, Take: take, Handle: w.handle,
		Linger: cfg.Linger, Patience: patience, Hold: cfg.Hold, MaxHeld: maxHeld,
		// An unprocessed key is most often one of a busy partition, whose capacity is counted per second.
		Backoff: batch.Backoff{Base: 50 * time.Millisecond, Max: 10 * time.Second},
	})
	w.governor = newGovernor(cfg, w.batcher.SetLimit)
	return w
}

// Run writes until ctx is done. Items that are pending then get the outcome Failed.
func (w *Writer) Run(ctx context.Context) error {
	defer w.governor.stop()
	err := w.batcher.Run(ctx)
	for _, it := range w.batcher.Drain() {
		w.cfg.Window.Done(it, prediction.Failed, nil)
	}
	return err
}

// Submit queues items, so that they can share a batch.
func (w *Writer) Submit(items ...*item.Item) { w.batcher.Add(items...) }

// Flush ends the waiting of pending items for others, and of those submitted from now on.
func (w *Writer) Flush() { w.batcher.Flush() }

// Press says whether memory is short. While it is, items are not held for newer versions: what they hold is freed.
func (w *Writer) Press(short bool) { w.batcher.Press(short) }

// Ready blocks until few items are pending, so that more may be received. The bound is soft: receives that began
// earlier add to it. It returns false if ctx is done first.
func (w *Writer) Ready(ctx context.Context) bool {
	return w.batcher.Below(ctx, backlog*w.cfg.Concurrency*MaxItems)
}

// Idle blocks until little is pending, an eighth of what the workers take at once: what is submitted next is then written within the time
// of two calls. It returns early if ctx is done.
func (w *Writer) Idle(ctx context.Context) {
	w.batcher.Below(ctx, w.cfg.Concurrency*MaxItems/8+1)
}

// handle writes the items of a batch that have not expired.
func (w *Writer) handle(ctx context.Context, entries []*batch.Entry[*item.Item]) {
	entries = w.live(entries)
	if len(entries) == 0 {
		return
	}
	units := 0
	for _, e := range entries {
		units += e.Value.Units()
	}
	w.giveWay(ctx)
	if !w.governor.begin() || w.pay(ctx, units) != nil { // pay fails if ctx is done
		for _, e := range entries {
			w.giveBack(e)
		}
		return
	}
	w.write(ctx, entries)
}

// live settles the entries that have expired and returns the others.
func (w *Writer) live(entries []*batch.Entry[*item.Item]) []*batch.Entry[*item.Item] {
	limit := w.cfg.Now().Add(-ExpiryGrace).Unix()
	expired := func(e *batch.Entry[*item.Item]) bool { return e.Value.Expires < limit && !e.Value.Version.Deleted }
	if !slices.ContainsFunc(entries, expired) {
		return entries
	}
	live := make([]*batch.Entry[*item.Item], 0, len(entries)) // the batcher needs its own slice as it is
	for _, e := range entries {
		if expired(e) {
			w.done(e, prediction.Expired, nil)
		} else {
			live = append(live, e)
		}
	}
	return live
}

// maxWait is the maximum time that a batch waits for more urgent ones: under a constant load of those, each worker still writes 25
// items a second.
const maxWait = time.Second

// giveWay blocks while more urgent items wait for a worker.
func (w *Writer) giveWay(ctx context.Context) {
	urgent := w.cfg.Behind
	if urgent == nil || urgent.batcher.Waiting() < MaxItems {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	urgent.batcher.Below(ctx, MaxItems)
}

// pay blocks until MaxUnits, also of a more urgent Writer, allows the given write units, which may take several seconds. It returns an
// error if ctx is done first.
func (w *Writer) pay(ctx context.Context, units int) error {
	if urgent := w.cfg.Behind; urgent != nil {
		if err := urgent.pay(ctx, units); err != nil {
			return err
		}
	}
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
