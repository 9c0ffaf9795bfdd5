package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/telemetry"
)

const (
	// inFlightLimit is the maximum number of in-flight messages of a standard queue ("Amazon SQS message quotas").
	inFlightLimit = 120_000
	// queueInterval is the time between reads of the queue's attributes, and the minimum time between log lines of a condition. The
	// requests cost $0.02 a month.
	queueInterval = time.Minute
)

// A queueWatch detects two conditions that SQS does not report as errors. At the limit of in-flight messages, long polls return
// nothing while the backlog grows. Messages older than the retention period are deleted unread.
type queueWatch struct {
	cfg       *config.Config
	clients   *awsclient.Clients
	log       *slog.Logger
	metrics   *telemetry.Metrics
	first     awsclient.QueueInfo // as read at the start
	retention time.Duration       // 0: unknown

	mu     sync.Mutex
	logged time.Time // when messages near their retention were logged
}

func newQueueWatch(cfg *config.Config, resources *Resources, clients *awsclient.Clients, metrics *telemetry.Metrics, log *slog.Logger) *queueWatch {
	return &queueWatch{cfg: cfg, clients: clients, log: log, metrics: metrics, first: *resources.Queue, retention: resources.Queue.Retention}
}

// run reads the queue's attributes every minute until ctx is done.
func (w *queueWatch) run(ctx context.Context) error {
	tick := time.NewTicker(queueInterval)
	defer tick.Stop()
	wasReached := false
	w.metrics.Backlog(w.first.Messages, w.first.InFlight)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 4*w.cfg.CallTimeout)
		info, err := awsclient.DescribeQueue(attempt, w.clients, "the queue", w.cfg.QueueURL)
		cancel()
		w.metrics.SQSRequest()
		if err != nil {
			continue // receives and deletes report failures
		}
		w.metrics.Backlog(info.Messages, info.InFlight)
		const nearly = inFlightLimit - inFlightLimit/100 // SQS's count is approximate
		reached := info.InFlight >= nearly && info.Messages > 0
		w.metrics.InFlightLimit(reached)
		if reached && !wasReached {
			w.log.Warn("in-flight limit of the queue reached", "queue", w.cfg.QueueURL, "inFlight", info.InFlight,
				"remedy", "receives return nothing while messages wait: find the consumer that holds them, or lower WORKER_MAX_HELD_MESSAGES or the number of workers")
		}
		wasReached = reached
	}
}

// wrap returns q with a check of the age of received messages.
func (w *queueWatch) wrap(q consumer.Queue) consumer.Queue { return &watchedQueue{q, w} }

type watchedQueue struct {
	consumer.Queue
	watch *queueWatch
}

// Receive implements consumer.Queue.
func (q *watchedQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	received, err := q.Queue.Receive(ctx, limit, wait)
	q.watch.received(received)
	return received, err //nolint:wrapcheck // of the same interface
}

// received counts messages in the last quarter of their retention. For a message that was sent back from the reject queue, retention
// begins anew.
func (w *queueWatch) received(messages []consumer.Received) {
	near := 0
	oldest := w.clients.Clock.Now().Add(-w.retention * 3 / 4).UnixMilli()
	for i := range messages {
		if sent := messages[i].Sent; w.retention > 0 && sent > 0 && sent < oldest {
			near++
		}
	}
	if near == 0 {
		return
	}
	w.metrics.NearRetention(near)
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.logged.IsZero() || now.Sub(w.logged) >= queueInterval {
		w.logged = now
		w.log.Warn("messages near the end of their retention", "queue", w.cfg.QueueURL, "retention", w.retention.String(),
			"remedy", "SQS deletes them unread: add workers, or raise the queue's MessageRetentionPeriod")
	}
}
