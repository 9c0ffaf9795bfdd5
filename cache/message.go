package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/jsonscan"
)

// The fields of a message, by their default names.
const (
	fieldID        = "predictionId"
	fieldTimestamp = "timestamp"
	fieldPayload   = "prediction"
	fieldExpiresAt = "expiresAt"
	fieldTTL       = "ttlSeconds"
	fieldDeleted   = "deleted"
)

// message returns the prediction, or the delete, as the worker reads it: one line of JSON. Equal predictions have equal texts,
// so that the worker knows a repeat.
func (p *Prediction) message(numericID bool) (string, error) {
	wrong := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%s can't be published: %w", subject(p), fmt.Errorf(format, args...))
	}
	if p.EventTime.Unix() < 0 || p.EventTime.Year() > 9999 {
		return wrong("its event time is %v", p.EventTime)
	}
	var b bytes.Buffer
	b.Grow(len(p.Payload) + len(p.ID) + 128)
	b.WriteString(`{"` + fieldID + `":`)
	switch v, err := jsonscan.Parse(p.ID); {
	case p.ID == "":
		return wrong("it has no id")
	case !utf8.ValidString(p.ID):
		return wrong("its id is not valid UTF-8")
	case !numericID:
		b.Write(quoted(p.ID))
	case err != nil || v.Kind() != jsonscan.Number:
		return wrong("its id is no number, as the table's hash key is")
	default:
		b.WriteString(v.Text)
	}
	b.WriteString(`,"` + fieldTimestamp + `":"`)
	b.WriteString(p.EventTime.UTC().Format(time.RFC3339Nano))
	if p.deleted {
		b.WriteString(`","` + fieldDeleted + `":true}`)
		return sendable(b.String()), nil
	}
	b.WriteString(`","` + fieldPayload + `":`)
	if err := json.Compact(&b, p.Payload); err != nil {
		return wrong("its payload is not JSON: %w", err)
	}
	if !p.ExpiresAt.IsZero() {
		fmt.Fprintf(&b, `,"%s":%d`, fieldExpiresAt, p.ExpiresAt.Unix())
	}
	for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
		switch name {
		case fieldID, fieldTimestamp, fieldPayload, fieldExpiresAt, fieldTTL, fieldDeleted:
			return wrong("its attribute %q is a field of the message", name)
		}
		b.WriteByte(',')
		b.Write(quoted(name))
		b.WriteByte(':')
		if err := json.Compact(&b, p.Attributes[name]); err != nil {
			return wrong("its attribute %q is not JSON: %w", name, err)
		}
	}
	b.WriteByte('}')
	return sendable(b.String()), nil
}

// subject names what is published, for errors.
func subject(p *Prediction) string {
	if p.deleted {
		return fmt.Sprintf("the delete of %q", abbreviated(p.ID))
	}
	return fmt.Sprintf("the prediction %q", abbreviated(p.ID))
}

// oneLine checks a JSON object that is to be published as it is, and takes the white space out from between its tokens, so
// that it fits on a line.
func oneLine(object string) (string, error) {
	v, err := jsonscan.Parse(object)
	switch {
	case err != nil:
		return "", fmt.Errorf("is not JSON: %w", err)
	case v.Kind() != jsonscan.Object:
		return "", fmt.Errorf("is %v: send an object", v.Kind())
	case strings.ContainsAny(v.Text, "\r\n"):
		return sendable(string(jsonscan.AppendCompact(nil, v))), nil
	}
	return sendable(v.Text), nil
}

// sendable escapes the two characters that JSON may have as they are and SQS refuses ("SendMessage"). They can only be inside
// of strings.
func sendable(text string) string {
	if !strings.Contains(text, "\uFFFE") && !strings.Contains(text, "\uFFFF") {
		return text
	}
	return strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(text)
}

// maxMessage is SQS's limit of a message, and of all messages of a call ("Amazon SQS message quotas").
const maxMessage = 1 << 20

var errTooLarge = errors.New("is longer than SQS's 1 MiB: send a smaller payload")
