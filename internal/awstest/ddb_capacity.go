package awstest

import "strconv"

// capacity adds up what a call consumed ("DynamoDB read and write operations"), for ReturnConsumedCapacity.
type capacity struct {
	mode   string // ReturnConsumedCapacity: "", NONE, TOTAL or INDEXES
	order  []string
	tables map[string]*tableCapacity
}

type tableCapacity struct {
	table   float64
	indexes map[string]float64
	global  map[string]bool
}

func (k *capacity) of(t *table) *tableCapacity {
	c := k.tables[t.name]
	if c == nil {
		if k.tables == nil {
			k.tables = make(map[string]*tableCapacity)
		}
		c = &tableCapacity{indexes: make(map[string]float64), global: make(map[string]bool)}
		k.tables[t.name] = c
		k.order = append(k.order, t.name)
	}
	return c
}

func (k *capacity) wanted() bool { return k.mode == "TOTAL" || k.mode == "INDEXES" }

// write counts a put (old may be nil) or a delete (item is nil): the larger of the two items by the started KB, at least one
// unit, and the same in each index whose entry changes.
func (k *capacity) write(t *table, old, item Item, oldSize, size int) {
	if !k.wanted() {
		return
	}
	c := k.of(t)
	c.table += units(max(oldSize, size), 1024)
	for _, x := range t.indexes {
		if n := x.writeUnits(t, old, item); n > 0 {
			c.indexes[x.name] += n
			c.global[x.name] = x.global
		}
	}
}

// writeUnits follows "Provisioned throughput considerations for Global Secondary Indexes": an entry that is new, changed or
// gone costs one write, and one whose key changes two.
func (x *index) writeUnits(t *table, old, item Item) float64 {
	had, has := old != nil && x.holds(old), item != nil && x.holds(item)
	var before, after Item
	if had {
		before = x.project(t, old)
	}
	if has {
		after = x.project(t, item)
	}
	switch {
	case had && has:
		if before.JSON() == after.JSON() {
			return 0
		}
		for _, name := range x.keys.attributes() {
			if encodeKey(before.Get(name)) != encodeKey(after.Get(name)) {
				return units(before.size(), 1024) + units(after.size(), 1024)
			}
		}
		return units(max(before.size(), after.size()), 1024)
	case had:
		return units(before.size(), 1024)
	case has:
		return units(after.size(), 1024)
	}
	return 0
}

// read counts bytes read: by the started 4 KB, half if the read is eventually consistent.
func (k *capacity) read(t *table, x *index, size int, consistent bool) {
	if !k.wanted() {
		return
	}
	n := units(size, 4096)
	if !consistent {
		n /= 2
	}
	c := k.of(t)
	if x == nil {
		c.table += n
		return
	}
	c.indexes[x.name] += n
	c.global[x.name] = x.global
}

func units(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }

// appendMember appends ,"ConsumedCapacity":… : a list for a batch call, one element otherwise.
func (k *capacity) appendMember(b []byte, list bool) []byte {
	if !k.wanted() || len(k.order) == 0 {
		return b
	}
	b = append(b, `,"ConsumedCapacity":`...)
	if list {
		b = append(b, '[')
	}
	for i, name := range k.order {
		if i > 0 {
			b = append(b, ',')
		}
		b = k.appendTable(b, name, k.tables[name])
	}
	if list {
		b = append(b, ']')
	}
	return b
}

func (k *capacity) appendTable(b []byte, name string, c *tableCapacity) []byte {
	total := c.table
	for _, n := range c.indexes {
		total += n
	}
	b = appendJSONString(append(b, `{"TableName":`...), name)
	b = appendUnits(append(b, `,"CapacityUnits":`...), total)
	if k.mode == "INDEXES" {
		b = append(appendUnits(append(b, `,"Table":{"CapacityUnits":`...), c.table), '}')
		b = c.appendIndexes(b, `,"LocalSecondaryIndexes":{`, false)
		b = c.appendIndexes(b, `,"GlobalSecondaryIndexes":{`, true)
	}
	return append(b, '}')
}

func (c *tableCapacity) appendIndexes(b []byte, open string, global bool) []byte {
	n := 0
	for _, name := range sorted(c.indexes) {
		if c.global[name] != global {
			continue
		}
		if n == 0 {
			b = append(b, open...)
		} else {
			b = append(b, ',')
		}
		n++
		b = appendJSONString(b, name)
		b = append(appendUnits(append(b, `:{"CapacityUnits":`...), c.indexes[name]), '}')
	}
	if n > 0 {
		b = append(b, '}')
	}
	return b
}

func appendUnits(b []byte, n float64) []byte { return strconv.AppendFloat(b, n, 'f', 1, 64) }
