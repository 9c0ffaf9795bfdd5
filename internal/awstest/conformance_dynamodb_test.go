package awstest_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
)

type item = map[string]types.AttributeValue

func str(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func num(v any) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(v)} }

func (c *conformance) put(table string, it item) error {
	_, err := c.db.PutItem(c.ctx, &dynamodb.PutItemInput{TableName: &table, Item: it})
	return err
}

func (c *conformance) get(table string, key item) item {
	out, err := c.db.GetItem(c.ctx, &dynamodb.GetItemInput{TableName: &table, Key: key, ConsistentRead: aws.Bool(true)})
	c.ok(err)
	return out.Item
}

func putOf(it item) types.WriteRequest {
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
}

func deleteOf(key item) types.WriteRequest {
	return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key}}
}

func (c *conformance) write(table string, requests ...types.WriteRequest) error {
	out, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: requests}})
	if err == nil && len(out.UnprocessedItems) > 0 {
		c.fatalf("unprocessed: %v", out.UnprocessedItems)
	}
	return err
}

func (c *conformance) count(table string) int {
	out, err := c.db.Scan(c.ctx, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	c.ok(err)
	return int(out.Count)
}

func dynamoDBRules() []rule {
	return append(append(append(tableRules(), writeRules()...), valueRules()...), queryRules()...)
}

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

func writeRules() []rule {
	return []rule{
		{name: "dynamodb: a batch has 1 to 25 writes", check: func(c *conformance) {
			table := c.table("k:N")
			var requests []types.WriteRequest
			for i := range 26 {
				requests = append(requests, putOf(item{"k": num(i)}))
			}
			c.refused(c.write(table, requests...), "ValidationException", "failed to satisfy constraint")
			c.equal("items", c.count(table), 0)
			c.ok(c.write(table, requests[:25]...))
			c.equal("items", c.count(table), 25)
			_, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{}})
			c.refused(err, "ValidationException", "Member must have length greater than or equal to 1")
		}},
		{name: "dynamodb: a batch over several tables has 25 writes in all", check: func(c *conformance) {
			a, b := c.table("k:N"), c.table("k:N")
			in := map[string][]types.WriteRequest{}
			for i := range 13 {
				in[a] = append(in[a], putOf(item{"k": num(i)}))
				in[b] = append(in[b], putOf(item{"k": num(i)}))
			}
			_, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{RequestItems: in})
			c.refused(err, "ValidationException", "")
		}},
		{name: "dynamodb: a key twice in a batch is refused, and nothing is written", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			a := item{"k": str("a"), "r": num(1)}
			for _, requests := range [][]types.WriteRequest{
				{putOf(item{"k": str("b"), "r": num(1)}), putOf(item{"k": str("a"), "r": num(1), "x": num(1)}), putOf(a)},
				{putOf(a), deleteOf(a)},
				{putOf(a), putOf(item{"k": str("a"), "r": num("1.0")})},
			} {
				c.refused(c.write(table, requests...), "ValidationException", "Provided list of item keys contains duplicates")
			}
			c.equal("items", c.count(table), 0)
			c.ok(c.write(table, putOf(a), putOf(item{"k": str("a"), "r": num(2)})))
		}},
		{name: "dynamodb: one bad item fails its whole batch", check: func(c *conformance) {
			table := c.table("k:S")
			c.refused(c.write(table, putOf(item{"k": str("good")}), putOf(item{"k": num(1)})), "ValidationException", "The provided key element does not match the schema")
			c.refused(c.write(table, putOf(item{"k": str("good")}), putOf(item{"x": str("a")})), "ValidationException", "The provided key element does not match the schema")
			c.refused(c.write(table, putOf(item{"k": str("good")}), putOf(item{"k": str("")})), "ValidationException", "cannot contain an empty string value")
			c.equal("items", c.count(table), 0)
		}},
		{name: "dynamodb: an item has its key, of the declared type", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			c.refused(c.put(table, item{"k": str("a")}), "ValidationException", "One or more parameter values were invalid: Missing the key r in the item")
			c.refused(c.put(table, item{"k": num(1), "r": num(1)}), "ValidationException", "One or more parameter values were invalid: Type mismatch for key k expected: S actual: N")
			c.refused(c.put(table, item{"k": str(""), "r": num(1)}), "ValidationException", "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: k")
			_, err := c.db.GetItem(c.ctx, &dynamodb.GetItemInput{TableName: &table, Key: item{"k": str("a")}})
			c.refused(err, "ValidationException", "The provided key element does not match the schema")
		}},
		{name: "dynamodb: keys have a length", check: func(c *conformance) {
			table := c.table("k:S", "r:S")
			c.ok(c.put(table, item{"k": str(strings.Repeat("k", 2048)), "r": str(strings.Repeat("r", 1024))}))
			c.refused(c.put(table, item{"k": str(strings.Repeat("é", 1024) + "k"), "r": str("r")}), "ValidationException",
				"2048 bytes")
			c.refused(c.put(table, item{"k": str("k"), "r": str(strings.Repeat("r", 1025))}), "ValidationException",
				"One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
		}},
		{name: "dynamodb: an index's key has the declared type, or is absent", check: func(c *conformance) {
			in := dynamodbfake.Keys("k:S", "g:S")
			in.KeySchema = in.KeySchema[:1]
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("byG"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash}}}}
			table := c.tableOf(in)
			c.ok(c.put(table, item{"k": str("a")}))
			c.refused(c.write(table, putOf(item{"k": str("b"), "g": num(1)})), "ValidationException",
				"One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: byG")
			c.refused(c.write(table, putOf(item{"k": str("b"), "g": str("")})), "ValidationException",
				"A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: byG, IndexKey: g")
		}},
		{name: "dynamodb: an item has at most 400 KB, names included", check: func(c *conformance) {
			table := c.table("k:S")
			// 1 + 1 for the key, 1 for the name, 3 for a number of 3 digits with its name's 1, and the rest.
			it := func(extra int) item {
				return item{"k": str("a"), "n": num(123), "v": str(strings.Repeat("v", 400*1024-1-1-1-1-3+extra))}
			}
			c.ok(c.put(table, it(0)))
			c.refused(c.put(table, it(1)), "ValidationException", "Item size has exceeded the maximum allowed size")
			c.refused(c.write(table, putOf(it(1))), "ValidationException", "Item size has exceeded the maximum allowed size")
			nested := func(extra int) item {
				return item{"k": str("a"), "m": &types.AttributeValueMemberM{Value: item{
					"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberBOOL{Value: true}, str("x")}},
					"v": str(strings.Repeat("v", 400*1024-2-(1+3)-(1+1)-(3+1+1+1+1)-(1+1)+extra))}}}
			}
			c.ok(c.put(table, nested(0)))
			c.refused(c.put(table, nested(1)), "ValidationException", "Item size has exceeded the maximum allowed size")
		}},
		{name: "dynamodb: a conditional write compares and writes in one step", check: func(c *conformance) {
			table := c.table("k:S")
			write := func(created any) error {
				_, err := c.db.PutItem(c.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item{"k": str("a"), "createdAt": num(created)},
					ConditionExpression:       aws.String("attribute_not_exists(#h) OR #c < :v"),
					ExpressionAttributeNames:  map[string]string{"#h": "k", "#c": "createdAt"},
					ExpressionAttributeValues: item{":v": num(created)}})
				return err
			}
			c.ok(write(5))
			c.ok(write("5.5"))
			c.refused(write("5.25"), "ConditionalCheckFailedException", "The conditional request failed")
			c.refused(write("5.5"), "ConditionalCheckFailedException", "")
			c.ok(write(10))
			c.equal("stored", c.get(table, item{"k": str("a")})["createdAt"].(*types.AttributeValueMemberN).Value, "10")
		}},
		{name: "dynamodb: a delete removes an item, and needs none", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("a"), "v": num(1)}))
			for range 2 {
				_, err := c.db.DeleteItem(c.ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"k": str("a")}})
				c.ok(err)
			}
			c.equal("items", c.count(table), 0)
		}},
		{name: "dynamodb: a write costs a unit for each started KB, and as much in each index", check: func(c *conformance) {
			in := dynamodbfake.Keys("k:S", "g:S")
			in.KeySchema = in.KeySchema[:1]
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("byG"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash}}}}
			table := c.tableOf(in)
			out, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
				RequestItems: map[string][]types.WriteRequest{table: {putOf(item{"k": str("a"), "v": str(strings.Repeat("v", 1024-3))}), putOf(item{"k": str("b"), "v": str(strings.Repeat("v", 1024-2))})}}})
			c.ok(err)
			c.equal("units", *out.ConsumedCapacity[0].CapacityUnits, 3)
			c.equal("table", *out.ConsumedCapacity[0].TableName, table)
			one, err := c.db.PutItem(c.ctx, &dynamodb.PutItemInput{TableName: &table, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
				Item: item{"k": str("c"), "g": str("x"), "v": str(strings.Repeat("v", 1500))}})
			c.ok(err)
			c.equal("units", *one.ConsumedCapacity.CapacityUnits, 3)
		}},
	}
}

