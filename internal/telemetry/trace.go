package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// A Tracer makes spans by OpenTelemetry's semantic conventions for messaging and databases. A nil *Tracer makes none: it is the
// Tracer of a worker without OTEL_* variables.
//
//	send predictions            the publisher's, in its own trace
//	receive predictions         one a receive, linked to the senders of what it brought
//	process predictions         one a message, linked to its sender
//	  store prediction          one a prediction, its child: ends with the prediction's outcome
//	BatchWriteItem predictions  one a call, linked to the predictions in it
type Tracer struct {
	tracer       trace.Tracer
	provider     *sdktrace.TracerProvider
	queue, table string
	process      string // the name of a message's span
}

// NewTracer returns a Tracer configured by the standard OTEL_* variables, or nil if they ask for no traces. queue is the
// queue's URL, table the table's name. Failed exports are logged and delay nothing.
func NewTracer(ctx context.Context, log *slog.Logger, about About, queue, table string) (*Tracer, error) {
	wanted, err := exportWanted("TRACES")
	if !wanted || err != nil {
		return nil, err
	}
	protocol, err := exportProtocol("TRACES")
	if err != nil {
		return nil, err
	}
	client := otlptracehttp.NewClient()
	if protocol == protocolGRPC {
		client = otlptracegrpc.NewClient()
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("setting up the export of traces: %w", err)
	}
	logExports(log)
	return newTracer(sdktrace.WithBatcher(exporter), about, queue, table)
}

func newTracer(processor sdktrace.TracerProviderOption, about About, queue, table string) (*Tracer, error) {
	process, err := about.resource()
	if err != nil {
		return nil, err
	}
	options := []sdktrace.TracerProviderOption{processor, sdktrace.WithResource(process)}
	sampler, err := linkedSampler()
	if err != nil {
		return nil, err
	}
	if sampler != nil {
		options = append(options, sdktrace.WithSampler(sampler))
	}
	provider := sdktrace.NewTracerProvider(options...)
	queue, table = queue[strings.LastIndexByte(queue, '/')+1:], table[strings.LastIndexByte(table, '/')+1:]
	return &Tracer{
		tracer: provider.Tracer("github.com/predcache/predcache"), provider: provider,
		queue: queue, table: table, process: "process " + queue,
	}, nil
}

// Close exports the remaining spans.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// linkedSampler returns the configured sampler. A parent-based one follows links where there is no parent: a message is
// sampled if its sender was, and a write if one of its predictions was. It returns nil for the other samplers, which the SDK
// provides.
func linkedSampler() (sdktrace.Sampler, error) {
	name := cmp.Or(os.Getenv("OTEL_TRACES_SAMPLER"), "parentbased_always_on")
	rest, parentBased := strings.CutPrefix(name, "parentbased_")
	if !parentBased {
		return nil, nil //nolint:nilnil // the SDK provides it
	}
	root := sdktrace.AlwaysSample()
	switch rest {
	case "always_on":
	case "always_off":
		root = sdktrace.NeverSample()
	case "traceidratio":
		ratio := 1.0
		if arg := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); arg != "" {
			var err error
			if ratio, err = strconv.ParseFloat(arg, 64); err != nil || ratio < 0 || ratio > 1 {
				return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: give a number from 0 to 1", arg)
			}
		}
		root = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, nil //nolint:nilnil // the SDK provides it, or reports the error
	}
	return sdktrace.ParentBased(byLinks{root}), nil
}

// byLinks samples a span if a span that it links to is sampled. Root decides for a span without links.
type byLinks struct{ root sdktrace.Sampler }

func (s byLinks) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if len(p.Links) == 0 {
		return s.root.ShouldSample(p)
	}
	for _, l := range p.Links {
		if l.SpanContext.IsSampled() {
			return sdktrace.AlwaysSample().ShouldSample(p)
		}
	}
	return sdktrace.NeverSample().ShouldSample(p)
}

func (s byLinks) Description() string { return "ByLinks{" + s.root.Description() + "}" }

// messaging returns the attributes of an operation on the queue.
func (t *Tracer) messaging(name string, kind attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{
		semconv.MessagingSystemAWSSQS, semconv.MessagingDestinationName(t.queue), semconv.MessagingOperationName(name), kind,
	}, more...)
}

// received makes the span of a receive that returned messages.
func (t *Tracer) received(ctx context.Context, began time.Time, messages []consumer.Received) {
	var links []trace.Link
	for i := range messages {
		if from := sender(&messages[i]); from.IsValid() {
			links = append(links, trace.Link{SpanContext: from, Attributes: []attribute.KeyValue{semconv.MessagingMessageID(messages[i].ID)}})
		}
	}
	_, span := t.tracer.Start(ctx, "receive "+t.queue, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(began), trace.WithLinks(links...),
		trace.WithAttributes(t.messaging("receive", semconv.MessagingOperationTypeReceive, semconv.MessagingBatchMessageCount(len(messages)))...))
	span.End()
}

// A MessageTrace is the span of one message, from decoding until each of its predictions has an outcome.
type MessageTrace struct {
	tracer *Tracer
	ctx    context.Context //nolint:containedctx // holds the span alone
	span   trace.Span
	open   atomic.Int32
}

