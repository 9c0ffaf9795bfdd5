package awstest

import (
	"slices"
	"strconv"
)

// maxPage is how much of the table a Query or Scan reads for one answer ("Paginating table query results in DynamoDB").
const maxPage = 1 << 20

// pageRequest is a Query or a Scan.
type pageRequest struct {
	table, index, keyCondition, filter, projection, selects, mode string
	limit                                                         int
	limited, consistent, backward, isQuery                        bool
	start                                                         Item
	segment, segments                                             int
	x                                                             expressions
	problem                                                       *Error
}

func (d *DynamoDB) query(c *Call, r *jsonReader) effect { return d.page(c, r, true) }
func (d *DynamoDB) scan(c *Call, r *jsonReader) effect  { return d.page(c, r, false) }

func (d *DynamoDB) page(c *Call, r *jsonReader, isQuery bool) effect {
	in := &pageRequest{isQuery: isQuery}
	items := &itemReader{jsonReader: r}
	r.object(func(member string) {
		switch member {
		case "TableName":
			in.table = r.str()
			c.Resource = in.table
		case "IndexName":
			in.index = r.str()
		case "KeyConditionExpression":
			in.keyCondition = r.str()
		case "FilterExpression":
			in.filter = r.str()
		case "ProjectionExpression":
			in.projection = r.str()
		case "Select":
			in.selects = r.str()
		case "ReturnConsumedCapacity":
			in.mode = r.str()
		case "Limit":
			in.limit, in.limited = r.integer()
		case "ConsistentRead":
			in.consistent = r.boolean()
		case "ScanIndexForward":
			in.backward = !r.boolean()
		case "ExclusiveStartKey":
			in.start = items.item(0)
		case "Segment":
			in.segment, _ = r.integer()
		case "TotalSegments":
			in.segments, _ = r.integer()
		default:
			if !in.x.read(items, member) {
				r.skip()
			}
		}
	})
	in.problem = items.problem
	return func(*Call, *Fault) ([]byte, *Error) { return d.runPage(in) }
}

// pagePlan is a checked Query or Scan.
type pagePlan struct {
	t        *table
	x        *index // nil for the table itself
	keys     keySchema
	hash     string // of a Query, encoded
	sortTest *expression
	filter   *expression
	paths    []path
}

