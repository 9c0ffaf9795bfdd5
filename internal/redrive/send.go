package redrive

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/consumer"
)

// sendBack sends messages to the queue, in as few calls as their sizes allow, and deletes those that it accepted.
func (r *run) sendBack(ctx context.Context, messages []consumer.Received) error {
	if len(messages) == 0 {
		return nil
	}
	if !cond.Sleep(ctx, time.Until(r.begin)) {
		return ctx.Err()
	}
	if err := r.limit.WaitN(ctx, len(messages)); err != nil {
		return fmt.Errorf("waiting for the rate limit: %w", err)
	}
	var out []consumer.Outgoing
	var sources []*consumer.Received
	bytes := 0
	for i := range messages {
		m := original(&messages[i])
		size := m.Size()
		if size > consumer.MaxSendBytes {
			r.TooLong++
			continue
		}
		if bytes += size; bytes > consumer.MaxSendBytes {
			if err := r.call(ctx, out, sources); err != nil {
				return err
			}
			out, sources, bytes = nil, nil, size
		}
		out, sources = append(out, m), append(sources, &messages[i])
	}
	return r.call(ctx, out, sources)
}

// call sends messages in one call, and deletes those that the queue accepted.
func (r *run) call(ctx context.Context, out []consumer.Outgoing, sources []*consumer.Received) error {
	if len(out) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err() //nolint:wrapcheck // an interruption
	}
	// Finish the call even after an interrupt: otherwise the next run would send its messages again.
	ctx = context.WithoutCancel(ctx)
	var failures []consumer.Failure
	err := r.attempt(ctx, 0, func(ctx context.Context) (err error) {
		failures, err = r.To.Send(ctx, out)
		return err
	})
	if err != nil {
		r.Failed += len(out)
		return &CallError{"SendMessageBatch", false, err}
	}
	failed := make([]bool, len(out))
	for _, f := range failures {
		failed[f.Index] = true
		if f.SenderFault {
			r.Refused++
		} else {
			r.Failed++
		}
	}
	var accepted []*consumer.Received
	for i, m := range sources {
		if !failed[i] {
			accepted = append(accepted, m)
		}
	}
	r.Sent += len(accepted)
	return r.remove(ctx, accepted)
}

// remove deletes messages that were sent back from the reject queue.
func (r *run) remove(ctx context.Context, messages []*consumer.Received) error {
	if len(messages) == 0 {
		return nil
	}
	receipts := make([]string, len(messages))
	for i, m := range messages {
		receipts[i] = m.Receipt
	}
	var failures []consumer.Failure
	err := r.attempt(ctx, 0, func(ctx context.Context) (err error) {
		failures, err = r.From.Delete(ctx, receipts)
		return err
	})
	if err != nil {
		return &CallError{"DeleteMessageBatch", true, err}
	}
	for i, m := range messages {
		if !slices.ContainsFunc(failures, func(f consumer.Failure) bool { return f.Index == i }) {
			r.receipts[m.ID] = "" // gone
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d messages that were sent back could not be deleted: %s", len(failures), failures[0].Code)
	}
	return nil
}

// original rebuilds the message as it was before its rejection. It keeps the Content-Encoding of a whole body. A part is rejected
// decoded, so the source's Content-Encoding does not apply to it.
func original(m *consumer.Received) consumer.Outgoing {
	const maxAttributes = 10 // of a message ("Amazon SQS message metadata")
	o := consumer.Outgoing{Body: m.Body, GroupID: cmp.Or(m.GroupID, "predcache"), DeduplicationID: m.ID}
	o.Attributes = append(o.Attributes, consumer.Attribute{Name: consumer.AttrSent, Type: "Number", Value: strconv.FormatInt(m.SentTime(), 10)})
	for _, a := range m.Attributes {
		if !strings.HasPrefix(a.Name, "predcache.") && len(o.Attributes) < maxAttributes {
			o.Attributes = append(o.Attributes, a)
		}
	}
	var source consumer.Source
	if json.Unmarshal([]byte(m.Attribute(consumer.AttrSource)), &source) != nil {
		return o
	}
	for _, a := range source.Attributes {
		if strings.EqualFold(a.Name, consumer.AttrContentEncoding) || m.Attribute(a.Name) != "" || len(o.Attributes) == maxAttributes {
			continue
		}
		value := a.Value
		if strings.HasPrefix(a.Type, "Binary") {
			value = string(a.Bytes)
		}
		o.Attributes = append(o.Attributes, consumer.Attribute{Name: a.Name, Type: a.Type, Value: value})
	}
	return o
}
