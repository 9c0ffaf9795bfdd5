package worker

import (
	"log/slog"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// Services are what a Pipeline calls outside of the process. They are the seams at which the simulator puts its faults.
type Services struct {
	Queue   consumer.Queue
	Rejects consumer.RejectQueue // nil: there is none
	Table   writer.Table
	Clock   func() time.Time // the services' clock
	Watch   *TableWatch      // nil: the table may not be read
	// WrapAdmit replaces the deduplication's admission. It is nil outside of the simulator.
	WrapAdmit func(next Admit) Admit
}

// NewServices returns the services on AWS.
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
	if resources.Rejects != nil {
		s.Rejects = metrics.WatchRejects(awsclient.NewQueue(clients, cfg.RejectQueueURL))
	}
	return s
}

// connections is how many calls to a service may be under way, with some to spare for what is asked at the start.
func connections(cfg *config.Config) int {
	writes := cfg.WriteConcurrency
	if cfg.Ordering == config.OrderingNewest {
		writes *= writer.CallsPerBatch
	}
	return 2*cfg.Pollers + writes + 8
}
