package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/worker"
)

func newCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use: "check", GroupID: groupInspect, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Validate the settings against the queue and the table",
		Long: `Read the settings, the queue, the reject queue and the table as "worker run" would, and print
what it found, with every problem and its remedy. It consumes and writes nothing. It exits with
status 1 if there is a problem.`,
		Example: `  # Check the settings of a deployment
  worker check`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), cmd.OutOrStdout()) },
	}
}

// runCheck tries the settings.
func runCheck(ctx context.Context, stdout io.Writer) error {
	var wrong []error
	for _, name := range config.Unknown() {
		remedy := "remove it, or correct its name (worker config lists them)"
		if similar := config.Suggest(name); similar != "" {
			remedy = "did you mean " + similar + "?"
		}
		wrong = append(wrong, fmt.Errorf("%s is not a setting: %s", name, remedy))
	}
	cfg, err := config.Load()
	if err != nil {
		return problems{"the settings are not valid", errors.Join(append(wrong, err)...)}
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: 4, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the settings are not valid", errors.Join(append(wrong, err)...)}
	}
	ctx, cancel := context.WithTimeout(ctx, 4*cfg.CallTimeout)
	defer cancel()
	found, err := worker.FindResources(ctx, cfg, clients)
	if err != nil {
		wrong = append(wrong, err)
	}
	findings := found.Findings(cfg)
	report{stdout, findings}.all(cfg, found, clients.Clock)
	report{w: stdout}.unverified(found.Unverified(cfg))
	unit, unread := found.CheckSortUnit(ctx, cfg, clients)
	if unit != nil {
		wrong = append(wrong, unit)
	}
	if unread != nil {
		report{w: stdout}.line("sort unit", "not compared with the items: %s", awsclient.Code(unread))
	}
	for _, f := range findings {
		if f.Problem {
			wrong = append(wrong, errors.New(f.Text))
		}
	}
	if len(wrong) > 0 {
		return problems{"problems were found", errors.Join(wrong...)}
	}
	fmt.Fprintln(stdout, "\nNo problem was found: `worker run` will start.")
	return nil
}

// A report prints what was found, a line a fact, and advice below what it is about.
type report struct {
	w        io.Writer
	findings []worker.Finding
}

func (r report) title(s string) { fmt.Fprintf(r.w, "%s\n", s) }
func (r report) line(name, format string, args ...any) {
	fmt.Fprintf(r.w, "  %-20s %s\n", name, fmt.Sprintf(format, args...))
}
func (r report) unread() { fmt.Fprintln(r.w, "  could not be read") }

func (r report) advise(text string) {
	for i, line := range wrap(text, 90) {
		if i == 0 {
			fmt.Fprintf(r.w, "  ! %s\n", line)
		} else {
			fmt.Fprintf(r.w, "    %s\n", line)
		}
	}
}

// advice prints the findings about a subject that are no problems: those are the command's error.
func (r report) advice(about worker.Subject) {
	for _, f := range r.findings {
		if f.Subject == about && !f.Problem {
			r.advise(f.Text)
		}
	}
}

func (r report) all(cfg *config.Config, f *worker.Resources, clock *awsclient.Clock) {
	r.title("Queue " + cfg.QueueURL)
	r.queue(f.Queue)
	r.advice(worker.SubjectQueue)
	if cfg.RejectQueueURL == "" {
		r.title("No reject queue")
	} else {
		r.title("Reject queue " + cfg.RejectQueueURL)
		r.queue(f.Rejects)
	}
	r.advice(worker.SubjectRejectQueue)
	if cfg.ObjectsQueueURL != "" {
		r.title("Objects queue " + cfg.ObjectsQueueURL)
		r.queue(f.Objects)
		r.line("objects", "%s", cfg.Objects)
		if owner := cfg.BucketOwner(); owner != "" {
			r.line("bucket owner", "%s", owner)
		}
		r.advice(worker.SubjectObjectsQueue)
	}
	r.title("Table " + cfg.TableName)
	r.table(f)
	if off := clock.Offset(); off != 0 {
		r.title("Clock")
		r.advise(fmt.Sprintf("this host's clock is %v off the services': correct it. Expiry goes by theirs, but AWS refuses requests whose time is more than 5 minutes off.", off))
	}
}

// unverified prints the permissions that reading shows nothing about, and how to verify them. IAM's simulation does not evaluate the
// policies of queues and keys for a role ("SimulatePrincipalPolicy"), so the last word has the running worker.
func (r report) unverified(needed []worker.Permission) {
	r.title("Not verified: these permissions, since check receives, sends and writes nothing")
	for _, p := range needed {
		fmt.Fprintf(r.w, "  %s\n", p)
	}
	r.advise("to verify them, call `aws iam simulate-principal-policy --policy-source-arn ROLE --action-names ACTION --resource-arns ARN` for each, and read the key's own policy; or send a message and run the worker: /readyz and the log name a denied call and what to allow")
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
	r.line("type", "%s, messages up to %d KiB, kept for %s", kind, q.MaxMessageBytes>>10, lasting(q.Retention))
	r.line("visibility timeout", "%v", q.Visibility)
	if q.RedriveTarget != "" {
		r.line("dead-letter queue", "%s after %s", q.RedriveTarget, counted(q.MaxReceives, "receive"))
	}
	if q.KMSKey != "" {
		r.line("encryption key", "%s", q.KMSKey)
	}
	r.line("now", "about %s messages waiting, %s in flight", thousands(int64(q.Messages)), thousands(int64(q.InFlight)))
}

func (r report) table(f *worker.Resources) {
	t := f.Table
	if t.HashKey == "" {
		r.unread()
		return
	}
	source := "as the table says"
	if f.TableInfo == nil {
		source = "as WORKER_LAYOUT says; the table was not asked"
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
	for _, name := range slices.Sorted(maps.Keys(t.Indexes)) {
		r.line("index key", "%s (%s)", name, t.Indexes[name].Type)
	}
	if i := f.TableInfo; i != nil {
		billing := "provisioned"
		if i.OnDemand {
			billing = "on demand"
		}
		r.line("now", "%s, %s, about %s items", i.Status, billing, thousands(i.Items))
	}
	if c, known := f.Capacity(); known {
		r.line("capacity", "%s write units a second now", thousands(c.WriteUnits))
		if c.Backlog >= time.Second {
			r.line("backlog", "needs about %s at that rate, at one prediction a message and %s each", lasting(c.Backlog), counted(int(c.ItemUnits), "write unit"))
		}
	}
}
