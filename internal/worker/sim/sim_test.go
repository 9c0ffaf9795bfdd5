package sim

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/workertest"
)

var (
	seedCount = flag.Int("sim.seeds", 30, "how many seeds to simulate")
	firstSeed = flag.Uint64("sim.from", 1, "the first seed")
	onlySeed  = flag.Uint64("sim.seed", 0, "simulate this seed alone, sim.reruns times")
	reruns    = flag.Int("sim.reruns", 20, "how often sim.seed is run: goroutines are scheduled differently each time")
	withBugs  = flag.Bool("sim.bugs", false, "put deliberate bugs into the worker: the oracle must notice each")
)

// TestSimulation runs the real pipeline through the plan of each seed, and checks the invariants of docs/guarantees.md.
// `make sim SEEDS=2000` runs more seeds. A seed that fails prints the command that repeats it.
func TestSimulation(t *testing.T) {
	base := baseConfig(t)
	seeds := make(chan uint64)
	go func() {
		defer close(seeds)
		for i := range uint64(*seedCount) {
			if *onlySeed == 0 {
				seeds <- *firstSeed + i
			}
		}
		for range *reruns {
			if *onlySeed != 0 {
				seeds <- *onlySeed
			}
		}
	}()
	var all tally
	began := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for shard := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := range seeds {
					p := newPlan(seed)
					r := run(t, base, p, nil)
					all.add(p, r)
					if len(r.violations) > 0 {
						report(t, p, r)
					}
				}
			})
		}
	})
	t.Logf("%d seeds, %v simulated in %v, %d messages, %d calls", all.seeds, all.took.Round(time.Second),
		time.Since(began).Round(time.Second), all.messages, all.calls)
	t.Logf("faults and events: %s", &all)
	for _, first := range all.violated { // again, where whoever reads only the end of a long output finds them
		t.Log(first)
	}
}

// report prints the violations of a seed, the calls that led to the first, and how to repeat the seed.
func report(t *testing.T, p *plan, r result) {
	const last = 40
	file, err := r.save(p.seed)
	if err != nil {
		t.Error(err)
	}
	t.Errorf("seed %d fails (%s)\n  %s\n  repeat it: make sim SEED=%d\n  all calls and the log: %s\n  the last calls:\n    %s", p.seed, p,
		strings.Join(r.violations, "\n  "), p.seed, file, strings.Join(r.trace[max(0, len(r.trace)-last):], "\n    "))
}

// A tally sums the results of the seeds.
type tally struct {
	mu                     sync.Mutex
	struck                 map[string]int
	took                   time.Duration
	seeds, messages, calls int
	violated               []string // the first violation of each seed
}

func (a *tally) add(p *plan, r result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.struck == nil {
		a.struck = map[string]int{}
	}
	for kind, n := range r.struck {
		a.struck[kind] += n
	}
	a.seeds++
	a.took += r.took
	a.messages += len(p.messages)
	a.calls += r.calls
	if len(r.violations) > 0 {
		a.violated = append(a.violated, fmt.Sprintf("seed %d: %s", p.seed, r.violations[0]))
	}
}

func (a *tally) String() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(a.struck)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, a.struck[kind]))
	}
	return strings.Join(kinds, ", ")
}

// run runs a plan in a synctest bubble of its own. b is nil for the worker as it is.
func run(t *testing.T, base *config.Config, p *plan, b *bug) (r result) {
	defer func() {
		if fault := recover(); fault != nil {
			panic(fmt.Sprintf("seed %d: %v", p.seed, fault))
		}
	}()
	synctest.Test(t, func(t *testing.T) { r = simulate(t, base, p, b) })
	return r
}

// baseConfig reads the settings once: the environment belongs to the process, and seeds run side by side.
func baseConfig(t *testing.T) *config.Config {
	t.Setenv("WORKER_QUEUE_URL", queueURL(workertest.QueueName))
	t.Setenv("WORKER_TABLE_NAME", workertest.TableName)
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func queueURL(name string) string { return "https://sqs.eu-west-1.amazonaws.com/000000000000/" + name }
