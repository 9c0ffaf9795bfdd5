// Package removal removes from the table what a delete hides: the items of its id with an event time that is not later.
package removal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// PageItems is the maximum number of items of a Page: one BatchWriteItem. At the default concurrency, removals take a quarter of the
// writer's backlog, so that the stream keeps most of it.
const PageItems = 25

// A Table reads the items of an id.
type Table interface {
	// Page reads up to PageItems items of the tombstone's id, consistently: in the versioned layout those with a sort key below the
	// tombstone's, else all. after is the Next of the page before, or nil.
	Page(ctx context.Context, tombstone item.Key, after *item.Key) (Page, error)
}

// A Page is a part of the items of an id. Tombstones, and items that the worker can't have written, are left out.
type Page struct {
	Found []Found
	Next  *item.Key // nil if this is the last page
	Size  int       // average bytes of an item; 0 if it is not known
}

// A Found is a prediction in the table, or on its way there.
type Found struct {
	Key   item.Key
	Event prediction.Time
}

// A Delete is a durable delete: see dedup.Delete.
type Delete struct {
	Key     item.Key // of its tombstone
	Version prediction.Version
	// Done ends the delete. It is called once.
	Done func(removed bool)
	// Stall announces that the delete waits for a long time. If it returns false, the delete can't, and is ended.
	Stall func() bool
}

// A Waiter receives the outcome of a removal: see dedup.Waiter.
type Waiter interface {
	Resolve(o prediction.Outcome, raw string, why *prediction.Reject)
}

// An Observer counts what the Remover does. Its methods are called concurrently.
type Observer interface {
	// Removed counts items that were removed.
	Removed(items int)
	// Removing reports the number of deletes whose items are being removed, or wait for that.
	Removing(deletes int)
}

// Config of a Remover.
type Config struct {
	Table  Table
	Layout *item.Layout
	// Admit passes a removal to the dedup window: see dedup.Window.Admit. Submit passes it on to the writer.
	Admit  func(it *item.Item, to Waiter) (submit bool)
	Submit func(items ...*item.Item)
	// Pending returns the id's writes on their way to the table that are not newer than the delete: see dedup.Window.Older.
	Pending  func(id string, deleted prediction.Version) []Found
	Observer Observer
	// Concurrency is the maximum number of ids of which a page is being removed.
	Concurrency int
	// CallTimeout bounds each Page.
	CallTimeout time.Duration
}

const (
	// maxPasses bounds how often an id is looked at for one delete. Each pass finds what was there when the tombstone became durable;
	// further ones find what arrived meanwhile, which may never end.
	maxPasses = 10
	// failuresToStall is the number of consecutive failures after which the deletes that wait are announced as stalled.
	failuresToStall = 3
)

// A Remover removes the items of deleted ids, a page of each id in turn, so that an id with many items does not delay others. It holds
// at most Concurrency pages, 150 KB at the default.
type Remover struct {
	cfg     Config
	batcher *batch.Batcher[*job]
	backoff batch.Backoff

	mu       sync.Mutex
	jobs     map[*job]struct{}
	failures int // in a row; from failuresToStall on, batcher's limit is 1
	closed   bool
}

// A job is a delete in progress.
type job struct {
	Delete
	after *item.Key // of the current pass
	found bool      // the current pass has found something
	pass  int
	ended bool // guarded by Remover.mu
}

// New returns a Remover. Run starts it.
func New(cfg Config) *Remover {
	r := &Remover{cfg: cfg, jobs: map[*job]struct{}{}, backoff: batch.Backoff{Base: time.Second, Max: 30 * time.Second}}
	r.batcher = batch.New(batch.Config[*job]{MaxItems: 1, Workers: cfg.Concurrency, Handle: r.handle, Backoff: r.backoff})
	return r
}

// Run removes until ctx is done. Deletes in progress then end without being removed.
func (r *Remover) Run(ctx context.Context) error {
	err := r.batcher.Run(ctx)
	r.mu.Lock()
	r.closed = true
	var left []*job
	for j := range r.jobs {
		left = append(left, j)
	}
	r.mu.Unlock()
	for _, j := range left {
		r.end(j, false)
	}
	return err
}

// Remove removes what a delete hides, and then calls its Done.
func (r *Remover) Remove(d Delete) {
	j := &job{Delete: d}
	r.mu.Lock()
	r.jobs[j] = struct{}{}
	n, closed := len(r.jobs), r.closed
	failing := r.failures >= failuresToStall && n > 1 // a single one is tried, or nothing would ever show that removals work again
	r.mu.Unlock()
	r.cfg.Observer.Removing(n)
	if closed || failing && !d.Stall() {
		r.end(j, false)
		return
	}
	r.batcher.Add(j)
}

