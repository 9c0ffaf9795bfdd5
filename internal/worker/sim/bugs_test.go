package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
)

// A bug is a deliberate bug at one of the worker's seams: a function that the worker calls, or that calls it, misbehaves.
type bug struct {
	name     string
	as       invariant // the invariant by which it must be noticed; "" for any
	config   func(*config.Config)
	services func(s seams)
	request  func(operation, body string) string // changes a request's body on its way
}

// onRequest changes the bodies of one operation's requests.
func onRequest(operation string, change func(body string) string) func(operation, body string) string {
	return func(of, body string) string {
		if of != operation {
			return body
		}
		return change(body)
	}
}

// bugs are all deliberate bugs, by seam.
var bugs = slices.Concat(settingBugs, admitBugs, tableBugs, queueBugs, rejectBugs, objectBugs, deleteBugs)

// bugSeeds is the number of seeds within which the oracle must notice each deliberate bug.
const bugSeeds = 150

// TestBugs puts one bug at a time into the worker. The oracle must notice each. It prints the table of docs/guarantees.md.
func TestBugs(t *testing.T) {
	if !*withBugs {
		t.Skip("it takes a minute: make sim-bugs")
	}
	base := baseConfig(t)
	var mu sync.Mutex
	var rows []string
	t.Run("bugs", func(t *testing.T) {
		for _, b := range bugs {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				seed, violation := notice(t, base, &b)
				if seed == 0 {
					t.Errorf("not noticed in %d seeds", bugSeeds)
					return
				}
				broken, _, _ := strings.Cut(strings.TrimPrefix(violation, "invariant "), ":")
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, fmt.Sprintf("| %s | %d | %s |", b.name, seed, broken))
			})
		}
	})
	slices.Sort(rows)
	t.Logf("%d of %d bugs noticed\n| deliberate bug | seed | noticed as |\n|---|---|---|\n%s", len(rows), len(bugs), strings.Join(rows, "\n"))
}

// notice returns the first seed that shows a bug, and how. The seed is 0 if none does.
func notice(t *testing.T, base *config.Config, b *bug) (seed uint64, violation string) {
	for seed := range uint64(bugSeeds) {
		r := run(t, base, newPlan(seed+1), b)
		if v := r.broken[b.as]; v != "" {
			return seed + 1, v
		}
		runtime.Gosched()
	}
	return 0, ""
}

var settingBugs = []bug{
	{name: "what was written is forgotten", config: func(c *config.Config) { c.DedupWindow = 2 }},
	{name: "a call may take for ever", config: func(c *config.Config) { c.CallTimeout = 1000 * time.Hour }},
	{name: "more messages are held than allowed", config: func(c *config.Config) { c.MaxHeldMessages = 10_000 }},
	{name: "more bytes are held than allowed", config: func(c *config.Config) { c.MaxHeldBytes = 1 << 40 }},
	{name: "a receive does not reserve its room", services: func(s seams) { s.resources.Queue.MaxMessageBytes = 1024 }},
	{name: "times in the future are accepted", config: func(c *config.Config) { c.MaxFuture = 1000 * time.Hour }},
	{name: "times that no clock gives are accepted", config: func(c *config.Config) { c.MinEventTime = "0" }},
	{name: "a drain has no deadline", config: func(c *config.Config) { c.DrainTimeout = time.Hour }},
	{name: "expiry goes by the host's clock", services: func(s seams) { s.Clock = time.Now }},
}
