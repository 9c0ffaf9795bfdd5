// Package worker is the running worker. It reads the descriptions of the queue and the table, connects the stages to a pipeline,
// runs it until a signal arrives, and drains it. Start reading at Run.
package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
)

// Options of Run.
type Options struct {
	Config *config.Config
	Log    *slog.Logger
	// Stdout takes the metrics of WORKER_METRICS=emf. Nothing else writes there.
	Stdout  io.Writer
	Version string // shown by metrics, traces and the status page
}

// Run consumes predictions until intake is done. It then writes, deletes or releases what it holds within the drain timeout. It
// returns an error if the worker can't start or a stage fails.
func Run(ctx, intake context.Context, o Options) error {
	cfg, log := o.Config, o.Log
	limitMemory(cfg)
	health := telemetry.NewHealth(log)
	clock := &awsclient.Clock{}
	process := about(o)
	tracer, err := telemetry.NewTracer(ctx, log, process, cfg.QueueURL, cfg.TableName)
	if err != nil {
		return fmt.Errorf("setting up traces: %w", err)
	}
	metrics := telemetry.NewMetrics(telemetry.Options{
		Now: clock.Now, Health: health, Tracer: tracer, Version: o.Version, Limits: Limits(cfg),
		Prices: telemetry.Prices{WriteUnits: cfg.PriceWriteUnits, Requests: cfg.PriceSQSRequests},
	})
	exporter, err := telemetry.NewExporter(ctx, log, process, metrics)
	if err != nil {
		return fmt.Errorf("setting up the export of metrics: %w", err)
	}
	defer closeExports(ctx, tracer, exporter)
	stopEMF := writeEMF(ctx, o, metrics)
	defer stopEMF()
	clients, err := awsclient.New(ctx, awsclient.Config{
		QueueURL: cfg.QueueURL, Connections: connections(cfg), Clock: clock, Log: log,
	})
	if err != nil {
		return err //nolint:wrapcheck // it names what is missing
	}

	// Answer health probes from the start: reading the table can take a while.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var background errgroup.Group
	server, err := telemetry.Listen(ctx, cfg.HTTPAddr, telemetry.Handler(metrics))
	if err != nil {
		return fmt.Errorf("WORKER_HTTP_ADDR can't be used: %w", err)
	}
	background.Go(func() error { return server.Run(serving) })
	status, admin, err := serveStatus(serving, &background, o, clients, metrics)
	if err != nil {
		return err
	}

	resources, err := FindResources(intake, cfg, clients)
	if intake.Err() != nil {
		logStopped(log, 0)
		return nil // SIGTERM came before anything was received
	}
	if err != nil {
		return err
	}
	log.Info("started", "version", o.Version, "queue", cfg.QueueURL, "table", cfg.TableName, "layout", resources.Layout.Kind, "http", server.Addr(), "admin", admin)
	logObjects(cfg, log)
	showResources(status, cfg, resources, clients, metrics)
	queueWatch := newQueueWatch(cfg, resources, clients, metrics, log)
	background.Go(func() error { return queueWatch.run(serving) })
	services := NewServices(cfg, resources, clients, metrics, log)
	services.Queue = queueWatch.wrap(services.Queue)

	held, err := NewPipeline(services, cfg, resources, metrics, log).Run(intake)
	stopServing()
	if err == nil {
		err = background.Wait()
	}
	logStopped(log, held)
	return err
}

// logStopped reports how many messages were held at the end.
func logStopped(log *slog.Logger, held int) {
	if held > 0 {
		log.Warn("stopped before everything was settled", "held", held,
			"remedy", "nothing is lost: SQS redelivers the messages. If this happens often, raise WORKER_DRAIN_TIMEOUT and the orchestrator's grace period")
		return
	}
	log.Info("stopped", "held", 0)
}

// about identifies this worker in traces and exported metrics. Replicas share a service and differ by host and port.
func about(o Options) telemetry.About {
	host, _ := os.Hostname() // "" is an instance too
	_, port, _ := net.SplitHostPort(o.Config.HTTPAddr)
	return telemetry.About{Service: "predcache-worker", Version: o.Version, Instance: net.JoinHostPort(host, port)}
}

// closeExports sends the remaining spans and metrics to the collector, for up to 3 s.
func closeExports(ctx context.Context, tracer *telemetry.Tracer, exporter *telemetry.Exporter) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() { _ = tracer.Close(ctx) }) // it logs a failure
	both.Go(func() { exporter.Close(ctx) })
	both.Wait()
}

// writeEMF writes the metrics to standard output if WORKER_METRICS says so. stop writes the last line, for up to 1 s: a reader
// that has gone must not hold the process.
func writeEMF(ctx context.Context, o Options, metrics *telemetry.Metrics) (stop func()) {
	if o.Config.Metrics != config.MetricsEMF {
		return func() {}
	}
	host, _ := os.Hostname() // a field beside others
	emf := &telemetry.EMF{
		Metrics: metrics, Out: o.Stdout, Log: o.Log,
		Queue: lastPart(o.Config.QueueURL), Table: lastPart(o.Config.TableName), Host: host, Version: o.Version,
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		emf.Run(ctx)
	}()
	return func() {
		cancel()
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

// lastPart returns the name in a queue's URL or in a table's ARN.
func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
