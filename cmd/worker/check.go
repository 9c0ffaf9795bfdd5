package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/worker"
)

func newCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use: "check", GroupID: groupLook, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Read settings, queue and table, and print what is wrong with them",
		Long: `Read the settings, the queue, the reject queue and the table as "worker run" would, and print
what it found, with every problem and its remedy. It consumes and writes nothing. It exits with
status 1 if there is a problem.`,
		Example: `  # Before a deployment, with the settings that it will have
  worker check`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), cmd.OutOrStdout()) },
	}
}

// runCheck tries the settings.
func runCheck(ctx context.Context, stdout io.Writer) error {
	cfg, err := config.Load()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: 4, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	ctx, cancel := context.WithTimeout(ctx, 4*cfg.CallTimeout)
	defer cancel()
	found, err := worker.FindResources(ctx, cfg, clients)
	report{stdout}.all(cfg, found, clients.Clock)
	if err != nil {
		return problems{"problems were found", err}
	}
	fmt.Fprintln(stdout, "\nNo problem was found: `worker run` will start.")
	return nil
}

// A report prints what was found, a line a fact.
type report struct{ w io.Writer }

func (r report) title(s string) { fmt.Fprintf(r.w, "%s\n", s) }
func (r report) line(name, format string, args ...any) {
	fmt.Fprintf(r.w, "  %-20s %s\n", name, fmt.Sprintf(format, args...))
}
func (r report) unread() { fmt.Fprintln(r.w, "  could not be read") }
func (r report) warn(format string, args ...any) {
	for i, line := range wrap(fmt.Sprintf(format, args...), 90) {
		if i == 0 {
			fmt.Fprintf(r.w, "  ! %s\n", line)
		} else {
			fmt.Fprintf(r.w, "    %s\n", line)
		}
	}
}

func (r report) all(cfg *config.Config, f *worker.Resources, clock *awsclient.Clock) {
	for _, name := range config.Unknown() {
		r.warn("%s is no setting of the worker: see `worker config` for the names", name)
	}
	r.title("Queue " + cfg.QueueURL)
	r.queue(f.Queue)
	if q := f.Queue; q != nil && q.RedriveTarget == "" {
		r.warn("the queue has no dead-letter queue: a message that can't be deleted would circle until its retention ends. Set a redrive policy with a maxReceiveCount of 50.")
	} else if q != nil && q.MaxReceives < 10 {
		r.warn("after only %d receives a message goes to the dead-letter queue: an outage of the table or a few restarts could move good ones there. The worker rejects bad messages itself, so 50 is right.", q.MaxReceives)
	}
	if cfg.RejectQueueURL == "" {
		r.title("No reject queue")
		r.warn("without WORKER_REJECT_QUEUE_URL a message with a prediction that can't be written stays on the queue, invisible for longer and longer, until the redrive policy moves it.")
	} else {
		r.title("Reject queue " + cfg.RejectQueueURL)
		r.queue(f.Rejects)
	}
	r.title("Table " + cfg.TableName)
	r.table(f)
	if off := clock.Offset(); off != 0 {
		r.title("Clock")
		r.warn("this host's clock is %v off the services': expiry goes by theirs, but requests may be refused when it is more than 5 minutes. Correct it.", off)
	}
}

func (r report) queue(q *awsclient.QueueInfo) {
	if q == nil {
		r.unread()
		return
	}
	kind := "standard"
	if q.FIFO {
		kind = "FIFO"
	}
	r.line("type", "%s, messages up to %d KiB, kept for %s", kind, q.MaxMessageBytes>>10, days(q.Retention))
	r.line("visibility timeout", "%v", q.Visibility)
	if q.RedriveTarget != "" {
		r.line("dead-letter queue", "%s after %d receives", q.RedriveTarget, q.MaxReceives)
	}
	r.line("now", "about %d messages waiting, %d in flight", q.Messages, q.InFlight)
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

func (r report) table(f *worker.Resources) {
	t := f.Table
	if t.HashKey == "" {
		r.unread()
		return
	}
	source := "as the table says"
	if f.TableInfo == nil {
		source = "from WORKER_TABLE_SCHEMA; the table was not read"
	}
	if l := f.Layout; l != nil {
		r.line("layout", "%s, %s", l.Kind, source)
		r.line("payload", "%s in the attribute %q", l.Encoding, item.AttrPayload)
	}
	r.line("hash key", "%s (%s)", t.HashKey, t.HashType)
	if t.SortKey != "" {
		r.line("sort key", "%s (%s)", t.SortKey, t.SortType)
	}
	if t.TTLAttribute == "" {
		r.line("TTL", "off")
	} else {
		r.line("TTL", "by the attribute %q", t.TTLAttribute)
	}
	for name, key := range t.Indexes {
		r.line("index key", "%s (%s)", name, key.Type)
	}
	if f.TableInfo != nil {
		billing := "provisioned"
		if f.TableInfo.OnDemand {
			billing = "on demand"
		}
		r.line("now", "%s, %s, about %d items", f.TableInfo.Status, billing, f.TableInfo.Items)
	}
}
