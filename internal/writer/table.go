package writer

import (
	"context"
	"errors"

	"github.com/predcache/predcache/internal/item"
)

// A Table writes items by one kind of call: BatchWriteItem, or PutItem or DeleteItem on condition that the table has no newer version.
// It returns a result for each item. Writing an item twice must have the same effect as writing it once.
type Table interface {
	// MaxItems returns the maximum number of items of one call, up to this package's MaxItems.
	MaxItems() int
	// Write makes one call with items of different keys, and sets the result of each item at its index. results has the
	// length of items and holds zero Results. A result that is not set counts as a failure.
	Write(ctx context.Context, items []*item.Item, results []Result)
}

// A Result is the result of one item of a call.
type Result struct {
	Kind Kind
	// Err is the reason why the item was not written. It is nil for Written, Superseded and Unprocessed.
	Err error
}

// A Kind is a kind of Result.
type Kind uint8

// The kinds. Of the kinds that are retried, a later one says more about the table: see tallyOf.
const (
	// NoResult is the zero value: the Table set no result. It counts as Failed.
	NoResult Kind = iota
	// Written means that the item is durable.
	Written
	// Superseded means that the table has a newer version of the key, so the item is not needed.
	Superseded
	// Unprocessed means that the call took other items, but not this one. It can be written later.
	Unprocessed
	// Throttled means that the call exceeded the table's capacity.
	Throttled
	// HotKey means that the call exceeded the capacity of its keys' partition. The table may accept other keys.
	HotKey
	// Invalid means that this item can never be written. A removal that the role may not make is Invalid too, not Refused: the table
	// takes other writes.
	Invalid
	// Suspect means that the call was refused because at least one of its items can never be written. The writer finds
	// it by calls with half of the items. A suspect that is alone in its call is treated as Invalid.
	Suspect
	// Failed means that there was no usable answer. The item may or may not have been written.
	Failed
	// Refused means that the table refuses every write until an operator acts: access is denied, or the table does not exist.
	Refused
)

func (k Kind) String() string {
	return [...]string{"no result", "written", "superseded", "unprocessed", "throttled", "hot key", "invalid", "suspect", "failed", "refused"}[k]
}

var errNoResult = errors.New("the table returned no result for the item")

// SetAll sets the same result for every item of a call.
func SetAll(results []Result, r Result) {
	for i := range results {
		results[i] = r
	}
}

// CallError returns the error of a whole call. It is nil if at least one item was Written, Superseded or Unprocessed.
func CallError(results []Result) error {
	var err error
	for i := range results {
		switch r := &results[i]; {
		case r.Kind == Written || r.Kind == Superseded || r.Kind == Unprocessed:
			return nil
		case r.Err != nil:
			err = r.Err
		case r.Kind == NoResult:
			err = errNoResult
		}
	}
	return err
}
