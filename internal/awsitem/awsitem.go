// Package awsitem translates tables and items, from the SDK's types and from DynamoDB's JSON, into the types of package
// item, which does not depend on AWS. The worker and the reader share it.
package awsitem

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
)

// Table translates a table's description.
func Table(d *types.TableDescription, ttl *types.TimeToLiveDescription) item.Table {
	t := item.Table{Indexes: map[string]item.IndexKey{}}
	declared := map[string]item.KeyType{}
	for _, a := range d.AttributeDefinitions {
		declared[aws.ToString(a.AttributeName)] = item.KeyType(a.AttributeType)
	}
	for _, k := range d.KeySchema {
		name := aws.ToString(k.AttributeName)
		if k.KeyType == types.KeyTypeHash {
			t.HashKey, t.HashType = name, declared[name]
		} else {
			t.SortKey, t.SortType = name, declared[name]
		}
	}
	index := func(schema []types.KeySchemaElement) {
		for _, k := range schema {
			name := aws.ToString(k.AttributeName)
			key := item.IndexKey{Type: declared[name], MaxBytes: item.MaxHashBytes}
			if _, found := t.Indexes[name]; k.KeyType == types.KeyTypeRange || found && t.Indexes[name].MaxBytes == item.MaxSortBytes {
				key.MaxBytes = item.MaxSortBytes
			}
			t.Indexes[name] = key
		}
	}
	for _, g := range d.GlobalSecondaryIndexes {
		index(g.KeySchema)
	}
	for _, l := range d.LocalSecondaryIndexes {
		index(l.KeySchema[1:]) // its hash key is the table's own, with the table's own limit
	}
	if ttl != nil && (ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled || ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		t.TTLAttribute = aws.ToString(ttl.AttributeName)
	}
	return t
}

// Fields translates an item's attributes. Their texts are those of the SDK, not copies.
func Fields(attributes map[string]types.AttributeValue) []item.Field {
	fields := make([]item.Field, 0, len(attributes))
	for name, a := range attributes {
		fields = append(fields, item.Field{Name: name, Value: Value(a)})
	}
	return fields
}

// Value translates the value of an attribute.
func Value(a types.AttributeValue) item.Value {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return item.Value{Type: "S", Text: a.Value}
	case *types.AttributeValueMemberN:
		return item.Value{Type: "N", Text: a.Value}
	case *types.AttributeValueMemberB:
		return item.Value{Type: "B", Text: string(a.Value)}
	case *types.AttributeValueMemberBOOL:
		if a.Value {
			return item.Value{Type: "BOOL", Text: "true"}
		}
		return item.Value{Type: "BOOL", Text: "false"}
	case *types.AttributeValueMemberNULL:
		return item.Value{Type: "NULL"}
	case *types.AttributeValueMemberM:
		return item.Value{Type: "M", In: Fields(a.Value)}
	case *types.AttributeValueMemberL:
		return list("L", a.Value, Value)
	case *types.AttributeValueMemberSS:
		return list("SS", a.Value, func(s string) item.Value { return item.Value{Type: "S", Text: s} })
	case *types.AttributeValueMemberNS:
		return list("NS", a.Value, func(n string) item.Value { return item.Value{Type: "N", Text: n} })
	case *types.AttributeValueMemberBS:
		return list("BS", a.Value, func(b []byte) item.Value { return item.Value{Type: "B", Text: string(b)} })
	}
	return item.Value{}
}

func list[T any](kind string, elements []T, one func(T) item.Value) item.Value {
	v := item.Value{Type: kind, In: make([]item.Field, len(elements))}
	for i, e := range elements {
		v.In[i].Value = one(e)
	}
	return v
}
