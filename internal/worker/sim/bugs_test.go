package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/writer"
)

// A simMutant is a deliberate bug, put in at the worker's seams: what it calls and what it is called by does the wrong thing.
type simMutant struct {
	name     string
	config   func(*config.Config)
	services func(s seams)
}

// seams are where a bug is put into one worker.
type seams struct {
	*worker.Services
	intake context.Context // done at SIGTERM
	log    *slog.Logger    // the worker's
}

// simMutantSeeds is within how many seeds each deliberate bug must be noticed.
const simMutantSeeds = 150

// TestSimulationNoticesBugs puts a bug at a time into the worker, and wants the simulator to notice it within a number of seeds.
func TestSimulationNoticesBugs(t *testing.T) {
	if !*simBugs {
		t.Skip("it takes a minute: make sim-bugs")
	}
	base := simConfig(t)
	for _, mutant := range simMutants {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= simMutantSeeds; seed++ {
				if result := runSim(t, base, newSimPlan(seed), &mutant); len(result.violations) > 0 {
					t.Logf("noticed at seed %d: %s", seed, result.violations[0])
					return
				}
				runtime.Gosched()
			}
			t.Errorf("not noticed in %d seeds", simMutantSeeds)
		})
	}
}

// onTable, onQueue and onRejects put a bug between the worker and a service.
func onTable(call func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error)) func(seams) {
	return func(s seams) { s.Table = simTable{s.Table, call} }
}

type simTable struct {
	writer.Table
	call func(context.Context, writer.Table, []*item.Item) ([]int, error)
}

func (t simTable) BatchWrite(ctx context.Context, items []*item.Item) ([]int, error) {
	return t.call(ctx, t.Table, items)
}

type simQueue struct {
	consumer.Queue
	receive func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error)
	delete  func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error)
	change  func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error)
}

func (q simQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	if q.receive == nil {
		return q.Queue.Receive(ctx, limit, wait)
	}
	return q.receive(ctx, q.Queue, limit, wait)
}

func (q simQueue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	if q.delete == nil {
		return q.Queue.Delete(ctx, receipts)
	}
	return q.delete(ctx, q.Queue, receipts)
}

func (q simQueue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	if q.change == nil {
		return q.Queue.ChangeVisibility(ctx, changes)
	}
	return q.change(ctx, q.Queue, changes)
}

func onQueue(bug simQueue) func(seams) {
	return func(s seams) {
		bug.Queue = s.Queue
		s.Queue = bug
	}
}

type simRejects func(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error)

func (f simRejects) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	return f(ctx, messages)
}

func onRejects(call func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error)) func(seams) {
	return func(s seams) {
		if next := s.Rejects; next != nil {
			s.Rejects = simRejects(func(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
				return call(ctx, next, messages)
			})
		}
	}
}

// onAdmit puts a bug between decoding and the window.
func onAdmit(admit func(next worker.Admit, it *item.Item, to dedup.Waiter) bool) func(seams) {
	return func(s seams) {
		s.WrapAdmit = func(next worker.Admit) worker.Admit {
			return func(it *item.Item, to dedup.Waiter) bool { return admit(next, it, to) }
		}
	}
}

// simWaiter is a waiter with a mind of its own.
type simWaiter func(o prediction.Outcome, raw string, why *prediction.Reject)

func (f simWaiter) Resolve(o prediction.Outcome, raw string, why *prediction.Reject) { f(o, raw, why) }

var nobody = simWaiter(func(prediction.Outcome, string, *prediction.Reject) {})

// simSeen is what a bug remembers between its calls.
type simSeen[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]V
}

func (s *simSeen[K, V]) swap(k K, v V) (old V, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[K]V{}
	}
	old, found = s.m[k]
	s.m[k] = v
	return old, found
}

