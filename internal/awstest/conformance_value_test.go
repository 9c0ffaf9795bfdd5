package awstest_test

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

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
