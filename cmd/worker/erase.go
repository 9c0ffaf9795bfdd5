package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/erase"
)

func newEraseCmd() *cobra.Command {
	var f eraseFlags
	cmd := &cobra.Command{
		Use: "erase ID...", GroupID: groupMove, ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Remove ids from the table, and prove it",
		Long: `Remove every item of the given ids from WORKER_TABLE_NAME, and prove it. The ids are arguments, or
one per line in a file (--file) or on standard input (-).

For each id it writes a tombstone as of now, or as of the newest event time found if that is later.
The tombstone hides what arrives late, for WORKER_TOMBSTONE_TTL. Then it removes the older items.
At the end it reads every id again, consistently. The exit status is 1 unless nothing but tombstones
and predictions with a later event time is left.

It works while the fleet runs, whatever WORKER_DELETES is. Readers must know tombstones: see
docs/deletes.md. It asks nothing: use --dry-run first. It uses all the write capacity that it can
get: set --max-write-units beside live traffic.

To continue an interrupted run, repeat the command. With --file, FILE.erase (--state) stores how many
ids are done; otherwise the ids are erased again, as of the time of the new run.`,
		Example: `  # See what would be removed, and what that costs
  worker erase --dry-run user-7

  # Forget a list of users beside live traffic
  worker erase --file users.txt --max-write-units 500

  # Erase an id that begins with a dash
  worker erase -- -5`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.file == "" && len(args) == 0:
				return usageErrorf(cmd, "erase takes at least one id, - for standard input, or --file")
			case f.file != "" && len(args) > 0:
				return usageErrorf(cmd, "give ids as arguments or by --file, not both")
			case len(args) > 1 && slices.Contains(args, "-"):
				return usageErrorf(cmd, "give ids as arguments or on standard input (-), not both; an id that is - goes into a file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runErase(cmd.Context(), f, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.file, "file", "", "`FILE` of ids, one per line")
	fs.IntVar(&f.maxUnits, "max-write-units", 0, "maximum write units per second; 0 means WORKER_MAX_WRITE_UNITS")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only count items, read units, write units and dollars (WORKER_PRICE_WRITE_UNITS)")
	fs.StringVar(&f.state, "state", "", "`FILE` that stores the progress (default: that of --file with .erase)")
	fs.DurationVar(&f.every, "every", 10*time.Second, "how often to print progress")
	return cmd
}

// eraseFlags are the flags of erase.
type eraseFlags struct {
	file     string
	maxUnits int
	dryRun   bool
	state    string
	every    time.Duration
}

// runErase erases ids.
func runErase(ctx context.Context, f eraseFlags, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if f.file != "" && f.state == "" {
		f.state = f.file + ".erase"
	}
	cfg, err := config.LoadForTable()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	if f.maxUnits > 0 {
		cfg.MaxWriteUnits = f.maxUnits
	}
	ids, err := idsOf(f.file, args, stdin)
	if err != nil {
		return err
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: erase.Connections(cfg), Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the table can't be used", err}
	}
	notify := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	run, err := erase.New(ctx, erase.Options{Config: cfg, Clients: clients, IDs: ids, DryRun: f.dryRun, State: f.state, Notify: notify})
	if err != nil {
		return problems{"the ids can't be erased", err}
	}
	for _, warning := range run.Warnings() {
		notify("warning: %s", warning)
	}
	if n := run.Resumed(); n > 0 {
		notify("continuing after %s", counted(n, "id"))
	}
	start := time.Now()
	err = untilInterrupted(ctx, stderr, "the ids in progress", cfg.WriteDeadline(), run.Run, func(showing context.Context) { showErase(showing, run, f.every, stderr) })
	report := run.Report()
	printErase(stdout, report, f, cfg.PriceWriteUnits, time.Since(start), err)
	if err == nil && report.Left > 0 {
		return fmt.Errorf("something is left of %s: %s; repeat the command", counted(int(report.Left), "id"), strings.Join(report.LeftIDs, ", "))
	}
	return err //nolint:wrapcheck // it says what was being done
}

// idsOf reads the ids: from a file, from stdin if the only argument is -, or from the arguments.
func idsOf(file string, args []string, stdin io.Reader) ([]string, error) {
	if file == "" && (len(args) != 1 || args[0] != "-") {
		return args, nil
	}
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("opening the ids: %w", err)
		}
		defer f.Close()
		stdin = f
	}
	ids, err := erase.ReadIDs(stdin)
	if err == nil && len(ids) == 0 {
		err = errors.New("there is no id to erase")
	}
	return ids, err //nolint:wrapcheck // it says what was being done
}

// showErase prints the progress of a run at intervals, until ctx is done.
func showErase(ctx context.Context, run *erase.Run, every time.Duration, w io.Writer) {
	first, start := run.Progress(), time.Now()
	tick := time.NewTicker(max(every, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := run.Progress()
		if p.Erased == p.IDs {
			fmt.Fprintf(w, "%s ids erased, %s proved to be\n", thousands(int64(p.IDs)), thousands(int64(p.Proved)))
			continue
		}
		left := ""
		if speed := float64(p.Erased-first.Erased) / time.Since(start).Seconds(); speed > 0 {
			left = fmt.Sprintf(", %s left", lasting(time.Duration(float64(p.IDs-p.Erased)/speed*float64(time.Second)).Round(time.Second)))
		}
		fmt.Fprintf(w, "%s of %s ids (%d%%), %s items removed%s\n", thousands(int64(p.Erased)), thousands(int64(p.IDs)), 100*p.Erased/p.IDs, thousands(p.Removed), left)
	}
}

// printErase prints the report of a run.
func printErase(w io.Writer, r erase.Report, f eraseFlags, price float64, took time.Duration, err error) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-18s %s\n", name, fmt.Sprintf(format, args...))
	}
	// On demand, a read unit costs a fifth of a write unit ("Pricing for on-demand capacity mode").
	dollars := (float64(r.Units) + float64(r.ReadUnits)/5) * price / 1e6
	cost := fmt.Sprintf("%s read units, %s write units, $%.2f", thousands(r.ReadUnits), thousands(r.Units), dollars)
	if f.dryRun {
		fmt.Fprintf(w, "%s of %s in %s\n", thousands(int64(r.Erased)), counted(r.IDs, "id"), lasting(took))
		if r.Indexed {
			cost += ", and write units for the entries in the table's indexes"
		}
		row("would be removed", "%s items, %s bytes", thousands(r.Items), thousands(r.Bytes))
		row("would cost", "%s", cost)
		return
	}
	fmt.Fprintf(w, "%s of %s erased in %s\n", thousands(int64(r.Erased)), counted(r.IDs, "id"), lasting(took))
	row("found", "%s items, %s bytes", thousands(r.Items), thousands(r.Bytes))
	row("spent", "%s", cost)
	if r.Newer > 0 {
		row("newer", "%s predictions with a later event time stay", thousands(r.Newer))
	}
	switch {
	case err != nil && f.state != "":
		fmt.Fprintln(w, "repeat the command to continue from there")
	case err == nil && r.Left == 0:
		fmt.Fprintln(w, "proved: the table has nothing else of these ids")
	}
}
