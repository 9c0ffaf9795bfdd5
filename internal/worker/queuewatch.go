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
	// inFlightLimit is how many messages of a standard queue may be in flight ("Amazon SQS message quotas").
	inFlightLimit = 120_000
	// queueEvery is how often the queue's attributes are read, and how often a condition is logged at most. Each read is a
	// request: $0.02 a month.
	queueEvery = time.Minute
)

// A queueWatch notices two conditions that SQS reports by no error. At the limit of in-flight messages, long polls return
// nothing while the backlog grows. Messages older than the retention period are deleted unread.
type queueWatch struct {
	cfg       *config.Config
	clients   *awsclient.Clients
	log       *slog.Logger
	metrics   *telemetry.Metrics
	retention time.Duration // 0: unknown

	mu     sync.Mutex
	logged time.Time // when messages near their retention were logged
}

func newQueueWatch(cfg *config.Config, resources *Resources, clients *awsclient.Clients, metrics *telemetry.Metrics, log *slog.Logger) *queueWatch {
	return &queueWatch{cfg: cfg, clients: clients, log: log, metrics: metrics, retention: resources.Queue.Retention}
}

// run reads the queue's attributes every minute until ctx is done.
func (w *queueWatch) run(ctx context.Context) error {
	tick := time.NewTicker(queueEvery)
	defer tick.Stop()
	wasReached := false
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
			continue // the calls that matter report failures
		}
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

// watchReceives returns a queue that checks the age of what its receives bring.
func (w *queueWatch) watchReceives(q consumer.Queue) consumer.Queue { return &agingQueue{q, w} }

type agingQueue struct {
	consumer.Queue
	watch *queueWatch
}

// Receive implements consumer.Queue.
func (q *agingQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	received, err := q.Queue.Receive(ctx, limit, wait)
	q.watch.received(received)
	return received, err //nolint:wrapcheck // a wrapper adds nothing to it
}

// received counts messages in the last quarter of their retention. A message from the reject queue is as old as its return.
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
	if now := time.Now(); w.logged.IsZero() || now.Sub(w.logged) >= queueEvery {
		w.logged = now
		w.log.Warn("messages near the end of their retention", "queue", w.cfg.QueueURL, "retention", w.retention.String(),
			"remedy", "SQS deletes them unread: add workers, or raise the queue's MessageRetentionPeriod")
	}
}
