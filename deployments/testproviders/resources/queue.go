package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queues are SQS's.
type queues struct{ client *sqs.Client }

// numbers are a queue's attributes by the names of the inputs.
var numbers = map[string]string{
	"delay_seconds": "DelaySeconds", "max_message_size": "MaximumMessageSize", "message_retention_seconds": "MessageRetentionPeriod",
	"receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds", "visibility_timeout_seconds": "VisibilityTimeout",
}

// documents are those that are JSON.
var documents = map[string]string{"policy": "Policy", "redrive_policy": "RedrivePolicy", "redrive_allow_policy": "RedriveAllowPolicy"}

func queueAttributes(in Props) map[string]string {
	all := map[string]string{}
	for property, attribute := range numbers {
		if in[property] != nil {
			all[attribute] = strconv.FormatInt(number(in, property), 10)
		}
	}
	for property, attribute := range documents {
		if document := text(in, property); document != "" {
			all[attribute] = document
		}
	}
	if in["sqs_managed_sse_enabled"] != nil {
		all["SqsManagedSseEnabled"] = strconv.FormatBool(truth(in, "sqs_managed_sse_enabled"))
	}
	if key := text(in, "kms_master_key_id"); key != "" {
		all["KmsMasterKeyId"] = key
	}
	return all
}

func (q queues) Create(ctx context.Context, in Props) (string, Props, error) {
	name := text(in, "name")
	created, err := q.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: queueAttributes(in), Tags: tags(in)})
	if err != nil {
		return "", nil, fmt.Errorf("creating the queue: %w", err)
	}
	_, out, err := q.Read(ctx, *created.QueueUrl, in)
	return *created.QueueUrl, out, err
}

// attributes returns a queue's attributes, nil if there is no such queue.
func attributes(ctx context.Context, client *sqs.Client, url string) (map[string]string, error) {
	got, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	var missing *types.QueueDoesNotExist
	if errors.As(err, &missing) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the queue: %w", err)
	}
	return got.Attributes, nil
}

func (q queues) Read(ctx context.Context, id string, in Props) (now, out Props, err error) {
	got, err := attributes(ctx, q.client, id)
	if got == nil || err != nil {
		return nil, nil, err
	}
	now = Props{"name": got["QueueArn"][strings.LastIndex(got["QueueArn"], ":")+1:]}
	for _, key := range []string{"sqs_managed_sse_enabled", "kms_master_key_id"} {
		if in[key] != nil {
			now[key] = in[key]
		}
	}
	for property, attribute := range numbers {
		if in[property] != nil {
			n, err := strconv.ParseFloat(got[attribute], 64)
			if err != nil {
				return nil, nil, fmt.Errorf("reading the queue's %s: %w", attribute, err)
			}
			now[property] = n
		}
	}
	// The other documents may be resources of their own.
	if policy := got["RedrivePolicy"]; policy != "" {
		now["redrive_policy"] = document(text(in, "redrive_policy"), policy)
	}
	listed, err := q.client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &id})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the tags: %w", err)
	}
	now["tags"] = fromTags(listed.Tags)
	return now, Props{"arn": got["QueueArn"], "url": id}, nil
}

// document returns the JSON that was declared if the one that is there is equal to it.
func document(declared, found string) string {
	var d, f any
	if json.Unmarshal([]byte(declared), &d) == nil && json.Unmarshal([]byte(found), &f) == nil && reflect.DeepEqual(d, f) {
		return declared
	}
	return found
}

func (q queues) Update(ctx context.Context, id string, in Props) error {
	if _, err := q.client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &id, Attributes: queueAttributes(in)}); err != nil {
		return fmt.Errorf("changing the queue: %w", err)
	}
	return nil
}

func (q queues) Delete(ctx context.Context, id string, _ Props) error {
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

func (a attribute) Create(ctx context.Context, in Props) (string, Props, error) {
	url := text(in, "queue_url")
	return url, nil, a.Update(ctx, url, in)
}

func (a attribute) Read(ctx context.Context, id string, in Props) (now, out Props, err error) {
	got, err := attributes(ctx, a.client, id)
	if got[a.name] == "" || err != nil {
		return nil, nil, err
	}
	return Props{"queue_url": id, a.property: document(text(in, a.property), got[a.name])}, nil, nil
}

func (a attribute) Update(ctx context.Context, id string, in Props) error {
	return a.set(ctx, id, text(in, a.property))
}

func (a attribute) Delete(ctx context.Context, id string, _ Props) error { return a.set(ctx, id, "") }

func (a attribute) set(ctx context.Context, url, value string) error {
	if _, err := a.client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{a.name: value}}); err != nil {
		return fmt.Errorf("setting the queue's %s: %w", a.name, err)
	}
	return nil
}
