package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/warm"
)

func newWarmCmd() *cobra.Command {
	var f warmFlags
	cmd := &cobra.Command{
		Use: "warm FILE...", GroupID: groupMove,
		Short: "Fill the table straight from files, without the queue",
		Long: `Fill WORKER_TABLE_NAME straight from files, without the queue. A file has one prediction a line,
as a message has it, plain or compressed by gzip or zstd; - is standard input. The fields,
checks, duplicates, encodings and settings are the worker's. The exit status is 1 if a prediction
was rejected.

It takes all the write capacity that it gets: set --max-write-units beside live traffic.

A table that keeps only the newest prediction of an id is written conditionally, as by
WORKER_ORDERING=newest: a newer item stays. Of two predictions of one id and event time the later
line wins, the later file, and the later run; a message that was consumed from the queue wins over
every file.

The same command continues an interrupted run. FILE.warm (--state) keeps the byte offset up to
which everything is durable. What can't be stored goes to FILE.rejects (--rejects), with the line
and the reason.`,
		Example: `  # See what a file would cost
  worker warm --dry-run predictions.ndjson.gz

  # Fill the table beside live traffic
  worker warm --max-write-units 500 predictions.ndjson.gz`,
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
	fs.IntVar(&f.maxUnits, "max-write-units", 0, "most write units a second; 0 is WORKER_MAX_WRITE_UNITS")
	fs.BoolVar(&f.dryRun, "dry-run", false, "count items, bytes, write units and dollars (WORKER_PRICE_WRITE_UNITS), and write nothing")
	fs.StringVar(&f.state, "state", "", "`FILE` that keeps the progress (default: the first file's name with .warm)")
	fs.StringVar(&f.rejects, "rejects", "", "`FILE` for what can't be stored (default: the first file's name with .rejects)")
	fs.BoolVar(&f.allowRejects, "allow-rejects", false, "exit with status 0 although predictions were rejected")
	fs.StringVar(&f.timestamp, "timestamp", "", "event `TIME` of predictions that have none, or now; without it they are rejected")
	fs.DurationVar(&f.every, "every", 10*time.Second, "how often progress is printed where there is no terminal")
	return cmd
}

// warmFlags are the command line of warm.
type warmFlags struct {
	maxUnits       int
	dryRun         bool
	state, rejects string
	allowRejects   bool
	timestamp      string
	every          time.Duration
	files          []string
}

// runWarm fills the table from files.
func runWarm(ctx context.Context, f warmFlags, stdin io.Reader, stdout, stderr io.Writer) error {
	if first := f.files[0]; first != "-" {
		f.state = cmp.Or(f.state, first+".warm")
		f.rejects = cmp.Or(f.rejects, first+".rejects")
	}
	cfg, err := config.LoadForTable()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	at, err := eventTime(f.timestamp)
	if err != nil {
		return err
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
		Notify: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	})
	if err != nil {
		return problems{"the table can't be filled", err}
	}
	if file, offset := run.Resumed(); file != "" {
		fmt.Fprintf(stderr, "continuing in %s at byte %s\n", file, thousands(offset))
	}
	intake, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(intake, func() {
		stop() // a second signal ends it at once
		fmt.Fprintf(stderr, "interrupted: settling what is under way, for %s at most; once more ends it at once\n", cfg.WriteDeadline())
	})

	start := time.Now()
	showing, hide := context.WithCancel(context.Background())
	var progress sync.WaitGroup
	progress.Go(func() { showWarm(showing, run, f.every, stderr) })
	err = run.Run(intake)
	hide()
	progress.Wait()
	report := run.Report()
	printWarm(stdout, report, f, cfg.PriceWriteUnits, time.Since(start), err)
	if rejected := report.Outcomes[prediction.Rejected]; err == nil && rejected > 0 && !f.allowRejects {
		return fmt.Errorf("%s of %s predictions were rejected: correct them, or give --allow-rejects", thousands(rejected), thousands(report.Predictions))
	}
	return err //nolint:wrapcheck // it says what was being done
}

// eventTime reads --timestamp, in milliseconds since the epoch.
func eventTime(text string) (int64, error) {
	switch text {
	case "":
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

// showWarm shows how far the run is durable, until ctx is done: on a terminal as a bar, elsewhere in a line now and then.
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

// printWarm prints what became of everything.
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
	for _, o := range []prediction.Outcome{prediction.Duplicate, prediction.Superseded, prediction.Expired, prediction.Failed} {
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
	if err != nil && r.Offset > 0 && f.state != "" && !f.dryRun {
		fmt.Fprintf(w, "the first %s bytes of %s are durable: the same command continues from there\n", thousands(r.Offset), r.File)
	}
}
