package awstest_test

import (
	"fmt"
	"slices"
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
	return slices.Concat(tableRules(), writeRules(), deleteRules(), valueRules(), queryRules())
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