func (d *DynamoDB) runPage(in *pageRequest) ([]byte, *Error) {
	if in.problem != nil {
		return nil, in.problem
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	plan, err := d.plan(in)
	if err != nil {
		return nil, err
	}
	rows := plan.rows(in)
	if rows, err = plan.after(in, rows); err != nil {
		return nil, err
	}
	return plan.answer(in, rows), nil
}

func (d *DynamoDB) plan(in *pageRequest) (*pagePlan, *Error) {
	if in.limited && in.limit < 1 {
		return nil, Validation("1 validation error detected: Value '" + strconv.Itoa(in.limit) + "' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	plan := &pagePlan{}
	condition, err := in.x.condition("KeyConditionExpression", in.keyCondition)
	if err == nil {
		plan.filter, err = in.x.condition("FilterExpression", in.filter)
	}
	if err == nil {
		plan.paths, err = in.x.projection(in.projection)
	}
	if err == nil {
		err = in.x.unused()
	}
	if err != nil {
		return nil, err
	}
	if in.isQuery && condition == nil {
		return nil, Validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	if plan.t, err = d.table(in.table); err != nil {
		return nil, err
	}
	plan.keys = plan.t.keys
	if in.index != "" {
		i := slices.IndexFunc(plan.t.indexes, func(x *index) bool { return x.name == in.index })
		if i < 0 {
			return nil, Validation("The table does not have the specified index: " + in.index)
		}
		plan.x = plan.t.indexes[i]
		plan.keys = plan.x.keys
		if plan.x.global && in.consistent {
			return nil, Validation("Consistent reads are not supported on global secondary indexes")
		}
	}
	if !in.isQuery {
		return plan, nil
	}
	for _, p := range plan.filter.paths() {
		if contains(plan.keys.attributes(), p[0].name) {
			return nil, Validation("Filter Expression can only contain non-primary key attributes: Primary key attribute: " + p[0].name)
		}
	}
	return plan, plan.keyCondition(condition)
}

// keyCondition enforces "Key condition expressions for the Query operation in DynamoDB": the hash key equals a value, and at
// most one condition on the sort key.
func (plan *pagePlan) keyCondition(condition *expression) *Error {
	hashed := false
	for _, e := range condition.conjuncts() {
		if len(e.operands) < 2 || e.operands[0].path == nil || len(e.operands[0].path) != 1 {
			return Validation("Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: " + e.op)
		}
		name := e.operands[0].path[0].name
		for _, o := range e.operands[1:] {
			if o.value == nil {
				return Validation("Invalid KeyConditionExpression: Operand is not a value")
			}
			if contains(plan.keys.attributes(), name) && o.value.Type != plan.t.types[name] {
				return Validation("One or more parameter values were invalid: Condition parameter type does not match schema type")
			}
		}
		switch {
		case name == plan.keys.hash && e.op == "=" && !hashed:
			v := e.operands[1].value
			if err := checkKeyValue(name, v, true); err != nil {
				return err
			}
			plan.hash, hashed = encodeKey(v), true
		case name == plan.keys.sort && name != "" && plan.sortTest == nil && contains(sortOperators, e.op):
			plan.sortTest = e
		case name == plan.keys.hash || name == plan.keys.sort:
			return Validation("Query key condition not supported")
		default:
			return Validation("Query condition missed key schema element: " + plan.missing(hashed))
		}
	}
	if !hashed {
		return Validation("Query condition missed key schema element: " + plan.keys.hash)
	}
	return nil
}

var sortOperators = []string{"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"}

func (plan *pagePlan) missing(hashed bool) string {
	if hashed && plan.keys.sort != "" {
		return plan.keys.sort
	}
	return plan.keys.hash
}

// pageRow is a row with what places it in the order of an index: the index's keys, then the table's.
type pageRow struct {
	row
	order []string
}

// rows are the rows that the key condition selects, in order. A Query of the table costs no more than its partition; of an
// index, a pass over the table.
func (plan *pagePlan) rows(in *pageRequest) []pageRow {
	var rows []pageRow
	add := func(r row) {
		if plan.sortTest == nil || plan.sortTest.matches(r.item) {
			rows = append(rows, pageRow{r, plan.order(r.item)})
		}
	}
	switch {
	case in.isQuery && plan.x == nil:
		if p := plan.t.partitions[plan.hash]; p != nil {
			for _, r := range p.rows {
				add(r)
			}
		}
	case plan.x == nil:
		for _, hash := range plan.t.hashOrder() {
			if in.segments > 0 && hashString(hash)%uint64(in.segments) != uint64(in.segment) {
				continue
			}
			for _, r := range plan.t.partitions[hash].rows {
				add(r)
			}
		}
	default:
		for _, hash := range plan.t.hashOrder() {
			for _, r := range plan.t.partitions[hash].rows {
				if plan.x.holds(r.item) && (!in.isQuery || encodeKey(r.item.Get(plan.keys.hash)) == plan.hash) {
					r.item = plan.x.project(plan.t, r.item)
					r.size = r.item.size()
					add(r)
				}
			}
		}
		slices.SortStableFunc(rows, func(a, b pageRow) int { return slices.Compare(a.order, b.order) })
	}
	if in.isQuery && in.backward {
		slices.Reverse(rows)
	}
	return rows
}

func (plan *pagePlan) order(item Item) []string {
	var order []string
	for _, name := range plan.startNames() {
		order = append(order, encodeKey(item.Get(name)))
	}
	return order
}

// startNames are the attributes of LastEvaluatedKey: the index's key and the table's.
func (plan *pagePlan) startNames() []string {
	names := plan.keys.attributes()
	if plan.x != nil {
		for _, n := range plan.t.keys.attributes() {
			if !contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// after drops the rows up to ExclusiveStartKey, which need not exist any more.
func (plan *pagePlan) after(in *pageRequest, rows []pageRow) ([]pageRow, *Error) {
	if in.start == nil {
		return rows, nil
	}
	names := plan.startNames()
	for _, n := range names {
		if v := in.start.Get(n); v == nil || v.Type != plan.t.types[n] || len(in.start) != len(names) {
			return nil, Validation("The provided starting key is invalid")
		}
	}
	if in.isQuery && encodeKey(in.start.Get(plan.keys.hash)) != plan.hash {
		return nil, Validation("The provided starting key is outside query boundaries based on provided conditions")
	}
	order := plan.order(in.start)
	scanOrder := func(a, b []string) int {
		if !in.isQuery && plan.x == nil && a[0] != b[0] {
			if ha, hb := hashString(a[0]), hashString(b[0]); ha != hb {
				if ha < hb {
					return -1
				}
				return 1
			}
		}
		return slices.Compare(a, b)
	}
	for i, r := range rows {
		c := scanOrder(r.order, order)
		if in.isQuery && in.backward {
			c = -c
		}
		if c > 0 {
			return rows[i:], nil
		}
	}
	return nil, nil
}

// answer reads up to Limit rows and 1 MB, before the filter, and answers what the filter lets through. Where it stops for
// Limit it gives a LastEvaluatedKey even if nothing follows, as the service does.
func (plan *pagePlan) answer(in *pageRequest, rows []pageRow) []byte {
	var items []byte
	count, scanned, size := 0, 0, 0
	more := false
	for _, r := range rows {
		if scanned > 0 && size+r.size > maxPage {
			more = true
			break
		}
		scanned++
		size += r.size
		if plan.filter.matches(r.item) {
			count++
			if in.selects != "COUNT" {
				items = project(r.item, plan.paths).appendJSON(comma(items), false)
			}
		}
		if in.limited && scanned == in.limit {
			more = true
			break
		}
	}
	b := []byte("{")
	if in.selects != "COUNT" {
		b = append(append(append(b, `,"Items":[`...), items...), ']')
	}
	b = append(b, `,"Count":`+strconv.Itoa(count)+`,"ScannedCount":`+strconv.Itoa(scanned)...)
	if more {
		var last Item
		for _, n := range plan.startNames() {
			last = append(last, Attribute{n, *rows[scanned-1].item.Get(n)})
		}
		b = last.appendJSON(append(b, `,"LastEvaluatedKey":`...), false)
	}
	k := capacity{mode: in.mode}
	k.read(plan.t, plan.x, size, in.consistent)
	return object(k.appendMember(b, false))
}
