package writer

import (
	"context"
	"errors"

	"github.com/predcache/predcache/internal/item"
)

// A Table is the table, as one kind of call writes it: BatchWriteItem, or PutItem on condition that no newer version is
// there. It returns a result for each item, and to write an item again is harmless.
type Table interface {
	// MaxItems is how many items one call may carry, at most MaxItems of this package.
	MaxItems() int
	// Write makes one call with items of different keys, and sets the result of each item at its index. results has the
	// length of items and holds zero Results. A result that is not set counts as a failure.
	Write(ctx context.Context, items []*item.Item, results []Result)
}

// A Result is what became of one item in one call.
type Result struct {
	Kind Kind
	// Err is why the item was not written. It is nil for Written, Superseded and Unprocessed.
	Err error
}

// A Kind is a kind of Result.
type Kind uint8

// The kinds. Of those that are tried again, a later one says more about the table: see tallyOf.
const (
	// NoResult is the zero value: the table did not say. It counts as Failed.
	NoResult Kind = iota
	// Written means that the item is durable.
	Written
	// Superseded means that the table has a newer version of the key, so the item is not needed.
	Superseded
	// Unprocessed means that the call took other items, but not this one. It can be written later.
	Unprocessed
	// Throttled means that the call was too much for the table at the moment.
	Throttled
	// HotKey means that the call was too much for the partition of its keys. The table may take other keys.
	HotKey
	// Invalid means that this item can never be written.
	Invalid
	// Suspect means that the call was refused because at least one of its items can never be written. The writer finds
	// it by calls with half of the items. The suspect of a call with one item is Invalid.
	Suspect
	// Failed means that there was no usable answer. The item may or may not have been written.
	Failed
	// Refused means that the table refuses whatever it is sent, until somebody acts: access is denied, or the table does
	// not exist.
	Refused
)

func (k Kind) String() string {
	return [...]string{"no result", "written", "superseded", "unprocessed", "throttled", "hot key", "invalid", "suspect", "failed", "refused"}[k]
}

var errNoResult = errors.New("the table returned no result for the item")

// SetAll gives every item of a call the same result.
func SetAll(results []Result, r Result) {
	for i := range results {
		results[i] = r
	}
}

// CallError returns the error of a call as a whole: that of its items, if it took none of them. It is nil if the table
// took at least one item or returned it as unprocessed.
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
