package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/prediction"
)

// redriveFlags are the command line of redrive.
type redriveFlags struct {
	reasons []string
	all     bool
	dryRun  bool
	rate    int
	from    string
}

func newRedriveCmd() *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use: "redrive", GroupID: groupMove, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "List the reject queue, and send some of it back",
		Long: `List the reject queue by reason and field. With --reason or --all, send those messages back to
WORKER_QUEUE_URL as they came, with the time at which they were first sent, and delete each from
the reject queue once the queue has it. An interrupted run loses nothing: a message that was sent
twice is written once.

SQS can't show a message without receiving it. What is listed but not sent back is invisible
during the run and has one receive more afterwards, so give a reject queue no redrive policy.`,
		Example: `  # List the rejects
  worker redrive

  # Send back what was rejected for two reasons
  worker redrive --reason missing_field,key

  # Send back a dead-letter queue, 20 messages a second
  worker redrive --all --rate 20 --from https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-dlq`,
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.reasons, "reason", nil, "send back what was rejected for this `REASON`; separate several by commas")
	fs.BoolVar(&f.all, "all", false, "send everything back")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only print what would be sent back")
	fs.IntVar(&f.rate, "rate", 100, "most messages a second to send back")
	fs.StringVar(&f.from, "from", "", "`URL` of the queue to take them from (default: WORKER_REJECT_QUEUE_URL)")
	_ = cmd.RegisterFlagCompletionFunc("reason", completeReason) // it fails for an unknown flag only
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.all && len(f.reasons) > 0:
			return usageErrorf(cmd, "give --reason or --all, not both")
		case f.rate < 1:
			return usageErrorf(cmd, "--rate is %d: give at least 1", f.rate)
		}
		return runRedrive(cmd.Context(), f, cmd.OutOrStdout())
	}
	return cmd
}

func completeReason(*cobra.Command, []string, string) (reasons []cobra.Completion, _ cobra.ShellCompDirective) {
	for _, r := range prediction.Reasons {
		reasons = append(reasons, string(r))
	}
	return reasons, cobra.ShellCompDirectiveNoFileComp
}

// runRedrive lists the reject queue, or sends what is chosen of it back.
func runRedrive(ctx context.Context, f redriveFlags, stdout io.Writer) error {
	cfg, err := config.LoadForQueue()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	source := cmp.Or(f.from, cfg.RejectQueueURL)
	switch source {
	case "":
		return errors.New("WORKER_REJECT_QUEUE_URL is not set: set it, or give --from")
	case cfg.QueueURL:
		return errors.New("that is the queue itself: give the reject queue or the dead-letter queue")
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: 4, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"nothing can be read", err}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r := &redrive{
		from: awsclient.NewQueue(clients, source), to: awsclient.NewQueue(clients, cfg.QueueURL),
		all: f.all, reasons: map[string]bool{}, dry: f.dryRun || !f.all && len(f.reasons) == 0,
		limit: rate.NewLimiter(rate.Limit(f.rate), max(f.rate, consumer.MaxBatch)), timeout: cfg.CallTimeout,
	}
	for _, reason := range f.reasons {
		if reason = strings.TrimSpace(reason); reason != "" {
			r.reasons[reason] = true
		}
	}
	err = r.run(ctx)
	r.report(stdout)
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing is lost: go on with the same command")
	}
	if err == nil && r.dry && len(f.reasons) == 0 && !f.all && r.found > 0 {
		fmt.Fprintln(stdout, "\nSend some back with --reason REASON, or everything with --all.")
	}
	return err
}

// A redrive goes once through a queue of rejects.
type redrive struct {
	from    consumer.Queue
	to      consumer.RejectQueue
	all     bool
	reasons map[string]bool
	dry     bool
	limit   *rate.Limiter
	timeout time.Duration

	seen   map[string]string // receipts by message id; empty for what is gone
	groups map[rejectGroup]*rejectCount

	found, chosen, sent, refused int
}

// A rejectGroup is what is listed together.
type rejectGroup struct{ reason, field string }

