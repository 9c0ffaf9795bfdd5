package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Build says how to build the worker.
type Build struct {
	// Root is the folder of the worker's module; "" means the one that this package was compiled from.
	Root string
	// Race adds the race detector.
	Race bool
}

var builds struct {
	mu   sync.Mutex // held while a binary is built
	done map[Build]string
}

// Binary builds the worker, once in this process, and returns the binary's path: .cache/bin/worker or worker-race under
// Root.
func (b Build) Binary(ctx context.Context) (string, error) {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if b.Root == "" {
		_, file, _, ok := runtime.Caller(0)
		if !ok || !filepath.IsAbs(file) {
			return "", errors.New("building the worker: this program doesn't know where its module is; set Root")
		}
		b.Root = filepath.Join(filepath.Dir(file), "..", "..", "..")
	}
	if path := builds.done[b]; path != "" {
		return path, nil
	}
	name, flags := "worker", []string{"build", "-trimpath"}
	if b.Race {
		name, flags = "worker-race", append(flags, "-race")
	}
	path, err := filepath.Abs(filepath.Join(b.Root, ".cache", "bin", name))
	if err != nil {
		return "", fmt.Errorf("building the worker: %w", err)
	}
	build := exec.CommandContext(ctx, "go", append(flags, "-o", path, "./cmd/worker")...) //nolint:gosec // flags of our own
	build.Dir = b.Root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/worker: %w\n%s", err, output)
	}
	if builds.done == nil {
		builds.done = make(map[Build]string)
	}
	builds.done[b] = path
	return path, nil
}
