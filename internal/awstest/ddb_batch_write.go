package awstest

import "strconv"

const maxBatchWrite = 25 // "BatchWriteItem" (API reference): up to 25 puts and deletes in a call

// batchWrite is a BatchWriteItem request as read: Call.Entries has the items, and raw the text of each request, to send back
// if it is unprocessed.
type batchWrite struct {
	tables   []string // in the order of the request
	raw      []string
	capacity string
	problem  *Error
}

func (d *DynamoDB) batchWriteItem(c *Call, r *jsonReader) effect {
	in := &batchWrite{}
	items := &itemReader{jsonReader: r}
	r.object(func(member string) {
		switch member {
		case "RequestItems":
			r.object(func(table string) { in.readTable(c, items, table) })
		case "ReturnConsumedCapacity":
			in.capacity = r.str()
		default:
			r.skip()
		}
	})
	if len(in.tables) == 1 {
		c.Resource = in.tables[0]
	}
	in.problem = items.problem
	return func(c *Call, f *Fault) ([]byte, *Error) { return d.writeBatch(c, in, f) }
}

func (in *batchWrite) readTable(c *Call, r *itemReader, table string) {
	in.tables = append(in.tables, table)
	r.array(func() {
		r.peek()
		start := r.pos
		e := Entry{Table: table}
		kinds := 0
		r.object(func(kind string) {
			kinds++
			e.Delete = kind == "DeleteRequest"
			r.object(func(member string) {
				if member == "Item" || member == "Key" {
					e.Item = r.item(0)
				} else {
					r.skip()
				}
			})
		})
		if kinds != 1 {
			r.refuse("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		c.Entries = append(c.Entries, e)
		in.raw = append(in.raw, r.s[start:r.pos])
	})
}

// writeBatch enforces BatchWriteItem's rules in the service's order, before any effect: one bad item fails them all.
func (d *DynamoDB) writeBatch(c *Call, in *batchWrite, f *Fault) ([]byte, *Error) {
	if err := in.check(c); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	keys, err := d.checkBatch(c)
	if err != nil {
		return nil, err
	}
	k := capacity{mode: in.capacity}
	var unprocessed []int
	for i, e := range c.Entries {
		if f.Unprocessed != nil && f.Unprocessed(i, e) {
			unprocessed = append(unprocessed, i)
			continue
		}
		d.apply(c, i, keys[i], &k)
	}
	b := append([]byte(nil), `{"UnprocessedItems":{`...)
	for n, i := range unprocessed {
		table := c.Entries[i].Table
		switch {
		case n == 0:
			b = append(appendJSONString(b, table), `:[`...)
		case c.Entries[unprocessed[n-1]].Table != table:
			b = append(appendJSONString(append(b, `],`...), table), `:[`...)
		default:
			b = append(b, ',')
		}
		b = append(b, in.raw[i]...)
	}
	if len(unprocessed) > 0 {
		b = append(b, ']')
	}
	return append(k.appendMember(append(b, '}'), true), '}'), nil
}

// check enforces what needs no table: the number of requests, values and sizes.
func (in *batchWrite) check(c *Call) *Error {
	n := len(c.Entries)
	switch {
	case len(in.tables) == 0:
		return Validation("1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case n > maxBatchWrite && len(in.tables) > 1:
		return Validation("Too many items requested for the BatchWriteItem call")
	case n > maxBatchWrite || n == 0:
		return Validation("1 validation error detected: Value '{" + in.tables[0] + "=[" + strconv.Itoa(n) + " requests]}' at 'requestItems' failed to satisfy constraint: " +
			"Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]")
	case in.problem != nil:
		return in.problem
	}
	for _, e := range c.Entries {
		if !e.Delete && e.Item.size() > maxItemSize {
			return Validation("Item size has exceeded the maximum allowed size")
		}
	}
	return nil
}

// checkBatch enforces the tables' rules, and that no key comes twice. It requires that d.mu be held.
func (d *DynamoDB) checkBatch(c *Call) ([]rowKey, *Error) {
	keys := make([]rowKey, len(c.Entries))
	for i, e := range c.Entries {
		t, err := d.table(e.Table)
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

// apply carries out one write that has been checked. It requires that d.mu be held.
func (d *DynamoDB) apply(c *Call, i int, key rowKey, k *capacity) (old row, replaced bool) {
	e := &c.Entries[i]
	t := d.tables[e.Table]
	if e.Delete {
		old, replaced = t.remove(key)
		k.write(t, old.item, nil, old.size, 0)
	} else {
		size := e.Item.size()
		old, replaced = t.put(key, e.Item, size)
		k.write(t, old.item, e.Item, old.size, size)
	}
	d.record(c, i, t, replaced)
	return old, replaced
}
