package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
)

const runUsage = `Usage: worker run

Consumes predictions from WORKER_QUEUE_URL and writes them into WORKER_TABLE_NAME, until SIGTERM or SIGINT: it then
writes, deletes or releases what it holds, within WORKER_DRAIN_TIMEOUT. A second signal ends it at once; what it held
comes back to the queue when its visibility timeout ends.

It answers /livez, /readyz and /metrics on WORKER_HTTP_ADDR, and shows what it does on a page on WORKER_ADMIN_ADDR
(http://127.0.0.1:9091). All settings: worker config.`

// runWorker consumes until SIGTERM or SIGINT. A second signal ends the process at once.
func runWorker(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	if err := parse(fs, runUsage, args, 0, stdout); err != nil {
		return err
	}
	cfg, err := config.Load()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	log := telemetry.NewLogger(stderr, cfg.LogLevel, cfg.LogFormat)
	defer telemetry.FlushLog(log)
	for _, name := range config.Unknown() {
		log.Warn("unknown environment variable", "variable", name, "remedy", "`worker config` lists the settings")
	}
	intake, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(intake, stop) // from now on a signal has its default effect
	if err := worker.Run(ctx, intake, worker.Options{Config: cfg, Log: log, Version: version()}); err != nil {
		return problems{"the worker can't run", err}
	}
	return nil
}

// problems are several things to be put right, each on a line.
type problems struct {
	what string
	err  error
}

func (p problems) Error() string { return fmt.Sprintf("%s:\n%s", p.what, bullets(p.err)) }
func (p problems) Unwrap() error { return p.err }
