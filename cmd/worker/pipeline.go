package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// A pipeline is the worker's stages, wired:
//
//	poll -> decode -> admit (dedup) -> batch -> write -> settle -> delete
type pipeline struct {
	cfg      *config.Config
	log      *slog.Logger
	now      func() time.Time // the services' clock
	metrics  *telemetry.Metrics
	health   *telemetry.Health
	decoder  *prediction.Decoder
	layout   *item.Layout
	window   *dedup.Window
	admit    func(it *item.Item, to dedup.Waiter) (submit bool)
	writer   *writer.Writer
	consumer *consumer.Consumer
	decoded  sync.Pool // of *prediction.Decoded
}

// observer is what the stages report to: the metrics, and health for what an operator should hear of.
type observer struct {
	*telemetry.Metrics
	health *telemetry.Health
}

// Call implements awsclient.Observer.
func (o observer) Call(operation, code string, d time.Duration) {
	o.Metrics.Call(operation, code, d)
	o.health.Active()
}

// Trouble implements consumer.Observer.
func (o observer) Trouble(operation string, err error) {
	o.health.Called(operation, "it is tried again by itself; see the reason", err)
}

// services are the ways to the queue, the reject queue and the table.
type services struct {
	queue   consumer.Queue
	rejects consumer.RejectQueue // nil where there is none
	table   writer.Table
	newest  writer.NewestTable // takes the place of table under WORKER_ORDERING=newest; nil otherwise
	clock   func() time.Time   // the services' own
	recheck func(ctx context.Context) error
}

// newServices makes the ways to AWS.
func newServices(cfg *config.Config, found *findings, clients *awsclient.Clients, watch observer) services {
	queue, table := hotPath(cfg, found, clients, watch.Spent)
	s := services{
		queue:   watch.WatchQueue(queue),
		table:   watch.WatchTable(table),
		clock:   clients.Clock.Now,
		recheck: newRechecker(clients, cfg, found.table).recheck,
	}
	if conditional, ok := table.(writer.NewestTable); ok && found.layout.Ordered {
		s.newest = watch.WatchNewest(conditional)
	}
	if found.rejects != nil {
		s.rejects = watch.WatchRejects(awsclient.NewQueue(clients, cfg.RejectQueueURL))
	}
	return s
}

// newPipeline wires the stages for what was found at the start.
func newPipeline(cfg *config.Config, found *findings, clients *awsclient.Clients, watch observer, log *slog.Logger) *pipeline {
	return newPipelineOn(newServices(cfg, found, clients, watch), cfg, found, watch, log)
}

// newPipelineOn joins the stages to these services. The simulator gives it some with faults of their own.
func newPipelineOn(s services, cfg *config.Config, found *findings, watch observer, log *slog.Logger) *pipeline {
	p := &pipeline{
		cfg: cfg, log: log, now: s.clock, metrics: watch.Metrics, health: watch.health,
		decoder: prediction.NewDecoder(cfg.Prediction()),
		layout:  found.layout,
	}
	p.decoded.New = func() any { return new(prediction.Decoded) }
	p.window = dedup.NewWindow(dedup.Config{
		Size: cfg.DedupWindow, Observer: watch,
		Submit: func(items ...*item.Item) { p.writer.Submit(items...) },
	})
	p.admit = p.window.Admit
	p.writer = writer.New(writer.Config{
		Table:       s.table,
		Newest:      s.newest,
		Window:      p.window,
		Observer:    watch,
		Concurrency: cfg.WriteConcurrency,
		CallTimeout: cfg.CallTimeout,
		Linger:      cfg.Freshness / 10,
		MaxUnits:    cfg.MaxWriteUnits,
		Waiting:     watch.health.Active, // else a batch of large items under a low cap would look stuck
		Now:         s.clock,
		Recheck:     s.recheck,
		OnState:     p.onState,
	}, p.window.Begin)
	c := consumer.Config{
		Queue: s.queue, Rejects: s.rejects, Observer: watch, Handle: p.handle, Ready: p.writer.Ready,
		Pollers: cfg.Pollers, Wait: cfg.ReceiveWait, Visibility: found.queue.Visibility,
		MaxMessages: cfg.MaxHeldMessages, MaxBytes: cfg.MaxHeldBytes,
		MaxMessageBytes: maxMessageBytes(found.queue), MaxDecodedBytes: int64(cfg.MaxDecodedBytes),
		CallTimeout: cfg.CallTimeout, DeleteLinger: cfg.DeleteLinger,
		Pace: cfg.Freshness * 3 / 5, // the rest is for the calls, and for the writer's linger
	}
	if found.rejects != nil {
		c.MaxRejectBytes = int(maxMessageBytes(found.rejects))
	}
	p.consumer = consumer.New(c)
	watch.Pipeline(limits(cfg), p.window.Stats)
	watch.Priced(telemetry.Prices{WriteUnits: cfg.PriceWriteUnits, Requests: cfg.PriceSQSRequests})
	return p
}

