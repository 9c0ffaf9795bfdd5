package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/internal/workertest/process"
)

// A result is what the worker made of the messages, and what it should have made of them.
type result struct {
	want       *expect.Outcome
	items      []expect.Item
	rejects    []localaws.Reject
	left, dead int // messages on the queue, and on its dead-letter queue
	metrics    process.Metrics
	outcomes   map[string]int // from the metrics
}

// look reads it all.
func look(ctx context.Context, aws *localaws.Server, running *process.Process, want *expect.Outcome) (*result, error) {
	r := &result{want: want}
	var err error
	if r.metrics, err = running.Metrics(ctx); err != nil {
		return nil, err
	}
	r.outcomes = r.metrics.By("predcache_predictions_total", "outcome")
	if r.items, err = aws.Items(ctx); err != nil {
		return nil, err
	}
	if r.rejects, err = aws.Rejects(ctx); err != nil {
		return nil, err
	}
	for queue, n := range map[string]*int{aws.Queue: &r.left, aws.DeadLetterQueue: &r.dead} {
		ready, inFlight, err := aws.Depth(ctx, queue)
		if err != nil {
			return nil, err
		}
		*n = ready + inFlight
	}
	return r, nil
}

// outcomes are explained in the order in which a reader would ask.
var outcomes = []struct{ name, means string }{
	{"written", "sent to the table"},
	{"duplicate", "repeats, which share the write of the first"},
	{"superseded", "older: a newer one of the same key is written instead"},
	{"expired", "over before it could be written, so not paid for"},
	{"rejected", "can't be stored: now in the reject queue"},
	{"failed", "released to be tried again"},
}

// write shows the result, before it is checked.
func (r *result) write(s *screen) {
	s.title("What became of the %s predictions", count(r.want.Predictions))
	for _, o := range outcomes {
		if n := r.outcomes[o.name]; n > 0 || o.name != "failed" {
			s.line("  %-11s %7s  %s", o.name, count(n), o.means)
		}
	}

	s.title("Why %s rejected", plural(len(r.rejects), "prediction was", "predictions were"))
	rejects := slices.SortedFunc(slices.Values(r.rejects), func(a, b localaws.Reject) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Detail, b.Detail))
	})
	for _, reject := range rejects {
		for i, text := range wrap(strings.TrimSpace(reject.Field+" "+reject.Detail), 90) {
			if i > 0 {
				reject.Reason = ""
			}
			s.line("  %-14s %s", reject.Reason, text)
		}
	}

	s.title("What it took")
	calls := r.metrics.By("predcache_calls_total", "operation")
	handled := map[string]string{
		"ReceiveMessage":     each(r.metrics.Sum("predcache_messages_received_total"), "message", calls["ReceiveMessage"]),
		"BatchWriteItem":     each(r.outcomes["written"], "item", calls["BatchWriteItem"]),
		"DeleteMessageBatch": each(r.metrics.By("predcache_messages_settled_total", "disposition")["deleted"], "message", calls["DeleteMessageBatch"]),
	}
	for _, operation := range slices.SortedFunc(maps.Keys(calls), func(a, b string) int { return cmp.Or(calls[b]-calls[a], cmp.Compare(a, b)) }) {
		s.line("  %-24s %7s  %s", operation, count(calls[operation]), cmp.Or(handled[operation], "calls"))
	}
	saved := r.metrics.By("predcache_write_units_saved_total", "cause")
	var causes []string
	for _, cause := range slices.Sorted(maps.Keys(saved)) {
		causes = append(causes, fmt.Sprintf("%s %s", count(saved[cause]), cause))
	}
	s.line("  %-24s %7s  used", "write units", count(r.metrics.Sum("predcache_write_units_total")))
	s.line("  %-24s %7s  saved: %s", "", count(r.metrics.Sum("predcache_write_units_saved_total")), strings.Join(causes, ", "))
}

// A check is something that must hold, and how it doesn't.
type check struct {
	text        string
	differences []string
}

func (r *result) checks(layout expect.Layout) []check {
	var counts []string
	must := func(name string, got, low, high int) {
		switch {
		case low == high && got != low:
			counts = append(counts, fmt.Sprintf("the worker counts %s %s, but it must be %s", count(got), name, count(low)))
		case got < low || got > high:
			counts = append(counts, fmt.Sprintf("the worker counts %s %s, but it must be %s to %s", count(got), name, count(low), count(high)))
		}
	}
	rejected := 0
	for _, n := range r.want.Rejects {
		rejected += n
	}
	must("written", r.outcomes["written"], len(r.want.Items), r.want.Versions)
	must("written, duplicate and superseded", r.outcomes["written"]+r.outcomes["duplicate"]+r.outcomes["superseded"], r.want.Live, r.want.Live)
	must("expired", r.outcomes["expired"], r.want.Expired, r.want.Expired)
	must("rejected", r.outcomes["rejected"], rejected, rejected)
	must("failed", r.outcomes["failed"], 0, 0)

	var got []expect.Reject
	for _, reject := range r.rejects {
		for _, text := range expect.Split(reject.Body) {
			got = append(got, expect.Reject{Body: text, Reason: reject.Reason})
		}
	}
	var queues []string
	if r.left > 0 {
		queues = append(queues, "the queue still holds "+plural(r.left, "message"))
	}
	if r.dead > 0 {
		queues = append(queues, "the dead-letter queue holds "+plural(r.dead, "message"))
	}
	return []check{
		{fmt.Sprintf("the table holds the %s that follow from what was published, and nothing else", plural(len(r.want.Items), "item")), r.want.CompareItems(r.items, layout)},
		{fmt.Sprintf("the reject queue holds the %s, as they came", plural(rejected, "broken prediction")), r.want.CompareRejects(got)},
		{"the queue and its dead-letter queue are empty", queues},
		{"every prediction had one outcome, and no repeat cost a write", counts},
	}
}

// maxDifferences keeps a report readable when everything is wrong.
const maxDifferences = 10

// writeChecks shows what was checked. The error says that something differs.
func writeChecks(s *screen, checks []check) error {
	s.title("Checked")
	failed := 0
	for _, c := range checks {
		if len(c.differences) == 0 {
			s.line("  ok      %s", c.text)
			continue
		}
		failed++
		s.line("  FAILED  %s", c.text)
		for i, difference := range c.differences {
			if i == maxDifferences {
				s.line("          and %s more", count(len(c.differences)-i))
				break
			}
			s.line("          %s", difference)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s failed", plural(failed, "check"))
	}
	return nil
}
