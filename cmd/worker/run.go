package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
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
		log.Warn("a variable is no setting of the worker: see `worker config` for the names", "variable", name)
	}
	health := telemetry.NewHealth(log)
	clock := &awsclient.Clock{}
	watch := observer{telemetry.NewMetrics(clock.Now), health}
	watch.Build(version(), health.IsReady)
	tracer, err := telemetry.NewTracer(ctx, log, "predcache-worker", version(), cfg.QueueURL, cfg.TableName)
	if err != nil {
		return problems{"traces can't be made", err}
	}
	watch.Trace(tracer)
	defer closeTracer(ctx, tracer)
	clients, err := awsclient.New(ctx, awsclient.Config{
		QueueURL: cfg.QueueURL, Connections: connections(cfg), Observer: watch, Clock: clock,
	})
	if err != nil {
		return problems{"the worker can't start", err}
	}
	intake, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(intake, stop) // from now on a signal has its default effect

	// Probes are answered from the start: reading the table may take a while.
	server, err := telemetry.Listen(ctx, cfg.HTTPAddr, telemetry.Handler(watch.Metrics, health))
	if err != nil {
		return problems{"WORKER_HTTP_ADDR can't be used", err}
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var servers errgroup.Group
	servers.Go(func() error { return server.Run(serving) })
	var status *telemetry.Status
	if cfg.AdminAddr != "" {
		status = newStatus(cfg, clients, watch)
		admin, err := telemetry.Listen(ctx, cfg.AdminAddr, telemetry.AdminHandler(status))
		if err != nil {
			return problems{"WORKER_ADMIN_ADDR can't be used", err}
		}
		servers.Go(func() error { return admin.Run(serving) })
		servers.Go(func() error { return status.Run(serving) })
	}

	found, err := find(intake, cfg, clients)
	if intake.Err() != nil {
		log.Info("stopped; nothing is held")
		return nil // SIGTERM came before anything was received
	}
	if err != nil {
		return problems{"the worker can't start", err}
	}
	log.Info("started", "version", version(), "queue", cfg.QueueURL, "table", cfg.TableName, "layout", found.layout.Kind, "http", server.Addr())
	if found.info != nil {
		set := watch.TTL() // metrics are registered here, one after the other
		servers.Go(func() error {
			watchTable(serving, cfg, clients, log, found.table, set)
			return nil
		})
	}
	if status != nil {
		status.Found(string(found.layout.Kind), backlog(cfg, clients))
	}
	signs, services := newSigns(cfg, found, clients, watch, log), newServices(cfg, found, clients, watch)
	services.queue = signs.watchReceives(services.queue)
	servers.Go(func() error {
		signs.watch(serving)
		return nil
	})
	left, err := newPipelineOn(services, cfg, found, watch, log).Run(intake)
	stopServing()
	if err == nil {
		err = servers.Wait()
	}
	if left > 0 {
		log.Warn("stopped before everything could be settled; nothing is lost: the messages come back when their visibility timeout ends; where this happens often, raise WORKER_DRAIN_TIMEOUT and what the orchestrator waits", "held", left)
	} else {
		log.Info("stopped; nothing is held")
	}
	return err
}

// closeTracer sends the traces that are left, where there is a collector to take them.
func closeTracer(ctx context.Context, t *telemetry.Tracer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_ = t.Close(ctx) // its failure has been logged
}

// problems are several things to be put right, each on a line.
type problems struct {
	what string
	err  error
}

func (p problems) Error() string { return fmt.Sprintf("%s:\n%s", p.what, bullets(p.err)) }
func (p problems) Unwrap() error { return p.err }
