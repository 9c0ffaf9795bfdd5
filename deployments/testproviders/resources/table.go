package resources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// tables are DynamoDB's.
type tables struct{ client *dynamodb.Client }

func (t tables) Create(ctx context.Context, in Props) (string, Props, error) {
	name := text(in, "name")
	request := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingMode(text(in, "billing_mode")), DeletionProtectionEnabled: aws.Bool(truth(in, "deletion_protection_enabled")),
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(text(in, "hash_key")), KeyType: types.KeyTypeHash}},
	}
	if key := text(in, "range_key"); key != "" {
		request.KeySchema = append(request.KeySchema, types.KeySchemaElement{AttributeName: &key, KeyType: types.KeyTypeRange})
	}
	for _, a := range in["attribute"].([]any) {
		request.AttributeDefinitions = append(request.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(text(a.(Props), "name")), AttributeType: types.ScalarAttributeType(text(a.(Props), "type")),
		})
	}
	if request.BillingMode == types.BillingModeProvisioned {
		request.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(number(in, "read_capacity")), WriteCapacityUnits: aws.Int64(number(in, "write_capacity"))}
	}
	if in["on_demand_throughput"] != nil {
		request.OnDemandThroughput = &types.OnDemandThroughput{
			MaxReadRequestUnits: aws.Int64(number(in, "on_demand_throughput", "max_read_request_units")), MaxWriteRequestUnits: aws.Int64(number(in, "on_demand_throughput", "max_write_request_units")),
		}
	}
	if key := text(in, "server_side_encryption", "kms_key_arn"); key != "" {
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
		if err := t.setTTL(ctx, name, text(in, "ttl", "attribute_name"), true); err != nil {
			return "", nil, err
		}
	}
	if truth(in, "point_in_time_recovery", "enabled") {
		if err := t.setRecovery(ctx, name, true); err != nil {
			return "", nil, err
		}
	}
	return name, Props{"arn": aws.ToString(out.Table.TableArn)}, nil
}

func (t tables) setTTL(ctx context.Context, name, attribute string, enabled bool) error {
	if _, err := t.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{
		AttributeName: &attribute, Enabled: &enabled,
	}}); err != nil {
		return fmt.Errorf("switching TTL: %w", err)
	}
	return nil
}

func (t tables) setRecovery(ctx context.Context, name string, enabled bool) error {
	if _, err := t.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: &name, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
		PointInTimeRecoveryEnabled: &enabled,
	}}); err != nil {
		return fmt.Errorf("switching recovery: %w", err)
	}
	return nil
}

func (t tables) Read(ctx context.Context, id string, in Props) (now, out Props, err error) {
	described, err := t.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &id})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading the table: %w", err)
	}
	d := described.Table
	now = Props{"name": id, "billing_mode": "PROVISIONED", "deletion_protection_enabled": aws.ToBool(d.DeletionProtectionEnabled)}
	// Stand-ins don't return these as they were given.
	for _, key := range []string{"server_side_encryption", "on_demand_throughput", "read_capacity", "write_capacity", "stream_enabled"} {
		if in[key] != nil {
			now[key] = in[key]
		}
	}
	if d.BillingModeSummary != nil {
		now["billing_mode"] = string(d.BillingModeSummary.BillingMode)
	}
	addKeys(now, d)
	if now["ttl"], err = t.ttl(ctx, id); err != nil {
		return nil, nil, err
	}
	imported := in["hash_key"] == nil
	if imported || in["point_in_time_recovery"] != nil {
		if now["point_in_time_recovery"], err = t.recovery(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	now["tags"], err = t.tags(ctx, d)
	return now, Props{"arn": aws.ToString(d.TableArn)}, err
}

// addKeys adds the keys of a table and the types of its attributes, the hash key's first.
func addKeys(now Props, d *types.TableDescription) {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range d.AttributeDefinitions {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	attributes := []any{}
	for _, kind := range []types.KeyType{types.KeyTypeHash, types.KeyTypeRange} {
		for _, k := range d.KeySchema {
			if name := aws.ToString(k.AttributeName); k.KeyType == kind {
				now[strings.ToLower(string(kind))+"_key"] = name
				attributes = append(attributes, Props{"name": name, "type": string(kinds[name])})
			}
		}
	}
	now["attribute"] = attributes
}

// ttl returns nil where TTL is off.
func (t tables) ttl(ctx context.Context, name string) (any, error) {
	got, err := t.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return nil, fmt.Errorf("reading TTL: %w", err)
	}
	if got.TimeToLiveDescription.TimeToLiveStatus != types.TimeToLiveStatusEnabled {
		return nil, nil
	}
	return Props{"attribute_name": aws.ToString(got.TimeToLiveDescription.AttributeName), "enabled": true}, nil
}

func (t tables) recovery(ctx context.Context, name string) (any, error) {
	got, err := t.client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if err != nil {
		return nil, fmt.Errorf("reading whether recovery is on: %w", err)
	}
	d := got.ContinuousBackupsDescription.PointInTimeRecoveryDescription
	return Props{"enabled": d != nil && d.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled}, nil
}

func (t tables) tags(ctx context.Context, d *types.TableDescription) (Props, error) {
	listed, err := t.client.ListTagsOfResource(ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: d.TableArn})
	if err != nil {
		return nil, fmt.Errorf("reading the tags: %w", err)
	}
	all := map[string]string{}
	for _, tag := range listed.Tags {
		all[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return fromTags(all), nil
}

// Update changes what the tests change: the protection, TTL, recovery and tags. What is as it should be is left alone:
// UpdateTimeToLive refuses it.
func (t tables) Update(ctx context.Context, id string, in Props) error {
	now, out, err := t.Read(ctx, id, Props{})
	if err != nil {
		return err
	}
	protected := truth(in, "deletion_protection_enabled")
	if _, err := t.client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &id, DeletionProtectionEnabled: &protected}); err != nil {
		return fmt.Errorf("changing the table: %w", err)
	}
	if enabled := truth(in, "ttl", "enabled"); enabled != truth(now, "ttl", "enabled") {
		if err := t.setTTL(ctx, id, text(in, "ttl", "attribute_name"), enabled); err != nil {
			return err
		}
	}
	if enabled := truth(in, "point_in_time_recovery", "enabled"); enabled != truth(now, "point_in_time_recovery", "enabled") {
		if err := t.setRecovery(ctx, id, enabled); err != nil {
			return err
		}
	}
	add := &dynamodb.TagResourceInput{ResourceArn: aws.String(text(out, "arn"))}
	for name, value := range tags(in) {
		add.Tags = append(add.Tags, types.Tag{Key: &name, Value: &value})
	}
	if _, err := t.client.TagResource(ctx, add); err != nil {
		return fmt.Errorf("tagging the table: %w", err)
	}
	remove := &dynamodb.UntagResourceInput{ResourceArn: add.ResourceArn}
	for name := range tags(now) {
		if _, kept := tags(in)[name]; !kept {
			remove.TagKeys = append(remove.TagKeys, name)
		}
	}
	if remove.TagKeys == nil {
		return nil
	}
	if _, err := t.client.UntagResource(ctx, remove); err != nil {
		return fmt.Errorf("removing tags of the table: %w", err)
	}
	return nil
}

func (t tables) Delete(ctx context.Context, id string, _ Props) error {
	if _, err := t.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &id}); err != nil {
		return fmt.Errorf("deleting the table: %w", err)
	}
	return nil
}