func (s *simSeen[K, V]) has(k K) bool {
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

var simMutants = []simMutant{
	{name: "a message is deleted before its predictions are written", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			to.Resolve(prediction.Written, "", nil)
			return next(it, nobody)
		})},
	{name: "a duplicate is recognised before the first was written", services: func(s seams) {
		var seen simSeen[uint64, bool]
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			if _, found := seen.swap(it.Version.Hash, true); found {
				to.Resolve(prediction.Duplicate, "", nil)
				return false
			}
			return next(it, to)
		})(s)
	}},
	{name: "what is superseded is settled before what supersedes it is written", services: func(s seams) {
		var seen simSeen[item.Key, prediction.Version]
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			if newest, found := seen.swap(it.Key, it.Version); found && newest.Compare(it.Version) > 0 {
				seen.swap(it.Key, newest)
				to.Resolve(prediction.Superseded, "", nil)
				return false
			}
			return next(it, to)
		})(s)
	}},
	{name: "a duplicate never settles its message", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			return next(it, simWaiter(func(o prediction.Outcome, raw string, why *prediction.Reject) {
				if o != prediction.Duplicate {
					to.Resolve(o, raw, why)
				}
			}))
		})},
	{name: "the order is that of arrival", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			it.Version.Event = prediction.Time{}
			return next(it, to)
		})},
	{name: "what was written is forgotten", config: func(c *config.Config) { c.DedupWindow = 2 }},
	{name: "unprocessed items are taken for written", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			_, err := next.BatchWrite(ctx, items)
			return nil, err
		})},
	{name: "a failed write is taken for a success", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			back, err := next.BatchWrite(ctx, items)
			if errors.Is(err, writer.ErrInvalid) {
				return back, err
			}
			return back, nil
		})},
	{name: "neighbours of an item that is refused are rejected with it", services: func(s seams) {
		var refused simSeen[item.Key, bool]
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			if slices.ContainsFunc(items, func(it *item.Item) bool { return refused.has(it.Key) }) {
				return nil, writer.ErrInvalid
			}
			back, err := next.BatchWrite(ctx, items)
			if errors.Is(err, writer.ErrInvalid) {
				for _, it := range items {
					refused.swap(it.Key, true)
				}
			}
			return back, err
		})(s)
	}},
	{name: "a slow write is made twice at once", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			var second sync.WaitGroup
			second.Go(func() {
				if sleepFor(ctx, time.Millisecond) {
					_, _ = next.BatchWrite(ctx, items)
				}
			})
			back, err := next.BatchWrite(ctx, items)
			second.Wait()
			return back, err
		})},
	{name: "throttled writes are repeated without a pause", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			for {
				back, err := next.BatchWrite(ctx, items)
				if !errors.Is(err, writer.ErrThrottled) {
					return back, err
				}
			}
		})},
	{name: "the breaker never opens", services: onTable(
		func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			back, err := next.BatchWrite(ctx, items)
			if err != nil && !errors.Is(err, writer.ErrInvalid) {
				err = fmt.Errorf("%w: %w", writer.ErrHotKeys, errors.New("whatever it was"))
			}
			return back, err
		})},
	{name: "the breaker never closes", services: func(s seams) {
		var failed simSeen[bool, bool]
		onTable(func(ctx context.Context, next writer.Table, items []*item.Item) ([]int, error) {
			if failed.has(true) {
				return nil, writer.ErrRefused
			}
			back, err := next.BatchWrite(ctx, items)
			if err != nil && !errors.Is(err, writer.ErrInvalid) {
				failed.swap(true, true)
			}
			return back, err
		})(s)
	}},
	{name: "a call may take for ever", config: func(c *config.Config) { c.CallTimeout = 1000 * time.Hour }},
	{name: "expiry goes by the host's clock", services: func(s seams) { s.Clock = time.Now }},
	{name: "a delete uses the first receipt handle", services: func(s seams) {
		var first simSeen[string, string]
		onQueue(simQueue{
			receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
				received, err := next.Receive(ctx, limit, wait)
				for _, m := range received {
					if old, found := first.swap(messageOf(m.Receipt), m.Receipt); found {
						first.swap(messageOf(m.Receipt), old)
					}
				}
				return received, err
			},
			delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
				stale := slices.Clone(receipts)
				for i, r := range stale {
					stale[i], _ = first.swap(messageOf(r), r)
					first.swap(messageOf(r), stale[i])
				}
				return next.Delete(ctx, stale)
			},
		})(s)
	}},
	{name: "failed entries of a delete are ignored", services: onQueue(simQueue{
		delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
			_, err := next.Delete(ctx, receipts)
			return nil, err
		}})},
	{name: "a failed delete is not repeated", services: onQueue(simQueue{
		delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
			failures, _ := next.Delete(ctx, receipts)
			return failures, nil
		}})},
	{name: "leases are not extended", services: onQueue(simQueue{
		change: func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error) {
			if changes[0].Timeout > 0 {
				return nil, nil
			}
			return next.ChangeVisibility(ctx, changes)
		}})},
	{name: "nothing is released at the drain", services: onQueue(simQueue{
		change: func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error) {
			if changes[0].Timeout == 0 {
				return nil, nil
			}
			return next.ChangeVisibility(ctx, changes)
		}})},
	{name: "a receive is cut short by SIGTERM", services: func(s seams) {
		onQueue(simQueue{
			receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(s.intake, cancel)()
				return next.Receive(ctx, limit, wait)
			}})(s)
	}},
	{name: "one of ten received messages is forgotten", services: onQueue(simQueue{
		receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
			received, err := next.Receive(ctx, limit, wait)
			if len(received) == 10 {
				received = received[:9]
			}
			return received, err
		}})},
	{name: "the bound of messages is not kept", config: func(c *config.Config) { c.MaxHeldMessages = 10_000 }},
	{name: "a drain takes as long as it wants", config: func(c *config.Config) { c.DrainTimeout = time.Hour }},
	{name: "a reject that failed to be sent is taken for sent", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			failures, _ := next.Send(ctx, messages)
			return failures, nil
		})},
	{name: "failed entries of a send to the reject queue are ignored", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			_, err := next.Send(ctx, messages)
			return nil, err
		})},
	{name: "predictions are logged", services: func(s seams) {
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			s.log.Info("admitted", "prediction", it.Raw)
			return next(it, to)
		})(s)
	}},
}
