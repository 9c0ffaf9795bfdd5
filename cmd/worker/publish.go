package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/jsonscan"
)

const publishUsage = `Usage: worker publish [--pack] FILE|-

Sends predictions to WORKER_QUEUE_URL, ten messages a call. The file has one JSON object a line; - is standard input.
A line that is not JSON stops it before anything of its batch is sent, with the line's number.`

// packBytes is what SQS bills as one request ("Amazon SQS pricing": each 64 KB chunk is billed as one request).
const packBytes = 64 << 10

// runPublish sends a file to the queue.
func runPublish(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("publish", flag.ContinueOnError)
	pack := fs.Bool("pack", false, "put many predictions into a message, up to the 64 KB that SQS bills as one request")
	if err := parse(fs, publishUsage, args, 1, stdout); err != nil {
		return err
	}
	cfg, err := config.Load()
	if cfg == nil || cfg.QueueURL == "" {
		return problems{"the settings are not valid", err}
	}
	in, size, err := open(fs.Arg(0))
	if err != nil {
		return err
	}
	defer in.Close()
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: publishCalls, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"nothing can be sent", err}
	}
	p := &publisher{queue: awsclient.NewQueue(clients, cfg.QueueURL), timeout: cfg.CallTimeout, limit: 1 << 20}
	if *pack {
		p.limit = packBytes
	}
	p.pack = *pack
	p.bar = newBar(stderr, size)
	if err := p.publish(ctx, in); err != nil {
		return fmt.Errorf("%w (%d predictions in %d messages were sent)", err, p.predictions, p.messages)
	}
	_ = p.bar.Finish() // a bar that can't be drawn is no reason to fail
	fmt.Fprintf(stdout, "sent %d predictions in %d messages and %d calls\n", p.predictions, p.messages, p.calls)
	return nil
}

func open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the predictions: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("opening the predictions: %w", err)
	}
	return f, info.Size(), nil
}

// newBar shows progress: a bar on a terminal, nothing elsewhere.
func newBar(w io.Writer, size int64) *progressbar.ProgressBar {
	f, isFile := w.(*os.File)
	visible := isFile && term.IsTerminal(int(f.Fd()))
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("publishing"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// publishCalls is how many calls are under way at once.
const publishCalls = 8

// A publisher fills messages and calls.
type publisher struct {
	queue   *awsclient.Queue
	timeout time.Duration
	limit   int // bytes of a message
	pack    bool
	bar     *progressbar.ProgressBar

	predictions, messages, calls int
}

// publish sends each line of in.
func (p *publisher) publish(ctx context.Context, in io.Reader) error {
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(publishCalls)
	var (
		message strings.Builder
		count   int
		call    []consumer.Outgoing
		bytes   int
	)
	send := func() {
		if len(call) == 0 {
			return
		}
		full := call
		call, bytes = nil, 0
		p.calls++
		p.messages += len(full)
		calls.Go(func() error { return p.send(ctx, full) })
	}
	flush := func() {
		if count == 0 {
			return
		}
		body := message.String()
		message.Reset()
		if len(call) == consumer.MaxBatch || bytes+len(body) > 1<<20 {
			send()
		}
		sum := sha256.Sum256([]byte(body))
		call = append(call, consumer.Outgoing{Body: body, GroupID: hex.EncodeToString(sum[:8]), DeduplicationID: hex.EncodeToString(sum[:])})
		bytes += len(body)
		p.predictions += count
		count = 0
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), 1<<20+1)
	for number := 1; lines.Scan() && ctx.Err() == nil; number++ {
		line := strings.TrimSpace(lines.Text())
		_ = p.bar.Add(len(lines.Bytes()) + 1)
		if line == "" {
			continue
		}
		v, err := jsonscan.Parse(line)
		switch {
		case err != nil:
			return errors.Join(fmt.Errorf("line %d is not JSON: %w", number, err), calls.Wait())
		case v.Kind() != jsonscan.Object:
			return errors.Join(fmt.Errorf("line %d is %v: send an object", number, v.Kind()), calls.Wait())
		}
		if count > 0 && (!p.pack || message.Len()+1+len(line) > p.limit) {
			flush()
		}
		if count > 0 {
			message.WriteByte('\n')
		}
		message.WriteString(line)
		count++
	}
	flush()
	send()
	if err := calls.Wait(); err != nil {
		return err
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the predictions: %w", err)
	}
	return nil
}

// maxAttempts is how often a call is tried before publish gives up.
const maxAttempts = 6

// send makes one call, and again for what of it failed.
func (p *publisher) send(ctx context.Context, messages []consumer.Outgoing) error {
	backoff := batch.Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second}
	for attempt := 1; ; attempt++ {
		attemptCtx, cancel := context.WithTimeout(ctx, p.timeout)
		failures, err := p.queue.Send(attemptCtx, messages)
		cancel()
		if err == nil && len(failures) == 0 {
			return nil
		}
		if err == nil {
			var left []consumer.Outgoing
			for _, f := range failures {
				if f.SenderFault {
					return fmt.Errorf("SQS refused a message: %s", f.Code)
				}
				left = append(left, messages[f.Index])
			}
			messages, err = left, fmt.Errorf("%d messages were not accepted: %s", len(failures), failures[0].Code)
		}
		if attempt == maxAttempts || ctx.Err() != nil {
			return fmt.Errorf("sending: %w", err)
		}
		select {
		case <-time.After(backoff.After(attempt)):
		case <-ctx.Done():
		}
	}
}
