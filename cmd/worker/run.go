package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
)

func newRunCmd() *cobra.Command {
	return &cobra.Command{
		Use: "run", GroupID: groupRun, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Consume predictions from the queue and write them into the table",
		Long: `Consume predictions from WORKER_QUEUE_URL and write them into WORKER_TABLE_NAME.

The worker runs until SIGTERM or SIGINT. It then writes, deletes or releases every message that
it holds, within WORKER_DRAIN_TIMEOUT. A second signal ends it at once: its messages return to
the queue when their visibility timeout ends.

It answers /livez, /readyz and /metrics on WORKER_HTTP_ADDR, and serves a status page on
WORKER_ADMIN_ADDR (http://127.0.0.1:9091).`,
		Example: `  # Consume a queue with the default settings
  WORKER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/123456789012/predictions \
  WORKER_TABLE_NAME=predictions worker run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runWorker(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// runWorker consumes until SIGTERM or SIGINT. A second signal ends the process at once.
func runWorker(ctx context.Context, stdout, stderr io.Writer) error {
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
	if err := worker.Run(ctx, intake, worker.Options{Config: cfg, Log: log, Stdout: stdout, Version: version()}); err != nil {
		return problems{"the worker can't run", err}
	}
	return nil
}
