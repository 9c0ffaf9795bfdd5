package sim

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

// seams are the places where a bug acts on one worker.
type seams struct {
	*worker.Services
	resources *worker.Resources // what the worker found at its start
	intake    context.Context   // done at SIGTERM
	log       *slog.Logger      // the worker's
}

// onAdmit installs a bug between decoding and the window.
func onAdmit(admit func(next worker.Admit, it *item.Item, to dedup.Waiter) bool) func(seams) {
	return func(s seams) {
		watch := s.WrapAdmit
		s.WrapAdmit = func(next worker.Admit) worker.Admit {
			next = watch(next)
			return func(it *item.Item, to dedup.Waiter) bool { return admit(next, it, to) }
		}
	}
}

// A waiterFunc is a dedup.Waiter.
type waiterFunc func(o prediction.Outcome, raw string, why *prediction.Reject)

// Resolve implements dedup.Waiter.
func (f waiterFunc) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) { f(o, raw, why) }

// nobody waits for an outcome.
var nobody = waiterFunc(func(prediction.Outcome, string, *prediction.Reject) {})

// A tableCall is a call of a table, which it may pass on to the next.
type tableCall func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result)

// onTable installs a bug between the writer and the table, for both kinds of write.
func onTable(call tableCall) func(seams) {
	return func(s seams) { s.Table = tableSeam{s.Table, call} }
}

// onPuts installs a bug between the writer and a table that is written conditionally.
func onPuts(call tableCall) func(seams) {
	return func(s seams) {
		if s.Table.MaxItems() == 1 {
			s.Table = tableSeam{s.Table, call}
		}
	}
}

type tableSeam struct {
	writer.Table
	call tableCall
}

// Write implements writer.Table.
func (t tableSeam) Write(ctx context.Context, items []*item.Item, results []writer.Result) {
	t.call(ctx, t.Table, items, results)
}

// taken replaces one kind of result with another.
func taken(from, to writer.Kind) tableCall {
	return func(ctx context.Context, next writer.Table, items []*item.Item, results []writer.Result) {
		next.Write(ctx, items, results)
		for i := range results {
			if results[i].Kind == from {
				results[i].Kind = to
			}
		}
	}
}

// onQueue installs a bug between the consumer and the queue.
func onQueue(bug queueSeam) func(seams) {
	return func(s seams) {
		bug.Queue = s.Queue
		s.Queue = bug
	}
}

// A queueSeam replaces those of the calls that are set.
type queueSeam struct {
	consumer.Queue
	receive func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error)
	delete  func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error)
	change  func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error)
}

// Receive implements consumer.Queue.
func (q queueSeam) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	if q.receive == nil {
		return q.Queue.Receive(ctx, limit, wait)
	}
	return q.receive(ctx, q.Queue, limit, wait)
}

// Delete implements consumer.Queue.
func (q queueSeam) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	if q.delete == nil {
		return q.Queue.Delete(ctx, receipts)
	}
	return q.delete(ctx, q.Queue, receipts)
}

// ChangeVisibility implements consumer.Queue.
func (q queueSeam) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	if q.change == nil {
		return q.Queue.ChangeVisibility(ctx, changes)
	}
	return q.change(ctx, q.Queue, changes)
}

// onRejects installs a bug between the consumer and the reject queue, if there is one.
func onRejects(call func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error)) func(seams) {
	return func(s seams) {
		if next := s.Rejects; next != nil {
			s.Rejects = rejectsFunc(func(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
				return call(ctx, next, messages)
			})
		}
	}
}

// A rejectsFunc is a consumer.RejectQueue.
type rejectsFunc func(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error)

// Send implements consumer.RejectQueue.
func (f rejectsFunc) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	return f(ctx, messages)
}

// A memory is the state of a bug between its calls. The zero value is empty.
type memory[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]V
}

// swap sets a value and returns the former one.
func (s *memory[K, V]) swap(k K, v V) (old V, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[K]V{}
	}
	old, found = s.m[k]
	s.m[k] = v
	return old, found
}

// first sets a value unless there is one, and returns the value.
func (s *memory[K, V]) first(k K, v V) V {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[K]V{}
	}
	if old, found := s.m[k]; found {
		return old
	}
	s.m[k] = v
	return v
}

func (s *memory[K, V]) has(k K) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.m[k]
	return found
}

// messageOf takes the message's id out of a receipt handle of the fake.
func messageOf(receipt string) string {
	id, _, _ := strings.Cut(receipt, ".")
	return id
}
