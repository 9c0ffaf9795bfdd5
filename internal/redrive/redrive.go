// Package redrive sends messages of a reject queue or a dead-letter queue back to the queue that they came from.
package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/consumer"
)

// Config of a Run.
type Config struct {
	From consumer.Queue       // the reject queue or dead-letter queue
	To   consumer.RejectQueue // the queue that the messages came from

	// All selects all messages, Reasons those that were rejected for one of these reasons. A message that the worker did not reject
	// has the reason NoReason.
	All     bool
	Reasons []string
	// DryRun selects and counts messages, and sends none.
	DryRun bool
	// PerSecond is the maximum number of messages sent back per second.
	PerSecond int

	// CallTimeout bounds one attempt of a call. A receive gets its wait in addition.
	CallTimeout time.Duration
	// Permanent reports whether another attempt of a failed call would fail too. If it is nil, every call gets several attempts.
	Permanent func(err error) bool
	// Answered returns the Date of SQS's latest answer, in whole seconds. The zero time means unknown.
	Answered func() time.Time
}

// NoReason is the reason of messages that the worker did not reject, such as those of a dead-letter queue.
const NoReason = "(none)"

// A Summary counts the messages of a Run.
type Summary struct {
	Groups []Group // largest first

	Found    int // messages that were in the queue when the run began
	Chosen   int
	Sent     int // sent back and deleted; with an error, some of them may not be deleted
	Refused  int // refused by the queue
	TooLong  int // too long for SQS with the added attributes; not sent
	Failed   int // not sent because of a temporary failure; the next run sends them
	Arrivals int // arrived during the run; not sent
}

// A Group is the messages with one reason and field.
type Group struct {
	Reason, Field string
	Messages      int
	Oldest        time.Time // earliest time at which one of them was first sent
	Example       string    // AttrDetail of one of them
}

// UnmatchedError is the error of a Run that found messages, but none for at least one of Config.Reasons.
type UnmatchedError struct {
	Reasons []string       // those without a message
	Found   map[string]int // number of messages by reason
}

func (e *UnmatchedError) Error() string {
	found := make([]string, 0, len(e.Found))
	for reason, n := range e.Found {
		found = append(found, fmt.Sprintf("%s (%d)", reason, n))
	}
	slices.Sort(found)
	return fmt.Sprintf("no message has the reason %s; the reasons in the queue are %s", strings.Join(e.Reasons, " or "), strings.Join(found, ", "))
}

// CallError is the error of a Run in which all attempts of a call failed.
type CallError struct {
	Operation string // of SQS
	Source    bool   // a call of Config.From rather than of Config.To
	Err       error
}

func (e *CallError) Error() string { return e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

// Run receives all messages of the queue once and sends the selected ones back, each at most once. A message is deleted only after
// the queue has accepted it, so an interruption or a failure loses nothing. Messages that arrive during the run are not sent, since
// a worker may reject again what was sent back. Messages that stay are visible again when Run returns, and their receive count has
// increased by one.
//
// Run returns the Summary even with an error. The error is a CallError after a failed call, and an UnmatchedError if a reason matched
// no message.
func Run(ctx context.Context, cfg Config) (*Summary, error) {
	r := &run{
		Config: cfg, reasons: map[string]bool{}, receipts: map[string]string{}, groups: map[group]*Group{},
		limit: rate.NewLimiter(rate.Limit(cfg.PerSecond), max(cfg.PerSecond, consumer.MaxBatch)),
	}
	for _, reason := range cfg.Reasons {
		r.reasons[reason] = true
	}
	err := r.through(ctx)
	calls := 4 + len(r.receipts)/consumer.MaxBatch
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(calls)*cfg.CallTimeout)
	defer cancel()
	err = errors.Join(err, r.release(releasing))
	if err == nil {
		err = r.unmatched()
	}
	return r.summary(), err
}

// A run is one pass through the queue.
type run struct {
	Config
	reasons map[string]bool
	limit   *rate.Limiter

	// Messages sent at or after end did not exist when the run began. No message is sent back before begin.
	end   int64 // milliseconds since the epoch, by SQS
	begin time.Time

	receipts map[string]string // by message id; "" for a message that is deleted
	groups   map[group]*Group
	Summary
}

type group struct{ reason, field string }

