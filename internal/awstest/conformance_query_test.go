package awstest_test

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// query runs a Query on the items of hash key "a", with a further condition on the sort key.
func (c *conformance) query(table, condition string, values item, options ...func(*dynamodb.QueryInput)) *dynamodb.QueryOutput {
	out, err := c.db.Query(c.ctx, queryInput(table, condition, values, options...))
	c.ok(err)
	return out
}

func queryInput(table, condition string, values item, options ...func(*dynamodb.QueryInput)) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: aws.String("k = :k" + condition), ExpressionAttributeValues: item{":k": str("a")}}
	for name, v := range values {
		in.ExpressionAttributeValues[name] = v
	}
	for _, o := range options {
		o(in)
	}
	return in
}

// sorts are the sort keys of items, in order.
func sorts(items []map[string]types.AttributeValue) string {
	var list []string
	for _, it := range items {
		switch r := it["r"].(type) {
		case *types.AttributeValueMemberN:
			list = append(list, r.Value)
		case *types.AttributeValueMemberS:
			list = append(list, r.Value)
		}
	}
	return strings.Join(list, " ")
}

func (c *conformance) numbered(numbers ...string) string {
	table := c.table("k:S", "r:N")
	for i, n := range numbers {
		c.ok(c.put(table, item{"k": str("a"), "r": num(n), "i": num(i), "s": str(fmt.Sprint("s", i))}))
	}
	c.ok(c.put(table, item{"k": str("b"), "r": num(1)}))
	return table
}

