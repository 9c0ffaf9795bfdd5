package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// A warmer is one run of warm: the worker's stages, with files in the place of the queue.
//
//	read -> decode -> admit (dedup) -> batch -> write -> ledger
type warmer struct {
	cfg     *config.Config
	flags   warmFlags
	layout  *item.Layout
	at      int64 // event time of predictions without one, in milliseconds
	clients *awsclient.Clients
	decoder *prediction.Decoder
	recheck func(ctx context.Context) error
	notes   io.Writer // for people: progress and trouble

	window *dedup.Window
	writer *writer.Writer
	ledger ledger
	counts counts
	passed atomic.Int64 // bytes read of the files
	total  int64        // bytes of the files; -1 where that isn't known
	bar    *progressbar.ProgressBar

	abort   context.CancelFunc // ends the reading
	mu      sync.Mutex
	rejects *os.File // opened for the first reject
	problem error    // of writing rejects
}

// counts are what a run reports.
type counts struct {
	predictions atomic.Int64
	outcomes    [prediction.NumOutcomes]atomic.Int64
	reasons     map[prediction.Reason]*atomic.Int64
	bytes       atomic.Int64 // of items written
	milliUnits  atomic.Int64 // write units, times a thousand: the service counts in fractions
}

func (c *counts) units() int64 { return (c.milliUnits.Load() + 500) / 1000 }

// Outcome implements dedup.Observer.
func (c *counts) Outcome(o prediction.Outcome, _ int, _ int64) { c.outcomes[o].Add(1) }

func (c *counts) spent(units float64) { c.milliUnits.Add(int64(units * 1000)) }

// The writer's own counting is of no interest here.
type unobserved struct{}

func (unobserved) Batch(int, int) {}
func (unobserved) Limit(int)      {}

const (
	// warmRoom bounds what is under way, as text with what it becomes: at 1 KB a prediction, some 10,000.
	warmRoom = 32 << 20
	// A chunk is read, submitted and counted together.
	chunkBytes = 64 << 10
	chunkLines = 100
	lineCost   = 1 << 10 // about what a line takes beside its text
)

// run reads all files. It ends early, with what is under way settled as far as the drain timeout lets it, when intake is done.
func (w *warmer) run(intake context.Context, stdout io.Writer) error {
	start := time.Now()
	intake, w.abort = context.WithCancel(intake)
	defer w.abort()
	at, err := w.prepare()
	if err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(context.Background())
	defer stopWriting()
	var background errgroup.Group
	background.Go(func() error { return w.writer.Run(writing) })
	background.Go(func() error { return w.progress(writing, start) })

	all, err := w.readAll(intake, at)
	deadline, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !all {
		defer time.AfterFunc(w.cfg.WriteDeadline(), cancel).Stop()
	} else { // the table may be down for long; a signal still ends the waiting
		stop := context.AfterFunc(intake, func() { time.AfterFunc(w.cfg.WriteDeadline(), cancel) })
		defer stop()
	}
	w.ledger.wait(deadline)
	stopWriting()
	err = errors.Join(err, background.Wait(), w.closeRejects())
	if where := w.ledger.position(); all && err == nil && w.counts.outcomes[prediction.Failed].Load() == 0 {
		err = w.removeState()
		w.report(stdout, time.Since(start), position{})
	} else {
		err = errors.Join(err, w.keepState(where))
		w.report(stdout, time.Since(start), where)
		if err == nil {
			err = errors.New("interrupted")
		}
	}
	return err
}

// prepare wires the stages and returns where an earlier run was.
func (w *warmer) prepare() (*position, error) {
	w.counts.reasons = map[prediction.Reason]*atomic.Int64{}
	for _, reason := range prediction.Reasons {
		w.counts.reasons[reason] = &atomic.Int64{}
	}
	w.ledger.room = semaphore.NewWeighted(warmRoom)
	w.window = dedup.NewWindow(dedup.Config{
		Size: w.cfg.DedupWindow, Observer: &w.counts,
		Submit: func(items ...*item.Item) { w.writer.Submit(items...) },
	})
	cfg := writer.Config{
		Window: w.window, Observer: unobserved{}, Concurrency: w.cfg.WriteConcurrency, CallTimeout: w.cfg.CallTimeout,
		MaxUnits: w.cfg.MaxWriteUnits, Now: w.clients.Clock.Now, Recheck: w.recheck, OnState: w.onState,
	}
	table := awsclient.NewTable(w.clients, w.cfg.TableName, w.layout, w.counts.spent)
	switch {
	case w.flags.dryRun:
		cfg.Table, cfg.MaxUnits = &dryTable{&w.counts}, 0
	case w.layout.Ordered:
		cfg.Newest = &countedPuts{table, &w.counts}
	default:
		cfg.Table = &countedBatches{table, &w.counts}
	}
	w.writer = writer.New(cfg, w.window.Begin)
	for _, name := range w.flags.files {
		info, err := os.Stat(name)
		switch {
		case name == "-":
			w.total = -1
		case err != nil:
			return nil, fmt.Errorf("opening the predictions: %w", err)
		case w.total >= 0:
			w.total += info.Size()
		}
	}
	w.bar = newBar(w.notes, "warming", w.total)
	return w.readState()
}