func (r *run) through(ctx context.Context) error {
	// A receive with a wait queries all SQS servers ("Amazon SQS short and long polling"), so one second is enough. The pass ends when
	// receives return nothing. In a long queue, the first messages become visible again before that, and the pass ends when many
	// receives return nothing new.
	const wait, enough = time.Second, 20
	for nothing := 0; nothing < enough && ctx.Err() == nil; {
		var received []consumer.Received
		err := r.attempt(ctx, wait, func(ctx context.Context) (err error) {
			received, err = r.From.Receive(ctx, consumer.MaxBatch, wait)
			return err
		})
		if err != nil {
			return &CallError{"ReceiveMessage", true, err}
		}
		if r.end == 0 {
			r.bound()
		}
		before := r.Found
		chosen := r.sort(received)
		switch {
		case r.Found > before:
			nothing = 0
		case len(received) == 0:
			nothing += enough / 2
		default:
			nothing++
		}
		if err := r.sendBack(ctx, chosen); err != nil {
			return err
		}
	}
	return nil
}

// bound sets end to one second after SQS's answer to the first receive. Date has whole seconds, so nothing is sent back until that
// second has passed: otherwise a message that was sent back could seem to have been there before.
func (r *run) bound() {
	answered := r.Answered()
	if answered.IsZero() {
		answered = time.Now()
	}
	r.end = answered.Truncate(time.Second).Add(time.Second).UnixMilli()
	r.begin = time.Now().Add(time.Second)
}

// sort counts the received messages, and returns those to send back. It skips a message that was received before, and again after its
// visibility timeout.
func (r *run) sort(received []consumer.Received) (chosen []consumer.Received) {
	for i := range received {
		m := &received[i]
		_, known := r.receipts[m.ID]
		r.receipts[m.ID] = m.Receipt
		if known {
			continue
		}
		if m.Sent >= r.end {
			r.Arrivals++
			continue
		}
		r.Found++
		reason := r.count(m)
		if r.All || r.reasons[reason] {
			r.Chosen++
			if !r.DryRun {
				chosen = append(chosen, *m)
			}
		}
	}
	return chosen
}

// count adds a message to its group and returns its reason.
func (r *run) count(m *consumer.Received) (reason string) {
	key := group{cmp.Or(m.Attribute(consumer.AttrReason), NoReason), m.Attribute(consumer.AttrField)}
	sent := time.UnixMilli(m.SentTime()).UTC()
	g := r.groups[key]
	if g == nil {
		g = &Group{Reason: key.reason, Field: key.field, Oldest: sent}
		r.groups[key] = g
	}
	g.Messages++
	if sent.Before(g.Oldest) {
		g.Oldest = sent
	}
	g.Example = cmp.Or(m.Attribute(consumer.AttrDetail), g.Example)
	return key.reason
}

func (r *run) summary() *Summary {
	for _, g := range r.groups {
		r.Groups = append(r.Groups, *g)
	}
	slices.SortFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Field, b.Field))
	})
	return &r.Summary
}

// unmatched returns an UnmatchedError if a reason matched no message of a queue that is not empty.
func (r *run) unmatched() error {
	e := &UnmatchedError{Found: map[string]int{}}
	for key, g := range r.groups {
		e.Found[key.reason] += g.Messages
	}
	for _, reason := range r.Reasons {
		if r.Found > 0 && e.Found[reason] == 0 {
			e.Reasons = append(e.Reasons, reason)
		}
	}
	if len(e.Reasons) == 0 {
		return nil
	}
	return e
}

// release makes the messages that are still in the queue visible again.
func (r *run) release(ctx context.Context) error {
	var left []consumer.Visibility
	for _, receipt := range r.receipts {
		if receipt != "" {
			left = append(left, consumer.Visibility{Receipt: receipt})
		}
	}
	for part := range slices.Chunk(left, consumer.MaxBatch) {
		err := r.attempt(ctx, 0, func(ctx context.Context) error {
			_, err := r.From.ChangeVisibility(ctx, part) // a failed entry becomes visible when its timeout ends
			return err
		})
		if err != nil {
			return &CallError{"ChangeMessageVisibilityBatch", true, err}
		}
	}
	return nil
}

// attempt makes a call, in up to six attempts.
func (r *run) attempt(ctx context.Context, wait time.Duration, call func(ctx context.Context) error) error {
	const attempts = 6
	backoff := batch.Backoff{Base: 200 * time.Millisecond, Max: 5 * time.Second}
	for attempt := 1; ; attempt++ {
		one, cancel := context.WithTimeout(ctx, r.CallTimeout+wait)
		err := call(one)
		cancel()
		if err == nil || ctx.Err() != nil || attempt == attempts || r.Permanent != nil && r.Permanent(err) {
			return err
		}
		if !cond.Sleep(ctx, backoff.After(attempt)) {
			return ctx.Err()
		}
	}
}
