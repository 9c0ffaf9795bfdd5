package worker

import (
	"os"
	"runtime/debug"

	"github.com/predcache/predcache/internal/config"
)

// otherMemory is the memory that the worker needs beside the messages held: 24 MiB at rest, requests in flight, the dedup window.
const otherMemory = 64 << 20

// limitMemory sets the Go memory limit, so that the garbage collector runs more often near the limit instead of letting the heap grow
// to twice the live memory ("A Guide to the Go Garbage Collector"). The extra third covers the error of the count of bytes held.
// GOMEMLIMIT takes precedence.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		held := cfg.MaxHeldBytes
		if cfg.ObjectsQueueURL != "" {
			held += cfg.ObjectsMaxBytes
		}
		debug.SetMemoryLimit(held + held/3 + otherMemory)
	}
}
