package sim

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/consumer"
)

// queueBugs act between the consumer and the queue.
var queueBugs = []bug{
	{name: "a delete uses the first receipt handle", services: func(s seams) {
		var handles memory[string, string]
		onQueue(queueSeam{
			receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
				received, err := next.Receive(ctx, limit, wait)
				for _, m := range received {
					handles.first(messageOf(m.Receipt), m.Receipt)
				}
				return received, err
			},
			delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
				stale := slices.Clone(receipts)
				for i, r := range stale {
					stale[i] = handles.first(messageOf(r), r)
				}
				return next.Delete(ctx, stale)
			},
		})(s)
	}},
	{name: "failed entries of a delete are ignored", services: onQueue(queueSeam{
		delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
			_, err := next.Delete(ctx, receipts)
			return nil, err
		}})},
	{name: "a failed delete is not repeated", services: onQueue(queueSeam{
		delete: func(ctx context.Context, next consumer.Queue, receipts []string) ([]consumer.Failure, error) {
			failures, _ := next.Delete(ctx, receipts)
			return failures, nil
		}})},
	{name: "leases are not extended", services: onQueue(queueSeam{
		change: func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error) {
			if changes[0].Timeout > 0 {
				return nil, nil
			}
			return next.ChangeVisibility(ctx, changes)
		}})},
	{name: "nothing is released at the drain", services: onQueue(queueSeam{
		change: func(ctx context.Context, next consumer.Queue, changes []consumer.Visibility) ([]consumer.Failure, error) {
			if changes[0].Timeout == 0 {
				return nil, nil
			}
			return next.ChangeVisibility(ctx, changes)
		}})},
	{name: "a receive is cut short by SIGTERM", services: func(s seams) {
		onQueue(queueSeam{
			receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(s.intake, cancel)()
				return next.Receive(ctx, limit, wait)
			}})(s)
	}},
	{name: "one of ten received messages is forgotten", services: onQueue(queueSeam{
		receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
			received, err := next.Receive(ctx, limit, wait)
			if len(received) == 10 {
				received = received[:9]
			}
			return received, err
		}})},
	{name: "large attributes are not counted", services: onQueue(queueSeam{
		receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
			received, err := next.Receive(ctx, limit, wait)
			for i := range received {
				received[i].Attributes = slices.DeleteFunc(received[i].Attributes, func(a consumer.Attribute) bool { return len(a.Value) > 1024 })
			}
			return received, err
		}})},
}

// rejectBugs act between the consumer and the reject queue.
var rejectBugs = []bug{
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
	{name: "a refused reject is taken for sent", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			failures, err := next.Send(ctx, messages)
			return slices.DeleteFunc(failures, func(f consumer.Failure) bool { return f.SenderFault }), err
		})},
	{name: "a reject is sent twice", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			_, _ = next.Send(ctx, messages)
			return next.Send(ctx, messages)
		})},
	{name: "rejects of a message share a deduplication id", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			for i := range messages {
				messages[i].DeduplicationID, _, _ = strings.Cut(messages[i].DeduplicationID, ".")
			}
			return next.Send(ctx, messages)
		})},
	{name: "a reject does not say why", services: onRejects(
		func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			for i := range messages {
				messages[i].Attributes = nil
			}
			return next.Send(ctx, messages)
		})},
	{name: "nothing is received while the reject queue fails", services: func(s seams) {
		var failing atomic.Bool
		onRejects(func(ctx context.Context, next consumer.RejectQueue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			failures, err := next.Send(ctx, messages)
			failing.Store(err != nil)
			return failures, err
		})(s)
		onQueue(queueSeam{
			receive: func(ctx context.Context, next consumer.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
				if failing.Load() {
					sleep(ctx, wait)
					return nil, ctx.Err()
				}
				return next.Receive(ctx, limit, wait)
			}})(s)
	}},
}
