package main

import (
	"context"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/telemetry"
)

// tracedSender makes a span of each call that sends messages, and gives it to them, so that who processes them can link to it.
type tracedSender struct {
	cache.SQS
	tracer *telemetry.Tracer
}

func (s *tracedSender) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	ctx, traceparent, done := s.tracer.Sent(ctx, len(in.Entries))
	if traceparent != "" {
		entries := make([]types.SendMessageBatchRequestEntry, len(in.Entries))
		for i, e := range in.Entries {
			attributes := map[string]types.MessageAttributeValue{}
			maps.Copy(attributes, e.MessageAttributes)
			attributes[telemetry.AttrTraceparent] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &traceparent}
			entries[i] = e
			entries[i].MessageAttributes = attributes
		}
		in = &sqs.SendMessageBatchInput{QueueUrl: in.QueueUrl, Entries: entries}
	}
	out, err := s.SQS.SendMessageBatch(ctx, in, options...)
	done(err)
	return out, err
}