// end ends a delete, unless it has ended.
func (r *Remover) end(j *job, removed bool) {
	r.mu.Lock()
	if j.ended {
		r.mu.Unlock()
		return
	}
	j.ended = true
	delete(r.jobs, j)
	n := len(r.jobs)
	r.mu.Unlock()
	r.cfg.Observer.Removing(n)
	j.Done(removed)
}

func (r *Remover) isEnded(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.ended
}

// handle removes one page of an id.
func (r *Remover) handle(ctx context.Context, entries []*batch.Entry[*job]) {
	e := entries[0]
	j := e.Value
	if r.isEnded(j) {
		e.Done()
		return
	}
	page, err := r.page(ctx, j)
	if err == nil {
		err = r.remove(ctx, j, page)
	}
	switch {
	case err != nil:
		e.Retry()
		if ctx.Err() == nil {
			r.failed(ctx, j)
		}
		return
	case page.Next != nil:
		j.after = page.Next
	case j.found && j.pass < maxPasses-1:
		j.after, j.found = nil, false
		j.pass++
	default:
		r.succeeded()
		e.Done()
		r.end(j, true)
		return
	}
	r.succeeded()
	e.Done()
	r.batcher.Add(j) // behind the others
}

// page reads the next page of an id. The first page of a pass also has the writes on their way to the table: they might reach it
// after the pass.
func (r *Remover) page(ctx context.Context, j *job) (Page, error) {
	var pending []Found
	if j.after == nil {
		pending = r.cfg.Pending(j.Key.ID, j.Version)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	page, err := r.cfg.Table.Page(ctx, j.Key, j.after)
	page.Found = append(page.Found, pending...)
	return page, err
}

// remove removes those items of a page that are not newer than the delete, and waits until it is done.
func (r *Remover) remove(ctx context.Context, j *job, page Page) error {
	w := &waiter{done: make(chan struct{})}
	w.left = 1
	var items []*item.Item
	seen := make(map[item.Key]bool, len(page.Found))
	for _, f := range page.Found {
		if f.Event.Compare(j.Version.Event) > 0 || seen[f.Key] {
			continue
		}
		seen[f.Key] = true
		j.found = true
		w.expect()
		if it := r.cfg.Layout.NewRemoval(f.Key, f.Event, j.Version, page.Size); r.cfg.Admit(it, w) {
			items = append(items, it)
		}
	}
	r.cfg.Submit(items...)
	w.Resolve(prediction.Superseded, "", nil) // the one that it began with
	select {
	case <-w.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.cfg.Observer.Removed(w.removed)
	return w.err
}

// failed records a failure. After several in a row, the deletes that wait are announced as stalled, and only one at a time is tried,
// with a growing pause: without the permission for it, no removal succeeds.
func (r *Remover) failed(ctx context.Context, failed *job) {
	r.mu.Lock()
	r.failures++
	failures := r.failures
	if failures >= failuresToStall {
		r.batcher.SetLimit(1)
	}
	var waiting []*job
	switch {
	case failures > failuresToStall:
		waiting = append(waiting, failed)
	case failures == failuresToStall:
		for j := range r.jobs {
			waiting = append(waiting, j)
		}
	}
	r.mu.Unlock()
	for _, j := range waiting {
		if !j.Stall() {
			r.end(j, false)
		}
	}
	if failures >= failuresToStall {
		cond.Sleep(ctx, r.backoff.After(failures-failuresToStall+1))
	}
}

func (r *Remover) succeeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures >= failuresToStall {
		r.batcher.SetLimit(r.cfg.Concurrency)
	}
	r.failures = 0
}

// A waiter collects the outcomes of a page.
type waiter struct {
	mu      sync.Mutex
	left    int
	removed int
	err     error
	done    chan struct{} // closed when left becomes 0
}

func (w *waiter) expect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left++
}

// Resolve implements dedup.Waiter. A removal that is superseded or a duplicate needs no other: a newer version has the key, or another
// delete removed it.
func (w *waiter) Resolve(o prediction.Outcome, _ string, why *prediction.Reject) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o {
	case prediction.Deleted:
		w.removed++
	case prediction.Rejected:
		w.err = fmt.Errorf("removing an item: %w", why)
	case prediction.Failed:
		w.err = errAbandoned
	}
	if w.left--; w.left == 0 {
		close(w.done)
	}
}

var errAbandoned = errors.New("the removal of an item was abandoned")
