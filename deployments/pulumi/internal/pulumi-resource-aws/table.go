package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// tables are DynamoDB's.
type tables struct{ client *dynamodb.Client }

func (t tables) create(ctx context.Context, in props) (string, props, error) {
	name := text(in, "name")
	request := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingMode(text(in, "billingMode")), DeletionProtectionEnabled: aws.Bool(truth(in, "deletionProtectionEnabled")),
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(text(in, "hashKey")), KeyType: types.KeyTypeHash}},
	}
	if key := text(in, "rangeKey"); key != "" {
		request.KeySchema = append(request.KeySchema, types.KeySchemaElement{AttributeName: &key, KeyType: types.KeyTypeRange})
	}
	for _, a := range in["attributes"].([]any) {
		request.AttributeDefinitions = append(request.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(text(a.(props), "name")), AttributeType: types.ScalarAttributeType(text(a.(props), "type")),
		})
	}
	if request.BillingMode == types.BillingModeProvisioned {
		request.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(number(in, "readCapacity")), WriteCapacityUnits: aws.Int64(number(in, "writeCapacity"))}
	}
	if in["onDemandThroughput"] != nil {
		request.OnDemandThroughput = &types.OnDemandThroughput{
			MaxReadRequestUnits: aws.Int64(number(in, "onDemandThroughput", "maxReadRequestUnits")), MaxWriteRequestUnits: aws.Int64(number(in, "onDemandThroughput", "maxWriteRequestUnits")),
		}
	}
	if key := text(in, "serverSideEncryption", "kmsKeyArn"); key != "" {
		request.SSESpecification = &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: &key}
	}
	for name, value := range tags(in) {
		request.Tags = append(request.Tags, types.Tag{Key: &name, Value: &value})
	}
	if _, err := t.client.CreateTable(ctx, request); err != nil {
		return "", nil, fmt.Errorf("creating the table: %w", err)
	}
	out, err := dynamodb.NewTableExistsWaiter(t.client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second }).
		WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute)
	if err != nil {
		return "", nil, fmt.Errorf("waiting for the table: %w", err)
	}
	if truth(in, "ttl", "enabled") {
		if _, err := t.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(text(in, "ttl", "attributeName")), Enabled: aws.Bool(true),
		}}); err != nil {
			return "", nil, fmt.Errorf("switching TTL on: %w", err)
		}
	}
	if truth(in, "pointInTimeRecovery", "enabled") {
		if _, err := t.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: &name, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true),
		}}); err != nil {
			return "", nil, fmt.Errorf("switching recovery on: %w", err)
		}
	}
	return name, props{"arn": aws.ToString(out.Table.TableArn)}, nil
}

func (t tables) read(ctx context.Context, id string, in props) (now, out props, err error) {
	described, err := t.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &id})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading the table: %w", err)
	}
	d := described.Table
	now = props{"name": id, "billingMode": "PROVISIONED", "deletionProtectionEnabled": aws.ToBool(d.DeletionProtectionEnabled)}
	// What no API tells in the form in which it was given stays as it was.
	for _, key := range []string{"pointInTimeRecovery", "serverSideEncryption", "onDemandThroughput", "readCapacity", "writeCapacity", "streamEnabled"} {
		if in[key] != nil {
			now[key] = in[key]
		}
	}
	if d.BillingModeSummary != nil {
		now["billingMode"] = string(d.BillingModeSummary.BillingMode)
	}
	for _, k := range d.KeySchema {
		if k.KeyType == types.KeyTypeHash {
			now["hashKey"] = aws.ToString(k.AttributeName)
		} else {
			now["rangeKey"] = aws.ToString(k.AttributeName)
		}
	}
	attributes := []any{}
	for _, a := range d.AttributeDefinitions {
		attributes = append(attributes, props{"name": aws.ToString(a.AttributeName), "type": string(a.AttributeType)})
	}
	slices.SortFunc(attributes, func(a, b any) int {
		if text(a.(props), "name") == now["hashKey"] {
			return -1
		}
		return 1
	})
	now["attributes"] = attributes
	ttl, err := t.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &id})
	if err != nil {
		return nil, nil, fmt.Errorf("reading TTL: %w", err)
	}
	if ttl.TimeToLiveDescription.TimeToLiveStatus == types.TimeToLiveStatusEnabled {
		now["ttl"] = props{"attributeName": aws.ToString(ttl.TimeToLiveDescription.AttributeName), "enabled": true}
	}
	listed, err := t.client.ListTagsOfResource(ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: d.TableArn})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the tags: %w", err)
	}
	all := map[string]string{}
	for _, tag := range listed.Tags {
		all[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	now["tags"] = fromTags(all)
	return now, props{"arn": aws.ToString(d.TableArn)}, nil
}

// update changes what the tests change: the protection, and TTL.
func (t tables) update(ctx context.Context, id string, in props) (props, error) {
	if _, err := t.client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &id, DeletionProtectionEnabled: aws.Bool(truth(in, "deletionProtectionEnabled"))}); err != nil {
		return nil, fmt.Errorf("changing the table: %w", err)
	}
	if _, err := t.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &id, TimeToLiveSpecification: &types.TimeToLiveSpecification{
		AttributeName: aws.String(text(in, "ttl", "attributeName")), Enabled: aws.Bool(truth(in, "ttl", "enabled")),
	}}); err != nil {
		return nil, fmt.Errorf("switching TTL: %w", err)
	}
	return nil, nil
}

func (t tables) remove(ctx context.Context, id string) error {
	if _, err := t.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &id}); err != nil {
		return fmt.Errorf("deleting the table: %w", err)
	}
	return nil
}
