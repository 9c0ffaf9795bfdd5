package dynamodbfake

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

type tableInput struct{ TableName string }

func (in *tableInput) Describe(c *awstest.Call) { c.Resource = in.TableName }

type createTableInput struct {
	tableInput
	BillingMode            string
	AttributeDefinitions   []attributeDefinition
	KeySchema              []keyElement
	ProvisionedThroughput  *throughput
	WarmThroughput         *warmThroughput
	GlobalSecondaryIndexes []indexInput
	LocalSecondaryIndexes  []indexInput
}

type attributeDefinition struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

type throughput struct{ ReadCapacityUnits, WriteCapacityUnits int64 }

// warmThroughput is how much a table takes at once, in units a second ("Understanding DynamoDB warm throughput").
type warmThroughput struct {
	ReadUnitsPerSecond, WriteUnitsPerSecond int64
	Status                                  string `json:",omitempty"`
}

type indexInput struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            projection
	ProvisionedThroughput *throughput
}

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

func (s *Service) createTable(c *awstest.Call, in *createTableInput, _ *awstest.Fault) (any, *awstest.Error) {
	t, err := in.table()
	if err != nil {
		return nil, err
	}
	t.id = awstest.UUID(hashString(in.TableName), uint64(c.N)) // a table that is made again has another one
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[in.TableName] != nil {
		return nil, resourceInUse("Table already exists: " + in.TableName)
	}
	s.tables[in.TableName] = t
	return tableOutput{TableDescription: t.describe("CREATING")}, nil
}

// table checks a table's definition ("CreateTable", API reference) and makes it.
func (in *createTableInput) table() (*table, *awstest.Error) {
	if len(in.TableName) < 3 || len(in.TableName) > 255 || strings.Trim(in.TableName, nameCharacters) != "" {
		return nil, Validation("TableName must be at least 3 characters long and at most 255 characters long")
	}
	t := &table{name: in.TableName, created: time.Now(), billing: in.BillingMode, types: make(map[string]string), partitions: make(map[string]*partition)}
	if err := t.setThroughput(in); err != nil {
		return nil, err
	}
	if err := t.define(in.AttributeDefinitions); err != nil {
		return nil, err
	}
	var err *awstest.Error
	if t.keys, err = t.schema(in.KeySchema); err != nil {
		return nil, err
	}
	for _, x := range in.LocalSecondaryIndexes {
		if err := t.addIndex(x, false); err != nil {
			return nil, err
		}
	}
	for _, x := range in.GlobalSecondaryIndexes {
		if err := t.addIndex(x, true); err != nil {
			return nil, err
		}
	}
	return t, t.checkDefinitions()
}

// setThroughput sets the billing mode and how much the table takes at once: what was asked for, or what the service gives
// a new table ("Understanding DynamoDB warm throughput in different scenarios").
func (t *table) setThroughput(in *createTableInput) *awstest.Error {
	if t.billing == "" {
		t.billing = "PROVISIONED"
	}
	t.warm = warmThroughput{ReadUnitsPerSecond: 12_000, WriteUnitsPerSecond: 4_000}
	switch {
	case t.billing == "PROVISIONED" && in.ProvisionedThroughput == nil:
		return invalid("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	case t.billing == "PAY_PER_REQUEST" && in.ProvisionedThroughput != nil:
		return invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case in.ProvisionedThroughput != nil:
		t.throughput = *in.ProvisionedThroughput
		t.warm = warmThroughput{ReadUnitsPerSecond: t.throughput.ReadCapacityUnits, WriteUnitsPerSecond: t.throughput.WriteCapacityUnits}
	}
	if in.WarmThroughput != nil {
		t.warm = *in.WarmThroughput
	}
	t.warm.Status = "ACTIVE"
	return nil
}

func (t *table) define(definitions []attributeDefinition) *awstest.Error {
	for _, d := range definitions {
		if d.AttributeType != "S" && d.AttributeType != "N" && d.AttributeType != "B" {
			return constraint("'"+d.AttributeType+"'", "attributeDefinitions.1.member.attributeType", "satisfy enum value set: [B, N, S]")
		}
		t.types[d.AttributeName] = d.AttributeType
	}
	return nil
}

// checkDefinitions enforces that each attribute that is defined is in a key.
func (t *table) checkDefinitions() *awstest.Error {
	used := t.keys.attributes()
	for _, x := range t.indexes {
		used = append(used, x.keys.attributes()...)
	}
	for name := range t.types {
		if !slices.Contains(used, name) {
			return invalid("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
		}
	}
	return nil
}

func (t *table) schema(elements []keyElement) (keySchema, *awstest.Error) {
	var k keySchema
	if len(elements) == 0 {
		return k, constraint("'[]'", "keySchema", "have length greater than or equal to 1")
	}
	for i, e := range elements {
		switch {
		case t.types[e.AttributeName] == "":
			return k, invalid("Some index key attributes are not defined in AttributeDefinitions. Keys: [" + e.AttributeName + "], AttributeDefinitions: [" + strings.Join(slices.Sorted(maps.Keys(t.types)), ", ") + "]")
		case i == 0 && e.KeyType == "HASH":
			k.hash = e.AttributeName
		case i == 1 && e.KeyType == "RANGE" && e.AttributeName != k.hash:
			k.sort = e.AttributeName
		default:
			return k, Validation("Invalid KeySchema: Some index key attribute have no definition")
		}
	}
	return k, nil
}

func (t *table) addIndex(in indexInput, global bool) *awstest.Error {
	keys, err := t.schema(in.KeySchema)
	if err != nil {
		return err
	}
	if !global && (t.keys.sort == "" || keys.hash != t.keys.hash || keys.sort == "") {
		return invalid("Index KeySchema does not have the same leading hash key as table KeySchema for index: " + in.IndexName)
	}
	if in.Projection.ProjectionType == "" {
		return invalid("Unknown ProjectionType: null")
	}
	if t.index(in.IndexName) >= 0 {
		return invalid("Duplicate index name: " + in.IndexName)
	}
	t.indexes = append(t.indexes, &index{name: in.IndexName, keys: keys, global: global, projection: in.Projection})
	return nil
}

// index is the place of the index of that name, or -1.
func (t *table) index(name string) int {
	return slices.IndexFunc(t.indexes, func(x *index) bool { return x.name == name })
}
