package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
	"github.com/predcache/predcache/internal/warm"
)

func newWarmCmd() *cobra.Command {
	var f warmFlags
	cmd := &cobra.Command{
		Use: "warm FILE...", GroupID: groupMove,
		Short: "Fill the table directly from files, without the queue",
		Long: `Fill WORKER_TABLE_NAME directly from files, without the queue. A file is NDJSON, JSON, CSV with a
header, a DynamoDB JSON export, plain or compressed with gzip or zstd, or Parquet; - is standard
input. Its content determines the format. s3://bucket/prefix stands for the objects whose keys begin
with the prefix, or for the object with that key. Empty objects and those that jobs write beside
their results, such as _SUCCESS and manifests, are skipped. Fields, checks, deduplication, encoding and settings are
the same as for "worker run". The exit status is 1 if a prediction was rejected.

It uses all the write capacity that it can get: set --max-write-units beside live traffic. It
prints what the table takes, and about how long the job will take at that rate.

A table that keeps only the newest prediction of an id is written conditionally, as with
WORKER_ORDERING=newest, so a newer item stays. Of two predictions with the same id and event time,
the one in the later row, file or run wins. A message from the queue wins over every file.

To continue an interrupted run, repeat the command. FILE.warm (--state) stores the position up to
which everything is durable. Predictions that can't be stored go to FILE.rejects (--rejects), with
their row and the reason.`,
		Example: `  # See what a file would cost
  worker warm --dry-run predictions.ndjson.gz

  # Fill the table beside live traffic
  worker warm --max-write-units 500 predictions.ndjson.gz

  # Fill the table from a batch job's output
  worker warm s3://scores/2026-01-31/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf(cmd, "warm takes at least one file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.files = args
			return runWarm(cmd.Context(), f, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.maxUnits, "max-write-units", 0, "maximum write units per second; 0 means WORKER_MAX_WRITE_UNITS")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only count items, bytes, write units and dollars (WORKER_PRICE_WRITE_UNITS)")
	fs.StringVar(&f.state, "state", "", "`FILE` that stores the progress (default: the first file's name with .warm)")
	fs.StringVar(&f.rejects, "rejects", "", "`FILE` for rejected predictions (default: the first file's name with .rejects)")
	fs.BoolVar(&f.allowRejects, "allow-rejects", false, "exit with status 0 even if predictions were rejected")
	fs.StringVar(&f.timestamp, "timestamp", "", "event `TIME` of predictions without one: a time, now, or modified; else they are rejected")
	fs.DurationVar(&f.every, "every", 10*time.Second, "how often to print progress without a terminal")
	return cmd
}

// warmFlags are the flags and arguments of warm.
type warmFlags struct {
	maxUnits       int
	dryRun         bool
	state, rejects string
	allowRejects   bool
	timestamp      string
	every          time.Duration
	files          []string
}

// complete checks the flags, and sets those that depend on the arguments. It returns the event time of predictions without one.
func (f *warmFlags) complete() (int64, error) {
	if name := f.files[0]; name != "-" {
		if isObject(name) {
			name = strings.TrimRight(strings.ReplaceAll(strings.TrimPrefix(name, "s3://"), "/", "-"), "-")
		}
		f.state = cmp.Or(f.state, name+".warm")
		f.rejects = cmp.Or(f.rejects, name+".rejects")
	}
	if slices.ContainsFunc(f.files, isObject) {
		if slices.ContainsFunc(f.files, func(name string) bool { return !isObject(name) }) {
			return 0, usageError{"worker warm", "give files, or s3:// URLs, not both"}
		}
		f.timestamp = cmp.Or(f.timestamp, "modified")
	}
	if f.timestamp == "modified" && slices.Contains(f.files, "-") {
		return 0, usageError{"worker warm", "--timestamp modified: standard input has no time of modification"}
	}
	return eventTime(f.timestamp)
}

// runWarm fills the table from files.
func runWarm(ctx context.Context, f warmFlags, stdin io.Reader, stdout, stderr io.Writer) error {
	at, err := f.complete()
	if err != nil {
		return err
	}
	cfg, err := config.LoadForTable()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	if f.maxUnits > 0 {
		cfg.MaxWriteUnits = f.maxUnits
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: warm.Connections(cfg), Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the table can't be written", err}
	}
	run, err := warm.New(ctx, warm.Options{
		Config: cfg, Clients: clients, Files: f.files, Stdin: stdin, DryRun: f.dryRun, State: f.state, Rejects: f.rejects, EventTime: at,
		Modified: f.timestamp == "modified",
		Notify:   func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	})
	if err != nil {
		return problems{"the table can't be filled", err}
	}
	if file, row := run.Resumed(); file != "" {
		fmt.Fprintf(stderr, "continuing in %s after row %s\n", file, thousands(row))
	}
	printStart(stderr, run)
	start := time.Now()
	err = untilInterrupted(ctx, stderr, "writes in flight", cfg.WriteDeadline(), run.Run, func(showing context.Context) { showWarm(showing, run, f.every, stderr) })
	report := run.Report()
	printWarm(stdout, report, f, cfg.PriceWriteUnits, time.Since(start), err)
	if rejected := report.Outcomes[prediction.Rejected]; err == nil && rejected > 0 && !f.allowRejects {
		return fmt.Errorf("%s of %s predictions were rejected: correct them, or use --allow-rejects", thousands(rejected), thousands(report.Predictions))
	}
	return err //nolint:wrapcheck // it says what was being done
}

// isObject reports whether an argument is the URL of objects in S3.
func isObject(name string) bool { return strings.HasPrefix(name, "s3://") }

// printStart prints how many objects were found, what the table takes, and how long the run will take at that rate, as far as it is
// known.
func printStart(w io.Writer, run *warm.Run) {
	if n, skipped := run.Sources(); n > 1 || skipped > 0 {
		fmt.Fprintf(w, "%s files or objects; %s objects are skipped by size or name\n", thousands(int64(n)), thousands(int64(skipped)))
	}
	perSecond, needed := run.Throughput()
	if perSecond == 0 {
		return
	}
	fmt.Fprintf(w, "%s write units a second are available", thousands(perSecond))
	if needed > 0 {
		fmt.Fprintf(w, ": about %s are needed, which takes %s", thousands(needed), lasting(time.Duration(needed/perSecond+1)*time.Second))
	}
	fmt.Fprintln(w)
}

// eventTime reads --timestamp, in milliseconds since the epoch.
func eventTime(text string) (int64, error) {
	switch text {
	case "", "modified":
		return 0, nil
	case "now":
		return time.Now().UnixMilli(), nil
	}
	t, err := prediction.ParseTime(text)
	if err != nil {
		return 0, usageError{"worker warm", fmt.Sprintf("--timestamp %q %v", text, err)}
	}
	return t.In(1000), nil
}

// showWarm shows the progress of the run until ctx is done: on a terminal as a bar, elsewhere by a line at intervals.
func showWarm(ctx context.Context, run *warm.Run, every time.Duration, w io.Writer) {
	first := run.Progress()
	start := time.Now()
	bar := newBar(w, "warming", first.Total)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for printed := start; ; {
		select {
		case <-ctx.Done():
			_ = bar.Finish() // it is only shown
			return
		case <-tick.C:
		}
		p, took := run.Progress(), time.Since(start)
		rate := thousands(int64(float64(p.Predictions) / took.Seconds()))
		bar.Describe(fmt.Sprintf("warming, %s predictions a second", rate))
		_ = bar.Set64(p.Durable)
		if p.Total > 0 && isTerminal(w) || time.Since(printed) < every {
			continue
		}
		printed = time.Now()
		left := ""
		if speed := float64(p.Durable-first.Durable) / took.Seconds(); p.Total > 0 && speed > 0 {
			rest := time.Duration(float64(p.Total-p.Durable) / speed * float64(time.Second)).Round(time.Second)
			left = fmt.Sprintf(" of %s (%d%%), %s left", thousands(p.Total), 100*p.Durable/p.Total, lasting(rest))
		}
		fmt.Fprintf(w, "%s bytes%s are in the table, %s predictions read, %s a second\n", thousands(p.Durable), left, thousands(p.Predictions), rate)
	}
}

// printWarm prints the report of a run.
func printWarm(w io.Writer, r warm.Report, f warmFlags, price float64, took time.Duration, err error) {
	verb := "written"
	if f.dryRun {
		verb = "would be written"
	}
	fmt.Fprintf(w, "%s predictions of %s in %s, %s a second\n", thousands(r.Predictions), strings.Join(f.files, ", "), lasting(took), thousands(int64(float64(r.Predictions)/max(took.Seconds(), 0.001))))
	row := func(name string, n int64, more string) {
		if n > 0 || name == verb {
			fmt.Fprintf(w, "  %-18s %13s%s\n", name, thousands(n), more)
		}
	}
	row(verb, r.Outcomes[prediction.Written], fmt.Sprintf("  %s bytes, %s write units, $%.2f", thousands(r.Bytes), thousands(r.Units), float64(r.Units)*price/1e6))
	for _, o := range []prediction.Outcome{prediction.Deleted, prediction.Duplicate, prediction.Superseded, prediction.Expired, prediction.Failed} {
		row(o.String(), r.Outcomes[o], "")
	}
	more := ""
	if f.rejects != "" && !f.dryRun {
		more = "  see " + f.rejects
	}
	row(prediction.Rejected.String(), r.Outcomes[prediction.Rejected], more)
	for _, reason := range prediction.Reasons {
		row("  "+string(reason), r.Rejects[reason], "")
	}
	if err != nil && r.File != "" && f.state != "" && !f.dryRun {
		next := ": repeat the command to continue there"
		if _, damaged := errors.AsType[*records.FormatError](err); damaged {
			next = "; what follows can't be read"
		}
		fmt.Fprintf(w, "%s is durable up to row %s%s\n", r.File, thousands(r.Row), next)
	}
}
