package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithy "github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/batch"
)

// maxEntries is how many messages one call carries ("SendMessageBatch").
const maxEntries = 10

// send makes one call and decides the outcome of each message. The Publisher owns the retries: the SDK's would multiply them.
func (p *Publisher) send(ctx context.Context, entries []*batch.Entry[*outgoing]) {
	request := make([]types.SendMessageBatchRequestEntry, len(entries))
	for i, e := range entries {
		request[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(e.Value.body.String())}
		if p.fifo {
			id := deduplicationID(*request[i].MessageBody)
			request[i].MessageDeduplicationId, request[i].MessageGroupId = &id, aws.String(id[:16])
		}
	}
	attempt, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	p.calls.Add(1)
	out, err := p.client.SendMessageBatch(attempt, &sqs.SendMessageBatchInput{QueueUrl: &p.queue, Entries: request},
		func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
	switch {
	case err == nil:
		p.settle(entries, out)
	case !forWhatItHolds(err):
		p.again(entries, fmt.Errorf("sending: %w", err))
	case len(entries) == 1:
		p.giveUp(entries[0].Value, fmt.Errorf("SQS refused the message: %w", err))
		entries[0].Done()
	default: // one of the messages is the cause, and must not fail the others
		half := len(entries) / 2
		p.send(ctx, entries[:half])
		p.send(ctx, entries[half:])
	}
}

// settle takes the outcomes from the answer's entries. A message that the answer does not name was not accepted.
func (p *Publisher) settle(entries []*batch.Entry[*outgoing], out *sqs.SendMessageBatchOutput) {
	left := slices.Clone(entries)
	at := func(id *string) *batch.Entry[*outgoing] {
		i, err := strconv.Atoi(aws.ToString(id))
		if err != nil || i < 0 || i >= len(left) {
			return nil
		}
		e := left[i]
		left[i] = nil
		return e
	}
	for i := range out.Successful {
		if e := at(out.Successful[i].Id); e != nil {
			p.messages.Add(1)
			p.predictions.Add(int64(e.Value.predictions))
			p.room.leave(e.Value.generation, e.Value.room)
			e.Done()
		}
	}
	for i := range out.Failed {
		f := &out.Failed[i]
		e := at(f.Id)
		if e == nil {
			continue
		}
		err := fmt.Errorf("SQS refused the message: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
		if f.SenderFault {
			p.giveUp(e.Value, err)
			e.Done()
		} else {
			p.again([]*batch.Entry[*outgoing]{e}, err)
		}
	}
	for _, e := range left {
		if e != nil {
			p.again([]*batch.Entry[*outgoing]{e}, errors.New("SQS did not answer for the message"))
		}
	}
}

// again retries messages that have attempts left, and gives up the others.
func (p *Publisher) again(entries []*batch.Entry[*outgoing], err error) {
	for _, e := range entries {
		if e.Attempts+1 >= p.cfg.Attempts {
			p.giveUp(e.Value, fmt.Errorf("tried %d times: %w", e.Attempts+1, err))
			e.Done()
		} else {
			e.Retry()
		}
	}
}

// forWhatItHolds reports whether a call was refused because of the content of a message.
func forWhatItHolds(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue",
		"AWS.SimpleQueueService.UnsupportedOperation", "MissingParameter", "SerializationException":
		return true
	}
	return false
}
