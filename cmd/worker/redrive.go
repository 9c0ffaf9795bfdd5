package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/redrive"
)

// redriveFlags are the flags of redrive.
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
		Short: "List rejected predictions, and send some of them back",
		Long: `List the messages of the reject queue by reason and field. With --reason or --all, send those
messages back to WORKER_QUEUE_URL, with the time at which they were first sent. A message is
deleted from the reject queue only after the queue has accepted it, so an interrupted run loses
nothing, and a message that was sent twice is written once.

To list a message, SQS must receive it. Messages that are listed but not sent back are invisible
during the run, and their receive count increases by one. So the reject queue must not have a
redrive policy.`,
		Example: `  # List the rejects
  worker redrive

  # Send back the messages rejected for two reasons
  worker redrive --reason missing_field,key

  # Send back a dead-letter queue, 20 messages a second
  worker redrive --all --rate 20 --from https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-dlq`,
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.reasons, "reason", nil, "send back messages rejected for this `REASON`; separate several by commas")
	fs.BoolVar(&f.all, "all", false, "send all messages back")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only print which messages would be sent back")
	fs.IntVar(&f.rate, "rate", 100, "maximum messages per second to send back")
	fs.StringVar(&f.from, "from", "", "`URL` of the queue to take messages from (default: WORKER_REJECT_QUEUE_URL)")
	_ = cmd.RegisterFlagCompletionFunc("reason", completeReason) // it fails for an unknown flag only
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.all && len(f.reasons) > 0:
			return usageErrorf(cmd, "use --reason or --all, not both")
		case f.rate < 1:
			return usageErrorf(cmd, "--rate is %d, and must be at least 1", f.rate)
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

// runRedrive lists the reject queue, or sends the selected messages back.
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
	clock := &awsclient.Clock{}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: 4, Clock: clock})
	if err != nil {
		return problems{"the queues can't be reached", err}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listing := !f.all && len(f.reasons) == 0
	done, err := redrive.Run(ctx, redrive.Config{
		From: awsclient.NewQueue(clients, source), To: awsclient.NewQueue(clients, cfg.QueueURL),
		All: f.all, Reasons: f.reasons, DryRun: f.dryRun || listing, PerSecond: f.rate, CallTimeout: cfg.CallTimeout,
		Permanent: awsclient.Permanent, Answered: clock.Answered,
	})
	if err == nil || done.Found > 0 {
		printRedrive(stdout, done, f.dryRun || listing)
	}
	var call *redrive.CallError
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; nothing is lost: continue with the same command")
	case errors.As(err, &call) && call.Source:
		return awsclient.Remedy(call.Operation, "the queue to take messages from", call.Err)
	case errors.As(err, &call):
		return awsclient.Remedy(call.Operation, "the queue", call.Err)
	}
	if err == nil && listing && done.Found > 0 {
		fmt.Fprintln(stdout, "\nSend some back with --reason REASON, or everything with --all.")
	}
	return err
}

// printRedrive prints what a run found and did.
func printRedrive(w io.Writer, s *redrive.Summary, dryRun bool) {
	if s.Found+s.Arrivals == 0 {
		fmt.Fprintln(w, "The queue is empty.")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGES\tREASON\tFIELD\tOLDEST\tEXAMPLE")
	for _, g := range s.Groups {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", g.Messages, g.Reason, g.Field, g.Oldest.Format(time.DateTime), g.Example)
	}
	_ = table.Flush() // a standard output that is closed has no reader either
	switch {
	case dryRun && s.Chosen > 0:
		fmt.Fprintf(w, "\n%d of %d would be sent back.\n", s.Chosen, s.Found)
	case !dryRun:
		fmt.Fprintf(w, "\n%d of %d were sent back.\n", s.Sent, s.Found)
	}
	note := func(n int, what string) {
		if n > 0 {
			fmt.Fprintf(w, "%d %s\n", n, what)
		}
	}
	note(s.Refused, "were refused by the queue, and stay where they were.")
	note(s.TooLong, "are too long for SQS with their first sent time added (1 MiB), and stay where they were.")
	note(s.Failed, "could not be sent, and stay where they were: run the same command again.")
	note(s.Arrivals, "arrived during the run, and were not sent. A worker may have rejected them again: fix the cause first.")
}