type rejectCount struct {
	messages int
	oldest   int64  // milliseconds since the epoch
	detail   string // of one of them
}

// run receives until the queue has nothing new. What was not sent back is made visible again, also after an interruption.
func (r *redrive) run(ctx context.Context) error {
	r.seen, r.groups = map[string]string{}, map[rejectGroup]*rejectCount{}
	err := r.through(ctx)
	calls := 4 + len(r.seen)/consumer.MaxBatch
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(calls)*r.timeout)
	defer cancel()
	return errors.Join(err, r.release(release))
}

func (r *redrive) through(ctx context.Context) error {
	// The end is where receives bring nothing, or, in a queue so long that what was received first is visible again before the
	// end is reached, where many bring nothing new.
	const wait, enough = 2 * time.Second, 20
	for nothing := 0; nothing < enough && ctx.Err() == nil; {
		var received []consumer.Received
		err := r.attempt(ctx, wait, func(ctx context.Context) (err error) {
			received, err = r.from.Receive(ctx, consumer.MaxBatch, wait)
			return err
		})
		if err != nil {
			return err
		}
		before := r.found
		chosen := r.sort(received)
		switch {
		case r.found > before:
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

// sort counts what was received, and picks what is to be sent back. A message that comes again, since its visibility timeout
// ended, is known.
func (r *redrive) sort(received []consumer.Received) (chosen []consumer.Received) {
	for _, m := range received {
		_, known := r.seen[m.ID]
		r.seen[m.ID] = m.Receipt
		if known {
			continue
		}
		r.found++
		group := rejectGroup{cmp.Or(m.Attribute(consumer.AttrReason), "(none)"), m.Attribute(consumer.AttrField)}
		count := r.groups[group]
		if count == nil {
			count = &rejectCount{oldest: m.SentTime()}
			r.groups[group] = count
		}
		count.messages++
		count.oldest = min(count.oldest, m.SentTime())
		count.detail = cmp.Or(m.Attribute(consumer.AttrDetail), count.detail)
		if r.all || r.reasons[group.reason] {
			r.chosen++
			if !r.dry {
				chosen = append(chosen, m)
			}
		}
	}
	return chosen
}

// sendBack sends messages to the queue, and deletes those that it took.
func (r *redrive) sendBack(ctx context.Context, messages []consumer.Received) error {
	if len(messages) == 0 {
		return nil
	}
	if err := r.limit.WaitN(ctx, len(messages)); err != nil {
		return err // interrupted: they are released
	}
	// From here on the batch is finished, interrupted or not: else it would be sent again the next time.
	ctx = context.WithoutCancel(ctx)
	out := make([]consumer.Outgoing, len(messages))
	bytes := 0
	for i := range messages {
		out[i] = asItCame(&messages[i])
		bytes += len(out[i].Body)
	}
	const most = 1 << 20 // of a call ("SendMessageBatch"), with room for attributes
	if bytes > most-(64<<10) && len(messages) > 1 {
		half := len(messages) / 2
		return errors.Join(r.sendBack(ctx, messages[:half]), r.sendBack(ctx, messages[half:]))
	}
	var failures []consumer.Failure
	err := r.attempt(ctx, 0, func(ctx context.Context) (err error) {
		failures, err = r.to.Send(ctx, out)
		return err
	})
	if err != nil {
		return err
	}
	failed := map[int]bool{}
	for _, f := range failures {
		failed[f.Index] = true
		if f.SenderFault {
			r.refused++
		}
	}
	var taken []consumer.Received
	var receipts []string
	for i := range messages {
		if !failed[i] {
			taken = append(taken, messages[i])
			receipts = append(receipts, messages[i].Receipt)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	r.sent += len(taken)
	return r.attempt(ctx, 0, func(ctx context.Context) error {
		failures, err := r.from.Delete(ctx, receipts)
		if err != nil {
			return err
		}
		for i := range taken {
			if !slices.ContainsFunc(failures, func(f consumer.Failure) bool { return f.Index == i }) {
				r.seen[taken[i].ID] = "" // gone
			}
		}
		if len(failures) > 0 {
			return fmt.Errorf("%d messages that were sent back could not be deleted: %s", len(failures), failures[0].Code)
		}
		return nil
	})
}

// asItCame makes the message as it was before it was rejected. Its attributes are those that it had, but for an encoding that
// was undone: only a whole body is kept encoded.
func asItCame(m *consumer.Received) consumer.Outgoing {
	o := consumer.Outgoing{Body: m.Body, GroupID: cmp.Or(m.GroupID, "predcache"), DeduplicationID: m.ID}
	o.Attributes = append(o.Attributes, consumer.Attribute{Name: consumer.AttrSent, Type: "Number", Value: strconv.FormatInt(m.SentTime(), 10)})
	for _, a := range m.Attributes {
		if !strings.HasPrefix(a.Name, "predcache.") {
			o.Attributes = append(o.Attributes, a)
		}
	}
	var source consumer.Source
	if json.Unmarshal([]byte(m.Attribute(consumer.AttrSource)), &source) != nil {
		return o
	}
	for _, a := range source.Attributes {
		const most = 10 // attributes of a message ("Amazon SQS message metadata")
		if a.Name == consumer.AttrContentEncoding || m.Attribute(a.Name) != "" || len(o.Attributes) == most {
			continue
		}
		value := a.Value
		if strings.HasPrefix(a.Type, "Binary") {
			value = string(a.Bytes)
		}
		o.Attributes = append(o.Attributes, consumer.Attribute{Name: a.Name, Type: a.Type, Value: value})
	}
	return o
}

// release makes visible again what is still in the queue.
func (r *redrive) release(ctx context.Context) error {
	var left []consumer.Visibility
	for _, receipt := range r.seen {
		if receipt != "" {
			left = append(left, consumer.Visibility{Receipt: receipt})
		}
	}
	for part := range slices.Chunk(left, consumer.MaxBatch) {
		err := r.attempt(ctx, 0, func(ctx context.Context) error {
			_, err := r.from.ChangeVisibility(ctx, part) // a failed entry is visible by itself, sooner or later
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// attempt makes a call, and again a few times if it fails.
func (r *redrive) attempt(ctx context.Context, wait time.Duration, call func(ctx context.Context) error) error {
	backoff := batch.Backoff{Base: 200 * time.Millisecond, Max: 5 * time.Second}
	for attempt := 1; ; attempt++ {
		one, cancel := context.WithTimeout(ctx, r.timeout+wait)
		err := call(one)
		cancel()
		const most = 6
		if err == nil || ctx.Err() != nil || attempt == most {
			return err
		}
		timer := time.NewTimer(backoff.After(attempt))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// report says what was found and done.
func (r *redrive) report(w io.Writer) {
	if r.found == 0 {
		fmt.Fprintln(w, "The queue is empty.")
		return
	}
	groups := make([]rejectGroup, 0, len(r.groups))
	for g := range r.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b rejectGroup) int {
		return cmp.Or(cmp.Compare(r.groups[b].messages, r.groups[a].messages), cmp.Compare(a.reason, b.reason), cmp.Compare(a.field, b.field))
	})
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGES\tREASON\tFIELD\tOLDEST\tFOR EXAMPLE")
	for _, g := range groups {
		c := r.groups[g]
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", c.messages, g.reason, g.field, time.UnixMilli(c.oldest).UTC().Format(time.DateTime), c.detail)
	}
	_ = table.Flush() // standard output that is closed has no reader either
	switch {
	case r.dry && r.chosen > 0:
		fmt.Fprintf(w, "\n%d of %d would be sent back.\n", r.chosen, r.found)
	case !r.dry:
		fmt.Fprintf(w, "\n%d of %d were sent back.\n", r.sent, r.found)
	}
	if r.refused > 0 {
		fmt.Fprintf(w, "%d were refused by the queue, and stay where they were.\n", r.refused)
	}
}
