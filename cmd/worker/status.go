package main

import (
	"context"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
)

// newStatus makes the status page of a worker that is about to start.
func newStatus(cfg *config.Config, clients *awsclient.Clients, watch observer) *telemetry.Status {
	facts := telemetry.Facts{
		Version: version(), Queue: cfg.QueueURL, Rejects: cfg.RejectQueueURL, Table: cfg.TableName, Region: clients.SQS.Options().Region,
		Limits: limits(cfg),
	}
	for _, s := range cfg.InForce() {
		facts.Settings = append(facts.Settings, telemetry.Setting{Name: s.Name, Value: s.Value, Default: s.Default, Meaning: s.Meaning})
	}
	return telemetry.NewStatus(watch.Metrics, watch.health, facts)
}

// limits are the settings that bound what the gauges show.
func limits(cfg *config.Config) telemetry.Limits {
	return telemetry.Limits{
		HeldMessages: cfg.MaxHeldMessages, HeldBytes: cfg.MaxHeldBytes, Pollers: cfg.Pollers,
		WriteConcurrency: cfg.WriteConcurrency, DedupKeys: cfg.DedupWindow,
	}
}

// backlog asks how much the queue holds.
func backlog(cfg *config.Config, clients *awsclient.Clients) func(context.Context) (waiting, inFlight int, err error) {
	return func(ctx context.Context) (int, int, error) {
		info, err := awsclient.DescribeQueue(ctx, clients, "the queue", cfg.QueueURL)
		if err != nil {
			return 0, 0, err
		}
		return info.Messages, info.InFlight, nil
	}
}
