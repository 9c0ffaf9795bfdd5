package sim

import (
	"flag"
	"fmt"
	"os"
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
	simSeeds = flag.Int("sim.seeds", 30, "how many seeds to simulate")
	simFrom  = flag.Uint64("sim.from", 1, "the first seed")
	simSeed  = flag.Uint64("sim.seed", 0, "simulate this seed alone, sim.reruns times")
	simRerun = flag.Int("sim.reruns", 20, "how often sim.seed is run: the scheduler's part is another each time")
	simBugs  = flag.Bool("sim.bugs", false, "put bugs into the worker and want the simulator to notice them")
	simTrace = flag.Bool("sim.trace", false, "print every call of the worker")
)

// TestSimulation runs the real pipeline, in one or several replicas, through the traffic, the faults and the platform's doings
// of each seed, and checks the guarantees of docs/guarantees.md. `make sim SEEDS=2000` runs more; a seed that fails says how to
// repeat it.
func TestSimulation(t *testing.T) {
	base := simConfig(t)
	var seeds []uint64
	if *simSeed != 0 {
		seeds = slices.Repeat([]uint64{*simSeed}, *simRerun)
	} else {
		for i := range *simSeeds {
			seeds = append(seeds, *simFrom+uint64(i))
		}
	}
	var mu sync.Mutex
	faults, took, calls, messages := map[string]int{}, time.Duration(0), 0, 0
	began := time.Now()
	next := 0
	t.Run("seeds", func(t *testing.T) {
		for shard := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for {
					mu.Lock()
					if next == len(seeds) {
						mu.Unlock()
						return
					}
					seed := seeds[next]
					next++
					mu.Unlock()
					plan := newSimPlan(seed)
					result := runSim(t, base, plan, nil)
					mu.Lock()
					for kind, n := range result.faults {
						faults[kind] += n
					}
					took, calls, messages = took+result.took, calls+result.calls, messages+len(plan.messages)
					mu.Unlock()
					if len(result.violations) > 0 {
						t.Errorf("seed %d fails (%s); make sim SEED=%d repeats it:\n  %s", seed, plan, seed, strings.Join(result.violations, "\n  "))
						if *simSeed != 0 {
							fmt.Fprintln(os.Stderr, result.log)
						}
					}
				}
			})
		}
	})
	t.Logf("%d seeds, %v simulated in %v, %d messages, %d calls", len(seeds), took.Round(time.Second), time.Since(began).Round(time.Second), messages, calls)
	kinds := make([]string, 0, len(faults))
	for kind, n := range faults {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	t.Logf("faults and events: %s", strings.Join(kinds, ", "))
}

// runSim runs a plan in a bubble of its own.
func runSim(t *testing.T, base *config.Config, plan *simPlan, mutant *simMutant) (result simResult) {
	defer func() {
		if fault := recover(); fault != nil {
			panic(fmt.Sprintf("seed %d: %v", plan.seed, fault))
		}
	}()
	synctest.Test(t, func(t *testing.T) { result = simulate(t, base, plan, mutant) })
	return result
}

// simConfig reads the settings once: the environment is the process's, and the seeds run side by side.
func simConfig(t *testing.T) *config.Config {
	t.Setenv("WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/q")
	t.Setenv("WORKER_TABLE_NAME", workertest.TableName)
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (p *simPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d replicas, %d messages, ordering %s, client %s", p.layout, p.replicas, len(p.messages), p.ordering, p.client)
	for _, f := range p.faults {
		fmt.Fprintf(&b, "; %s %s %.2f from %v to %v", f.class, f.kind, f.chance, f.from.Round(time.Second), f.to.Round(time.Second))
	}
	for _, e := range p.events {
		fmt.Fprintf(&b, "; %s at %v", e.what, e.at.Round(time.Second))
	}
	return b.String()
}