// Run works until intake is done and then drains: what is held is written, deleted or released within the drain timeout.
// It returns how many messages were still held when that ran out.
func (p *pipeline) Run(intake context.Context) (left int, err error) {
	settling, stopSettling := context.WithCancel(context.Background())
	defer stopSettling()
	writing, stopWriting := context.WithCancel(settling)
	defer stopWriting()
	// Receives, and waiting for writes, end at the write deadline. Writing itself is stopped only once no poller is left that
	// could hand it another item.
	waiting, stopWaiting := context.WithCancel(settling)
	defer stopWaiting()
	stop := context.AfterFunc(intake, func() {
		// The deadlines of the drain. A stage that is done earlier is stopped earlier.
		defer time.AfterFunc(p.cfg.WriteDeadline(), stopWaiting).Stop()
		defer time.AfterFunc(p.cfg.DrainTimeout, stopSettling).Stop()
		p.health.SetReady(false)
		p.log.Info("draining", "held", p.consumer.Held(), "timeout", p.cfg.DrainTimeout.String())
		<-settling.Done()
	})
	defer stop()

	var stages errgroup.Group
	written := make(chan struct{})
	stages.Go(func() error { return p.consumer.Run(settling) })
	stages.Go(func() error {
		defer close(written)
		return p.writer.Run(writing)
	})
	p.health.SetReady(true)

	// Each step ends when what it waits for is done, or at its deadline.
	err = p.consumer.Poll(intake, waiting)    // receives under way are let finish
	err = errors.Join(err, p.drain(waiting))  // everything held is written and deleted
	stopWriting()                             // the rest is given up
	<-written                                 //
	p.consumer.GiveUp()                       // also what waits for the reject queue
	err = errors.Join(err, p.drain(settling)) // and released
	left = p.consumer.Held()
	stopSettling()
	return left, errors.Join(err, stages.Wait())
}

