package dynamodbfake

import (
	"maps"
	"slices"

	"github.com/predcache/predcache/internal/awstest"
)

type tableOutput struct {
	Table            *tableDescription `json:",omitempty"`
	TableDescription *tableDescription `json:",omitempty"`
}

// tableDescription is a TableDescription (API reference).
type tableDescription struct {
	TableName, TableStatus, TableArn, TableId string
	CreationDateTime                          int64
	ItemCount, TableSizeBytes                 int
	BillingModeSummary                        struct{ BillingMode string }
	ProvisionedThroughput                     throughput
	WarmThroughput                            warmThroughput
	AttributeDefinitions                      []attributeDefinition
	KeySchema                                 []keyElement
	LocalSecondaryIndexes                     []indexDescription `json:",omitempty"`
	GlobalSecondaryIndexes                    []indexDescription `json:",omitempty"`
}

type indexDescription struct {
	IndexName, IndexArn string
	IndexStatus         string `json:",omitempty"` // of a global one
	KeySchema           []keyElement
	Projection          projection
}

func tableNotFound(name string) *awstest.Error {
	return resourceNotFound("Requested resource not found: Table: " + name + " not found")
}

func (s *Service) describeTable(_ *awstest.Call, in *tableInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return nil, tableNotFound(in.TableName)
	}
	return tableOutput{Table: t.describe("ACTIVE")}, nil
}

func (t *table) describe(status string) *tableDescription {
	d := &tableDescription{TableName: t.name, TableStatus: status, TableArn: t.arn(), TableId: t.id, CreationDateTime: t.created.Unix(),
		ItemCount: t.count, TableSizeBytes: t.bytes, ProvisionedThroughput: t.throughput, WarmThroughput: t.warm, KeySchema: t.keys.elements()}
	d.BillingModeSummary.BillingMode = t.billing
	for _, name := range slices.Sorted(maps.Keys(t.types)) {
		d.AttributeDefinitions = append(d.AttributeDefinitions, attributeDefinition{name, t.types[name]})
	}
	for _, x := range t.indexes {
		out := indexDescription{IndexName: x.name, IndexArn: t.arn() + "/index/" + x.name, KeySchema: x.keys.elements(), Projection: x.projection}
		if x.global {
			out.IndexStatus = "ACTIVE"
			d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, out)
		} else {
			d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, out)
		}
	}
	return d
}

func (k keySchema) elements() []keyElement {
	elements := []keyElement{{k.hash, "HASH"}}
	if k.sort != "" {
		elements = append(elements, keyElement{k.sort, "RANGE"})
	}
	return elements
}

func (s *Service) describeTimeToLive(_ *awstest.Call, in *tableInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return nil, tableNotFound(in.TableName)
	}
	var out struct {
		TimeToLiveDescription struct {
			TimeToLiveStatus string
			AttributeName    string `json:",omitempty"`
		}
	}
	out.TimeToLiveDescription.TimeToLiveStatus, out.TimeToLiveDescription.AttributeName = "DISABLED", t.ttl
	if t.ttl != "" {
		out.TimeToLiveDescription.TimeToLiveStatus = "ENABLED"
	}
	return out, nil
}
