package dynamodbfake

import (
	"maps"
	"slices"
	"strconv"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

const (
	maxBatchWrite = 25        // "BatchWriteItem" (API reference): up to 25 puts and deletes in a call
	maxItemSize   = 400 << 10 // "Quotas in Amazon DynamoDB", item size
)

type batchWriteItemInput struct {
	RequestItems           map[string][]*writeRequest
	ReturnConsumedCapacity string

	tables   []string
	requests []*writeRequest // in the order of Call.Entries
	problem  *awstest.Error  // with an item
}

type batchWriteItemOutput struct {
	UnprocessedItems map[string][]*writeRequest
	ConsumedCapacity []consumedCapacity `json:",omitempty"`
}

type writeRequest struct {
	PutRequest    *putRequest    `json:",omitempty"`
	DeleteRequest *deleteRequest `json:",omitempty"`
}

type putRequest struct{ Item attribute.Item }

type deleteRequest struct{ Key attribute.Item }

// Describe lists the items, table by table.
func (in *batchWriteItemInput) Describe(c *awstest.Call) {
	in.tables = slices.Sorted(maps.Keys(in.RequestItems))
	if len(in.tables) == 1 {
		c.Resource = in.tables[0]
	}
	for _, table := range in.tables {
		for _, r := range in.RequestItems[table] {
			e := awstest.Entry{Table: table}
			switch {
			case r == nil || (r.PutRequest == nil) == (r.DeleteRequest == nil):
				in.fail(Validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"))
			case r.PutRequest != nil:
				e.Item = r.PutRequest.Item
			default:
				e.Item, e.Delete = r.DeleteRequest.Key, true
			}
			in.fail(normalize(e.Item))
			c.Entries = append(c.Entries, e)
			in.requests = append(in.requests, r)
		}
	}
}

// fail keeps the first problem: the service answers with it once it has read all.
func (in *batchWriteItemInput) fail(err *awstest.Error) {
	if in.problem == nil {
		in.problem = err
	}
}

// normalize checks an item and brings its numbers into their normal form.
func normalize(item attribute.Item) *awstest.Error {
	if err := item.Normalize(); err != nil {
		return Validation(err.Error())
	}
	return nil
}

// batchWriteItem enforces BatchWriteItem's rules in the service's order, before any effect: one bad item fails them all.
func (s *Service) batchWriteItem(c *awstest.Call, in *batchWriteItemInput, f *awstest.Fault) (any, *awstest.Error) {
	if err := in.check(c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := s.checkBatch(c)
	if err != nil {
		return nil, err
	}
	var k capacity
	out := batchWriteItemOutput{UnprocessedItems: map[string][]*writeRequest{}}
	for i, e := range c.Entries {
		if f.Unprocessed != nil && f.Unprocessed(i, e) {
			out.UnprocessedItems[e.Table] = append(out.UnprocessedItems[e.Table], in.requests[i])
			continue
		}
		s.apply(c, i, keys[i], &k)
	}
	out.ConsumedCapacity = k.list(in.ReturnConsumedCapacity)
	return out, nil
}

// check enforces what needs no table: the number of requests, values and sizes.
func (in *batchWriteItemInput) check(c *awstest.Call) *awstest.Error {
	n := len(c.Entries)
	switch {
	case len(in.tables) == 0:
		return constraint("'{}'", "requestItems", "have length greater than or equal to 1")
	case n > maxBatchWrite && len(in.tables) > 1:
		return Validation("Too many items requested for the BatchWriteItem call")
	case n > maxBatchWrite || n == 0:
		return Validation("1 validation error detected: Value '{" + in.tables[0] + "=[" + strconv.Itoa(n) + " requests]}' at 'requestItems' failed to satisfy constraint: " +
			"Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]")
	case in.problem != nil:
		return in.problem
	}
	for _, e := range c.Entries {
		if !e.Delete && e.Item.Size() > maxItemSize {
			return Validation("Item size has exceeded the maximum allowed size")
		}
	}
	return nil
}

// checkBatch enforces the tables' rules, and that no key comes twice. It requires that s.mu be held.
func (s *Service) checkBatch(c *awstest.Call) ([]rowKey, *awstest.Error) {
	keys := make([]rowKey, len(c.Entries))
	for i, e := range c.Entries {
		t, err := s.table(e.Table)
		if err == nil && e.Delete {
			err = t.checkKey(e.Item)
		} else if err == nil {
			err = t.checkBatchItem(e.Item)
		}
		if err != nil {
			return nil, err
		}
		keys[i] = t.key(e.Item)
		for j := range i {
			if keys[j] == keys[i] && c.Entries[j].Table == e.Table {
				return nil, Validation("Provided list of item keys contains duplicates")
			}
		}
	}
	return keys, nil
}

// apply carries out one write that has been checked. It requires that s.mu be held.
func (s *Service) apply(c *awstest.Call, i int, key rowKey, k *capacity) {
	e := &c.Entries[i]
	t := s.tables[e.Table]
	var old row
	if e.Delete {
		old = t.remove(key)
		k.write(t, old, nil, 0)
	} else {
		size := e.Item.Size()
		if !s.discards {
			old = t.put(key, e.Item, size)
		}
		k.write(t, old, e.Item, size)
	}
	s.record(c, i, t)
	if s.effect != nil {
		s.effect(c, i, old.item)
	}
}
