package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/writer"
)

// WatchQueue counts what a queue's answers say that the consumer doesn't report, and makes the spans of receives.
func (m *Metrics) WatchQueue(q consumer.Queue) consumer.Queue {
	return &watchedQueue{&billedQueue{q, &m.cost}, m}
}

type watchedQueue struct {
	consumer.Queue
	m *Metrics
}

func (q *watchedQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	began := time.Now()
	received, err := q.Queue.Receive(ctx, limit, wait)
	if q.m.tracer != nil && len(received) > 0 {
		q.m.tracer.received(ctx, began, received)
	}
	again := 0
	for i := range received {
		if received[i].Receives > 1 {
			again++
		}
	}
	if again > 0 {
		q.m.redelivered.Add(float64(again))
	}
	return received, err
}

func (q *watchedQueue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	failures, err := q.Queue.Delete(ctx, receipts)
	q.m.retried("DeleteMessageBatch", len(receipts), failures, err)
	return failures, err
}

func (q *watchedQueue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	failures, err := q.Queue.ChangeVisibility(ctx, changes)
	q.m.retried("ChangeMessageVisibilityBatch", len(changes), failures, err)
	return failures, err
}

// WatchRejects does for the reject queue what WatchQueue does for the queue.
func (m *Metrics) WatchRejects(q consumer.RejectQueue) consumer.RejectQueue {
	return &watchedRejects{&billedRejects{q, &m.cost}, m}
}

type watchedRejects struct {
	consumer.RejectQueue
	m *Metrics
}

func (q *watchedRejects) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	failures, err := q.RejectQueue.Send(ctx, messages)
	q.m.retried("SendMessageBatch", len(messages), failures, err)
	return failures, err
}

// retried counts the entries of a call that will be tried again.
func (m *Metrics) retried(operation string, entries int, failures []consumer.Failure, err error) {
	if err == nil && len(failures) == 0 {
		return
	}
	if err == nil {
		entries = 0
		for i := range failures {
			if !failures[i].SenderFault {
				entries++
			}
		}
	}
	m.retries[operation].Add(float64(entries))
}

// WatchTable counts the writes under way, and makes their spans.
func (m *Metrics) WatchTable(t writer.Table) writer.Table {
	return &watchedTable{&billedTable{t, &m.cost}, m}
}

type watchedTable struct {
	writer.Table
	m *Metrics
}

func (t *watchedTable) BatchWrite(ctx context.Context, items []*item.Item) ([]int, error) {
	t.m.writing.Inc()
	defer t.m.writing.Dec()
	if t.m.tracer == nil {
		return t.Table.BatchWrite(ctx, items)
	}
	ctx, done := t.m.tracer.write(ctx, "BatchWriteItem", items)
	unprocessed, err := t.Table.BatchWrite(ctx, items)
	done(unprocessed, err)
	return unprocessed, err
}

// WatchNewest does for conditional writes what WatchTable does for batches.
func (m *Metrics) WatchNewest(t writer.NewestTable) writer.NewestTable { return &watchedNewest{t, m} }

type watchedNewest struct {
	writer.NewestTable
	m *Metrics
}

func (t *watchedNewest) PutNewest(ctx context.Context, it *item.Item) error {
	t.m.writing.Inc()
	defer t.m.writing.Dec()
	if t.m.tracer == nil {
		return t.NewestTable.PutNewest(ctx, it)
	}
	ctx, done := t.m.tracer.write(ctx, "PutItem", []*item.Item{it})
	err := t.NewestTable.PutNewest(ctx, it)
	if errors.Is(err, writer.ErrSuperseded) {
		done(nil, nil) // an answer, and no fault
	} else {
		done(nil, err)
	}
	return err
}
