// Package erase removes ids from the table for good: it leaves a tombstone, removes everything older, and proves that nothing else of
// the id is left. It makes the same writes as the worker does for a delete under WORKER_DELETES=remove, without the queue.
package erase

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

// Options of a Run.
type Options struct {
	Config  *config.Config
	Clients *awsclient.Clients
	IDs     []string
	DryRun  bool   // read only
	State   string // name of the file that keeps the progress; "" for none
	// Notify is called with a message when something keeps the run waiting. It may be nil.
	Notify func(format string, args ...any)
}

const (
	// atOnce is the maximum number of ids in progress.
	atOnce = 8
	// rounds is how often what is found at the end is removed again. While the fleet runs, what it received before may still arrive.
	rounds = 3
)

// Connections returns the number of concurrent calls that a run may make, for awsclient.Config.
func Connections(cfg *config.Config) int {
	return cfg.WriteConcurrency*(writer.CallsPerBatch+1) + atOnce
}

// A Run erases ids once:
//
//	look -> tombstone -> removal, for each id, and then: prove, for each id
type Run struct {
	o        Options
	layout   *item.Layout
	keys     []string // partition keys of the ids
	warnings []string
	window   *dedup.Window
	writer   *writer.Writer
	remover  *removal.Remover // nil in the latest-only layout, where a tombstone replaces what it hides
	counts   counts
	ledger   ledger
	started  int64 // of the first run, in milliseconds since the epoch
	resumed  int   // ids that the interrupted run had erased

	abort  context.CancelFunc // ends the run
	mu     sync.Mutex
	until  []prediction.Time // of each id: the event time of its tombstone; zero if the interrupted run wrote it
	err    error             // from fail
	notice string            // the last one
}

// New prepares a run. It reads the table's description, and the state of an interrupted run of the same ids.
func New(ctx context.Context, o Options) (*Run, error) {
	if o.Notify == nil {
		o.Notify = func(string, ...any) {}
	}
	cfg := *o.Config
	o.Config = &cfg
	found, err := findTable(ctx, &cfg, o.Clients)
	if err != nil {
		return nil, err
	}
	r := &Run{o: o, layout: found.Layout, started: o.Clients.Clock.Now().UnixMilli()}
	if r.keys, err = keysOf(r.layout, o.IDs); err != nil {
		return nil, err
	}
	r.ledger.erased = make([]bool, len(r.keys))
	r.until = make([]prediction.Time, len(r.keys))
	if r.layout.Kind != item.Versioned && cfg.Ordering != config.OrderingNewest {
		r.warnings = append(r.warnings, fmt.Sprintf("WORKER_ORDERING is %s: in the %s layout, a worker with this setting replaces a tombstone by an older prediction that arrives late. Set WORKER_ORDERING=newest for all workers first.", cfg.Ordering, r.layout.Kind))
	}
	r.connect(found)
	if err := r.resume(); err != nil {
		return nil, err
	}
	return r, nil
}

// findTable reads the table's description. Where a tombstone may have a prediction's key, the layout is that of conditional writes.
func findTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*worker.Resources, error) {
	conditional := *cfg
	conditional.Ordering = config.OrderingNewest // which suits every layout
	found, err := worker.FindTable(ctx, &conditional, clients)
	if err == nil && found.Layout.Kind == item.Versioned {
		found.Layout, err = cfg.NewLayout(found.Table)
	}
	return found, err //nolint:wrapcheck // it names the table
}

// connect connects the stages.
func (r *Run) connect(found *worker.Resources) {
	cfg, clients := r.o.Config, r.o.Clients
	wc := dedup.Config{
		// Nothing needs to be remembered: an id comes once, and what was removed may return.
		Size: 2, Ordered: r.layout.Ordered, Observer: unobserved{},
		Submit: func(items ...*item.Item) { r.writer.Submit(items...) },
	}
	table := awsclient.NewTable(clients, cfg.TableName, r.layout, r.counts.wrote)
	if r.layout.Kind != item.LatestOnly {
		wc.Remove = func(d *dedup.Delete) {
			r.remover.Remove(removal.Delete{Key: d.Key, Version: d.Version, Done: d.Done, Stall: d.Stall})
		}
		table = writer.WithRemovals(table, removals{r, awsclient.NewDeleteTable(clients, cfg.TableName, r.layout, r.counts.wrote)})
	}
	r.window = dedup.NewWindow(wc)
	r.writer = writer.New(writer.Config{
		Table: table, Window: r.window, Observer: unobserved{}, Concurrency: cfg.WriteConcurrency, CallTimeout: cfg.CallTimeout,
		MaxUnits: cfg.MaxWriteUnits, Now: clients.Clock.Now, OnState: r.onState,
		Recheck: worker.NewTableWatch(cfg, clients, found, func(bool) {}, slog.New(slog.DiscardHandler)).Recheck,
	}, r.window.Begin)
	if r.layout.Kind == item.LatestOnly {
		return
	}
	r.remover = removal.New(removal.Config{
		Table: versions{r, awsclient.NewVersionTable(clients, cfg.TableName, r.layout, r.counts.read)}, Layout: r.layout, Observer: &r.counts,
		Concurrency: cfg.WriteConcurrency, CallTimeout: cfg.CallTimeout, Submit: r.writer.Submit,
		Admit:   func(it *item.Item, to removal.Waiter) bool { return r.window.Admit(it, to) },
		Pending: func(string, prediction.Version) []removal.Found { return nil }, // nothing else is written here
	})
}

// Warnings returns what may make erased ids come back, each with its remedy.
func (r *Run) Warnings() []string { return r.warnings }

// Resumed returns the number of ids that the interrupted run had erased, which this run only proves.
func (r *Run) Resumed() int { return r.resumed }

// onState reports that the table can't be written.
func (r *Run) onState(s writer.State, reason error) {
	if s == writer.Down {
		r.notify("the table can't be written, retrying: %v", reason)
	}
}

// notify passes a message on, unless it was the last one.
func (r *Run) notify(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	repeated := text == r.notice
	r.notice = text
	r.mu.Unlock()
	if !repeated {
		r.o.Notify("%s", text)
	}
}

// fail ends the run with an error.
func (r *Run) fail(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	r.abort()
}

func (r *Run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// unobserved ignores what the stages count: a run has no metrics.
type unobserved struct{}

func (unobserved) Batch(int, int)                         {}
func (unobserved) Limit(int)                              {}
func (unobserved) Outcome(prediction.Outcome, int, int64) {}

// removals ends the run if the role may not remove: waiting, as a worker does, would not help.
type removals struct {
	run *Run
	writer.Table
}

// Write implements writer.Table.
func (t removals) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	t.Table.Write(ctx, items, results)
	for i := range results {
		if results[i].Kind == writer.Invalid {
			t.run.fail(fmt.Errorf("removing an item: %w", results[i].Err))
		}
	}
}

// versions reports reads that fail. The remover repeats them.
type versions struct {
	run *Run
	removal.Table
}

// Page implements removal.Table.
func (t versions) Page(ctx context.Context, tombstone item.Key, after *item.Key) (removal.Page, error) {
	page, err := t.Table.Page(ctx, tombstone, after)
	if err != nil && ctx.Err() == nil {
		t.run.notify("an id's items can't be read, retrying: %v", err)
	}
	return page, err //nolint:wrapcheck // the table names the call
}

// now returns the services' time, in milliseconds since the epoch.
func (r *Run) now() time.Time { return r.o.Clients.Clock.Now() }
