package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

// run runs the demo: it starts the services and the worker, publishes the recorded messages, and reports what became of them.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	screen := newScreen(out)
	recorded, err := readMessages(filepath.Join(o.root, messagesFile))
	if err != nil {
		return err
	}
	screen.title("predcache: the worker on real predictions, without AWS")
	path, err := workerBinary(ctx, screen, o)
	if err != nil {
		return err
	}
	aws, err := startServices(ctx, screen, o)
	if err != nil {
		return err
	}
	defer aws.Close()

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

	running, err := startWorker(path, aws, o.verbose)
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
	checks, err := observe(ctx, screen, o, aws, running, messages, outcome)
	if err != nil {
		return err
	}
	if o.keep {
		if err := writeChecks(screen, checks); err != nil {
			return err
		}
		if err := keep(ctx, screen, o, aws, running); err != nil {
			return err
		}
		checks = nil // they are on the screen already
	}
	return writeChecks(screen, append(checks, stopWorker(running)))
}

// workerBinary returns the path of the worker to run. It builds the worker unless the options name one.
func workerBinary(ctx context.Context, screen *screen, o options) (string, error) {
	if o.worker != "" {
		return o.worker, nil
	}
	screen.live("  worker      being built; the first time takes a minute")
	started := time.Now()
	path, err := process.Build{Root: o.root}.Binary(ctx)
	if err != nil {
		return "", err
	}
	screen.line("  worker      built from this tree in %s", seconds(time.Since(started)))
	return path, nil
}

// startServices starts SQS, DynamoDB and S3 in this process, with what the demo needs of each. The caller closes them.
func startServices(ctx context.Context, screen *screen, o options) (*localaws.Server, error) {
	aws, err := localaws.Start()
	if err != nil {
		return nil, err
	}
	if err := aws.Create(ctx, o.layout); err != nil {
		aws.Close()
		return nil, err
	}
	screen.line("  services    SQS, DynamoDB and S3 in this process, at %s", aws.Endpoint)
	screen.line("  table       %s", tableText(o.layout))
	return aws, nil
}

func startWorker(path string, aws *localaws.Server, verbose bool) (*process.Process, error) {
	config := process.Config{Path: path, Settings: append(workerSettings(aws), "WORKER_LOG_FORMAT=text", "WORKER_RECEIVE_WAIT=1s")}
	if verbose {
		config.Log = os.Stderr
	}
	return process.Start(config)
}

// workerSettings returns the variables with which every command of the worker uses the services.
func workerSettings(aws *localaws.Server) []string {
	return append(aws.Environment(),
		"WORKER_QUEUE_URL="+aws.Queue, "WORKER_TABLE_NAME="+aws.Table, "WORKER_REJECT_QUEUE_URL="+aws.RejectQueue,
		"WORKER_OBJECTS_QUEUE_URL="+aws.ObjectsQueue, "WORKER_OBJECTS="+localaws.Bucket+"/scores/", deletesSetting(aws.Layout))
}

// observe waits until the worker has emptied the queue, writes the report, and returns the checks of the outcome.
func observe(ctx context.Context, screen *screen, o options, aws *localaws.Server, running *process.Process,
	messages []recording.Message, outcome *expect.Outcome,
) ([]check, error) {
	screen.line("  see it      http://%s/, while it runs; `make dev` leaves it running", running.Admin)
	if err := watch(ctx, screen, aws, running, outcome.Predictions, o.timeout); err != nil {
		return nil, err
	}
	r, err := look(ctx, aws, running, outcome)
	if err != nil {
		return nil, err
	}
	r.write(screen)
	if err := readBack(ctx, screen, aws, messages); err != nil {
		return nil, err
	}
	if err := readFront(ctx, screen, aws, outcome); err != nil {
		return nil, err
	}
	deleted, err := deleteOne(ctx, screen, aws, messages, o.timeout)
	if err != nil {
		return nil, err
	}
	loaded, err := loadFile(ctx, screen, aws, running, o.timeout)
	if err != nil {
		return nil, err
	}
	return slices.Concat(r.checks(o.layout), deleted, loaded), nil
}

// stopWorker stops the worker by SIGTERM, and checks how it exits.
func stopWorker(running *process.Process) check {
	started := time.Now()
	end := check{"the worker drained and ended with exit status 0 on SIGTERM", nil}
	if err := running.Stop(stopGrace); err != nil {
		end.differences = []string{err.Error()}
	}
	end.text += ", in " + seconds(time.Since(started))
	return end
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
