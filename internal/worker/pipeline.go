package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// Admit is the type of dedup.Window.Admit. It returns true if the item must be submitted to the writer.
type Admit func(it *item.Item, to dedup.Waiter) (submit bool)

// A Pipeline connects the stages of the worker:
//
//	poll -> decode -> admit (dedup) -> batch -> write -> settle -> delete
//
// Under WORKER_DELETES=remove, the remover stands between the write of a delete and its settling.
type Pipeline struct {
	cfg      *config.Config
	log      *slog.Logger
	metrics  *telemetry.Metrics
	health   *telemetry.Health
	ingest   *ingest.Ingest
	window   *dedup.Window
	watch    *TableWatch
	writer   *writer.Writer
	remover  *removal.Remover // nil: nothing is removed
	consumer *consumer.Consumer
	bulk     *bulk         // nil if no objects are read
	maxHold  time.Duration // of an item whose message did not wait to be received
}

// NewPipeline returns a Pipeline that uses the given services. The simulator passes services with faults.
func NewPipeline(s Services, cfg *config.Config, resources *Resources, metrics *telemetry.Metrics, log *slog.Logger) *Pipeline {
	p := &Pipeline{cfg: cfg, log: log, watch: s.Watch, metrics: metrics, health: metrics.Health()}
	// WORKER_MAX_ADDED_LATENCY is spent on what saves most: up to three fifths on the pause before a receive, and what that leaves on
	// waiting for newer versions of keys that come again. Other items wait a tenth of it for others to fill a write. A twentieth is
	// for the calls.
	latency := cfg.MaxAddedLatency
	p.maxHold = latency - latency/20
	window := dedup.Config{
		Size: cfg.DedupWindow, MaxAge: cfg.DedupMaxAge, Ordered: resources.Layout.Ordered, Observer: metrics,
		Submit: func(items ...*item.Item) { p.writer.Submit(items...) },
	}
	if s.Versions != nil {
		window.Remove = p.remove
	}
	p.window = dedup.NewWindow(window)
	admit := Admit(p.window.Admit)
	if s.WrapAdmit != nil {
		admit = s.WrapAdmit(admit)
	}
	p.writer = writer.New(writer.Config{
		Table:       s.Table,
		Window:      p.window,
		Observer:    metrics,
		Concurrency: cfg.WriteConcurrency,
		CallTimeout: cfg.CallTimeout,
		Linger:      latency / 10,
		Hold:        p.window.Hold,
		MaxUnits:    cfg.MaxWriteUnits,
		Waiting:     metrics.Health().Active, // otherwise a batch of large items at a low MaxUnits would look stuck
		Now:         s.Clock,
		Recheck:     s.Watch.Recheck,
		OnState:     p.onState,
	}, p.window.Begin)
	if s.Versions != nil {
		p.remover = removal.New(removal.Config{
			Table: s.Versions, Layout: resources.Layout, Observer: metrics, Concurrency: cfg.WriteConcurrency, CallTimeout: cfg.CallTimeout,
			Admit:  func(it *item.Item, to removal.Waiter) bool { return admit(it, to) },
			Submit: p.writer.Submit, Pending: p.pendingOf,
		})
	}
	p.ingest = ingest.New(ingest.Config{
		Decoder: cfg.Prediction(), Layout: resources.Layout, Admit: admit, Submit: p.writer.Submit, Idle: p.writer.Idle,
		Observer: metrics, Now: s.Clock, Grace: writer.ExpiryGrace, Log: log,
	})
	c := consumer.Config{
		Queue: s.Queue, Rejects: s.Rejects, Observer: metrics, Handle: p.handle, Ready: p.writer.Ready,
		Pollers: cfg.Pollers, Wait: cfg.ReceiveWait, Visibility: resources.Queue.Visibility,
		MaxMessages: cfg.MaxHeldMessages, MaxBytes: cfg.MaxHeldBytes,
		MaxMessageBytes: maxMessageBytes(resources.Queue), MaxDecodedBytes: int64(cfg.MaxDecodedBytes),
		CallTimeout: cfg.CallTimeout, DeleteLinger: cfg.DeleteLinger,
		Now: s.Clock, Pace: latency * 3 / 5, Pressed: p.writer.Press,
	}
	if resources.Rejects != nil {
		c.MaxRejectBytes = int(maxMessageBytes(resources.Rejects))
	}
	p.consumer = consumer.New(c)
	metrics.SetWindow(p.window.Stats)
	if s.Objects != nil {
		p.bulk = newBulk(p, &s, admit, resources)
	}
	return p
}

// remove passes a delete from the window to the remover.
func (p *Pipeline) remove(d *dedup.Delete) {
	p.remover.Remove(removal.Delete{Key: d.Key, Version: d.Version, Done: d.Done, Stall: d.Stall})
}

