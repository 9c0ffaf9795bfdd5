package dynamodbfake

import (
	"maps"
	"slices"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

type updateTableInput struct {
	tableInput
	AttributeDefinitions        []attributeDefinition
	GlobalSecondaryIndexUpdates []indexUpdate
	WarmThroughput              *warmThroughput
}

type indexUpdate struct {
	Create *indexInput
	Delete *struct{ IndexName string }
}

// updateTable adds or removes one global secondary index, or sets the warm throughput ("UpdateTable", API reference). The
// service takes minutes to fill a new index; here it is at once. From then on writes must have its types.
func (s *Service) updateTable(_ *awstest.Call, in *updateTableInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	switch {
	case t == nil:
		return nil, tableNotFound(in.TableName)
	case len(in.GlobalSecondaryIndexUpdates) > 1:
		return nil, &awstest.Error{Type: namespace + "LimitExceededException",
			Message: "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"}
	case len(in.GlobalSecondaryIndexUpdates) == 0 && in.WarmThroughput == nil:
		return nil, Validation("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	changed := *t // so that a refusal changes nothing
	changed.types, changed.indexes = maps.Clone(t.types), slices.Clone(t.indexes)
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if err := changed.updateIndex(u, in.AttributeDefinitions); err != nil {
			return nil, err
		}
	}
	if in.WarmThroughput != nil {
		changed.warm.ReadUnitsPerSecond, changed.warm.WriteUnitsPerSecond = in.WarmThroughput.ReadUnitsPerSecond, in.WarmThroughput.WriteUnitsPerSecond
	}
	*t = changed
	return tableOutput{TableDescription: t.describe("UPDATING")}, nil
}

func (t *table) updateIndex(u indexUpdate, definitions []attributeDefinition) *awstest.Error {
	switch {
	case u.Create != nil:
		if err := t.define(definitions); err != nil {
			return err
		}
		if err := t.addIndex(*u.Create, true); err != nil {
			return err
		}
		return t.checkDefinitions()
	case u.Delete != nil:
		i := t.index(u.Delete.IndexName)
		if i < 0 {
			return resourceNotFound("Requested resource not found")
		}
		t.indexes = slices.Delete(t.indexes, i, i+1)
		for name := range t.types {
			if !t.keyed(name) {
				delete(t.types, name)
			}
		}
	}
	return nil
}

// keyed reports whether an attribute is in a key of the table or of an index.
func (t *table) keyed(name string) bool {
	return slices.Contains(t.keys.attributes(), name) ||
		slices.ContainsFunc(t.indexes, func(x *index) bool { return slices.Contains(x.keys.attributes(), name) })
}

func (s *Service) deleteTable(_ *awstest.Call, in *tableInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return nil, tableNotFound(in.TableName)
	}
	delete(s.tables, in.TableName)
	return tableOutput{TableDescription: t.describe("DELETING")}, nil
}

type timeToLive struct {
	AttributeName string
	Enabled       bool
}

type updateTimeToLiveInput struct {
	tableInput
	TimeToLiveSpecification timeToLive
}

// updateTimeToLive enforces "UpdateTimeToLive" (API reference). The service takes up to an hour to switch, during which it
// refuses another change; here the switch is at once, and the hour is kept.
func (s *Service) updateTimeToLive(_ *awstest.Call, in *updateTimeToLiveInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return nil, tableNotFound(in.TableName)
	}
	switch spec := in.TimeToLiveSpecification; {
	case spec.Enabled && t.ttl != "":
		return nil, Validation("TimeToLive is already enabled")
	case !spec.Enabled && t.ttl == "":
		return nil, Validation("TimeToLive is already disabled")
	case !spec.Enabled && t.ttl != spec.AttributeName:
		return nil, Validation("TimeToLive is active on a different AttributeName: current AttributeName is " + t.ttl)
	case time.Since(t.ttlChanged) < time.Hour:
		return nil, Validation("Time to live has been modified multiple times within a fixed interval")
	case spec.Enabled:
		t.ttl = spec.AttributeName
	default:
		t.ttl = ""
	}
	t.ttlChanged = time.Now()
	return struct{ TimeToLiveSpecification timeToLive }{in.TimeToLiveSpecification}, nil
}

// SetTTL switches a table's TTL to an attribute, or off for "", without a call and without the hour that the service takes.
func (s *Service) SetTTL(table, attribute string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[table].ttl = attribute
}
