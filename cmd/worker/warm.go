package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

func newWarmCmd() *cobra.Command {
	var f warmFlags
	cmd := &cobra.Command{
		Use: "warm FILE...", GroupID: groupMove,
		Short: "Fill the table straight from files, without the queue",
		Long: `Fill WORKER_TABLE_NAME straight from files, without the queue. A file has one prediction a line,
as a message has it, plain or compressed by gzip or zstd; - is standard input. The fields,
checks, duplicates, encodings and settings are the worker's.

It takes all the write capacity that it gets: set --max-write-units beside live traffic.

A table that keeps only the newest prediction of an id is written conditionally, as by
WORKER_ORDERING=newest: a newer item stays. Of two lines of one id and event time the later one
wins.

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
			return runWarm(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.maxUnits, "max-write-units", 0, "most write units a second; 0 is WORKER_MAX_WRITE_UNITS")
	fs.BoolVar(&f.dryRun, "dry-run", false, "count items, bytes, write units and dollars (WORKER_PRICE_WRITE_UNITS), and write nothing")
	fs.StringVar(&f.state, "state", "", "`FILE` that keeps the progress (default: the first file's name with .warm)")
	fs.StringVar(&f.rejects, "rejects", "", "`FILE` for what can't be stored (default: the first file's name with .rejects)")
	fs.StringVar(&f.timestamp, "timestamp", "", "event `TIME` of predictions that have none, or now; without it they are rejected")
	fs.DurationVar(&f.every, "every", 10*time.Second, "how often progress is printed where there is no terminal")
	return cmd
}

// warmFlags are the command line of warm.
type warmFlags struct {
	maxUnits       int
	dryRun         bool
	state, rejects string
	timestamp      string
	every          time.Duration
	files          []string
}

// runWarm fills the table from files.
func runWarm(ctx context.Context, f warmFlags, stdout, stderr io.Writer) error {
	if first := f.files[0]; first != "-" {
		orElse(&f.state, first+".warm")
		orElse(&f.rejects, first+".rejects")
	}
	cfg, err := config.LoadForTable()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	decoding := cfg.Prediction()
	at, err := eventTime(f.timestamp)
	if err != nil {
		return err
	}
	decoding.RequireTimestamp = f.timestamp == ""
	if f.maxUnits > 0 {
		cfg.MaxWriteUnits = f.maxUnits
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: cfg.WriteConcurrency*writer.PutsAtOnce + 8, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the table can't be written", err}
	}
	layout, table, err := warmTable(ctx, cfg, clients)
	if err != nil {
		return problems{"the table can't be written", err}
	}
	intake, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(intake, stop) // a second signal ends it at once
	w := &warmer{
		cfg: cfg, flags: f, layout: layout, at: at, clients: clients, decoder: prediction.NewDecoder(decoding),
		recheck: worker.NewRechecker(clients, cfg, table).Recheck, notes: stderr,
	}
	return w.run(intake, stdout)
}

func orElse(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// warmTable finds the table. One that keeps only the newest of an id is written so that it does.
func warmTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*item.Layout, item.Table, error) {
	cfg.Ordering = config.OrderingLastWrite
	layout, table, err := worker.FindTable(ctx, cfg, clients)
	if err == nil && layout.Kind == item.LatestOnly {
		cfg.Ordering = config.OrderingNewest
		layout, err = cfg.NewLayout(table)
	}
	return layout, table, err
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

// report prints what became of everything.
func (w *warmer) report(out io.Writer, took time.Duration, where position) {
	c := &w.counts
	verb, units := "written", c.units()
	if w.flags.dryRun {
		verb = "would be written"
	}
	read := c.predictions.Load()
	fmt.Fprintf(out, "%s predictions of %s in %s, %s a second\n", thousands(read), strings.Join(w.flags.files, ", "), lasting(took), thousands(int64(float64(read)/max(took.Seconds(), 0.001))))
	row := func(name string, n int64, more string) {
		if n > 0 || name == verb {
			fmt.Fprintf(out, "  %-18s %13s%s\n", name, thousands(n), more)
		}
	}
	row(verb, c.outcomes[prediction.Written].Load(), fmt.Sprintf("  %s bytes, %s write units, $%.2f", thousands(c.bytes.Load()), thousands(units), float64(units)*w.cfg.PriceWriteUnits/1e6))
	for _, o := range []prediction.Outcome{prediction.Duplicate, prediction.Superseded, prediction.Expired, prediction.Failed} {
		row(o.String(), c.outcomes[o].Load(), "")
	}
	more := ""
	if w.flags.rejects != "" && !w.flags.dryRun {
		more = "  see " + w.flags.rejects
	}
	row(prediction.Rejected.String(), c.outcomes[prediction.Rejected].Load(), more)
	for _, reason := range prediction.Reasons {
		row("  "+string(reason), c.reasons[reason].Load(), "")
	}
	if where.Offset > 0 && w.flags.state != "" && !w.flags.dryRun {
		fmt.Fprintf(out, "the first %s bytes of %s are in the table for certain: the same command goes on from there\n", thousands(where.Offset), where.File)
	}
}

// writeState keeps how far it is, in one step, so that a crash leaves the last state or this one.
func writeState(name string, text []byte) error {
	next := name + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("keeping how far it is: %w", err)
	}
	if err := os.Rename(next, name); err != nil {
		return fmt.Errorf("keeping how far it is: %w", err)
	}
	return nil
}
