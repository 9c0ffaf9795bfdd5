package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// maxLine is the most bytes of a line: a line becomes a message ("Amazon SQS message quotas").
const maxLine = 1 << 20

// A linePublisher sends a file's lines to the queue.
type linePublisher struct {
	publisher *cache.Publisher
	decoder   *prediction.Decoder // nil: lines are not checked
	bar       *progressbar.ProgressBar
	source    string // the file's name, for errors

	decoded prediction.Decoded
}

// publish sends each line of in, and stops at the first that can't be sent. The error names the line.
func (l *linePublisher) publish(ctx context.Context, in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	head, err := r.Peek(4) // fewer of a short file
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the predictions: %w", err)
	}
	if err := l.checkFormat(head); err != nil {
		return err
	}
	if bytes.HasPrefix(head, byteOrderMark) {
		_, _ = r.Discard(len(byteOrderMark)) // they have been read
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine+2) // with its end
	number := 0
	for lines.Scan() {
		number++
		_ = l.bar.Add(len(lines.Bytes()) + 1)
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if err := l.check(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := l.publisher.PublishJSON(ctx, line); err != nil {
			return fmt.Errorf("line %d %w", number, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d is longer than %s bytes, the most that SQS takes: shorten it, or fill the table by `worker warm`, which takes longer lines", number+1, thousands(maxLine))
	case err != nil:
		return fmt.Errorf("reading the predictions: %w", err)
	}
	return nil
}

var byteOrderMark = []byte{0xef, 0xbb, 0xbf}

// checkFormat refuses files that are not JSON lines, by their first bytes.
func (l *linePublisher) checkFormat(head []byte) error {
	starts := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case starts("\x1f\x8b"):
		return fmt.Errorf("%s is compressed by gzip: gunzip -c FILE | worker publish -", l.source)
	case starts("\x28\xb5\x2f\xfd"):
		return fmt.Errorf("%s is compressed by zstd: zstd -dc FILE | worker publish -", l.source)
	case starts("PK\x03\x04"):
		return fmt.Errorf("%s is a zip archive: unzip -p FILE | worker publish -", l.source)
	case starts("PAR1"):
		return fmt.Errorf("%s is a Parquet file: write one JSON object a line", l.source)
	case starts("\xff\xfe"), starts("\xfe\xff"):
		return fmt.Errorf("%s is UTF-16: iconv -f UTF-16 -t UTF-8 FILE | worker publish -", l.source)
	case starts("["):
		return fmt.Errorf("%s is a JSON array: jq -c '.[]' FILE | worker publish -", l.source)
	}
	return nil
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
