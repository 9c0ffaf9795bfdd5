package awstest_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
)

func tableRules() []rule {
	return []rule{
		{name: "dynamodb: a table that does not exist", check: func(c *conformance) {
			name := aws.String("never-made")
			_, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: name})
			c.refused(err, "ResourceNotFoundException", "Requested resource not found: Table: never-made not found")
			var missing *types.ResourceNotFoundException
			if err = c.put("never-made", item{"k": str("a")}); !errors.As(err, &missing) {
				c.fatalf("got %v, want ResourceNotFoundException", err)
			}
			c.refused(err, "ResourceNotFoundException", "Requested resource not found")
			c.refused(c.write("never-made", putOf(item{"k": str("a")})), "ResourceNotFoundException", "Requested resource not found")
		}},
		{name: "dynamodb: a table describes its keys and indexes", check: func(c *conformance) {
			in := dynamodbfake.Keys("k:S", "r:N", "g:S")
			in.KeySchema = in.KeySchema[:2]
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("byG"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash}}}}
			name := c.tableOf(in)
			out, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: &name})
			c.ok(err)
			c.equal("hash key", *out.Table.KeySchema[0].AttributeName, "k")
			c.equal("sort key", *out.Table.KeySchema[1].AttributeName, "r")
			c.equal("definitions", len(out.Table.AttributeDefinitions), 3)
			c.equal("index", *out.Table.GlobalSecondaryIndexes[0].KeySchema[0].AttributeName, "g")
			c.equal("billing", out.Table.BillingModeSummary.BillingMode, types.BillingModePayPerRequest)
			in.TableName = &name
			in.BillingMode = types.BillingModePayPerRequest
			_, err = c.db.CreateTable(c.ctx, &in)
			c.refused(err, "ResourceInUseException", "Table already exists: "+name)
		}},
		{name: "dynamodb: TTL is off until it is switched on", check: func(c *conformance) {
			table := c.table("k:S")
			describe := func() *types.TimeToLiveDescription {
				out, err := c.db.DescribeTimeToLive(c.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
				c.ok(err)
				return out.TimeToLiveDescription
			}
			c.equal("status", describe().TimeToLiveStatus, types.TimeToLiveStatusDisabled)
			enable := func() error {
				_, err := c.db.UpdateTimeToLive(c.ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &table,
					TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)}})
				return err
			}
			c.ok(enable())
			c.equal("status", describe().TimeToLiveStatus, types.TimeToLiveStatusEnabled)
			c.equal("attribute", *describe().AttributeName, "expiresAt")
		}},
		{name: "dynamodb: TTL can be switched again after an hour", inProcess: "it takes an hour", check: func(c *conformance) {
			table := c.table("k:S")
			set := func(on bool) error {
				_, err := c.db.UpdateTimeToLive(c.ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &table,
					TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: &on}})
				return err
			}
			c.ok(set(true))
			c.refused(set(false), "ValidationException", "Time to live has been modified multiple times within a fixed interval")
			time.Sleep(time.Hour)
			c.ok(set(false))
			c.refused(set(false), "ValidationException", "TimeToLive is already disabled")
			time.Sleep(time.Hour)
			c.ok(set(true))
		}},
		{name: "dynamodb: a table that is made again is another, and empty", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("a")}))
			before, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: &table})
			c.ok(err)
			_, err = c.db.DeleteTable(c.ctx, &dynamodb.DeleteTableInput{TableName: &table})
			c.ok(err)
			c.refused(c.put(table, item{"k": str("a")}), "ResourceNotFoundException", "")
			in := dynamodbfake.Keys("k:S")
			in.TableName, in.BillingMode = &table, types.BillingModePayPerRequest
			_, err = c.db.CreateTable(c.ctx, &in)
			c.ok(err)
			after, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: &table})
			c.ok(err)
			c.equal("the same table", *after.Table.TableId == *before.Table.TableId, false)
			c.equal("items", c.count(table), 0)
		}},
		{name: "dynamodb: a table says what it takes at once", check: func(c *conformance) {
			table := c.table("k:S")
			out, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: &table})
			c.ok(err)
			if w := out.Table.WarmThroughput; w == nil {
				c.fatalf("no warm throughput")
			} else {
				c.equal("warm", fmt.Sprint(*w.ReadUnitsPerSecond, " ", *w.WriteUnitsPerSecond, " ", w.Status), "12000 4000 ACTIVE")
			}
		}, deviates: map[string]string{"ministack": "says 0"}},
		{name: "dynamodb: an index added later checks the writes from then on", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("before"), "g": num(1)}))
			_, err := c.db.UpdateTable(c.ctx, &dynamodb.UpdateTableInput{TableName: &table,
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("k"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("g"), AttributeType: types.ScalarAttributeTypeS}},
				GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{IndexName: aws.String("byG"),
					Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}, KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash}}}}}})
			c.ok(err)
			out, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: &table})
			c.ok(err)
			c.equal("index", *out.Table.GlobalSecondaryIndexes[0].IndexName, "byG")
			c.refused(c.put(table, item{"k": str("a"), "g": num(1)}), "ValidationException", "Type mismatch for Index Key g Expected: S Actual: N IndexName: byG")
			c.ok(c.put(table, item{"k": str("a"), "g": str("x")}))
			_, err = c.db.UpdateTable(c.ctx, &dynamodb.UpdateTableInput{TableName: &table,
				GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String("byG")}}}})
			c.ok(err)
			c.ok(c.put(table, item{"k": str("a"), "g": num(1)}))
		}},
		{name: "dynamodb: TTL can't be switched on twice", check: func(c *conformance) {
			table := c.table("k:S")
			enable := func() error {
				_, err := c.db.UpdateTimeToLive(c.ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &table,
					TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)}})
				return err
			}
			c.ok(enable())
			c.refused(enable(), "ValidationException", "TimeToLive is already enabled")
		}, deviates: map[string]string{"ministack": "switches TTL on again"}},
	}
}
