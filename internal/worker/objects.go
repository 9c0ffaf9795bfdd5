package worker

import (
	"log/slog"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/objects"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// ObjectServices are the external dependencies of reading objects.
type ObjectServices struct {
	Queue objects.Queue
	Store objects.Store
}

// newObjectServices returns the services of AWS, or nil if no objects are read.
func newObjectServices(cfg *config.Config, clients *awsclient.Clients, metrics *telemetry.Metrics) *ObjectServices {
	if cfg.ObjectsQueueURL == "" {
		return nil
	}
	return &ObjectServices{
		Queue: metrics.WatchObjectsQueue(awsclient.NewQueue(clients, cfg.ObjectsQueueURL)),
		Store: metrics.WatchStore(awsclient.NewStore(clients, cfg.BucketOwner())),
	}
}

// A bulk is the part of the pipeline that reads objects. It shares the table and the dedup window with queue messages. It has a loader,
// an ingest and a writer of its own, so that neither waits behind the other.
type bulk struct {
	loader *objects.Loader
	writer *writer.Writer
}

// newBulk returns the bulk of a pipeline whose other stages are made.
func newBulk(p *Pipeline, s *Services, admit Admit, resources *Resources) *bulk {
	cfg, observer := p.cfg, p.metrics.Objects()
	b := &bulk{}
	b.writer = writer.New(writer.Config{
		Table: s.Table, Window: p.window, Observer: observer,
		Concurrency: cfg.ObjectsWriters(), CallTimeout: cfg.CallTimeout,
		MaxUnits: cfg.ObjectsWriteUnits(), Behind: p.writer, Waiting: p.health.Active,
		Now: s.Clock, Recheck: s.Watch.Recheck, OnState: func(state writer.State, reason error) { p.onBulkState(b, state, reason) },
	}, p.window.Begin)
	in := ingest.New(ingest.Config{
		Decoder: cfg.Prediction(), Layout: resources.Layout, Admit: admit, Submit: b.writer.Submit, Idle: b.writer.Idle,
		Observer: p.metrics, Now: s.Clock, Grace: writer.ExpiryGrace, Log: p.log,
	})
	prefixes, _ := cfg.ObjectPrefixes() // validated
	c := objects.Config{
		Store: s.Objects.Store, Queue: s.Objects.Queue, Rejects: s.Rejects, Observer: observer, Ingest: in, Ready: b.writer.Ready,
		RangeBytes: cfg.ObjectsRangeBytes, SplitCSV: cfg.ObjectsSplitCSV, Concurrency: cfg.ObjectsConcurrency,
		MaxBytes: cfg.ObjectsMaxBytes, MaxRow: cfg.MaxDecodedBytes, Fields: cfg.Prediction().Fields, Table: resources.Table,
		Wait: cfg.ReceiveWait, Visibility: resources.Objects.Visibility, MaxMessageBytes: maxMessageBytes(resources.Objects),
		CallTimeout: cfg.CallTimeout, DeleteLinger: cfg.DeleteLinger, Log: p.log,
	}
	for _, prefix := range prefixes {
		c.Allowed = append(c.Allowed, objects.Prefix(prefix))
	}
	if resources.Rejects != nil {
		c.MaxRejectBytes = int(maxMessageBytes(resources.Rejects))
	}
	b.loader = objects.New(c)
	return b
}

// onBulkState opens and closes the intake of objects with the table's state, as the writer of their rows finds it.
func (p *Pipeline) onBulkState(b *bulk, s writer.State, reason error) {
	switch s {
	case writer.Up:
		p.health.Report(telemetry.PartObjectsTable, "", nil)
		b.loader.SetMode(consumer.ModeOpen)
	case writer.Down:
		p.health.Report(telemetry.PartObjectsTable, "objects wait; the worker tries to write at least every 30 s", reason)
		b.loader.SetMode(consumer.ModeClosed)
		p.tableMissing(reason)
	case writer.Probing:
		b.loader.SetMode(consumer.ModeProbe)
	}
}

// logObjects logs what is read.
func logObjects(cfg *config.Config, log *slog.Logger) {
	if cfg.ObjectsQueueURL != "" {
		log.Info("reading objects", "queue", cfg.ObjectsQueueURL, "objects", cfg.Objects, "owner", cfg.BucketOwner())
	}
}