// readAll reads every file from where an earlier run was. It returns false where it could not come to their end.
func (w *warmer) readAll(ctx context.Context, at *position) (all bool, err error) {
	first := 0
	if at != nil {
		first = at.Index
		w.ledger.durable = *at
		fmt.Fprintf(w.notes, "going on in %s at byte %s\n", at.File, thousands(at.Offset))
	}
	var before int64 // bytes of the files that are done
	for i, name := range w.flags.files {
		if i < first {
			if info, err := os.Stat(name); err == nil {
				before += info.Size()
			}
			w.passed.Store(before)
			continue
		}
		var passed atomic.Int64
		s, err := openSource(name, i, at, &passed)
		if err != nil {
			return false, err
		}
		at = nil
		err = w.readFile(ctx, s, func() { w.passed.Store(before + passed.Load()) })
		s.close()
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		before += passed.Load()
	}
	return true, nil
}

// readFile reads a file chunk by chunk. That ctx is done is no error.
func (w *warmer) readFile(ctx context.Context, s *source, passed func()) error {
	type text struct {
		line    string
		number  int64
		tooLong bool
	}
	var decoded prediction.Decoded
	var lines []text
	for more := true; more && ctx.Err() == nil; {
		lines = lines[:0]
		size := 0
		for size < chunkBytes && len(lines) < chunkLines {
			line, tooLong, err := s.next(w.cfg.MaxDecodedBytes)
			if errors.Is(err, io.EOF) {
				more = false
				break
			}
			if err != nil {
				return err
			}
			size += len(line)
			lines = append(lines, text{line, s.Line, tooLong})
		}
		passed()
		c := &chunk{ledger: &w.ledger, warmer: w, end: s.position, cost: min(int64(2*size+lineCost*len(lines)), warmRoom)}
		if err := w.ledger.begin(ctx, c); err != nil {
			return nil //nolint:nilerr // ctx is done
		}
		var items []*item.Item
		for i := range lines {
			l := &line{c, lines[i].number}
			if lines[i].tooLong {
				w.counts.predictions.Add(1)
				w.rejected(l, lines[i].line[:min(len(lines[i].line), 1<<10)], prediction.Rejectf(prediction.ReasonTooLarge, "", "the line is longer than %d bytes: see WORKER_MAX_DECODED_BYTES", w.cfg.MaxDecodedBytes))
				continue
			}
			items = w.read(l, lines[i].line, &decoded, items)
		}
		w.writer.Submit(items...)
		c.resolved()
	}
	return nil
}

// read decodes a line, has each of its predictions admitted, and appends the items that have to be written.
func (w *warmer) read(l *line, text string, decoded *prediction.Decoded, items []*item.Item) []*item.Item {
	if strings.TrimLeft(text, " \t\r\n") == "" {
		return items
	}
	now := w.clients.Clock.Now()
	w.decoder.Decode(decoded, prediction.Message{Body: text, Sent: w.at}, now)
	w.counts.predictions.Add(int64(len(decoded.Rejected) + len(decoded.Predictions)))
	for _, r := range decoded.Rejected {
		w.rejected(l, r.Raw, r.Why)
	}
	over := now.Add(-writer.ExpiryGrace).Unix()
	for i := range decoded.Predictions {
		p := &decoded.Predictions[i]
		// Lines stand in for sent times: a later one wins, and every live message was sent later than any line.
		p.Version.Sent = l.number
		it, why := w.layout.New(p)
		switch {
		case why != nil:
			w.rejected(l, p.Raw, why)
			continue
		case it.Expires < over:
			w.counts.Outcome(prediction.Expired, 0, 0)
			continue
		}
		l.chunk.left.Add(1)
		if w.window.Admit(it, l) {
			items = append(items, it)
		}
	}
	return items
}

