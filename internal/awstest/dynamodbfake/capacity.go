package dynamodbfake

import "github.com/predcache/predcache/internal/awstest/attribute"

// capacity adds up what a call consumed ("DynamoDB read and write operations"), by table in the order of their first use.
type capacity []consumedCapacity

type consumedCapacity struct {
	TableName     string
	CapacityUnits float64
}

func (k *capacity) add(t *table, units float64) {
	for i := range *k {
		if (*k)[i].TableName == t.name {
			(*k)[i].CapacityUnits += units
			return
		}
	}
	*k = append(*k, consumedCapacity{t.name, units})
}

// list is the answer of a batch call, if mode (ReturnConsumedCapacity) asks for it.
func (k capacity) list(mode string) []consumedCapacity {
	if mode != "TOTAL" {
		return nil
	}
	return k
}

// one is the answer of another call.
func (k capacity) one(mode string) *consumedCapacity {
	if mode != "TOTAL" {
		return nil
	}
	return &k[0]
}

// write counts a put (old may be empty) or a delete (item is nil): the larger of the two items by the started KB, at least
// one unit, and the same in each index whose entry changes.
func (k *capacity) write(t *table, old row, item attribute.Item, size int) {
	k.add(t, units(max(old.size, size), 1024))
	for _, x := range t.indexes {
		k.add(t, x.writeUnits(t, old.item, item))
	}
}

// read counts bytes read: by the started 4 KB, half if the read is eventually consistent.
func (k *capacity) read(t *table, size int, consistent bool) {
	n := units(size, 4096)
	if !consistent {
		n /= 2
	}
	k.add(t, n)
}

func units(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }
