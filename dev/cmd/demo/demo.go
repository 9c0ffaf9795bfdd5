package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
	"github.com/predcache/predcache/internal/workertest/process"
)

// messagesFile is what the example pipeline published one day.
const messagesFile = "examples/pipeline/messages.ndjson"

// stopGrace is above the 25 s that the worker allows itself to drain, and is what ECS and Kubernetes allow.
const stopGrace = 30 * time.Second

// run is the demo from its start to its end.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	screen := newScreen(out)
	recorded, err := readMessages(filepath.Join(o.root, messagesFile))
	if err != nil {
		return err
	}
	screen.title("predcache: the worker on real predictions, without AWS")

	path := o.worker
	if path == "" {
		screen.live("  worker      being built; the first time takes a minute")
		started := time.Now()
		if path, err = (process.Build{Root: o.root}).Binary(ctx); err != nil {
			return err
		}
		screen.line("  worker      built from this tree in %s", seconds(time.Since(started)))
	}

	aws, err := localaws.Start()
	if err != nil {
		return err
	}
	defer aws.Close()
	if err := aws.Create(ctx, o.layout); err != nil {
		return err
	}
	screen.line("  services    SQS and DynamoDB in this process, at %s", aws.Endpoint)
	screen.line("  table       %s", tableText(o.layout))

	messages, moved := recording.Shift(recorded, time.Now())
	outcome, err := expect.Of(messages, o.layout, time.Now())
	if err != nil {
		return err
	}
	if err := publish(ctx, aws, messages); err != nil {
		return err
	}
	screen.line("  published   %s messages with %s predictions", count(len(messages)), count(outcome.Predictions))
	screen.line("              recorded on %s, all times moved by %s", recordedOn(recorded), days(moved))

	config := process.Config{Path: path, Settings: append(aws.Environment(), "WORKER_LOG_FORMAT=text",
		"WORKER_QUEUE_URL="+aws.Queue, "WORKER_TABLE_NAME="+aws.Table, "WORKER_REJECT_QUEUE_URL="+aws.RejectQueue, "WORKER_RECEIVE_WAIT=1s")}
	if o.verbose {
		config.Log = os.Stderr
	}
	running, err := process.Start(config)
	if err != nil {
		return err
	}
	defer func() {
		if log := running.Log().Tail(40); err != nil && ctx.Err() == nil && log != "" && !o.verbose {
			err = fmt.Errorf("%w\n\nThe end of the worker's log:\n%s", err, log)
		}
		select {
		case <-running.Exited():
		default:
			err = errors.Join(err, running.Stop(stopGrace))
		}
	}()

	screen.line("  see it      http://%s/, while it runs; `make dev` leaves it running", running.Admin)
	if err := watch(ctx, screen, aws, running, outcome.Predictions, o.timeout); err != nil {
		return err
	}
	r, err := look(ctx, aws, running, outcome)
	if err != nil {
		return err
	}
	r.write(screen)
	if err := readBack(ctx, screen, aws, messages); err != nil {
		return err
	}
	if err := readFront(ctx, screen, aws, outcome); err != nil {
		return err
	}
	checks := r.checks(o.layout)
	if o.keep {
		if err := writeChecks(screen, checks); err != nil {
			return err
		}
		if err := keep(ctx, screen, o, aws, running); err != nil {
			return err
		}
	}
	started := time.Now()
	end := check{"the worker drained and ended with exit status 0 on SIGTERM", nil}
	if err := running.Stop(stopGrace); err != nil {
		end.differences = []string{err.Error()}
	}
	end.text += ", in " + seconds(time.Since(started))
	if o.keep {
		return writeChecks(screen, []check{end})
	}
	return writeChecks(screen, append(checks, end))
}

func readMessages(path string) ([]recording.Message, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	messages, err := recording.Read(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return messages, nil
}

// publish sends the messages, and makes sure that they are on the queue once each: the report counts on it.
func publish(ctx context.Context, aws *localaws.Server, messages []recording.Message) error {
	if err := aws.Publish(ctx, messages); err != nil {
		return err
	}
	ready, _, err := aws.Depth(ctx, aws.Queue)
	if err == nil && ready != len(messages) {
		err = fmt.Errorf("sent %d messages, but the queue holds %d", len(messages), ready)
	}
	return err
}

// watch shows the worker's progress until the queue is empty: it deletes a message only when each prediction in it has
// its outcome. The time that it tells is from the worker's start until all predictions had theirs; the last deletes may
// come a little later.
func watch(ctx context.Context, screen *screen, aws *localaws.Server, running *process.Process, predictions int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it hasn't finished after %v", timeout))
	defer cancel()
	started, empty, took := time.Now(), time.Time{}, time.Duration(0)
	if err := running.Ready(ctx); err != nil {
		return err
	}
	for {
		ready, inFlight, err := aws.Depth(ctx, aws.Queue)
		if err != nil {
			return giveUp(ctx, running, err)
		}
		metrics, err := running.Metrics(ctx)
		if err != nil {
			return giveUp(ctx, running, err)
		}
		done := metrics.Sum("predcache_predictions_total")
		if took == 0 && done >= predictions {
			took = time.Since(started)
		}
		if ready > 0 || inFlight > 0 {
			empty = time.Time{}
		} else if empty.IsZero() {
			empty = time.Now()
		}
		// Should the worker not account for all of an empty queue, then the checks say so.
		if !empty.IsZero() && (took > 0 || time.Since(empty) > time.Second) {
			if took == 0 {
				took = empty.Sub(started)
			}
			screen.line("  consumed    %s predictions in %s, with the worker's start", count(done), seconds(took))
			return nil
		}
		screen.live("  consuming   %s %s of %s predictions", bar(done, predictions), count(done), count(predictions))
		select {
		case <-running.Exited():
			return running.Gone()
		case <-ctx.Done():
			return fmt.Errorf("%w: the queue has %d messages ready and %d in flight, and the worker accounts for %d of %d predictions",
				context.Cause(ctx), ready, inFlight, done, predictions)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// giveUp says why a look at the worker failed: most likely it is gone.
func giveUp(ctx context.Context, running *process.Process, err error) error {
	select {
	case <-running.Exited():
		return running.Gone()
	case <-time.After(time.Second):
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
