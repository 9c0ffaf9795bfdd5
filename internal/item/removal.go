package item

import (
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// A Removal says whether and how the write of an Item deletes the item of its key, instead of putting one.
type Removal uint8

// The removals.
const (
	// NoRemoval is a put.
	NoRemoval Removal = iota
	// Unconditional deletes what has the key: nothing newer than the Item's version can have it.
	Unconditional
	// IfNotNewer deletes what has the key unless it is newer than the Item's version.
	IfNotNewer
)

// NewRemoval returns an Item whose write removes what a delete hides. k is the key of a prediction with the given event time, which is
// not later than the delete's, and size its size or an estimate. The Item has the delete's version, so that it is ordered among the
// key's other writes.
func (l *Layout) NewRemoval(k Key, event prediction.Time, deleted prediction.Version, size int) *Item {
	it := &Item{Key: k, Version: deleted, Size: size, Removal: IfNotNewer, layout: l}
	// In an older sort unit than the delete's, every version is older. The first comparison finds keys in another sort unit, by which
	// nothing can be said.
	if l.Kind == Versioned && !l.Ordered && k.Sort == event.In(l.PerSecond) && k.Sort < deleted.Event.In(l.PerSecond) {
		it.Removal = Unconditional
	}
	return it
}

// AppendKey appends the item's primary key in DynamoDB's JSON.
func (it *Item) AppendKey(dst []byte) []byte { return it.layout.AppendKey(dst, it.Key) }

// AppendKey appends a primary key in DynamoDB's JSON.
func (l *Layout) AppendKey(dst []byte, k Key) []byte {
	dst = l.AppendID(appendName(append(dst, '{'), l.HashKey), k.ID)
	if l.SortKey != "" {
		dst = append(appendName(append(dst, ','), l.SortKey), `{"N":"`...)
		dst = append(k.AppendSort(dst), `"}`...)
	}
	return append(dst, '}')
}

// AppendID appends the value of a partition key in DynamoDB's JSON.
func (l *Layout) AppendID(dst []byte, id string) []byte {
	if l.HashType == TypeN {
		return append(append(append(dst, `{"N":"`...), id...), `"}`...)
	}
	return append(jsonscan.AppendQuoted(append(dst, `{"S":`...), id), '}')
}
