package dynamodbfake

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// table is one DynamoDB table, guarded by Service.mu.
type table struct {
	name       string
	id         string
	created    time.Time
	keys       keySchema
	types      map[string]string // of the attributes in keys, from AttributeDefinitions
	indexes    []*index
	billing    string
	throughput throughput
	warm       warmThroughput
	ttl        string    // the attribute; "" if TTL is off
	ttlChanged time.Time // by UpdateTimeToLive
	partitions map[string]*partition
	order      []string // hash keys for Scan, nil if out of date
	count      int
	bytes      int
}

// keySchema names a hash key and, unless "", a sort key.
type keySchema struct{ hash, sort string }

func (k keySchema) attributes() []string {
	if k.sort == "" {
		return []string{k.hash}
	}
	return []string{k.hash, k.sort}
}

// partition holds the items of one hash key, by sort key.
type partition struct{ rows []row }

type row struct {
	sort string // encoded so that strings order as keys do
	item attribute.Item
	size int
}

func (t *table) arn() string {
	return "arn:aws:dynamodb:" + awstest.Region + ":" + awstest.Account + ":table/" + t.name
}

// find is where the sort key is, or would be.
func (p *partition) find(sort string) (int, bool) {
	// A table that grows by time appends, which costs one comparison.
	if n := len(p.rows); n > 0 && p.rows[n-1].sort < sort {
		return n, false
	}
	return slices.BinarySearchFunc(p.rows, sort, func(r row, sort string) int { return strings.Compare(r.sort, sort) })
}

// rowKey is a primary key, encoded.
type rowKey struct{ hash, sort string }

func (t *table) get(k rowKey) *row {
	p := t.partitions[k.hash]
	if p == nil {
		return nil
	}
	i, found := p.find(k.sort)
	if !found {
		return nil
	}
	return &p.rows[i]
}

// put stores an item and returns the row that it replaces, which is empty if there was none.
func (t *table) put(k rowKey, item attribute.Item, size int) (old row) {
	p := t.partitions[k.hash]
	if p == nil {
		p = &partition{}
		t.partitions[k.hash] = p
		t.order = nil
	}
	i, found := p.find(k.sort)
	if found {
		old, p.rows[i] = p.rows[i], row{k.sort, item, size}
	} else {
		t.count++
		p.rows = slices.Insert(p.rows, i, row{k.sort, item, size})
	}
	t.bytes += size - old.size
	return old
}

// remove deletes an item and returns its row, which is empty if there was none.
func (t *table) remove(k rowKey) (old row) {
	p := t.partitions[k.hash]
	if p == nil {
		return row{}
	}
	i, found := p.find(k.sort)
	if !found {
		return row{}
	}
	old = p.rows[i]
	p.rows = slices.Delete(p.rows, i, i+1)
	if len(p.rows) == 0 {
		delete(t.partitions, k.hash)
		t.order = nil
	}
	t.count--
	t.bytes -= old.size
	return old
}

// hashOrder is the order in which Scan visits hash keys: stable and, like the service's, without meaning.
func (t *table) hashOrder() []string {
	if t.order == nil {
		t.order = slices.SortedFunc(maps.Keys(t.partitions), compareHash)
	}
	return t.order
}

func compareHash(a, b string) int {
	return cmp.Or(cmp.Compare(hashString(a), hashString(b)), cmp.Compare(a, b))
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return awstest.Mix(h)
}

// key takes the primary key of an item that has passed checkItem or checkKey.
func (t *table) key(item attribute.Item) rowKey {
	k := rowKey{hash: item[t.keys.hash].SortKey()}
	if t.keys.sort != "" {
		k.sort = item[t.keys.sort].SortKey()
	}
	return k
}

// keyText is a primary key for people: the hash key's text, then "/" and the sort key's if there is one.
func (t *table) keyText(item attribute.Item) string {
	if t.keys.sort == "" {
		return item.Text(t.keys.hash)
	}
	return item.Text(t.keys.hash) + "/" + item.Text(t.keys.sort)
}

// errKeyMismatch is the refusal of a key that is not the table's.
var errKeyMismatch = Validation("The provided key element does not match the schema")

// checkBatchItem is checkItem with BatchWriteItem's own refusal of a key that is missing or of the wrong type.
func (t *table) checkBatchItem(item attribute.Item) *awstest.Error {
	for _, name := range t.keys.attributes() {
		if v := item[name]; v.Type() != t.types[name] {
			return errKeyMismatch
		}
	}
	return t.checkItem(item)
}

// checkItem enforces the rules of an item to put: its key, and the keys of the table's indexes.
func (t *table) checkItem(item attribute.Item) *awstest.Error {
	for i, name := range t.keys.attributes() {
		v := item[name]
		if v == nil {
			return invalid("Missing the key " + name + " in the item")
		}
		if v.Type() != t.types[name] {
			return invalid("Type mismatch for key " + name + " expected: " + t.types[name] + " actual: " + v.Type())
		}
		if err := checkKeyValue(name, v, i == 0); err != nil {
			return err
		}
	}
	for _, x := range t.indexes {
		if err := x.check(t, item); err != nil {
			return err
		}
	}
	return nil
}

// checkKey enforces that a key has exactly the table's key attributes.
func (t *table) checkKey(key attribute.Item) *awstest.Error {
	names := t.keys.attributes()
	if len(key) != len(names) {
		return errKeyMismatch
	}
	for i, name := range names {
		v := key[name]
		if v.Type() != t.types[name] {
			return errKeyMismatch
		}
		if err := checkKeyValue(name, v, i == 0); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyValue(name string, v *attribute.Value, hash bool) *awstest.Error {
	if v.Type() != "N" && v.Text() == "" {
		return Validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " + typeName(v) + " value. Key: " + name)
	}
	return checkKeyLength(v, hash)
}

// The longest keys, in bytes ("Supported data types and naming rules in Amazon DynamoDB").
const maxHashLength, maxSortLength = 2048, 1024

func checkKeyLength(v *attribute.Value, hash bool) *awstest.Error {
	switch {
	case v.Type() == "N":
	case hash && len(v.Text()) > maxHashLength:
		return invalid("Size of hashkey has exceeded the maximum size limit of" + strconv.Itoa(maxHashLength) + " bytes")
	case !hash && len(v.Text()) > maxSortLength:
		return invalid("Aggregated size of all range keys has exceeded the size limit of " + strconv.Itoa(maxSortLength) + " bytes")
	}
	return nil
}

func typeName(v *attribute.Value) string {
	if v.Type() == "B" {
		return "binary"
	}
	return "string"
}
