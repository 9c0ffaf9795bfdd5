package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapFloor is how far the heap may grow before it is collected, whatever is alive. The worker keeps a few MB alive, which Go
// would collect some hundred times a second at full load.
const heapFloor = 24 << 20

// paceGC keeps Go's pacing at the floor, until ctx is done: it lets the heap grow to twice what is alive, or to the floor if that is
// more. A setting of GOGC or GOMEMLIMIT is left to itself.
func paceGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := 100
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for ctx.Err() == nil {
		metrics.Read(live)
		percent := gcPercent(live[0].Value.Uint64())
		if percent < set || percent > set+set/4 { // each change stops the world for a moment
			set = percent
			debug.SetGCPercent(percent)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// gcPercent is by how much of itself the live heap may grow to reach the floor: by 100 % at the least, as Go's default.
func gcPercent(live uint64) int {
	const least = 2 << 20 // before the first collection nothing is known
	return int(max(heapFloor*100/max(live, least), 200) - 100)
}
