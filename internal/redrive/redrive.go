// Package redrive sends the messages of a reject queue, or of a dead-letter queue, back to the queue that they came from.
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
	"github.com/predcache/predcache/internal/consumer"
)

// Config of a Run.
type Config struct {
	From consumer.Queue       // the reject queue or dead-letter queue
	To   consumer.RejectQueue // the queue that the messages came from

	// All chooses every message; Reasons chooses those that were rejected for one of these reasons. A message that the
	// worker did not reject has the reason NoReason.
	All     bool
	Reasons []string
	// DryRun chooses and counts, and sends nothing.
	DryRun bool
	// PerSecond is the most messages a second to send back.
	PerSecond int

	// CallTimeout bounds one attempt of a call, besides the time that a receive waits for messages.
	CallTimeout time.Duration
	// Permanent reports whether a failed call need not be tried again. nil: each is tried again, a few times.
	Permanent func(err error) bool
	// Answered returns the Date of SQS's latest answer, in whole seconds. The zero time stands for unknown.
	Answered func() time.Time
}

// NoReason stands for the reason of messages that the worker did not reject, as those of a dead-letter queue.
const NoReason = "(none)"

// A Summary says what a Run found and did.
type Summary struct {
	Groups []Group // the largest first

	Found    int // messages that were in the queue when the run began
	Chosen   int
	Sent     int // sent back and, unless an error says otherwise, deleted
	Refused  int // refused by the queue
	TooLong  int // too long for SQS with what is added to them: they stay
	Failed   int // not sent by a failure that may pass: the next run sends them
	Arrivals int // messages that arrived during the run, and were left
}

// A Group is the messages with one reason and field.
type Group struct {
	Reason, Field string
	Messages      int
	Oldest        time.Time // when the oldest was first sent
	Example       string    // the detail of one of them
}

// UnmatchedError is the error of a Run that found messages, and none with one of Config.Reasons.
type UnmatchedError struct {
	Reasons []string       // without a message
	Found   map[string]int // messages by reason
}

func (e *UnmatchedError) Error() string {
	found := make([]string, 0, len(e.Found))
	for reason, n := range e.Found {
		found = append(found, fmt.Sprintf("%s (%d)", reason, n))
	}
	slices.Sort(found)
	return fmt.Sprintf("no message has the reason %s; the reasons in the queue are %s", strings.Join(e.Reasons, " or "), strings.Join(found, ", "))
}

// CallError is the error of a Run whose call failed for good.
type CallError struct {
	Operation string // of SQS
	Source    bool   // of Config.From, not of Config.To
	Err       error
}

func (e *CallError) Error() string { return e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

// Run goes once through the queue and sends the chosen messages back, each at most once. A message is deleted only after the
// queue has taken it: an interruption or a failure loses nothing. Messages that arrive during the run are left, since a worker
// may reject again what is sent back. What stays is visible again when Run returns, with one receive more.
//
// Run returns what it did even with an error, such as a CallError. It is an UnmatchedError where a reason matched nothing.
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

	// What was sent at or after end did not exist when the run began. Nothing is sent back before begin.
	end   int64 // milliseconds since the epoch, by SQS
	begin time.Time

	receipts map[string]string // by message id; empty for what is gone
	groups   map[group]*Group
	Summary
}

type group struct{ reason, field string }

func (r *run) through(ctx context.Context) error {
	// A receive that waits asks all of SQS's servers ("Amazon SQS short and long polling"), so a second is enough. The queue
	// ends where receives bring nothing. In a long queue, what was received first is visible again before that: there it ends
	// where many receives bring nothing new.
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

// bound sets what the run takes: messages sent before the second after SQS's answer to the first receive. Date has whole
// seconds, so nothing is sent back until that second has passed: a message that comes back cannot seem to have been there.
func (r *run) bound() {
	answered := r.Answered()
	if answered.IsZero() {
		answered = time.Now()
	}
	r.end = answered.Truncate(time.Second).Add(time.Second).UnixMilli()
	r.begin = time.Now().Add(time.Second)
}

// sort counts what was received, and picks what is to be sent back. A message that comes again, since its visibility timeout
// ended, is known.
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

// unmatched returns an error where a reason matched nothing. In an empty queue no reason is wrong.
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

// release makes visible again what is still in the queue.
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

// attempt makes a call, and again a few times if it fails.
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
		if err := sleep(ctx, backoff.After(attempt)); err != nil {
			return err
		}
	}
}

// sleep waits for d, or until ctx is done, and then returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
