package worker

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/statuspage"
	"github.com/predcache/predcache/internal/telemetry"
)

// serveStatus starts the status page, and returns it with its address. It returns nil if WORKER_ADMIN_ADDR is empty.
func serveStatus(ctx context.Context, background *errgroup.Group, o Options, clients *awsclient.Clients, metrics *telemetry.Metrics) (_ *statuspage.Page, address string, err error) {
	if o.Config.AdminAddr == "" {
		return nil, "", nil
	}
	status := newStatus(o.Version, o.Config, clients, metrics)
	admin, err := telemetry.Listen(ctx, o.Config.AdminAddr, status.Handler())
	if err != nil {
		return nil, "", fmt.Errorf("WORKER_ADMIN_ADDR can't be used: %w", err)
	}
	background.Go(func() error { return admin.Run(ctx) })
	background.Go(func() error { return status.Run(ctx) })
	background.Go(func() error {
		if who, found := statuspage.FindIdentity().FindTask(ctx); found {
			status.SetIdentity(who)
		}
		return nil
	})
	return status, admin.Addr(), nil
}

// showResources completes the status page, if there is one, with what is known of table and queues.
func showResources(status *statuspage.Page, cfg *config.Config, resources *Resources, clients *awsclient.Clients, metrics *telemetry.Metrics) {
	if status == nil {
		return
	}
	if cfg.ObjectsQueueURL != "" {
		status.SetObjects(backlog(cfg.ObjectsQueueURL, clients, metrics))
	}
	status.SetResources(string(resources.Layout.Kind), backlog(cfg.QueueURL, clients, metrics))
}

// newStatus returns the status page.
func newStatus(version string, cfg *config.Config, clients *awsclient.Clients, metrics *telemetry.Metrics) *statuspage.Page {
	facts := statuspage.Facts{
		Worker: statuspage.FindIdentity(), Version: version, Queue: cfg.QueueURL, Rejects: cfg.RejectQueueURL, Table: cfg.TableName, Region: clients.SQS.Options().Region,
	}
	for _, s := range cfg.InForce() {
		facts.Settings = append(facts.Settings, statuspage.Setting{Name: s.Name, Value: s.Value, Default: s.Default, Meaning: s.Meaning})
	}
	return statuspage.New(metrics, metrics.Health(), facts)
}

// Limits returns the settings that bound the gauges.
func Limits(cfg *config.Config) telemetry.Limits {
	return telemetry.Limits{
		HeldMessages: cfg.MaxHeldMessages, HeldBytes: cfg.MaxHeldBytes, Pollers: cfg.Pollers,
		WriteConcurrency: cfg.WriteConcurrency, DedupKeys: cfg.DedupWindow, Age: telemetry.BehindAge(cfg.MaxAddedLatency),
	}
}

// backlog returns a function that reads how many messages of a queue are visible and in flight.
func backlog(url string, clients *awsclient.Clients, metrics *telemetry.Metrics) statuspage.AskBacklog {
	return func(ctx context.Context) (int, int, error) {
		info, err := awsclient.DescribeQueue(ctx, clients, "the queue", url)
		metrics.SQSRequest()
		if err != nil {
			return 0, 0, err
		}
		return info.Messages, info.InFlight, nil
	}
}