// pendingOf returns the writes on their way to the table that a delete hides.
func (p *Pipeline) pendingOf(id string, deleted prediction.Version) (found []removal.Found) {
	for _, o := range p.window.Older(id, deleted) {
		found = append(found, removal.Found{Key: o.Key, Event: o.Event})
	}
	return found
}

// Held returns the number of messages held: received, and not yet deleted, rejected or released.
func (p *Pipeline) Held() (n int) {
	for _, c := range p.consumers() {
		n += c.Held()
	}
	return n
}

// consumers returns the consumers of messages: that of the queue and, if objects are read, that of their queue.
func (p *Pipeline) consumers() []*consumer.Consumer {
	if p.bulk == nil {
		return []*consumer.Consumer{p.consumer}
	}
	return []*consumer.Consumer{p.consumer, p.bulk.loader.Consumer}
}

// HeldBytes returns the bytes that count against WORKER_MAX_HELD_BYTES.
func (p *Pipeline) HeldBytes() int64 { return p.consumer.HeldBytes() }

// Run runs the stages until intake is done, and then drains them: it writes, deletes or releases all messages held within the drain
// timeout. It returns the number of messages still held at the end.
func (p *Pipeline) Run(intake context.Context) (left int, err error) {
	settling, stopSettling := context.WithCancel(context.Background())
	defer stopSettling()
	writing, stopWriting := context.WithCancel(settling)
	defer stopWriting()
	// At the write deadline, receives and the wait for writes end. The writer itself stops only when no poller is left that could
	// submit an item.
	waiting, stopWaiting := context.WithCancel(settling)
	defer stopWaiting()
	stop := context.AfterFunc(intake, func() {
		// The deadlines of the drain. A stage that finishes earlier is stopped earlier.
		defer time.AfterFunc(p.cfg.WriteDeadline(), stopWaiting).Stop()
		defer time.AfterFunc(p.cfg.DrainTimeout, stopSettling).Stop()
		p.writer.Flush()
		p.health.SetReady(false)
		p.log.Info("draining", "held", p.Held(), "timeout", p.cfg.DrainTimeout.String())
		<-settling.Done()
	})
	defer stop()

	var stages errgroup.Group
	stages.Go(func() error { return p.watch.run(settling, p.window.Forget) })
	for _, c := range p.consumers() {
		stages.Go(func() error { return c.Run(settling) })
	}
	var writers errgroup.Group
	writers.Go(func() error { return p.writer.Run(writing) })
	if p.bulk != nil {
		writers.Go(func() error { return p.bulk.writer.Run(writing) })
	}
	if p.remover != nil {
		writers.Go(func() error { return p.remover.Run(writing) })
	}
	stages.Go(func() error { return p.metrics.WatchExpired(settling) })
	stages.Go(func() error { return p.metrics.WatchBehind(settling) })
	p.health.SetReady(true)

	// Each step ends when its work is done, or at its deadline.
	err = p.poll(intake, waiting)             // running receives finish
	err = errors.Join(err, p.drain(waiting))  // everything held is written and deleted
	stopWriting()                             // abandon the rest
	err = errors.Join(err, writers.Wait())    //
	p.abandonRejects()                        // also what waits for the reject queue
	err = errors.Join(err, p.drain(settling)) // and released
	left = p.Held()
	stopSettling()
	return left, errors.Join(err, stages.Wait())
}

// drain blocks until nothing is held or ctx is done. The latter is no error, since a later step handles the rest.
func (p *Pipeline) drain(ctx context.Context) error {
	for _, c := range p.consumers() {
		if err := c.Drained(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// poll receives messages and, if wanted, reads objects until intake is done.
func (p *Pipeline) poll(intake, calls context.Context) error {
	if p.bulk == nil {
		return p.consumer.Poll(intake, calls)
	}
	var polls errgroup.Group
	polls.Go(func() error { return p.bulk.loader.Poll(intake, calls) })
	return errors.Join(p.consumer.Poll(intake, calls), polls.Wait())
}

func (p *Pipeline) abandonRejects() {
	for _, c := range p.consumers() {
		c.AbandonRejects()
	}
}

// onState opens and closes the intake with the table's state. Calls are in order and do not overlap.
func (p *Pipeline) onState(s writer.State, reason error) {
	p.metrics.State(s)
	switch s {
	case writer.Up:
		p.health.Report("the table", "", nil)
		p.consumer.SetMode(consumer.ModeOpen)
	case writer.Down:
		p.health.Report("the table", "receiving is paused; the worker tries to write at least every 30 s", reason)
		p.consumer.SetMode(consumer.ModeClosed)
		p.tableMissing(reason)
	case writer.Probing:
		p.consumer.SetMode(consumer.ModeProbe) // in case no held item can be the probe
	}
}

// tableMissing forgets what was written if the table is gone: the table that is written next may be a new one.
func (p *Pipeline) tableMissing(reason error) {
	if awsclient.Code(reason) == "ResourceNotFoundException" {
		p.window.Forget()
		p.watch.missing()
	}
}