// Message starts the span of a message. Close ends it. Message returns nil, whose methods do nothing, if traces are off or the
// message is not sampled.
func (t *Tracer) Message(m *consumer.Message) *MessageTrace {
	if t == nil {
		return nil
	}
	var links []trace.Link
	if from := sender(&m.Received); from.IsValid() {
		links = append(links, trace.Link{SpanContext: from})
	}
	ctx, span := t.tracer.Start(context.Background(), t.process, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...))
	if !span.IsRecording() {
		return nil
	}
	// Not at the start: most messages of a sampled load would not need them.
	span.SetAttributes(t.messaging("process", semconv.MessagingOperationTypeProcess, semconv.MessagingMessageID(m.ID), semconv.MessagingMessageBodySize(len(m.Body)),
		attribute.Int("predcache.receive_count", m.Receives), attribute.Int64("predcache.sent_timestamp_ms", m.SentTime()))...)
	mt := &MessageTrace{tracer: t, ctx: ctx, span: span}
	mt.open.Store(1)
	return mt
}

// Rejected records a part of the message that can't be stored, as a span of its own.
func (mt *MessageTrace) Rejected(why *prediction.Reject) {
	if mt == nil {
		return
	}
	_, span := mt.tracer.tracer.Start(mt.ctx, "store prediction")
	endPrediction(span, prediction.Rejected, why)
}

// Prediction starts the span of one of the message's predictions. The Waiter that it returns must receive the outcome: it ends
// the span and passes the outcome on to next.
func (mt *MessageTrace) Prediction(it *item.Item, next dedup.Waiter) dedup.Waiter {
	if mt == nil {
		return next
	}
	_, span := mt.tracer.tracer.Start(mt.ctx, "store prediction", trace.WithAttributes(attribute.Int("predcache.item_bytes", it.Size)))
	mt.open.Add(1)
	it.Trace = span
	return &tracedPrediction{span, mt, next}
}

// Close marks the message as decoded: no further predictions follow.
func (mt *MessageTrace) Close() {
	if mt != nil && mt.open.Add(-1) == 0 {
		mt.span.End()
	}
}

type tracedPrediction struct {
	span trace.Span
	mt   *MessageTrace
	next dedup.Waiter
}

// Resolve implements dedup.Waiter.
func (p *tracedPrediction) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) {
	endPrediction(p.span, o, why)
	p.mt.Close()
	p.next.Resolve(o, raw, why)
}

// Stall implements dedup.Staller.
func (p *tracedPrediction) Stall() bool {
	s, ok := p.next.(dedup.Staller)
	return !ok || s.Stall()
}

func endPrediction(span trace.Span, o prediction.Outcome, why *prediction.Reject) {
	span.SetAttributes(attribute.String("predcache.outcome", o.String()))
	switch {
	case why != nil:
		span.SetAttributes(semconv.ErrorTypeKey.String(string(why.Reason)))
		span.SetStatus(codes.Error, why.Error())
	case o == prediction.Failed:
		span.SetAttributes(semconv.ErrorTypeKey.String("failed"))
		span.SetStatus(codes.Error, "not written: its message goes back to the queue")
	}
	span.End()
}

// write starts the span of a call that writes items, linked to the spans of their predictions. done ends it with the indexes
// of unprocessed items, or with an error, and adds an event to the spans of the predictions that these hit. done is nil if
// there is nothing to trace.
func (t *Tracer) write(ctx context.Context, operation Operation, items []*item.Item) (inside context.Context, done func(results []writer.Result)) {
	if t == nil {
		return ctx, nil
	}
	spans := make([]trace.Span, len(items))
	var links []trace.Link
	for i, it := range items {
		if span, ok := it.Trace.(trace.Span); ok {
			spans[i] = span
			links = append(links, trace.Link{SpanContext: span.SpanContext()})
		}
	}
	if len(links) == 0 {
		return ctx, nil // none of them is sampled
	}
	ctx, span := t.tracer.Start(ctx, string(operation)+" "+t.table, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...), trace.WithAttributes(
		semconv.DBSystemNameAWSDynamoDB, semconv.DBOperationName(string(operation)), semconv.DBCollectionName(t.table), semconv.DBOperationBatchSize(len(items))))
	return ctx, func(results []writer.Result) {
		if err := writer.CallError(results); err != nil {
			fail(span, err)
		}
		unprocessed := 0
		for i := range results {
			if results[i].Kind == writer.Unprocessed {
				unprocessed++
			}
			if spans[i] == nil {
				continue
			}
			if results[i].Kind == writer.Unprocessed {
				spans[i].AddEvent("sent back unprocessed")
			} else if err := results[i].Err; err != nil {
				spans[i].AddEvent("write failed", trace.WithAttributes(semconv.ErrorTypeKey.String(errorCode(err))))
			}
		}
		if unprocessed > 0 {
			span.SetAttributes(attribute.Int("predcache.unprocessed_items", unprocessed))
		}
		span.End()
	}
}

// fail marks a span as failed by a call's error. OTLP takes no text that is not UTF-8.
func fail(span trace.Span, err error) {
	span.SetAttributes(semconv.ErrorTypeKey.String(errorCode(err)))
	span.SetStatus(codes.Error, truncate(strings.ToValidUTF8(err.Error(), "?"), maxReason))
}

// Sent starts the span of a call that sends messages. inside is the context of the call. traceparent is for the message
// attribute of that name, by which the receiver links to the span. done ends the span. A nil Tracer does nothing.
func (t *Tracer) Sent(ctx context.Context, messages int) (inside context.Context, traceparent string, done func(err error)) {
	if t == nil {
		return ctx, "", func(error) {}
	}
	inside, span := t.tracer.Start(ctx, "send "+t.queue, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(t.messaging("send", semconv.MessagingOperationTypeSend, semconv.MessagingBatchMessageCount(messages))...))
	return inside, formatTraceparent(span.SpanContext()), func(err error) {
		if err != nil {
			fail(span, err)
		}
		span.End()
	}
}
