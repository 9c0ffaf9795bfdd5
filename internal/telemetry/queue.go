package telemetry

import (
	"context"
	"time"

	"github.com/predcache/predcache/internal/consumer"
)

// WatchQueue counts a queue's calls, tells the health how they end, and makes the spans of receives.
func (m *Metrics) WatchQueue(q consumer.Queue) consumer.Queue {
	return &watchedQueue{watchedSettling{
		next: q, metrics: m,
		remove: m.call(DeleteMessageBatch, PartDelete), change: m.call(ChangeMessageVisibilityBatch, PartVisibility),
	}, m.call(ReceiveMessage, PartReceive)}
}

type watchedQueue struct {
	watchedSettling
	receive call
}

// watchedSettling counts the calls that settle messages, of any queue.
type watchedSettling struct {
	next           consumer.Queue
	metrics        *Metrics
	remove, change call
}

// Receive implements consumer.Queue.
func (q *watchedQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	start := time.Now()
	received, err := q.next.Receive(ctx, limit, wait)
	q.receive.ended(start, err)
	m, bytes, again := q.metrics, 0, 0
	for i := range received {
		bytes += payload(received[i].Body, received[i].Attributes)
		if received[i].Receives > 1 {
			again++
		}
	}
	m.bill(bytes)
	if err != nil {
		return received, err
	}
	m.received.Add(float64(len(received)))
	m.redelivered.Add(float64(again))
	m.receives.Observe(float64(len(received)))
	if len(received) == 0 {
		m.emptyReceives.Inc()
	} else if m.tracer != nil {
		m.tracer.received(ctx, start, received)
	}
	return received, nil
}

// Delete implements consumer.Queue.
func (q *watchedSettling) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	start := time.Now()
	failures, err := q.next.Delete(ctx, receipts)
	q.remove.ended(start, err)
	q.metrics.bill(0)
	q.metrics.retried(DeleteMessageBatch, len(receipts), failures, err)
	return failures, err
}

// ChangeVisibility implements consumer.Queue.
func (q *watchedSettling) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	start := time.Now()
	failures, err := q.next.ChangeVisibility(ctx, changes)
	q.change.ended(start, err)
	q.metrics.bill(0)
	q.metrics.retried(ChangeMessageVisibilityBatch, len(changes), failures, err)
	return failures, err
}

// WatchRejects does for the reject queue what WatchQueue does for the queue.
func (m *Metrics) WatchRejects(q consumer.RejectQueue) consumer.RejectQueue {
	return &watchedSend{q, m, m.call(SendMessageBatch, PartRejects)}
}

// watchedSend counts the calls that send messages, to any queue.
type watchedSend struct {
	next    consumer.RejectQueue
	metrics *Metrics
	send    call
}

// Send implements consumer.RejectQueue.
func (q *watchedSend) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	start := time.Now()
	failures, err := q.next.Send(ctx, messages)
	q.send.ended(start, err)
	bytes := 0
	for i := range messages {
		bytes += payload(messages[i].Body, messages[i].Attributes)
	}
	q.metrics.bill(bytes)
	q.metrics.retried(SendMessageBatch, len(messages), failures, err)
	return failures, err
}

// chunk is what SQS bills as one request: each started 64 KB of a call's payload ("Amazon SQS pricing").
const chunk = 64 << 10

// SQSRequest counts a request as billed that no wrapper sees, such as GetQueueAttributes.
func (m *Metrics) SQSRequest() { m.bill(0) }

// bill counts the requests that SQS bills for a call of the given bytes. A call without an answer may not be billed, but counts too.
func (m *Metrics) bill(bytes int) { m.requests.Add(float64(max(bytes+chunk-1, chunk) / chunk)) }

func payload(body string, attributes []consumer.Attribute) int {
	n := len(body)
	for i := range attributes {
		a := &attributes[i]
		n += len(a.Name) + len(a.Type) + len(a.Value)
	}
	return n
}

// retried counts the entries of a call that will be tried again.
func (m *Metrics) retried(o Operation, entries int, failures []consumer.Failure, err error) {
	if err == nil {
		entries = 0
		for i := range failures {
			if !failures[i].SenderFault {
				entries++
			}
		}
	}
	if entries > 0 {
		m.retries[o].Add(float64(entries))
	}
}
