package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// maxLine is the maximum length of a row in bytes: it becomes a message ("Amazon SQS message quotas").
const maxLine = 1 << 20

// A rowPublisher sends a file's rows to the queue.
type rowPublisher struct {
	publisher *cache.Publisher
	decoder   *prediction.Decoder // nil: rows are not checked
	bar       *progressbar.ProgressBar

	decoded prediction.Decoded
}

// publish sends each row, and stops at the first that can't be sent. The error names the row.
func (l *rowPublisher) publish(ctx context.Context, rows *records.File) error {
	for {
		rec, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // it names the file
		}
		_ = l.bar.Set64(rows.Read())
		name := "row"
		if rows.Format() == records.Lines {
			name = "line"
		}
		switch {
		case rec.Why != nil && rec.Why.Reason != prediction.ReasonTooLarge:
			return fmt.Errorf("%s %d: %w", name, rec.Row, rec.Why)
		case rec.Why != nil || len(rec.Text) > maxLine:
			return fmt.Errorf("%s %d is longer than %s bytes, the most that SQS takes: shorten it, or fill the table by `worker warm`, which takes longer rows", name, rec.Row, thousands(maxLine))
		}
		if err := l.check(rec.Text); err != nil {
			return fmt.Errorf("%s %d: %w", name, rec.Row, err)
		}
		if err := l.publisher.PublishJSON(ctx, rec.Text); err != nil {
			return fmt.Errorf("%s %d %w", name, rec.Row, err)
		}
	}
}

// check decodes a row as the worker will, and returns why the worker would reject it.
func (l *rowPublisher) check(row string) error {
	if l.decoder == nil {
		return nil
	}
	now := time.Now()
	l.decoder.Decode(&l.decoded, prediction.Message{Body: row, Sent: now.UnixMilli()}, now)
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
