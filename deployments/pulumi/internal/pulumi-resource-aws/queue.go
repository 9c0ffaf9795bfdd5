package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queues are SQS's.
type queues struct{ client *sqs.Client }

// numbers are a queue's attributes by the names of the inputs.
var numbers = map[string]string{
	"messageRetentionSeconds": "MessageRetentionPeriod", "visibilityTimeoutSeconds": "VisibilityTimeout", "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
}

func queueAttributes(in props) map[string]string {
	all := map[string]string{}
	for property, attribute := range numbers {
		if in[property] != nil {
			all[attribute] = strconv.FormatInt(number(in, property), 10)
		}
	}
	if policy := text(in, "redrivePolicy"); policy != "" {
		all["RedrivePolicy"] = policy
	}
	if in["sqsManagedSseEnabled"] != nil {
		all["SqsManagedSseEnabled"] = strconv.FormatBool(truth(in, "sqsManagedSseEnabled"))
	}
	if key := text(in, "kmsMasterKeyId"); key != "" {
		all["KmsMasterKeyId"] = key
	}
	return all
}

func (q queues) create(ctx context.Context, in props) (string, props, error) {
	name := text(in, "name")
	created, err := q.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: queueAttributes(in), Tags: tags(in)})
	if err != nil {
		return "", nil, fmt.Errorf("creating the queue: %w", err)
	}
	_, out, err := q.read(ctx, *created.QueueUrl, in)
	return *created.QueueUrl, out, err
}

func (q queues) read(ctx context.Context, id string, in props) (now, out props, err error) {
	got, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &id, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	var missing *types.QueueDoesNotExist
	if errors.As(err, &missing) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading the queue: %w", err)
	}
	now = props{"name": text(in, "name")}
	for _, key := range []string{"sqsManagedSseEnabled", "kmsMasterKeyId"} {
		if in[key] != nil {
			now[key] = in[key]
		}
	}
	for property, attribute := range numbers {
		if in[property] != nil {
			n, err := strconv.ParseFloat(got.Attributes[attribute], 64)
			if err != nil {
				return nil, nil, fmt.Errorf("reading the queue's %s: %w", attribute, err)
			}
			now[property] = n
		}
	}
	if policy := got.Attributes["RedrivePolicy"]; policy != "" {
		now["redrivePolicy"] = policy
	}
	listed, err := q.client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &id})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the tags: %w", err)
	}
	now["tags"] = fromTags(listed.Tags)
	return now, props{"arn": got.Attributes["QueueArn"], "url": id}, nil
}

func (q queues) update(ctx context.Context, id string, in props) (props, error) {
	if _, err := q.client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &id, Attributes: queueAttributes(in)}); err != nil {
		return nil, fmt.Errorf("changing the queue: %w", err)
	}
	return nil, nil
}

func (q queues) remove(ctx context.Context, id string) error {
	if _, err := q.client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &id}); err != nil {
		return fmt.Errorf("deleting the queue: %w", err)
	}
	return nil
}

// An attribute is a resource that sets an attribute of a queue by one of its properties.
type attribute struct {
	client         *sqs.Client
	property, name string
}

func (a attribute) create(ctx context.Context, in props) (string, props, error) {
	url := text(in, "queueUrl")
	_, err := a.update(ctx, url, in)
	return url, nil, err
}

func (attribute) read(_ context.Context, _ string, in props) (now, out props, err error) {
	return in, nil, nil
}

func (a attribute) update(ctx context.Context, id string, in props) (props, error) {
	if _, err := a.client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &id, Attributes: map[string]string{a.name: text(in, a.property)}}); err != nil {
		return nil, fmt.Errorf("setting the queue's %s: %w", a.name, err)
	}
	return nil, nil
}

func (attribute) remove(context.Context, string) error { return nil }
