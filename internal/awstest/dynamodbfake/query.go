package dynamodbfake

import (
	"slices"
	"strconv"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// maxPage is how much of the table a Query or Scan reads for one answer ("Paginating table query results in DynamoDB").
const maxPage = 1 << 20

// pageInput is what Query and Scan have in common. Secondary indexes can't be read: nothing here does.
type pageInput struct {
	tableInput
	expressions
	ConsistentRead         bool
	ExclusiveStartKey      attribute.Item
	FilterExpression       string
	Limit                  *int
	ProjectionExpression   string
	ReturnConsumedCapacity string
}

type queryInput struct {
	pageInput
	KeyConditionExpression string
	ScanIndexForward       *bool
}

type pageOutput struct {
	Items            []attribute.Item
	Count            int
	ScannedCount     int
	LastEvaluatedKey attribute.Item    `json:",omitempty"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

// page is a checked Query or Scan.
type page struct {
	*pageInput
	t        *table
	hash     string // of a Query: the encoded hash key
	sortTest *expression
	filter   *expression
	paths    []string
}

// query enforces "Query" (API reference).
func (s *Service) query(_ *awstest.Call, in *queryInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.KeyConditionExpression == "" {
		return nil, Validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	condition, err := in.condition("KeyConditionExpression", in.KeyConditionExpression)
	if err != nil {
		return nil, err
	}
	p, err := s.page(&in.pageInput)
	if err == nil {
		err = p.checkFilter()
	}
	if err == nil {
		err = p.keyCondition(condition)
	}
	if err == nil {
		err = p.checkStart()
	}
	if err != nil {
		return nil, err
	}
	var rows []row
	if found := p.t.partitions[p.hash]; found != nil {
		for _, r := range found.rows {
			if p.sortTest.matches(r.item) {
				rows = append(rows, r)
			}
		}
	}
	before := func(a, b row) bool { return a.sort < b.sort }
	if in.ScanIndexForward != nil && !*in.ScanIndexForward {
		slices.Reverse(rows)
		before = func(a, b row) bool { return a.sort > b.sort }
	}
	if in.ExclusiveStartKey != nil { // which need not exist any more
		start := row{sort: p.t.key(in.ExclusiveStartKey).sort}
		rows = slices.DeleteFunc(rows, func(r row) bool { return !before(start, r) })
	}
	return p.answer(rows), nil
}

// scan enforces "Scan" (API reference).
func (s *Service) scan(_ *awstest.Call, in *pageInput, _ *awstest.Fault) (any, *awstest.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.page(in)
	if err == nil {
		err = p.checkStart()
	}
	if err != nil {
		return nil, err
	}
	var start rowKey
	if in.ExclusiveStartKey != nil {
		start = p.t.key(in.ExclusiveStartKey)
	}
	var rows []row
	for _, hash := range p.t.hashOrder() {
		order := compareHash(hash, start.hash)
		if in.ExclusiveStartKey != nil && order < 0 {
			continue
		}
		for _, r := range p.t.partitions[hash].rows {
			if in.ExclusiveStartKey == nil || order > 0 || r.sort > start.sort {
				rows = append(rows, r)
			}
		}
	}
	return p.answer(rows), nil
}

// page checks what Query and Scan have in common. It requires that s.mu be held.
func (s *Service) page(in *pageInput) (*page, *awstest.Error) {
	p := &page{pageInput: in}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, constraint("'"+strconv.Itoa(*in.Limit)+"'", "limit", "have value greater than or equal to 1")
	}
	err := normalize(in.ExclusiveStartKey)
	if err == nil {
		p.filter, err = in.condition("FilterExpression", in.FilterExpression)
	}
	if err == nil {
		p.paths, err = in.projection(in.ProjectionExpression)
	}
	if err == nil {
		err = in.unused()
	}
	if err == nil {
		p.t, err = s.table(in.TableName)
	}
	return p, err
}

// checkFilter enforces that a Query's filter leaves the key alone ("Filter expressions for the Query operation in DynamoDB").
func (p *page) checkFilter() *awstest.Error {
	for _, name := range p.filter.names() {
		if slices.Contains(p.t.keys.attributes(), name) {
			return Validation("Filter Expression can only contain non-primary key attributes: Primary key attribute: " + name)
		}
	}
	return nil
}

// keyCondition enforces "Key condition expressions for the Query operation in DynamoDB": the hash key equals a value, and
// at most one condition on the sort key.
func (p *page) keyCondition(condition *expression) *awstest.Error {
	hashed := false
	for _, e := range condition.conjuncts() {
		if len(e.operands) < 2 || e.operands[0].value != nil {
			return Validation("Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: " + e.op)
		}
		name := e.operands[0].name
		if err := p.checkOperands(name, e.operands[1:]); err != nil {
			return err
		}
		switch {
		case name == p.t.keys.hash && e.op == "=" && !hashed:
			v := e.operands[1].value
			if err := checkKeyValue(name, v, true); err != nil {
				return err
			}
			p.hash, hashed = v.SortKey(), true
		case name == p.t.keys.sort && p.sortTest == nil && slices.Contains(sortOperators, e.op):
			p.sortTest = e
		case slices.Contains(p.t.keys.attributes(), name):
			return Validation("Query key condition not supported")
		default:
			missing := p.t.keys.attributes()
			return Validation("Query condition missed key schema element: " + missing[len(missing)-1])
		}
	}
	if !hashed {
		return Validation("Query condition missed key schema element: " + p.t.keys.hash)
	}
	return nil
}

var sortOperators = []string{"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"}

func (p *page) checkOperands(name string, operands []operand) *awstest.Error {
	for _, o := range operands {
		if o.value == nil {
			return Validation("Invalid KeyConditionExpression: Operand is not a value")
		}
		if slices.Contains(p.t.keys.attributes(), name) && o.value.Type() != p.t.types[name] {
			return invalid("Condition parameter type does not match schema type")
		}
	}
	return nil
}

// checkStart enforces that ExclusiveStartKey is a key of the table and, of a Query, that it could be of the page before.
func (p *page) checkStart() *awstest.Error {
	start := p.ExclusiveStartKey
	switch {
	case start == nil:
		return nil
	case p.t.checkKey(start) != nil:
		return Validation("The provided starting key is invalid")
	case p.hash != "" && p.t.key(start).hash != p.hash:
		return Validation("The provided starting key is outside query boundaries based on provided conditions")
	case !p.sortTest.matches(start):
		return Validation("The provided starting key does not match the range key predicate")
	}
	return nil
}

// answer reads up to Limit rows and 1 MB, before the filter, and answers what the filter lets through. Where it stops for
// Limit it gives a LastEvaluatedKey even if nothing follows, as the service does.
func (p *page) answer(rows []row) pageOutput {
	out := pageOutput{Items: []attribute.Item{}}
	size, more := 0, false
	for _, r := range rows {
		if more = out.ScannedCount > 0 && size+r.size > maxPage; more {
			break
		}
		out.ScannedCount++
		size += r.size
		if p.filter.matches(r.item) {
			out.Items = append(out.Items, project(r.item, p.paths))
		}
		if more = p.Limit != nil && out.ScannedCount == *p.Limit; more {
			break
		}
	}
	out.Count = len(out.Items)
	if more {
		out.LastEvaluatedKey = project(rows[out.ScannedCount-1].item, p.t.keys.attributes())
	}
	var k capacity
	k.read(p.t, size, p.ConsistentRead)
	out.ConsumedCapacity = k.one(p.ReturnConsumedCapacity)
	return out
}