func valueRules() []rule {
	return []rule{
		{name: "dynamodb: numbers keep 38 digits and come back in one form", check: func(c *conformance) {
			table := c.table("k:S")
			for given, want := range map[string]string{
				"1.50": "1.5", "007": "7", "1E3": "1000", "-0": "0", "+5": "5", "0.000": "0", "-1.0e-3": "-0.001", ".5": "0.5",
				"12345678901234567890123456789012345678":   "12345678901234567890123456789012345678",
				"0.12345678901234567890123456789012345678": "0.12345678901234567890123456789012345678",
				"9223372036854775807":                      "9223372036854775807",
				"1e-130":                                   "0." + strings.Repeat("0", 129) + "1",
				"9.9e125":                                  "99" + strings.Repeat("0", 124),
			} {
				c.ok(c.put(table, item{"k": str("a"), "n": num(given)}))
				c.equal(given, c.get(table, item{"k": str("a")})["n"].(*types.AttributeValueMemberN).Value, want)
			}
		}},
		{name: "dynamodb: numbers out of range are refused", check: func(c *conformance) {
			table := c.table("k:S")
			for given, want := range map[string]string{
				"123456789012345678901234567890123456789":  "Attempting to store more than 38 significant digits in a Number",
				"1.23456789012345678901234567890123456789": "Attempting to store more than 38 significant digits in a Number",
				"1e126":    "Number overflow. Attempting to store a number with magnitude larger than supported range",
				"-1e126":   "Number overflow. Attempting to store a number with magnitude larger than supported range",
				"1e-131":   "Number underflow. Attempting to store a number with magnitude smaller than supported range",
				"abc":      "The parameter cannot be converted to a numeric value: abc",
				"":         "The parameter cannot be converted to a numeric value",
				"NaN":      "The parameter cannot be converted to a numeric value: NaN",
				"1,000":    "The parameter cannot be converted to a numeric value: 1,000",
				"0x10":     "The parameter cannot be converted to a numeric value: 0x10",
				"1e":       "The parameter cannot be converted to a numeric value: 1e",
				"Infinity": "The parameter cannot be converted to a numeric value: Infinity",
			} {
				if err := c.put(table, item{"k": str("a"), "n": num(given)}); err == nil {
					c.fatalf("%q was accepted", given)
				} else {
					c.refused(err, "ValidationException", want)
				}
			}
		}},
		{name: "dynamodb: equal numbers are one key", check: func(c *conformance) {
			table := c.table("k:N")
			c.ok(c.put(table, item{"k": num("1.0"), "v": num(1)}))
			c.ok(c.put(table, item{"k": num("10e-1"), "v": num(2)}))
			c.equal("items", c.count(table), 1)
			c.equal("value", c.get(table, item{"k": num(1)})["v"].(*types.AttributeValueMemberN).Value, "2")
		}},
		{name: "dynamodb: values nest 32 deep", check: func(c *conformance) {
			table := c.table("k:S")
			deep := func(n int) item {
				v := str("x")
				for i := range n {
					if i%2 == 0 {
						v = &types.AttributeValueMemberM{Value: item{"m": v}}
					} else {
						v = &types.AttributeValueMemberL{Value: []types.AttributeValue{v}}
					}
				}
				return item{"k": str("a"), "v": v}
			}
			// The attribute itself is the first level, so that 31 lists and maps hold a scalar at the 32nd.
			c.ok(c.put(table, deep(31)))
			c.refused(c.put(table, deep(32)), "ValidationException", "Nesting Levels have exceeded supported limits")
			c.refused(c.write(table, putOf(deep(32))), "ValidationException", "Nesting Levels have exceeded supported limits")
		}},
		{name: "dynamodb: every type of value comes back as it went", check: func(c *conformance) {
			table := c.table("k:S")
			it := item{"k": str("é\"\\\n"), "empty": str(""), "b": &types.AttributeValueMemberB{Value: []byte{0, 255}}, "eb": &types.AttributeValueMemberB{Value: []byte{}},
				"t": &types.AttributeValueMemberBOOL{Value: true}, "f": &types.AttributeValueMemberBOOL{Value: false}, "null": &types.AttributeValueMemberNULL{Value: true},
				"l":  &types.AttributeValueMemberL{Value: []types.AttributeValue{num(1), str("a"), &types.AttributeValueMemberL{Value: []types.AttributeValue{}}}},
				"m":  &types.AttributeValueMemberM{Value: item{"a.b": num(1), "e": &types.AttributeValueMemberM{Value: item{}}}},
				"ss": &types.AttributeValueMemberSS{Value: []string{"x"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1"}}, "bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}}}}
			c.ok(c.put(table, it))
			got := c.get(table, item{"k": it["k"]})
			c.equal("attributes", len(got), len(it))
			for name := range it {
				c.equal(name, describe(got[name]), describe(it[name]))
			}
		}},
		{name: "dynamodb: sets are not empty and have no duplicates", check: func(c *conformance) {
			table := c.table("k:S")
			c.refused(c.put(table, item{"k": str("a"), "s": &types.AttributeValueMemberSS{Value: []string{}}}), "ValidationException", "One or more parameter values were invalid: An string set  may not be empty")
			c.refused(c.put(table, item{"k": str("a"), "s": &types.AttributeValueMemberSS{Value: []string{"a", "a"}}}), "ValidationException", "contains duplicates")
			c.refused(c.put(table, item{"k": str("a"), "s": &types.AttributeValueMemberNS{Value: []string{"1", "1.0"}}}), "ValidationException", "contains duplicates")
		}},
		{name: "dynamodb: a null is true", check: func(c *conformance) {
			table := c.table("k:S")
			c.refused(c.put(table, item{"k": str("a"), "n": &types.AttributeValueMemberNULL{Value: false}}), "ValidationException", "Null attribute value types must have the value of true")
		}},
		{name: "dynamodb: an attribute has a name", check: func(c *conformance) {
			table := c.table("k:S")
			c.refused(c.put(table, item{"k": str("a"), "": str("v")}), "ValidationException", "")
		}, deviates: map[string]string{"ministack": "takes an empty name"}},
		{name: "dynamodb: an attribute's name has less than 64 KB", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("a"), strings.Repeat("n", 65535): num(1)}))
			c.refused(c.put(table, item{"k": str("a"), strings.Repeat("n", 65536): num(1)}), "ValidationException", "")
		}, deviates: map[string]string{"ministack": "takes a longer name"}},
	}
}

// describe is a value's type and content, however it is nested.
func describe(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberL:
		out := "L["
		for _, e := range v.Value {
			out += describe(e) + " "
		}
		return out + "]"
	case *types.AttributeValueMemberM:
		out := map[string]string{}
		for name, e := range v.Value {
			out[name] = describe(e)
		}
		return "M" + fmt.Sprint(out)
	case nil:
		return "nothing"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%v", v, v), "*types.AttributeValueMember")
}