// drain waits until nothing is held; that ctx ends first is no error here, since a later step deals with the rest.
func (p *pipeline) drain(ctx context.Context) error {
	if err := p.consumer.Drained(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// onState lets the intake follow the table. It is called in order, one call at a time.
func (p *pipeline) onState(s writer.State, reason error) {
	p.metrics.State(s)
	switch s {
	case writer.Up:
		p.health.Report("the table", "", nil)
		p.consumer.SetMode(consumer.Open)
	case writer.Down:
		p.health.Report("the table", "nothing is received until it can be written again, which is tried every 30 s at the latest; correct the reason", reason)
		p.consumer.SetMode(consumer.Closed)
	case writer.Probing:
		p.consumer.SetMode(consumer.One) // in case nothing is held that could be the probe
	}
}

// handle reads what a receive brought, and hands its items on together.
func (p *pipeline) handle(ctx context.Context, messages []*consumer.Message) {
	decoded := p.decoded.Get().(*prediction.Decoded)
	defer p.decoded.Put(decoded)
	items := make([]*item.Item, 0, len(messages))
	for i, m := range messages {
		compressed := mayBeCompressed(m)
		if compressed {
			p.writer.Submit(items...)
			items = items[:0:0]
			for _, before := range messages[:i] {
				before.Read()
			}
			if !p.consumer.Decompressing(ctx) {
				m.Expect()
				m.Resolve(prediction.Failed, "", nil)
				continue
			}
		}
		items = p.read(m, decoded, items)
		if compressed {
			p.consumer.Decompressed(m, decoded.Inflated)
		}
		p.consumer.Unpacked(m, len(decoded.Predictions))
	}
	p.writer.Submit(items...)
}

// mayBeCompressed tells whether a message may have to be decompressed: it says so itself, or an envelope in it does.
func mayBeCompressed(m *consumer.Message) bool {
	return m.Attribute(consumer.AttrContentEncoding) != "" || strings.Contains(m.Body, consumer.AttrContentEncoding)
}

// read decodes a message, has each of its predictions admitted, and appends the items that have to be written.
func (p *pipeline) read(m *consumer.Message, decoded *prediction.Decoded, items []*item.Item) (all []*item.Item) {
	defer func() {
		// A message that crashes the worker would crash whoever receives it next, too.
		if fault := recover(); fault != nil {
			all = items // what was admitted before is pending, and has to be written
			p.log.Error("a message could not be read by a fault of the worker's own: please report this", "fault", fmt.Sprintf("%T", fault), "message", m.ID)
			p.reject(m, consumer.Reject{Raw: m.Body, Whole: true, Why: prediction.Rejectf(prediction.ReasonInternal, "", "the worker failed to read the message: please report it")})
		}
	}()
	now := p.now()
	p.decoder.Decode(decoded, prediction.Message{
		Body: m.Body, ContentEncoding: m.Attribute(consumer.AttrContentEncoding), Sent: m.SentTime(),
	}, now)
	trace := p.metrics.Tracer().Message(m)
	defer trace.Close()
	for _, r := range decoded.Rejected {
		trace.Rejected(r.Why)
		p.reject(m, consumer.Reject{Raw: r.Raw, Whole: r.Whole, Why: r.Why})
	}
	over := now.Add(-writer.ExpiryGrace).Unix()
	for i := range decoded.Predictions {
		it, why := p.layout.New(&decoded.Predictions[i])
		switch {
		case why != nil:
			trace.Rejected(why)
			p.reject(m, consumer.Reject{Raw: decoded.Predictions[i].Raw, Why: why})
			continue
		case it.Expires < over:
			p.metrics.Outcome(prediction.Expired, it.Units(), it.Version.Sent)
			continue
		}
		m.Expect()
		if p.admit(it, trace.Prediction(it, m)) {
			items = append(items, it)
		}
	}
	return items
}

func (p *pipeline) reject(m *consumer.Message, r consumer.Reject) {
	p.metrics.Rejected(r.Why.Reason)
	p.metrics.Outcome(prediction.Rejected, 0, 0)
	p.log.Debug("rejected", "message", m.ID, "reason", r.Why.Reason, "field", r.Why.Field, "detail", r.Why.Detail)
	m.Reject(r)
}

// A rechecker reads the table again after it refused an item: its keys, indexes or TTL may have changed under us.
type rechecker struct {
	clients *awsclient.Clients
	cfg     *config.Config
	atStart item.Table

	asking chan struct{} // holds one while somebody asks, which takes a call: no mutex for that
	last   time.Time
	answer error
}

func newRechecker(clients *awsclient.Clients, cfg *config.Config, atStart item.Table) *rechecker {
	return &rechecker{clients: clients, cfg: cfg, atStart: atStart, asking: make(chan struct{}, 1)}
}

// recheckEvery is how long an answer holds: a batch that is halved asks several times.
const recheckEvery = time.Minute

func (r *rechecker) recheck(ctx context.Context) error {
	if _, told := r.cfg.Table(); told {
		return nil // we may not ask
	}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return nil
	}
	if !r.last.IsZero() && time.Since(r.last) < recheckEvery {
		return r.answer
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	info, err := awsclient.DescribeTable(ctx, r.clients, r.cfg.TableName)
	if err != nil {
		return nil // not known; the next refusal asks again
	}
	r.last, r.answer = time.Now(), nil
	if !reflect.DeepEqual(info.Table, r.atStart) {
		r.answer = errors.New("the table's keys, indexes or TTL are no longer what they were when the worker started: restart the worker")
	}
	return r.answer
}
