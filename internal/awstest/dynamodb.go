package awstest

import (
	"strings"
	"sync"
	"time"
)

// DynamoDB is a fake of Amazon DynamoDB: an http.Handler whose state is in memory. Make it with [NewDynamoDB]; inside a
// bubble, if it is to be used there.
type DynamoDB struct {
	server

	mu     sync.Mutex // guards what follows
	tables map[string]*table
	writes []writeRecord
}

// NewDynamoDB makes a fake without tables.
func NewDynamoDB() *DynamoDB {
	d := &DynamoDB{server: newServer("DynamoDB_20120810"), tables: make(map[string]*table)}
	d.crc = true
	d.maxBody = 16 << 20 // "Quotas in Amazon DynamoDB", BatchWriteItem
	d.ended = d.recordUnapplied
	d.operations = map[string]operation{
		"CreateTable":        d.createTable,
		"DeleteTable":        d.deleteTable,
		"DescribeTable":      d.describeTable,
		"ListTables":         d.listTables,
		"UpdateTimeToLive":   d.updateTimeToLive,
		"DescribeTimeToLive": d.describeTimeToLive,
		"BatchWriteItem":     d.batchWriteItem,
		"BatchGetItem":       d.batchGetItem,
		"PutItem":            d.putItem,
		"GetItem":            d.getItem,
		"DeleteItem":         d.deleteItem,
		"Query":              d.query,
		"Scan":               d.scan,
	}
	return d
}

// Write is one write of one item that a client asked for.
type Write struct {
	Operation string
	// Call is the number of the call of that operation, as in Call.N.
	Call  int
	Table string
	// Key is the primary key for people: the hash key, then "/" and the sort key if there is one.
	Key string
	// Item is what was put; of a delete, the key.
	Item   Item
	Delete bool
	// Applied says that it took effect, at At. One that did not came back unprocessed, failed its condition, or was in a call
	// that failed.
	Applied bool
	At      time.Time
	// Start and End are those of the call; End is zero while the call is under way.
	Start, End time.Time
	// Replaced says that there was an item before.
	Replaced bool
}

// writeRecord is a Write whose call may still be under way.
type writeRecord struct {
	Write
	call *Call
}

// Writes are all writes asked for so far, if recording: those that took effect in the order of their effects, each of the
// others where its call ended.
func (d *DynamoDB) Writes() []Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logMu.Lock()
	defer d.logMu.Unlock()
	writes := make([]Write, len(d.writes))
	for i, w := range d.writes {
		writes[i] = w.Write
		writes[i].End = w.call.End
	}
	return writes
}

// OverlappingWrites are the pairs of writes of one key whose calls were under way at the same time, which the worker must
// never cause. Calls that end and start at the same instant do not overlap.
func (d *DynamoDB) OverlappingWrites() (pairs [][2]Write) {
	byKey := make(map[string][]Write)
	for _, w := range d.Writes() {
		id := w.Table + "\x00" + w.Key
		for _, other := range byKey[id] {
			if (other.End.IsZero() || w.Start.Before(other.End)) && (w.End.IsZero() || other.Start.Before(w.End)) &&
				(other.Operation != w.Operation || other.Call != w.Call) {
				pairs = append(pairs, [2]Write{other, w})
			}
		}
		byKey[id] = append(byKey[id], w)
	}
	return pairs
}

// record adds a write that took effect. It requires that d.mu be held.
func (d *DynamoDB) record(c *Call, i int, t *table, replaced bool) {
	c.Entries[i].applied = true
	if !d.recording() {
		return
	}
	w := newWrite(c, i)
	w.Key, w.Applied, w.At, w.Replaced = t.keyText(w.Item), true, time.Now(), replaced
	d.writes = append(d.writes, w)
}

func newWrite(c *Call, i int) writeRecord {
	e := c.Entries[i]
	return writeRecord{call: c, Write: Write{Operation: c.Operation, Call: c.N, Table: e.Table, Item: e.Item, Delete: e.Delete, Start: c.Start}}
}

// recordUnapplied adds the writes of a call that had no effect.
func (d *DynamoDB) recordUnapplied(c *Call) {
	if c.Operation != "BatchWriteItem" && c.Operation != "PutItem" && c.Operation != "DeleteItem" || !d.recording() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range c.Entries {
		if !e.applied {
			w := newWrite(c, i)
			if t := d.tables[e.Table]; t != nil {
				w.Key = t.keyText(e.Item)
			}
			d.writes = append(d.writes, w)
		}
	}
}

// table finds a table. It requires that d.mu be held.
func (d *DynamoDB) table(name string) (*table, *Error) {
	t := d.tables[name]
	if t == nil {
		return nil, resourceNotFound("Requested resource not found")
	}
	return t, nil
}

// Items are the items of a table, in the order of their hash keys' text and then their sort keys.
func (d *DynamoDB) Items(table string) []Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[table]
	if t == nil {
		return nil
	}
	items := make([]Item, 0, t.count)
	for _, hash := range sorted(t.partitions) {
		for _, r := range t.partitions[hash].rows {
			items = append(items, r.item)
		}
	}
	return items
}

// ItemCount is the number of items of a table.
func (d *DynamoDB) ItemCount(table string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tables[table]; t != nil {
		return t.count
	}
	return 0
}

// Item finds an item by the text of its key: the hash key's and, where the table has one, the sort key's, which may be in any
// notation for a number. It is nil if there is none.
func (d *DynamoDB) Item(table, hash string, sort ...string) Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[table]
	if t == nil {
		return nil
	}
	k := rowKey{hash: encodeKey(&Value{Type: t.types[t.keys.hash], Text: hash})}
	if t.keys.sort != "" {
		k.sort = encodeKey(&Value{Type: t.types[t.keys.sort], Text: strings.Join(sort, "")})
	}
	if r := t.get(k); r != nil {
		return r.item
	}
	return nil
}

// ExpireTTL deletes the items whose TTL attribute is a number of seconds that is over at now, as the service does some time
// within days; it leaves alone what ended over five years ago ("Using time to live (TTL) in DynamoDB"). It returns how many.
func (d *DynamoDB) ExpireTTL(table string, now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[table]
	if t == nil || t.ttl == "" {
		return 0
	}
	var over []rowKey
	for _, p := range t.partitions {
		for _, r := range p.rows {
			v := r.item.Get(t.ttl)
			if v == nil || v.Type != "N" {
				continue
			}
			at, err := parseNumber(v.Text)
			if err != nil {
				continue
			}
			end := at.sortable()
			if end <= secondsKey(now) && end > secondsKey(now.AddDate(-5, 0, 0)) {
				over = append(over, t.key(r.item))
			}
		}
	}
	for _, k := range over {
		t.remove(k)
	}
	return len(over)
}

func secondsKey(at time.Time) string {
	return encodeKey(&Value{Type: "N", Text: itoa64(at.Unix())})
}