// rejected counts a reject that was found while reading: the window counts the others.
func (w *warmer) rejected(l *line, raw string, why *prediction.Reject) {
	w.counts.Outcome(prediction.Rejected, 0, 0)
	w.reject(l, raw, why)
}

// A rejectedLine is a line of the rejects file.
type rejectedLine struct {
	File   string            `json:"file"`
	Line   int64             `json:"line"`
	Reason prediction.Reason `json:"reason"`
	Field  string            `json:"field,omitempty"`
	Detail string            `json:"detail"`
	Raw    string            `json:"raw"`
}

// reject writes down what can't be stored.
func (w *warmer) reject(l *line, raw string, why *prediction.Reject) {
	w.counts.reasons[why.Reason].Add(1)
	if w.flags.rejects == "" || w.flags.dryRun {
		return
	}
	text, err := json.Marshal(rejectedLine{l.chunk.end.File, l.number, why.Reason, why.Field, why.Detail, raw})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.rejects == nil {
		w.rejects, err = os.OpenFile(w.flags.rejects, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err == nil {
		_, err = w.rejects.Write(append(text, '\n'))
	}
	if err != nil {
		w.problem = fmt.Errorf("writing the rejects: %w", err)
		l.chunk.failed.Store(true)
		w.abort()
	}
}

func (w *warmer) closeRejects() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rejects != nil {
		w.problem = errors.Join(w.problem, w.rejects.Close())
		w.rejects = nil
	}
	return w.problem
}

// onState tells people when the table can't be written, and when it can again.
func (w *warmer) onState(s writer.State, reason error) {
	switch s {
	case writer.Down:
		fmt.Fprintf(w.notes, "the table can't be written, which is tried again by itself: %v\n", reason)
	case writer.Up, writer.Probing:
	}
}

// readState returns where an earlier run was, or nil.
func (w *warmer) readState() (*position, error) {
	if w.flags.state == "" || w.flags.dryRun {
		return nil, nil
	}
	text, err := os.ReadFile(w.flags.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var at position
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading how far the interrupted run was: %w", err)
	case at.Index >= len(w.flags.files) || w.flags.files[at.Index] != at.File:
		return nil, fmt.Errorf("%s is of a run of other files, which was in %s: give the same command, or remove it to start again", w.flags.state, at.File)
	}
	return &at, nil
}

func (w *warmer) keepState(at position) error {
	if w.flags.state == "" || w.flags.dryRun || at.File == "" {
		return nil
	}
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("keeping how far it is: %w", err)
	}
	return writeState(w.flags.state, text)
}

func (w *warmer) removeState() error {
	if w.flags.state == "" || w.flags.dryRun {
		return nil
	}
	if err := os.Remove(w.flags.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the state: %w", err)
	}
	return nil
}

// progress shows how far the run is, and keeps it, until ctx is done.
func (w *warmer) progress(ctx context.Context, start time.Time) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told, kept := start, position{}
	from := w.passed.Load()
	for {
		select {
		case <-ctx.Done():
			_ = w.bar.Finish() // it is only shown
			return nil
		case <-tick.C:
		}
		if at := w.ledger.position(); at != kept {
			if err := w.keepState(at); err != nil {
				return err
			}
			kept = at
		}
		passed, took := w.passed.Load(), time.Since(start)
		rate := float64(w.counts.predictions.Load()) / took.Seconds()
		w.bar.Describe(fmt.Sprintf("warming, %s predictions a second", thousands(int64(rate))))
		_ = w.bar.Set64(passed)
		if w.bar.GetMax64() > 0 && isTerminal(w.notes) || time.Since(told) < w.flags.every {
			continue
		}
		told = time.Now()
		left := ""
		if speed := float64(passed-from) / took.Seconds(); w.total > 0 && speed > 0 {
			left = fmt.Sprintf(" of %s (%d%%), %s left", thousands(w.total), 100*passed/w.total, lasting(time.Duration(float64(w.total-passed)/speed*float64(time.Second)).Round(time.Second)))
		}
		fmt.Fprintf(w.notes, "%s bytes%s, %s predictions, %s a second\n", thousands(passed), left, thousands(w.counts.predictions.Load()), thousands(int64(rate)))
	}
}
