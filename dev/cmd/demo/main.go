// Demo shows the worker at its job without AWS: an SQS and a DynamoDB in this process, real predictions on the queue,
// the real worker, and a report of what became of them. What it reports it has checked: it exits with status 1 unless
// the table and the reject queue hold exactly what follows from the published messages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := start(ctx, os.Args[1:]); {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\ndemo: stopped")
		return 130 // as shells report SIGINT
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return 1
	}
}

// options are what the flags say.
type options struct {
	layout  expect.Layout
	keep    bool
	envFile string
	root    string
	worker  string
	verbose bool
	timeout time.Duration
}

func start(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), "Runs the worker on real predictions, with an SQS and a DynamoDB of its own on this machine.\n\n")
		flags.PrintDefaults()
	}
	layout := flags.String("layout", string(expect.Versioned), "the table's layout: versioned, expiry-sorted or latest-only")
	flags.BoolVar(&o.keep, "keep", false, "leave everything running until Ctrl-C, and say how to use it")
	flags.StringVar(&o.envFile, "env-file", "", "with --keep: write the addresses as shell variables to this file")
	flags.StringVar(&o.root, "root", "", "the folder of the worker's module (default: found from the current one)")
	flags.StringVar(&o.worker, "worker", "", "run this worker instead of building one")
	flags.BoolVar(&o.verbose, "v", false, "show the worker's log")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "give up if the worker hasn't finished by then")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see --help", flags.Arg(0))
	}
	o.layout = expect.Layout(*layout)
	switch o.layout {
	case expect.Versioned, expect.ExpirySorted, expect.LatestOnly:
	default:
		return fmt.Errorf("--layout %s: choose versioned, expiry-sorted or latest-only", *layout)
	}
	if o.root == "" {
		var err error
		if o.root, err = findRoot(); err != nil {
			return err
		}
	}
	return run(ctx, o, os.Stdout)
}

// findRoot looks for the worker's module in the current folder and those above it.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/predcache/predcache\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the worker's module is not in this folder nor above it: name it with --root")
		}
	}
}
