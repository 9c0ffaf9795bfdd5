// Package recording reads the messages that the example pipeline published one day, and moves them to today.
package recording

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"time"
)

// A Message is one message as it was sent.
type Message struct {
	SentAt float64 `json:"sentAt"` // epoch seconds
	Body   string  `json:"body"`   // exactly what went to the queue, broken or not
}

// maxLine is above what a message of SQS's 1 MiB becomes as a JSON string, unless most of it has to be escaped.
const maxLine = 4 << 20

// Read reads messages, one a line.
func Read(r io.Reader) ([]Message, error) {
	var messages []Message
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var m Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		messages = append(messages, m)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("it holds no message")
	}
	return messages, nil
}

// eventTime finds a time in the text of a body, which may be too broken to parse, or JSON inside a JSON string. It
// knows seconds only: the pipeline writes nothing else.
var eventTime = regexp.MustCompile(`(\\*"(?:timestamp|expiresAt)\\*"\s*:\s*)(\d{9,11})\b`)

// Shift moves the messages so that the last of them is sent at now, and returns by how much: predictions expire, so
// the ones recorded long ago would all be dropped. Every time moves by the same whole number of seconds, so nothing
// else about them changes: their order, their distances, and each fraction's digits.
func Shift(messages []Message, now time.Time) ([]Message, time.Duration) {
	last := messages[len(messages)-1].SentAt
	seconds := now.Unix() - int64(math.Ceil(last))
	shifted := make([]Message, len(messages))
	for i, m := range messages {
		shifted[i] = Message{m.SentAt + float64(seconds), eventTime.ReplaceAllStringFunc(m.Body, func(found string) string {
			part := eventTime.FindStringSubmatch(found)
			t, err := strconv.ParseInt(part[2], 10, 64)
			if err != nil {
				return found // can't be: at most 11 digits
			}
			return part[1] + strconv.FormatInt(t+seconds, 10)
		})}
	}
	return shifted, time.Duration(seconds) * time.Second
}
