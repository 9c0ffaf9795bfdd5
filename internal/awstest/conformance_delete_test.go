package awstest_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
)

// deleteUntil deletes an item of hash key "a" on condition that its createdAt is at most t.
func (c *conformance) deleteUntil(table string, sort, t any) (*dynamodb.DeleteItemOutput, error) {
	return c.db.DeleteItem(c.ctx, &dynamodb.DeleteItemInput{
		TableName: &table, Key: item{"k": str("a"), "r": num(sort)}, ConditionExpression: aws.String("#c <= :t"),
		ExpressionAttributeNames: map[string]string{"#c": "createdAt"}, ExpressionAttributeValues: item{":t": num(t)},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
}

// tombstoned is a table whose hash key "a" has predictions at whole sort keys and tombstones within their units.
func (c *conformance) tombstoned() string {
	return c.numbered("1900000000", "1900000000.5", "1900000000.75", "1900000000.9999999999999999995", "1900000001", "1900000001.5000000000000000005")
}

func deleteRules() []rule {
	return []rule{
		{name: "delete: a batch has puts and deletes, and a delete needs no item", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			key := func(r any) item { return item{"k": str("a"), "r": num(r)} }
			c.ok(c.write(table, putOf(key(1)), putOf(key("1.5")), deleteOf(key(2))))
			c.ok(c.write(table, deleteOf(key(1)), putOf(key(2)), deleteOf(key("1.5"))))
			c.equal("left", sorts(c.query(table, "", nil).Items), "2")
		}},
		{name: "delete: a number in a key may be written in any notation", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			c.ok(c.put(table, item{"k": str("a"), "r": num("1.5")}))
			c.ok(c.write(table, deleteOf(item{"k": str("a"), "r": num("15.0e-1")})))
			c.equal("items", c.count(table), 0)
		}, deviates: map[string]string{"ministack": "compares the texts"}},
		{name: "delete: a batch's delete names exactly the table's key", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			good := putOf(item{"k": str("good"), "r": num(1)})
			for _, key := range []item{{"k": str("a")}, {"k": str("a"), "r": num(1), "x": num(1)}, {"k": str("a"), "r": str("1")}, {"r": num(1)}} {
				c.refused(c.write(table, good, deleteOf(key)), "ValidationException", "The provided key element does not match the schema")
				_, err := c.db.DeleteItem(c.ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key})
				c.refused(err, "ValidationException", "The provided key element does not match the schema")
			}
			c.equal("items", c.count(table), 0)
		}},
		{name: "delete: a request of a batch is a put or a delete", check: func(c *conformance) {
			table := c.table("k:S")
			both := types.WriteRequest{PutRequest: &types.PutRequest{Item: item{"k": str("a")}}, DeleteRequest: &types.DeleteRequest{Key: item{"k": str("b")}}}
			for _, request := range []types.WriteRequest{both, {}} {
				c.refused(c.write(table, putOf(item{"k": str("good")}), request), "ValidationException", "Supplied AttributeValue")
			}
			c.equal("items", c.count(table), 0)
		}, deviates: map[string]string{"ministack": "takes it"}},
		{name: "delete: an unprocessed delete comes back as it was sent", inProcess: "nothing else leaves requests unprocessed", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			key := item{"k": str("a"), "r": num("1.5")}
			c.ok(c.put(table, key))
			c.fakeDB.SetFault(func(*awstest.Call) awstest.Fault {
				return awstest.Fault{Unprocessed: func(_ int, e awstest.Entry) bool { return e.Delete }}
			})
			out, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
				table: {deleteOf(key), putOf(item{"k": str("a"), "r": num(2)})}}})
			c.ok(err)
			left := out.UnprocessedItems[table]
			if len(left) != 1 || left[0].PutRequest != nil || describe(left[0].DeleteRequest.Key["r"]) != describe(num("1.5")) {
				c.fatalf("unprocessed: %v", left)
			}
			c.fakeDB.SetFault(nil)
			c.equal("items", sorts(c.query(table, "", nil).Items), "1.5 2")
		}},
		{name: "delete: a conditional delete compares and deletes in one step", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			c.ok(c.put(table, item{"k": str("a"), "r": num(7), "createdAt": num("7.5")}))
			for _, t := range []any{7, "7.499999999999999999", "-7.5"} {
				_, err := c.deleteUntil(table, 7, t)
				c.refused(err, "ConditionalCheckFailedException", "The conditional request failed")
			}
			c.equal("items", c.count(table), 1)
			_, err := c.deleteUntil(table, 7, "7.50")
			c.ok(err)
			c.equal("items", c.count(table), 0)
		}},
		{name: "delete: a condition on an attribute that is not there, or of another type, fails", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			c.ok(c.put(table, item{"k": str("a"), "r": num(1)}))
			c.ok(c.put(table, item{"k": str("a"), "r": num(2), "createdAt": str("2")}))
			for r := range 3 { // there is no item 0
				_, err := c.deleteUntil(table, r, 9)
				c.refused(err, "ConditionalCheckFailedException", "The conditional request failed")
			}
			c.equal("items", c.count(table), 2)
		}},
		{name: "delete: a condition may say what attribute is not there", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("a"), "deleted": &types.AttributeValueMemberBOOL{Value: true}}))
			_, err := c.db.DeleteItem(c.ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"k": str("a")}, ConditionExpression: aws.String("attribute_not_exists(deleted)")})
			c.refused(err, "ConditionalCheckFailedException", "")
			_, err = c.db.DeleteItem(c.ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"k": str("b")}, ConditionExpression: aws.String("attribute_not_exists(deleted)")})
			c.ok(err)
		}},
		{name: "delete: it costs the units of what was there, at least one, and as much in each index", check: func(c *conformance) {
			in := dynamodbfake.Keys("k:S", "r:N")
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String("g"), AttributeType: types.ScalarAttributeTypeS})
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("byG"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("g"), KeyType: types.KeyTypeHash}}}}
			table := c.tableOf(in)
			big := str(strings.Repeat("v", 2500))
			for r := range 3 {
				c.ok(c.put(table, item{"k": str("a"), "r": num(r), "createdAt": num(r), "v": big}))
			}
			c.ok(c.put(table, item{"k": str("a"), "r": num(3), "createdAt": num(3), "v": big, "g": str("x")}))
			for r, want := range []float64{3, 3, 3, 4} {
				out, err := c.deleteUntil(table, r, r)
				c.ok(err)
				c.equal("units", *out.ConsumedCapacity.CapacityUnits, want)
			}
			out, err := c.db.BatchWriteItem(c.ctx, &dynamodb.BatchWriteItemInput{ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
				RequestItems: map[string][]types.WriteRequest{table: {deleteOf(item{"k": str("a"), "r": num(0)}), deleteOf(item{"k": str("a"), "r": num(9)})}}})
			c.ok(err)
			c.equal("units of what was not there", *out.ConsumedCapacity[0].CapacityUnits, 2)
		}},
		{name: "delete: sort keys with fractions have their place in ranges", check: func(c *conformance) {
			table := c.tombstoned()
			for condition, want := range map[string]string{
				"< :u":              "1900000000 1900000000.5 1900000000.75 1900000000.9999999999999999995",
				"< :t":              "1900000000 1900000000.5",
				"> :t":              "1900000000.9999999999999999995 1900000001 1900000001.5000000000000000005",
				"BETWEEN :t AND :u": "1900000000.75 1900000000.9999999999999999995 1900000001",
			} {
				values := item{}
				for name, v := range map[string]any{":t": "1900000000.75", ":u": 1900000001} {
					if strings.Contains(condition, name) {
						values[name] = num(v)
					}
				}
				c.equal(condition, sorts(c.query(table, " AND r "+condition, values).Items), want)
			}
			newest := c.query(table, "", nil, func(in *dynamodb.QueryInput) { in.ScanIndexForward = aws.Bool(false); in.Limit = aws.Int32(1) })
			c.equal("newest", sorts(newest.Items), "1900000001.5000000000000000005")
		}},
		{name: "delete: a page ends and starts at a sort key with a fraction", check: func(c *conformance) {
			table := c.tombstoned()
			var pages []string
			in := queryInput(table, " AND r < :u", item{":u": num("1900000001.5")}, func(in *dynamodb.QueryInput) { in.Limit = aws.Int32(3); in.ConsistentRead = aws.Bool(true) })
			for {
				out, err := c.db.Query(c.ctx, in)
				c.ok(err)
				pages = append(pages, sorts(out.Items))
				if out.LastEvaluatedKey == nil {
					break
				}
				in.ExclusiveStartKey = out.LastEvaluatedKey
				// What was read may be deleted between the pages, the last key too.
				for _, it := range out.Items {
					c.ok(c.write(table, deleteOf(item{"k": it["k"], "r": it["r"]})))
				}
			}
			c.equal("pages", strings.Join(pages, "|"), "1900000000 1900000000.5 1900000000.75|1900000000.9999999999999999995 1900000001")
		}},
		{name: "delete: a sort key has up to 38 digits", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			const digits = "1900000000.5555555555555555555555555555" // 38
			c.ok(c.put(table, item{"k": str("a"), "r": num(digits)}))
			c.equal("stored", sorts(c.query(table, "", nil).Items), digits)
			c.refused(c.put(table, item{"k": str("a"), "r": num(digits + "5")}), "ValidationException", "38 significant digits")
		}},
	}
}
