// Package warm fills the table directly from files of predictions. It uses the worker's ingest, dedup window and writer. In place of
// the queue, a ledger records up to where the files are durable.
package warm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/checkpoint"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

// Options of a Run.
type Options struct {
	Config  *config.Config
	Clients *awsclient.Clients
	Files   []string  // names of files, where "-" is Stdin, or else s3:// URLs of objects and prefixes
	Stdin   io.Reader // for "-"
	DryRun  bool      // count only, write nothing
	// State is the name of the file that keeps the progress, and Rejects that of the file for predictions that can't be stored. With
	// "", no such file is written.
	State, Rejects string
	// EventTime is the event time of predictions that have none, in milliseconds since the epoch. With 0 they are rejected, unless
	// Modified is set: then it is the time when their file was modified.
	EventTime int64
	Modified  bool
	// Notify is called with a message when the table can't be written. It may be nil.
	Notify func(format string, args ...any)
}

// room is the maximum memory of the chunks in flight, text and items: about 10,000 predictions of 1 KB.
const room = 32 << 20

// Connections returns the number of concurrent calls that a run may make, for awsclient.Config.
func Connections(cfg *config.Config) int {
	return cfg.WriteConcurrency*writer.CallsPerBatch + 8 // some to spare for what is asked at the start
}

// A Run fills the table from files once:
//
//	read -> chunks -> ingest (decode, admit) -> batch -> write -> ledger
//
// Sources are read side by side, and their chunks are decoded by several goroutines.
type Run struct {
	o       Options
	sources []*source
	stdin   bool // one of them is standard input
	skipped int  // objects
	fields  prediction.Fields
	table   item.Table
	units   int64 // write units a second that the table takes; 0 is unknown
	needs   int64 // write units of all sources, roughly; 0 is unknown
	layout  *item.Layout
	ingest  *ingest.Ingest
	window  *dedup.Window
	writer  *writer.Writer
	ledger  ledger
	rejects rejectsFile
	counts  counts
	total   int64     // bytes of the sources; -1 if unknown
	started int64     // start of the run in seconds since the epoch: see order
	resumed *position // durable position of the interrupted run; nil for a new one

	abort context.CancelFunc // stops reading
	mu    sync.Mutex
	err   error // from fail
}

// New prepares a run. It reads the table's description, and the state of an interrupted run of the same files.
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
	r := &Run{o: o, layout: found.Layout, fields: cfg.Prediction().Fields, table: found.Table, started: time.Now().Unix()}
	if found.TableInfo != nil {
		r.units = found.TableInfo.WriteUnits
	}
	r.ledger.run, r.ledger.room = r, semaphore.NewWeighted(room)
	r.counts.init()
	r.window = dedup.NewWindow(dedup.Config{
		Size: cfg.DedupWindow, MaxAge: cfg.DedupMaxAge, Observer: &r.counts,
		Submit: func(items ...*item.Item) { r.writer.Submit(items...) },
	})
	r.writer = writer.New(r.writerConfig(found), r.window.Begin)
	decoder := cfg.Prediction()
	decoder.RequireTimestamp = o.EventTime == 0 && !o.Modified
	r.ingest = ingest.New(ingest.Config{
		Decoder: decoder, Layout: found.Layout, Admit: r.window.Admit, Submit: r.writer.Submit,
		Observer: &r.counts, Now: o.Clients.Clock.Now, Grace: writer.ExpiryGrace, Log: slog.New(slog.DiscardHandler),
	})
	if isObject(o.Files[0]) {
		r.sources, err = r.objectSources(ctx, o.Files)
	} else {
		r.sources, err = fileSources(o.Files, o.Stdin)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range r.sources {
		if s.size < 0 {
			r.stdin, r.total = true, -1
		} else if r.total >= 0 {
			r.total += s.size
		}
	}
	if err := r.resume(); err != nil {
		return nil, err
	}
	r.needs = r.estimate(ctx, prediction.NewDecoder(decoder))
	return r, nil
}

// Sources returns the number of files or objects, and how many objects are skipped because of their size or name.
func (r *Run) Sources() (n, skipped int) { return len(r.sources), r.skipped }

