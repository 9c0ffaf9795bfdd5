package dynamodbfake

import (
	"maps"
	"slices"
	"strconv"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

const (
	maxBatchGet  = 100      // "BatchGetItem" (API reference)
	maxBatchRead = 16 << 20 // the same page: the most that one answer holds
)

// readOptions are what GetItem and each table of BatchGetItem have in common.
type readOptions struct {
	ConsistentRead           bool              `json:",omitempty"`
	ProjectionExpression     string            `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
}

// paths parses the projection.
func (in *readOptions) paths() ([]string, *awstest.Error) {
	x := expressions{ExpressionAttributeNames: in.ExpressionAttributeNames}
	paths, err := x.projection(in.ProjectionExpression)
	if err == nil {
		err = x.unused()
	}
	return paths, err
}

type getItemInput struct {
	tableInput
	readOptions
	Key                    attribute.Item
	ReturnConsumedCapacity string

	problem *awstest.Error
}

func (in *getItemInput) Describe(c *awstest.Call) {
	c.Resource = in.TableName
	c.Entries = []awstest.Entry{{Table: in.TableName, Item: in.Key}}
	in.problem = normalize(in.Key)
}

type getItemOutput struct {
	Item             attribute.Item    `json:",omitempty"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

func (s *Service) getItem(_ *awstest.Call, in *getItemInput, _ *awstest.Fault) (any, *awstest.Error) {
	if in.problem != nil {
		return nil, in.problem
	}
	paths, err := in.paths()
	if err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, constraint("null", "key", "not be null")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(in.TableName)
	if err == nil {
		err = t.checkKey(in.Key)
	}
	if err != nil {
		return nil, err
	}
	var out getItemOutput
	size := 0
	if found := t.get(t.key(in.Key)); found != nil {
		size = found.size
		out.Item = project(found.item, paths)
	}
	var k capacity
	k.read(t, size, in.ConsistentRead)
	out.ConsumedCapacity = k.one(in.ReturnConsumedCapacity)
	return out, nil
}

// keysAndAttributes is what BatchGetItem asks of one table.
type keysAndAttributes struct {
	readOptions
	Keys []attribute.Item
}

type batchGetItemInput struct {
	RequestItems           map[string]*keysAndAttributes
	ReturnConsumedCapacity string

	tables  []string
	problem *awstest.Error
}

type batchGetItemOutput struct {
	Responses        map[string][]attribute.Item
	UnprocessedKeys  map[string]*keysAndAttributes
	ConsumedCapacity []consumedCapacity `json:",omitempty"`
}

func (in *batchGetItemInput) Describe(c *awstest.Call) {
	in.tables = slices.Sorted(maps.Keys(in.RequestItems))
	if len(in.tables) == 1 {
		c.Resource = in.tables[0]
	}
	for _, table := range in.tables {
		for _, key := range in.RequestItems[table].Keys {
			c.Entries = append(c.Entries, awstest.Entry{Table: table, Item: key})
			if err := normalize(key); in.problem == nil {
				in.problem = err
			}
		}
	}
}

// check enforces "BatchGetItem" (API reference). It requires that s.mu be held.
func (in *batchGetItemInput) check(s *Service, c *awstest.Call) *awstest.Error {
	switch n := len(c.Entries); {
	case in.problem != nil:
		return in.problem
	case n > maxBatchGet && len(in.tables) > 1:
		return Validation("Too many items requested for the BatchGetItem call")
	case n > maxBatchGet:
		return constraint("'["+strconv.Itoa(n)+" keys]'", "requestItems."+in.tables[0]+".member.keys", "have length less than or equal to 100")
	case n == 0:
		return constraint("'{}'", "requestItems", "have length greater than or equal to 1")
	}
	for _, table := range in.tables {
		t, err := s.table(table)
		if err != nil {
			return err
		}
		seen := make(map[rowKey]bool)
		for _, key := range in.RequestItems[table].Keys {
			if err := t.checkKey(key); err != nil {
				return err
			}
			k := t.key(key)
			if seen[k] {
				return Validation("Provided list of item keys contains duplicates")
			}
			seen[k] = true
		}
	}
	return nil
}

// batchGetItem answers up to 16 MB; the keys that are left come back as unprocessed.
func (s *Service) batchGetItem(c *awstest.Call, in *batchGetItemInput, f *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := in.check(s, c); err != nil {
		return nil, err
	}
	out := batchGetItemOutput{Responses: map[string][]attribute.Item{}, UnprocessedKeys: map[string]*keysAndAttributes{}}
	var k capacity
	place, total := 0, 0
	for _, table := range in.tables {
		t, asked := s.tables[table], in.RequestItems[table]
		paths, err := asked.paths()
		if err != nil {
			return nil, err
		}
		left := &keysAndAttributes{readOptions: asked.readOptions}
		out.Responses[table] = []attribute.Item{}
		for _, key := range asked.Keys {
			skip := f.Unprocessed != nil && f.Unprocessed(place, c.Entries[place])
			place++
			found, size := t.get(t.key(key)), 0
			if found != nil {
				size = found.size
			}
			if skip || total > 0 && total+size > maxBatchRead {
				left.Keys = append(left.Keys, key)
				continue
			}
			total += size
			k.read(t, size, asked.ConsistentRead)
			if found != nil {
				out.Responses[table] = append(out.Responses[table], project(found.item, paths))
			}
		}
		if len(left.Keys) > 0 {
			out.UnprocessedKeys[table] = left
		}
	}
	out.ConsumedCapacity = k.list(in.ReturnConsumedCapacity)
	return out, nil
}
