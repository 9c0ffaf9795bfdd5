package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
	"github.com/predcache/predcache/internal/telemetry"
)

func newPublishCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "publish FILE", GroupID: groupMove, Args: takes(1),
		Short: "Send predictions from a file to the queue",
		Long: `Send predictions to WORKER_QUEUE_URL, ten messages per call. FILE is NDJSON, JSON, CSV with a
header, a DynamoDB JSON export, plain or compressed with gzip or zstd, or Parquet; - is standard
input. Its content determines the format.

A row has up to 1 MiB, and the fields that the worker reads (WORKER_FIELD_ID and so on). The
command stops at the first row that the worker would reject, and prints its number. The rows
before it are sent.`,
		Example: `  # Send a file
  worker publish predictions.ndjson

  # Fill each message with many predictions
  worker publish --pack predictions.ndjson

  # Send the output of another program
  export-predictions | worker publish -`,
	}
	pack := cmd.Flags().Bool("pack", false, "put many predictions into a message, up to the 64 KB that SQS bills as one request")
	unchecked := cmd.Flags().Bool("unchecked", false, "do not check the fields of the JSON objects")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runPublish(cmd.Context(), args[0], *pack, *unchecked, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// publishCalls is the maximum number of concurrent calls.
const publishCalls = 8

// runPublish sends a file to the queue.
func runPublish(ctx context.Context, file string, pack, unchecked bool, stdin io.Reader, stdout, stderr io.Writer) error {
	cfg, err := config.LoadForQueue()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	rows, err := records.OpenFile(file, stdin, records.Options{Fields: cfg.Prediction().Fields, MaxRow: maxLine + len("\r\n")})
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer rows.Close()
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: publishCalls, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"nothing can be sent", err}
	}
	bar := newBar(stderr, "publishing", rows.Size)
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	tracer, err := telemetry.NewTracer(ctx, telemetry.NewLogger(stderr, cfg.LogLevel, cfg.LogFormat), telemetry.About{Service: "predcache-publisher", Version: version()}, cfg.QueueURL, cfg.TableName)
	if err != nil {
		return problems{"traces can't be made", err}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_ = tracer.Close(ctx) // a failure has been logged
	}()
	var client cache.SQS = clients.SQS
	if tracer != nil {
		client = &tracedSender{client, tracer}
	}
	p, err := cache.NewPublisher(client, cfg.QueueURL, cache.PublisherConfig{
		Pack: pack, Calls: publishCalls, Timeout: cfg.CallTimeout, Linger: time.Second, // a file's reader fills calls faster
		OnFailure: func(f cache.Failure) { stop(f.Err) },
	})
	if err != nil {
		return problems{"nothing can be sent", err}
	}
	sender := rowPublisher{publisher: p, bar: bar}
	if !unchecked {
		sender.decoder = prediction.NewDecoder(cfg.Prediction())
	}
	err = sender.publish(sending, rows)
	if closing := p.Close(sending); err == nil {
		err = closing
	}
	if cause := context.Cause(sending); cause != nil && ctx.Err() == nil { // the first failure, which ended the rest
		err = awsclient.Remedy("SendMessageBatch", "the queue", cause)
	}
	sent := p.Stats()
	if err != nil {
		return fmt.Errorf("%w (%d predictions in %d messages were sent)", err, sent.Predictions, sent.Messages)
	}
	_ = bar.Finish() // it is only shown
	fmt.Fprintf(stdout, "sent %d predictions in %d messages and %d calls\n", sent.Predictions, sent.Messages, sent.Calls)
	return nil
}

func isTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

// newBar shows progress: a bar on a terminal, nothing elsewhere.
func newBar(w io.Writer, what string, size int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(isTerminal(w)), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(what), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}
