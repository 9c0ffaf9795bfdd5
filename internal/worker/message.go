package worker

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
)

// handle reads the messages of a receive.
func (p *Pipeline) handle(ctx context.Context, messages []*consumer.Message) {
	batch := p.ingest.Begin()
	defer batch.End(ctx)
	// Short messages come first: what is short is also quick to read, and need not wait for what is not.
	slices.SortStableFunc(messages, func(a, b *consumer.Message) int { return len(a.Body) - len(b.Body) })
	for _, m := range messages {
		trace := p.metrics.Tracer().Message(m)
		batch.Add(ctx, ingest.Text{
			Name: m.ID, Body: m.Body, ContentEncoding: m.Attribute(consumer.AttrContentEncoding), Sent: m.SentTime(),
		}, &queueMessage{m, max(p.maxHold-m.Waited, 0), trace, p.log})
		trace.Close()
	}
}

// A queueMessage is the ingest's sink of a message. It adds logging and tracing.
type queueMessage struct {
	*consumer.Message
	hold  time.Duration // item.Item.Hold of its predictions
	trace *telemetry.MessageTrace
	log   *slog.Logger
}

// Admit implements ingest.Sink.
func (m *queueMessage) Admit(it *item.Item) dedup.Waiter {
	it.Hold, it.Queued = m.hold, m.Sent
	waiter := m.trace.Prediction(it, m.Message)
	m.Expect() // last: from here on, the Waiter must be resolved
	return waiter
}

// Reject implements ingest.Sink.
func (m *queueMessage) Reject(part prediction.RejectedPart, count int) {
	m.trace.Rejected(part.Why)
	m.log.Debug("rejected", "message", m.ID, "reason", part.Why.Reason, "field", part.Why.Field, "detail", part.Why.Detail)
	m.Message.Reject(part, count)
}

// NoRoom implements ingest.Sink. The message is released.
func (m *queueMessage) NoRoom() {
	m.Expect()
	m.Resolve(prediction.Failed, "", nil)
}
