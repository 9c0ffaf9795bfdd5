package worker

import (
	"log/slog"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// Services are the external dependencies of a Pipeline. The simulator injects faults here.
type Services struct {
	Queue   consumer.Queue
	Rejects consumer.RejectQueue // nil if there is none
	Table   writer.Table
	// Versions finds what deletes hide. nil: nothing is removed.
	Versions removal.Table
	Clock    func() time.Time // the services' clock
	Watch    *TableWatch      // nil if the worker may not describe the table
	Objects  *ObjectServices  // nil if no objects are read
	// WrapAdmit wraps the window's Admit. Only the simulator sets it.
	WrapAdmit func(next Admit) Admit
}

// NewServices returns the services of AWS, with metrics and traces.
func NewServices(cfg *config.Config, resources *Resources, clients *awsclient.Clients, metrics *telemetry.Metrics, log *slog.Logger) Services {
	operation := telemetry.BatchWriteItem
	if resources.Layout.Ordered {
		operation = telemetry.PutItem
	}
	table := awsclient.NewTable(clients, cfg.TableName, resources.Layout, metrics.Spent)
	s := Services{
		Queue: metrics.WatchQueue(awsclient.NewQueue(clients, cfg.QueueURL)),
		Table: metrics.WatchTable(table, operation),
		Clock: clients.Clock.Now,
		Watch: NewTableWatch(cfg, clients, resources, metrics.TableTTL, log),
	}
	// In the latest-only layout, a tombstone replaces what it hides.
	if cfg.Deletes == config.DeletesRemove && resources.Layout.Kind != item.LatestOnly {
		deletes := awsclient.NewDeleteTable(clients, cfg.TableName, resources.Layout, metrics.Spent)
		s.Table = writer.WithRemovals(s.Table, metrics.WatchRemovals(deletes))
		s.Versions = metrics.WatchVersions(awsclient.NewVersionTable(clients, cfg.TableName, resources.Layout, metrics.SpentReading))
	}
	if resources.Rejects != nil {
		s.Rejects = metrics.WatchRejects(awsclient.NewQueue(clients, cfg.RejectQueueURL))
	}
	s.Objects = newObjectServices(cfg, clients, metrics)
	return s
}

// connections returns the maximum number of concurrent calls to a service, plus some for descriptions.
func connections(cfg *config.Config) int {
	writes, reads := cfg.WriteConcurrency, 0
	if cfg.ObjectsQueueURL != "" {
		writes += cfg.ObjectsWriters()
		reads = cfg.ObjectsConcurrency
	}
	if cfg.Ordering == config.OrderingNewest {
		writes *= writer.CallsPerBatch
	}
	if cfg.Deletes == config.DeletesRemove {
		writes += 2 * cfg.WriteConcurrency // a Query and a DeleteItem of each id
	}
	return 2*cfg.Pollers + writes + reads + 8
}
