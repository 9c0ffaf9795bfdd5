// Package warm fills the table directly from files of predictions, one per line. It uses the worker's ingest, dedup window and
// writer. In place of the queue, a ledger records how far the files are durable.
package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/awsclient"
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
	Files   []string  // "-" is Stdin
	Stdin   io.Reader // for "-"
	DryRun  bool      // count only, write nothing
	// State is the name of the file that keeps the progress, and Rejects that of the file for predictions that can't be stored. With
	// "", no such file is written.
	State, Rejects string
	// EventTime is the event time of predictions that have none, in milliseconds since the epoch. With 0 they are rejected.
	EventTime int64
	// Notify is called with a message when the table can't be written. It may be nil.
	Notify func(format string, args ...any)
}

const (
	// room is the maximum memory of the chunks in flight, text and items: about 10,000 predictions of 1 KB.
	room = 32 << 20
	// A chunk of lines is read, submitted and settled together.
	chunkBytes = 64 << 10
	chunkLines = 100
	// lineBytes is the approximate memory of a line beside its text.
	lineBytes = 1 << 10
)

// Connections returns the number of concurrent calls that a run may make, for awsclient.Config.
func Connections(cfg *config.Config) int {
	return cfg.WriteConcurrency*writer.CallsPerBatch + 8 // some to spare for what is asked at the start
}

// A Run fills the table from files once:
//
//	read -> ingest (decode, admit) -> batch -> write -> ledger
type Run struct {
	o       Options
	layout  *item.Layout
	ingest  *ingest.Ingest
	window  *dedup.Window
	writer  *writer.Writer
	ledger  ledger
	rejects rejectsFile
	counts  counts
	passed  atomic.Int64 // bytes of the files that have been read
	total   int64        // bytes of the files; -1 if unknown
	started int64        // start of the run in seconds since the epoch: see order
	resumed *position    // durable position of the interrupted run; nil for a new one

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
	r := &Run{o: o, layout: found.Layout, started: time.Now().Unix()}
	r.ledger.run, r.ledger.room = r, semaphore.NewWeighted(room)
	r.counts.init()
	r.window = dedup.NewWindow(dedup.Config{
		Size: cfg.DedupWindow, MaxAge: cfg.DedupMaxAge, Observer: &r.counts,
		Submit: func(items ...*item.Item) { r.writer.Submit(items...) },
	})
	r.writer = writer.New(r.writerConfig(found), r.window.Begin)
	decoder := cfg.Prediction()
	decoder.RequireTimestamp = o.EventTime == 0
	r.ingest = ingest.New(ingest.Config{
		Decoder: decoder, Layout: found.Layout, Admit: r.window.Admit, Submit: r.writer.Submit,
		Observer: &r.counts, Now: o.Clients.Clock.Now, Grace: writer.ExpiryGrace, Log: slog.New(slog.DiscardHandler),
	})
	if err := r.measure(); err != nil {
		return nil, err
	}
	if err := r.resume(); err != nil {
		return nil, err
	}
	return r, nil
}

// findTable reads the table's description. It selects conditional writes for a latest-only table, so that a newer item stays.
func findTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*worker.Resources, error) {
	cfg.Ordering = config.OrderingLastWrite
	found, err := worker.FindTable(ctx, cfg, clients)
	if err == nil && found.Layout.Kind == item.LatestOnly {
		cfg.Ordering = config.OrderingNewest
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

// measure sets total to the sum of the files' sizes.
func (r *Run) measure() error {
	for _, name := range r.o.Files {
		info, err := os.Stat(name)
		switch {
		case name == "-":
			r.total = -1
		case err != nil:
			return fmt.Errorf("opening the predictions: %w", err)
		case r.total >= 0:
			r.total += info.Size()
		}
	}
	return nil
}

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
	background.Go(func() error { return r.keepSaving(writing) })

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

// readAll reads all files, from the position of an interrupted run. It returns false if it did not reach the end.
func (r *Run) readAll(ctx context.Context) (all bool, err error) {
	first := 0
	if r.resumed != nil {
		first = r.resumed.Index
	}
	var bytes, lines int64 // of the files that have been read
	for i, name := range r.o.Files {
		if i < first {
			if info, err := os.Stat(name); err == nil {
				bytes += info.Size()
			}
			continue
		}
		var from *position
		if i == first {
			from = r.resumed
		}
		s, err := r.open(name, i, from)
		if err != nil {
			return false, err
		}
		s.bytesBefore = bytes
		if from == nil {
			s.linesBefore = lines
		}
		err = r.readFile(ctx, s)
		s.Close()
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		bytes += s.Read()
		lines = s.linesBefore + s.Line()
	}
	return true, nil
}

// readFile reads a file in chunks. It stops without an error when ctx is done.
func (r *Run) readFile(ctx context.Context, s *source) error {
	type text struct {
		line    string
		number  int64
		tooLong bool
	}
	var lines []text
	for more := true; more && ctx.Err() == nil; {
		lines = lines[:0]
		size := 0
		for size < chunkBytes && len(lines) < chunkLines {
			line, tooLong, err := s.Next(r.o.Config.MaxDecodedBytes)
			if errors.Is(err, io.EOF) {
				more = false
				break
			}
			if err != nil {
				return err
			}
			size += len(line)
			lines = append(lines, text{line, s.Line(), tooLong})
		}
		passed := s.bytesBefore + s.Read()
		r.passed.Store(passed)
		c := &chunk{run: r, end: s.position(), passed: passed, cost: min(int64(2*size+lineBytes*len(lines)), room)}
		if err := r.ledger.begin(ctx, c); err != nil {
			return nil //nolint:nilerr // ctx is done
		}
		batch := r.ingest.Begin()
		for _, l := range lines {
			sink := &line{c, l.number}
			switch {
			case l.tooLong:
				r.counts.Outcome(prediction.Rejected, 0, 0)
				sink.reject(l.line[:min(len(l.line), 1<<10)], prediction.Rejectf(prediction.ReasonTooLarge, "", "the line is longer than %d bytes: see WORKER_MAX_DECODED_BYTES", r.o.Config.MaxDecodedBytes))
			case !blank(l.line):
				batch.Add(ctx, ingest.Text{Name: s.Name, Body: l.line, Sent: r.o.EventTime, Order: r.order(s.linesBefore + l.number)}, sink)
			}
		}
		batch.End(ctx)
		c.resolved()
	}
	return nil
}

// order returns the ingest.Text.Order of a line. Of two predictions of one id and event time, the one in the later line, file or run
// wins. The result is negative, so that a message wins over every file: a message's order is its sent time. The upper 31 bits hold
// the run's start in seconds since the epoch, the lower 32 the line's number across all files.
func (r *Run) order(line int64) int64 {
	return math.MinInt64 + r.started<<32 + min(line, math.MaxUint32)
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
