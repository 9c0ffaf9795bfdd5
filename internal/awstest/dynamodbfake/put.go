package dynamodbfake

import (
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// itemWrite is what PutItem and DeleteItem have in common.
type itemWrite struct {
	tableInput
	expressions
	ConditionExpression    string
	ReturnConsumedCapacity string

	problem *awstest.Error
}

type putItemInput struct {
	itemWrite
	Item attribute.Item
}

func (in *putItemInput) Describe(c *awstest.Call) { in.describe(c, in.Item, false) }

type deleteItemInput struct {
	itemWrite
	Key attribute.Item
}

func (in *deleteItemInput) Describe(c *awstest.Call) { in.describe(c, in.Key, true) }

func (in *itemWrite) describe(c *awstest.Call, item attribute.Item, del bool) {
	c.Resource = in.TableName
	c.Entries = []awstest.Entry{{Table: in.TableName, Item: item, Delete: del}}
	in.problem = normalize(item)
}

type itemWriteOutput struct {
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

func (s *Service) putItem(c *awstest.Call, in *putItemInput, _ *awstest.Fault) (any, *awstest.Error) {
	return s.writeItem(c, &in.itemWrite)
}

func (s *Service) deleteItem(c *awstest.Call, in *deleteItemInput, _ *awstest.Fault) (any, *awstest.Error) {
	return s.writeItem(c, &in.itemWrite)
}

// writeItem enforces "PutItem" and "DeleteItem" (API reference): the condition and the write are one step.
func (s *Service) writeItem(c *awstest.Call, in *itemWrite) (any, *awstest.Error) {
	if in.problem != nil {
		return nil, in.problem
	}
	condition, err := in.condition("ConditionExpression", in.ConditionExpression)
	if err == nil {
		err = in.unused()
	}
	if err != nil {
		return nil, err
	}
	e := c.Entries[0]
	if !e.Delete && e.Item.Size() > maxItemSize {
		return nil, Validation("Item size has exceeded the maximum allowed size")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(in.TableName)
	if err == nil && e.Delete {
		err = t.checkKey(e.Item)
	} else if err == nil {
		err = t.checkItem(e.Item)
	}
	if err != nil {
		return nil, err
	}
	key := t.key(e.Item)
	var current attribute.Item
	if r := t.get(key); r != nil {
		current = r.item
	}
	if !condition.matches(current) {
		return nil, &awstest.Error{Type: namespace + "ConditionalCheckFailedException", Message: "The conditional request failed"}
	}
	var k capacity
	s.apply(c, 0, key, &k)
	return itemWriteOutput{k.one(in.ReturnConsumedCapacity)}, nil
}