// Throughput returns the write units a second that the run can use: what the table takes, or the run's own limit. It also returns
// roughly how many units the run needs. Either is 0 if it is unknown.
func (r *Run) Throughput() (perSecond, needed int64) {
	perSecond = r.units
	if limit := int64(r.o.Config.MaxWriteUnits); limit > 0 && (perSecond == 0 || limit < perSecond) {
		perSecond = limit
	}
	return perSecond, r.needs
}

// findTable reads the table's description. It selects conditional writes where keys compete, so that a newer item stays: in a latest-only
// table, and in an expiry-sorted one with deletes.
func findTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*worker.Resources, error) {
	cfg.Ordering = config.OrderingNewest // which every layout allows
	found, err := worker.FindTable(ctx, cfg, clients)
	if err == nil && (found.Layout.Kind == item.Versioned || found.Layout.Kind == item.ExpirySorted && cfg.Deletes == config.DeletesOff) {
		cfg.Ordering = config.OrderingLastWrite
		found.Layout, err = cfg.NewLayout(found.Table)
	}
	return found, err //nolint:wrapcheck // it names the table
}

func (r *Run) writerConfig(found *worker.Resources) writer.Config {
	cfg := r.o.Config
	wc := writer.Config{
		Window: r.window, Observer: unobserved{}, Concurrency: cfg.WriteConcurrency, CallTimeout: cfg.CallTimeout,
		MaxUnits: cfg.MaxWriteUnits, Now: r.o.Clients.Clock.Now, OnState: r.onState,
		Recheck: worker.NewTableWatch(cfg, r.o.Clients, found, func(bool) {}, slog.New(slog.DiscardHandler)).Recheck,
	}
	if r.o.DryRun {
		wc.Table, wc.MaxUnits = &dryTable{&r.counts}, 0
		return wc
	}
	wc.Table = &countedTable{awsclient.NewTable(r.o.Clients, cfg.TableName, r.layout, r.counts.spent), &r.counts}
	return wc
}

// onState reports that the table can't be written.
func (r *Run) onState(s writer.State, reason error) {
	if s == writer.Down {
		r.o.Notify("the table can't be written, retrying: %v", reason)
	}
}

// unobserved ignores what the writer counts: a run has no metrics.
type unobserved struct{}

func (unobserved) Batch(int, int) {}
func (unobserved) Limit(int)      {}

// ErrInterrupted is the error of a run that was stopped before everything was durable.
var ErrInterrupted = errors.New("interrupted")

// Run reads all files and writes their predictions. When ctx is done, it stops reading, and finishes writes in flight until the
// worker's write deadline. It may be called once.
func (r *Run) Run(ctx context.Context) error {
	ctx, r.abort = context.WithCancel(ctx)
	defer r.abort()
	if err := r.openRejects(); err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(context.Background())
	defer stopWriting()
	var background errgroup.Group
	background.Go(func() error { return r.writer.Run(writing) })
	background.Go(func() error { return checkpoint.Keep(writing, r.saveState) })

	all, err := r.readAll(ctx)
	deadline, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !all {
		defer time.AfterFunc(r.o.Config.WriteDeadline(), cancel).Stop()
	} else { // the table may be down for a long time: an interrupt ends the wait
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(r.o.Config.WriteDeadline(), cancel) })
		defer stop()
	}
	r.ledger.wait(deadline)
	stopWriting()
	err = errors.Join(err, background.Wait(), r.failure(), r.rejects.close())
	if all && err == nil && r.counts.outcomes[prediction.Failed].Load() == 0 {
		return r.removeState()
	}
	if err = errors.Join(err, r.saveState()); err == nil {
		err = ErrInterrupted
	}
	return err
}

// openRejects opens the rejects file under the mutex that guards it, since Progress reads its size.
func (r *Run) openRejects() error {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return r.rejects.open(r.o, r.resumed)
}

// fail stops the run with an error.
func (r *Run) fail(err error) {
	r.mu.Lock()
	r.err = errors.Join(r.err, err)
	r.mu.Unlock()
	r.abort()
}

func (r *Run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
