// Package item is the item contract: how the table stores a prediction. Writer and reader share it, so that keys, expiry and
// encodings have one definition.
package item

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is one of the three table layouts.
type Kind string

// The table layouts.
const (
	Versioned    Kind = "versioned"     // id and event time: each version of a prediction is an item
	ExpirySorted Kind = "expiry-sorted" // id and expiry, which is also the TTL attribute
	LatestOnly   Kind = "latest-only"   // only id: a newer version replaces an older one
)

// KeyType is the declared type of a key attribute.
type KeyType string

// The key types of DynamoDB.
const (
	TypeS KeyType = "S"
	TypeN KeyType = "N"
	TypeB KeyType = "B"
)

// Encoding is the way a payload is stored.
type Encoding string

// The encodings. An item names its encoding in the attribute "encoding", unless it is JSON.
const (
	JSON Encoding = "json" // S: JSON text
	Map  Encoding = "map"  // native attributes
	Zstd Encoding = "zstd" // B: compressed JSON text, where that saves a write unit
)

// The attributes of an item beside its key and the TTL attribute.
const (
	AttrTimestamp = "timestamp"  // N: event time in sort units, or expiry in the expiry-sorted layout
	AttrCreatedAt = "createdAt"  // N: event time in seconds, at full precision
	AttrPayload   = "prediction" // the payload
	AttrEncoding  = "encoding"   // S: the Encoding, unless it is JSON
	AttrDeleted   = "deleted"    // BOOL: true marks a tombstone, which has no payload and no other attributes
	// AttrSent orders predictions of one event time under WORKER_ORDERING=newest. N: the sent time in milliseconds, with the
	// place in the message as decimals. The prefix keeps publishers from using the name by chance.
	AttrSent = "predcache.sent"
)

// A Layout defines the attributes of an item and their types.
type Layout struct {
	Kind         Kind
	HashKey      string
	HashType     KeyType // TypeS or TypeN
	SortKey      string  // empty for LatestOnly
	PerSecond    uint64  // sort units per second: 1 or 1000
	TTLAttribute string  // SortKey for ExpirySorted
	Encoding     Encoding
	Indexes      map[string]IndexKey
	Ordered      bool // items have AttrSent and replace only older versions of their key
}

// A Table is the schema of a table, from DynamoDB or from the settings.
type Table struct {
	HashKey      string
	HashType     KeyType
	SortKey      string // empty if there is none
	SortType     KeyType
	TTLAttribute string // empty if TTL is off
	Indexes      map[string]IndexKey
}

// An IndexKey is what the table's indexes require of an attribute in their keys.
type IndexKey struct {
	Type     KeyType
	MaxBytes int // MaxHashBytes, or MaxSortBytes for the sort key of an index
}

// Options are the parts of a Layout that the table does not determine.
type Options struct {
	PerSecond  uint64
	Encoding   Encoding
	AllowNoTTL bool
	Ordered    bool // see Layout
}

// defaultTTLAttribute is used when TTL is off and Options allow it. Readers filter by it.
const defaultTTLAttribute = "expiresAt"

// NewLayout returns the layout of a table. If the worker can't serve the table, the error joins every reason with its
// remedy.
func NewLayout(t Table, o Options) (*Layout, error) {
	l := &Layout{
		Kind: LatestOnly, HashKey: t.HashKey, HashType: t.HashType, SortKey: t.SortKey,
		PerSecond: o.PerSecond, TTLAttribute: t.TTLAttribute, Encoding: o.Encoding, Indexes: t.Indexes, Ordered: o.Ordered,
	}
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if t.HashType != TypeS && t.HashType != TypeN {
		refuse("the hash key %q is of type %s: a prediction's id is a string or a number, so use a table whose hash key is S or N", t.HashKey, t.HashType)
	}
	if t.SortKey != "" {
		l.Kind = Versioned
		if t.SortType != TypeN {
			refuse("the sort key %q is of type %s: it holds a time since the epoch, so use a table whose sort key is N", t.SortKey, t.SortType)
		}
		if t.TTLAttribute == t.SortKey {
			l.Kind = ExpirySorted
			if o.PerSecond != 1 {
				refuse("the sort key %q is the TTL attribute, which DynamoDB reads as seconds: set WORKER_SORT_UNIT=s", t.SortKey)
			}
		}
	}
	if t.TTLAttribute == "" {
		l.TTLAttribute = defaultTTLAttribute
		if !o.AllowNoTTL {
			refuse("TTL is off, so the table would grow for ever: switch it on (attribute %q for a new table), or set WORKER_ALLOW_NO_TTL=true", defaultTTLAttribute)
		}
	}
	seen := map[string]bool{}
	for _, name := range l.names() {
		if seen[name] {
			refuse("the attribute %q would hold two things: rename the table's key or its TTL attribute", name)
		}
		seen[name] = true
	}
	for name, index := range t.Indexes {
		own, found := l.ownType(name)
		switch {
		case name == AttrPayload && o.Encoding == Zstd:
			refuse("an index has the attribute %q in its key, but under WORKER_PAYLOAD_ENCODING=zstd it is S or B by its length: use another attribute in that index, or another encoding", name)
		case found && own != index.Type:
			refuse("an index declares the attribute %q as %s, but the worker writes it as %s: use another attribute in that index", name, index.Type, own)
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	return l, nil
}

// names lists the attributes that every item may have. A name that occurs twice would have to hold two values.
func (l *Layout) names() []string {
	names := []string{l.HashKey, AttrCreatedAt, AttrPayload, AttrEncoding, AttrDeleted, l.TTLAttribute}
	switch l.Kind {
	case Versioned:
		names = append(names, l.SortKey)
	case LatestOnly:
		if l.TTLAttribute != AttrTimestamp {
			names = append(names, AttrTimestamp)
		}
	}
	return names
}

// reserved reports whether the worker writes this attribute itself.
func (l *Layout) reserved(name string) bool {
	switch name {
	case AttrCreatedAt, AttrPayload, AttrEncoding, AttrDeleted, AttrTimestamp, AttrSent, l.HashKey, l.SortKey, l.TTLAttribute:
		return true
	}
	return false
}

// ownType returns the type of an attribute that the worker writes. It returns false for others and for a payload under Map,
// whose type varies by item.
func (l *Layout) ownType(name string) (KeyType, bool) {
	switch name {
	case l.HashKey:
		return l.HashType, true
	case AttrCreatedAt, l.SortKey, l.TTLAttribute, AttrTimestamp, AttrSent:
		return TypeN, true
	case AttrEncoding:
		return TypeS, true
	case AttrDeleted:
		return "BOOL", true
	case AttrPayload:
		if l.Encoding == Map {
			return "", false
		}
		return TypeS, true
	}
	return "", false
}
