package dynamodbfake

import (
	"slices"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// index is a secondary index of a table. It keeps no items of its own: nothing here reads an index, but writes must have
// its types and cost units in it.
type index struct {
	name       string
	keys       keySchema
	global     bool
	projection projection
}

// check enforces that an item's attributes which an index has for keys are of the declared type and not empty; an item
// without them is simply not in the index ("Using Global Secondary Indexes in DynamoDB").
func (x *index) check(t *table, item attribute.Item) *awstest.Error {
	for i, name := range x.keys.attributes() {
		v := item[name]
		if v == nil {
			continue
		}
		if v.Type() != t.types[name] {
			return invalid("Type mismatch for Index Key " + name + " Expected: " + t.types[name] + " Actual: " + v.Type() + " IndexName: " + x.name)
		}
		if v.Type() != "N" && v.Text() == "" {
			return Validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty " + typeName(v) + " value. IndexName: " + x.name + ", IndexKey: " + name)
		}
		if err := checkKeyLength(v, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether the item is in the index. An item that was there before the index and has another type for its key
// is left out ("Detecting and correcting index key violations in DynamoDB").
func (x *index) holds(t *table, item attribute.Item) bool {
	for _, name := range x.keys.attributes() {
		if item[name].Type() != t.types[name] {
			return false
		}
	}
	return true
}

// project returns the item as the index has it.
func (x *index) project(t *table, item attribute.Item) attribute.Item {
	if x.projection.ProjectionType == "ALL" {
		return item
	}
	names := slices.Concat(x.keys.attributes(), t.keys.attributes(), x.projection.NonKeyAttributes)
	out := attribute.Item{}
	for _, name := range names {
		if v := item[name]; v != nil {
			out[name] = v
		}
	}
	return out
}

// writeUnits follows "Provisioned throughput considerations for Global Secondary Indexes": an entry that is new, changed
// or gone costs one write, and one whose key changes two.
func (x *index) writeUnits(t *table, old, item attribute.Item) float64 {
	var before, after attribute.Item
	if x.holds(t, old) {
		before = x.project(t, old)
	}
	if x.holds(t, item) {
		after = x.project(t, item)
	}
	switch {
	case before.JSON() == after.JSON():
		return 0
	case before == nil:
		return units(after.Size(), 1024)
	case after == nil:
		return units(before.Size(), 1024)
	}
	for _, name := range x.keys.attributes() {
		if before[name].SortKey() != after[name].SortKey() {
			return units(before.Size(), 1024) + units(after.Size(), 1024)
		}
	}
	return units(max(before.Size(), after.Size()), 1024)
}
