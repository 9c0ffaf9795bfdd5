package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// untilInterrupted runs a long command, and shows its progress meanwhile. The first signal is acknowledged at once, and ends the context
// of run, which then finishes what it has begun within a time; a second signal ends the process.
func untilInterrupted(ctx context.Context, stderr io.Writer, begun string, within time.Duration, run func(context.Context) error, show func(context.Context)) error {
	intake, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ignore := context.AfterFunc(intake, func() {
		stop() // a second signal ends the process at once
		fmt.Fprintf(stderr, "interrupted: finishing %s, for up to %s; interrupt again to stop at once\n", begun, within)
	})
	defer ignore() // or the end of this call would be taken for an interruption

	showing, hide := context.WithCancel(context.Background())
	var progress sync.WaitGroup
	progress.Go(func() { show(showing) })
	err := run(intake)
	hide()
	progress.Wait()
	return err
}
