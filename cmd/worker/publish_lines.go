package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonlines"
	"github.com/predcache/predcache/internal/prediction"
)

// maxLine is the most bytes of a line: a line becomes a message ("Amazon SQS message quotas").
const maxLine = 1 << 20

// A linePublisher sends a file's lines to the queue.
type linePublisher struct {
	publisher *cache.Publisher
	decoder   *prediction.Decoder // nil: lines are not checked
	bar       *progressbar.ProgressBar

	decoded prediction.Decoded
}

// publish sends each line, and stops at the first that can't be sent. The error names the line.
func (l *linePublisher) publish(ctx context.Context, lines *jsonlines.File) error {
	for {
		line, tooLong, err := lines.Next(maxLine + len("\r\n"))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // it names the file
		}
		_ = l.bar.Set64(lines.Read())
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if tooLong || len(line) > maxLine {
			return fmt.Errorf("line %d is longer than %s bytes, the most that SQS takes: shorten it, or fill the table by `worker warm`, which takes longer lines", lines.Line(), thousands(maxLine))
		}
		if err := l.check(line); err != nil {
			return fmt.Errorf("line %d: %w", lines.Line(), err)
		}
		if err := l.publisher.PublishJSON(ctx, line); err != nil {
			return fmt.Errorf("line %d %w", lines.Line(), err)
		}
	}
}

// check decodes a line as the worker will, and returns why the worker would reject it.
func (l *linePublisher) check(line string) error {
	if l.decoder == nil {
		return nil
	}
	now := time.Now()
	l.decoder.Decode(&l.decoded, prediction.Message{Body: line, Sent: now.UnixMilli()}, now)
	if len(l.decoded.Rejected) > 0 {
		return l.decoded.Rejected[0].Why
	}
	for i := range l.decoded.Predictions {
		if id := l.decoded.Predictions[i].ID; id.Text == "" {
			return errors.New("the id is empty: an id has at least one character")
		} else if len(id.Text) > item.MaxHashBytes {
			return fmt.Errorf("the id has %d bytes, and a key of DynamoDB at most %d: shorten it", len(id.Text), item.MaxHashBytes)
		}
	}
	return nil
}
