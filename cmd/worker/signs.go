package main

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
	// inFlightLimit is how many messages of a queue may be in flight ("Amazon SQS message quotas").
	inFlightLimit = 120_000
	// signsEvery is how often the queue is looked at, and how often a sign is logged at the most. A look is a request, $0.02 a
	// month.
	signsEvery = time.Minute
)

// signs notices trouble that SQS doesn't tell by an error: at the limit of messages in flight long polls stay empty while the
// backlog grows, and what is older than the retention is deleted unread.
type signs struct {
	cfg       *config.Config
	clients   *awsclient.Clients
	log       *slog.Logger
	set       telemetry.Signs
	retention time.Duration // 0: not known

	mu     sync.Mutex
	logged time.Time // when messages near their retention were
}

func newSigns(cfg *config.Config, found *findings, clients *awsclient.Clients, watch observer, log *slog.Logger) *signs {
	return &signs{cfg: cfg, clients: clients, log: log, set: watch.Signs(), retention: found.queue.Retention}
}

// watch looks at the queue until ctx is done.
func (s *signs) watch(ctx context.Context) {
	tick := time.NewTicker(signsEvery)
	defer tick.Stop()
	was := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 4*s.cfg.CallTimeout)
		info, err := awsclient.DescribeQueue(attempt, s.clients, "the queue", s.cfg.QueueURL)
		cancel()
		if err != nil {
			continue // what fails is told by the calls that matter
		}
		const nearly = inFlightLimit - inFlightLimit/100 // SQS counts about
		reached := info.InFlight >= nearly && info.Messages > 0
		s.set.InFlightLimit(reached)
		if reached && !was {
			s.log.Warn("the queue's limit of messages in flight is reached, so that receives stay empty while messages wait: find who holds them, or lower WORKER_MAX_HELD_MESSAGES or the number of workers", "queue", s.cfg.QueueURL)
		}
		was = reached
	}
}

// watchReceives looks at the age of what a queue's receives bring.
func (s *signs) watchReceives(q consumer.Queue) consumer.Queue { return &agingQueue{q, s} }

type agingQueue struct {
	consumer.Queue
	s *signs
}

// Receive implements consumer.Queue.
func (q *agingQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	received, err := q.Queue.Receive(ctx, limit, wait)
	q.s.received(received)
	return received, err
}

// received counts the messages in the last quarter of their retention. A message from the reject queue counts from when it
// came back.
func (s *signs) received(messages []consumer.Received) {
	near := 0
	oldest := s.clients.Clock.Now().Add(-s.retention * 3 / 4).UnixMilli()
	for i := range messages {
		if sent := messages[i].Sent; s.retention > 0 && sent > 0 && sent < oldest {
			near++
		}
	}
	if near == 0 {
		return
	}
	s.set.NearRetention(near)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.logged.IsZero() || now.Sub(s.logged) >= signsEvery {
		s.logged = now
		s.log.Warn("messages are near the end of their retention, after which SQS deletes them unread: add workers, or raise the queue's MessageRetentionPeriod", "queue", s.cfg.QueueURL)
	}
}
