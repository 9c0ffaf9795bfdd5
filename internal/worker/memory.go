package worker

import (
	"os"
	"runtime/debug"

	"github.com/predcache/predcache/internal/config"
)

// otherMemory is what the worker takes beside what it holds: 24 MiB of its own, requests and answers under way, remembered keys.
const otherMemory = 64 << 20

// limitMemory makes the garbage collector work harder as the heap comes near to what may be held, instead of letting it grow to
// twice of that: "A Guide to the Go Garbage Collector", memory limit. What is held is counted within a third. GOMEMLIMIT takes
// precedence.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.MaxHeldBytes + cfg.MaxHeldBytes/3 + otherMemory)
	}
}
