package sim

import (
	"regexp"
	"strings"
)

// deleteBugs are about deletes.
var deleteBugs = []bug{
	{name: "a tombstone has the sort key of its unit", as: hidden, request: tombstones(func(text string) string {
		return fractionalKey.ReplaceAllString(text, `"timestamp":{"N":"$1"}`)
	})},
	{name: "a tombstone is no newer than a prediction of its event time", as: hidden, request: tombstones(func(text string) string {
		return tombstoneSent.ReplaceAllString(text, `{"N":"$1"}`)
	})},
	{name: "a late older version replaces a tombstone", as: hidden, request: onRequest("PutItem", func(body string) string {
		return strings.Replace(body, `"ConditionExpression":"NOT `, `"ConditionExpression":"attribute_exists(deleted) OR NOT `, 1)
	})},
}

var (
	fractionalKey = regexp.MustCompile(`"timestamp":\{"N":"(\d+)\.\d+"\}`)
	// tombstoneSent finds a sent time that has 10^19 added, in milliseconds of this decade.
	tombstoneSent = regexp.MustCompile(`\{"N":"1000000(\d{13}(\.\d+)?)"\}`)
)

// tombstones changes the requests that write items.
func tombstones(change func(text string) string) func(operation, body string) string {
	return func(operation, body string) string {
		if operation == "PutItem" || operation == "BatchWriteItem" {
			return change(body)
		}
		return body
	}
}
