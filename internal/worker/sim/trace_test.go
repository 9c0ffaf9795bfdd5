package sim

import (
	"fmt"
	"os"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
)

// A trace keeps what led to the first violation: the goroutines of a seed are scheduled differently in each run, so a
// violation may not come back. The zero value is empty.
type trace struct {
	lines []string
	ended bool
}

// maxTrace is how many lines a trace keeps at least.
const maxTrace = 20_000

func (t *trace) add(format string, args ...any) {
	if t.ended {
		return
	}
	if len(t.lines) == 2*maxTrace {
		t.lines = append(t.lines[:0], t.lines[maxTrace:]...)
	}
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
}

// save writes the trace and the workers' log to a file and returns its name.
func (r *result) save(seed uint64) (string, error) {
	f, err := os.CreateTemp("", fmt.Sprintf("predcache-sim-%d-*.txt", seed))
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s\n\n%s\n\n%s", strings.Join(r.violations, "\n"), strings.Join(r.trace, "\n"), r.log)
	return f.Name(), err //nolint:wrapcheck // it names the file
}

// traced adds a line to the trace. It requires that o.mu is held.
func (o *oracle) traced(format string, args ...any) {
	o.trace.add("%v "+format, append([]any{o.elapsed()}, args...)...)
}

// tracedCall adds a call to the trace, before its effect. It requires that o.mu is held.
func (o *oracle) tracedCall(call *call, c *awstest.Call) {
	call.n = c.N
	var b strings.Builder
	for _, e := range c.Entries {
		fmt.Fprintf(&b, " [%s %d %s %d]", short(e.MessageID), e.Visibility, e.Item.Text("predictionId"), markOf(e.Item.Text(item.AttrPayload)))
		if e.Delete || isTombstone(e.Item) {
			fmt.Fprintf(&b, " deletes %s", o.tableKey(e.Item))
		}
	}
	if call.below != "" {
		fmt.Fprintf(&b, " below %s", call.below)
	}
	o.traced("%s call %d %s%s", call.replica.name, c.N, c.Operation, &b)
}