func queryRules() []rule {
	return []rule{
		{name: "query: numbers order as numbers", check: func(c *conformance) {
			table := c.numbered("10", "9", "-1", "-10", "0", "0.5", "1e10", "-0.5", "1e-10", "100", "-1.5")
			c.equal("order", sorts(c.query(table, "", nil).Items), "-10 -1.5 -1 -0.5 0 0.0000000001 0.5 9 10 100 10000000000")
			c.equal("backward", sorts(c.query(table, "", nil, func(in *dynamodb.QueryInput) { in.ScanIndexForward = aws.Bool(false); in.Limit = aws.Int32(2) }).Items), "10000000000 100")
		}},
		{name: "query: strings order as UTF-8", check: func(c *conformance) {
			table := c.table("k:S", "r:S")
			for _, r := range []string{"b", "a", "ab", "B", "é", "z", "漢"} {
				c.ok(c.put(table, item{"k": str("a"), "r": str(r)}))
			}
			c.equal("order", sorts(c.query(table, "", nil).Items), "B a ab b z é 漢")
			c.equal("prefix", sorts(c.query(table, " AND begins_with(r, :p)", item{":p": str("a")}).Items), "a ab")
		}},
		{name: "query: conditions on the sort key", check: func(c *conformance) {
			table := c.numbered("1", "2", "3", "4", "5")
			for condition, want := range map[string]string{"= :r": "3", "< :r": "1 2", "<= :r": "1 2 3", "> :r": "4 5", ">= :r": "3 4 5"} {
				c.equal(condition, sorts(c.query(table, " AND r "+condition, item{":r": num("3.0")}).Items), want)
			}
			c.equal("between", sorts(c.query(table, " AND r BETWEEN :r AND :s", item{":r": num(2), ":s": num(4)}).Items), "2 3 4")
		}},
		{name: "query: the bounds of a BETWEEN are in order", check: func(c *conformance) {
			table := c.numbered("1")
			reversed := item{":r": num(4), ":s": num("2.5")}
			const text = "The BETWEEN operator requires upper bound to be greater than or equal to lower bound"
			_, err := c.db.Query(c.ctx, queryInput(table, " AND r BETWEEN :r AND :s", reversed))
			c.refused(err, "ValidationException", "Invalid KeyConditionExpression: "+text)
			_, err = c.db.Query(c.ctx, queryInput(table, "", reversed, func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("i BETWEEN :r AND :s") }))
			c.refused(err, "ValidationException", "Invalid FilterExpression: "+text)
			_, err = c.db.PutItem(c.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item{"k": str("a"), "r": num(1)},
				ConditionExpression: aws.String("i BETWEEN :r AND :s"), ExpressionAttributeValues: reversed})
			c.refused(err, "ValidationException", "Invalid ConditionExpression: "+text)
			c.equal("equal bounds", sorts(c.query(table, " AND r BETWEEN :r AND :s", item{":r": num(1), ":s": num("1.0")}).Items), "1")
		}},
		{name: "query: the bounds of a BETWEEN have one type", check: func(c *conformance) {
			table := c.numbered("1")
			_, err := c.db.Query(c.ctx, queryInput(table, "", item{":r": num(4), ":s": str("a")}, func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("i BETWEEN :r AND :s") }))
			c.refused(err, "ValidationException", "The BETWEEN operator requires same data type for lower and upper bounds")
		}, deviates: map[string]string{"ministack": "takes bounds of two types"}},
		{name: "query: a page starts within the range of the sort key", check: func(c *conformance) {
			table := c.numbered("1", "2", "3")
			in := queryInput(table, " AND r > :r", item{":r": num(2)})
			in.ExclusiveStartKey = item{"k": str("a"), "r": num(1)}
			_, err := c.db.Query(c.ctx, in)
			c.refused(err, "ValidationException", "The provided starting key does not match the range key predicate")
		}},
		{name: "query: key conditions that the service does not take", check: func(c *conformance) {
			table := c.numbered("1")
			refused := func(condition string, values item, text string) {
				in := queryInput(table, "", values)
				in.KeyConditionExpression = &condition
				_, err := c.db.Query(c.ctx, in)
				c.refused(err, "ValidationException", text)
			}
			refused("k > :k", nil, "")
			refused("r = :k", item{":k": num(1)}, "Query condition missed key schema element: k")
			refused("k = :k AND i = :i", item{":i": num(1)}, "Query condition missed key schema element")
			refused("k = :k", item{":k": num(1)}, "One or more parameter values were invalid: Condition parameter type does not match schema type")
			refused("k = :k AND", nil, "Syntax error")
		}},
		{name: "query: a key condition has no OR", check: func(c *conformance) {
			table := c.numbered("1")
			_, err := c.db.Query(c.ctx, queryInput(table, " OR r = :r", item{":r": num(1)}))
			c.refused(err, "ValidationException", "")
		}, deviates: map[string]string{"ministack": "reads it as an AND"}},
		{name: "query: a key condition may not be an inequality", check: func(c *conformance) {
			table := c.numbered("1")
			_, err := c.db.Query(c.ctx, queryInput(table, " AND r <> :r", item{":r": num(1)}))
			c.refused(err, "ValidationException", "")
		}, deviates: map[string]string{"ministack": "reads it as if it were not there"}},
		{name: "query: names and values are defined and used, and reserved words need a name", check: func(c *conformance) {
			table := c.numbered("1")
			refused := func(text string, options ...func(*dynamodb.QueryInput)) {
				_, err := c.db.Query(c.ctx, queryInput(table, "", nil, options...))
				c.refused(err, "ValidationException", text)
			}
			refused("Attribute name is a reserved keyword; reserved keyword: timestamp", func(in *dynamodb.QueryInput) {
				in.FilterExpression = aws.String("timestamp = :k")
			})
			refused("Attribute name is a reserved keyword; reserved keyword: ttl", func(in *dynamodb.QueryInput) {
				in.FilterExpression = aws.String("ttl = :k")
			})
			refused("Invalid FilterExpression: An expression attribute value used in expression is not defined; attribute value: :x", func(in *dynamodb.QueryInput) {
				in.FilterExpression = aws.String("i = :x")
			})
			refused("Invalid FilterExpression: An expression attribute name used in the document path is not defined; attribute name: #x", func(in *dynamodb.QueryInput) {
				in.FilterExpression = aws.String("#x = :k")
			})
			refused("Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}", func(in *dynamodb.QueryInput) {
				in.ExpressionAttributeNames = map[string]string{"#x": "i"}
			})
			refused("Value provided in ExpressionAttributeValues unused in expressions: keys: {:x}", func(in *dynamodb.QueryInput) {
				in.ExpressionAttributeValues[":x"] = num(1)
			})
		}},
		{name: "query: a filter may not name the key", check: func(c *conformance) {
			table := c.numbered("1")
			_, err := c.db.Query(c.ctx, queryInput(table, "", item{":x": num(1)}, func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("r > :x") }))
			c.refused(err, "ValidationException", "Filter Expression can only contain non-primary key attributes: Primary key attribute: r")
		}, deviates: map[string]string{"ministack": "filters by the key"}},
		{name: "query: filters", check: func(c *conformance) {
			table := c.numbered("0", "1", "2", "3")
			filter := func(f string, values item) *dynamodb.QueryOutput {
				return c.query(table, "", values, func(in *dynamodb.QueryInput) { in.FilterExpression = &f })
			}
			for f, want := range map[string]string{
				"i > :x": "2 3", "i >= :x AND s <> :s": "1 3", "i < :x OR s = :s": "0 2", "NOT (i = :x) AND s <> :s": "0 3",
				"i = :x OR i = :y AND s = :s": "1", "(i = :x OR i = :y) AND s = :s": "", "i BETWEEN :x AND :y AND s <> :s": "1 3",
				"attribute_exists(i) AND i = :x": "1", "begins_with(s, :s) OR i = :x": "1 2",
				"attribute_not_exists(zzz) AND i = :x": "1", "zzz < :x": "", "zzz <> :x": "0 1 2 3", "s > :x": "",
			} {
				values := item{}
				for name, v := range map[string]types.AttributeValue{":x": num(1), ":y": num(3), ":s": str("s2")} {
					if strings.Contains(f, name) {
						values[name] = v
					}
				}
				c.equal(f, sorts(filter(f, values).Items), want)
			}
			out := filter("i > :x", item{":x": num(1)})
			c.equal("count", fmt.Sprint(out.Count, " of ", out.ScannedCount), "2 of 4")
		}},
		{name: "query: projections", check: func(c *conformance) {
			table := c.table("k:S")
			c.ok(c.put(table, item{"k": str("a"), "v": num(1), "name": str("n"), "other": num(2)}))
			out, err := c.db.GetItem(c.ctx, &dynamodb.GetItemInput{TableName: &table, Key: item{"k": str("a")}, ProjectionExpression: aws.String("v, #n"),
				ExpressionAttributeNames: map[string]string{"#n": "name"}})
			c.ok(err)
			c.equal("attributes", len(out.Item), 2)
			c.equal("name", describe(out.Item["name"]), describe(str("n")))
		}},
		{name: "query: pages by limit, before the filter", check: func(c *conformance) {
			table := c.numbered("1", "2", "3", "4")
			var pages []string
			in := queryInput(table, "", item{":x": num(0)}, func(in *dynamodb.QueryInput) { in.Limit = aws.Int32(2); in.FilterExpression = aws.String("i > :x") })
			for {
				out, err := c.db.Query(c.ctx, in)
				c.ok(err)
				pages = append(pages, sorts(out.Items))
				if out.LastEvaluatedKey == nil {
					break
				}
				c.equal("key", len(out.LastEvaluatedKey), 2)
				in.ExclusiveStartKey = out.LastEvaluatedKey
			}
			// A page that ends at its limit says that there may be more, though nothing follows.
			c.equal("pages", strings.Join(pages, "|"), "2|3 4|")
			in.ExclusiveStartKey = item{"k": str("a"), "r": num("2.5")}
			out, err := c.db.Query(c.ctx, in)
			c.ok(err)
			c.equal("after a key that is not there", sorts(out.Items), "3 4")
			in.ExclusiveStartKey = item{"k": str("a")}
			_, err = c.db.Query(c.ctx, in)
			c.refused(err, "ValidationException", "The provided starting key is invalid")
		}},
		{name: "query: a page ends at 1 MB", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			for i := range 5 {
				c.ok(c.put(table, item{"k": str("a"), "r": num(i), "v": str(strings.Repeat("v", 300<<10))}))
			}
			out := c.query(table, "", nil)
			if out.LastEvaluatedKey == nil || len(out.Items) < 3 || len(out.Items) > 4 {
				c.fatalf("got %d items, last key %v; want 3 or 4 and a key", len(out.Items), out.LastEvaluatedKey)
			}
			rest := c.query(table, "", nil, func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = out.LastEvaluatedKey })
			c.equal("in all", len(out.Items)+len(rest.Items), 5)
		}},
		{name: "query: reads cost half a unit for each started 4 KB, or a whole one if consistent", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			for i := range 3 {
				c.ok(c.put(table, item{"k": str("a"), "r": num(i), "v": str(strings.Repeat("v", 2000))}))
			}
			out := c.query(table, "", nil, func(in *dynamodb.QueryInput) { in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal })
			c.equal("eventual", *out.ConsumedCapacity.CapacityUnits, 1)
			out = c.query(table, "", nil, func(in *dynamodb.QueryInput) {
				in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
				in.ConsistentRead = aws.Bool(true)
			})
			c.equal("consistent", *out.ConsumedCapacity.CapacityUnits, 2)
		}, deviates: map[string]string{"ministack": "costs a page as if it were smaller"}},
		{name: "scan: every item once, over pages", check: func(c *conformance) {
			table := c.table("k:S", "r:N")
			for i := range 23 {
				c.ok(c.put(table, item{"k": str(fmt.Sprint("k", i/3)), "r": num(i)}))
			}
			seen := map[string]int{}
			in := &dynamodb.ScanInput{TableName: &table, Limit: aws.Int32(4)}
			for {
				out, err := c.db.Scan(c.ctx, in)
				c.ok(err)
				for _, it := range out.Items {
					seen[describe(it["r"])]++
				}
				if out.LastEvaluatedKey == nil {
					break
				}
				in.ExclusiveStartKey = out.LastEvaluatedKey
			}
			c.equal("items", len(seen), 23)
			for r, n := range seen {
				c.equal(r, n, 1)
			}
		}},
		{name: "batch get: up to 100 distinct keys, absent ones left out", check: func(c *conformance) {
			table := c.table("k:N")
			var keys []map[string]types.AttributeValue
			for i := range 101 {
				keys = append(keys, item{"k": num(i)})
			}
			for i := range 3 {
				c.ok(c.put(table, keys[i]))
			}
			get := func(keys []map[string]types.AttributeValue) (*dynamodb.BatchGetItemOutput, error) {
				return c.db.BatchGetItem(c.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: keys}}})
			}
			out, err := get(keys[:100])
			c.ok(err)
			c.equal("items", len(out.Responses[table]), 3)
			_, err = get(keys)
			c.refused(err, "ValidationException", "Member must have length less than or equal to 100")
			_, err = get(append(keys[:1:1], keys[0]))
			c.refused(err, "ValidationException", "Provided list of item keys contains duplicates")
		}},
	}
}
