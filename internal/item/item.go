package item

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// DynamoDB's limits ("Quotas in Amazon DynamoDB", "Constraints in Amazon DynamoDB").
const (
	MaxSize      = 400 << 10 // bytes of an item with its attribute names
	unitSize     = 1 << 10   // bytes per write unit
	MaxHashBytes = 2048      // bytes of a partition key of a table or index
	MaxSortBytes = 1024      // bytes of a sort key
)

// A Key is the primary key of an item. Sort is 0 if the table has no sort key.
type Key struct {
	ID   string
	Sort int64
	// Frac is the fraction of the sort key, in units of 1e-19. Only a tombstone of the versioned layout has one: see Layout.key.
	Frac uint64
}

// AppendSort appends the sort key as the table has it.
func (k Key) AppendSort(dst []byte) []byte {
	dst = strconv.AppendInt(dst, k.Sort, 10)
	if k.Frac == 0 {
		return dst
	}
	dst = fmt.Appendf(dst, ".%0*d", fracDigits, k.Frac)
	for dst[len(dst)-1] == '0' { // DynamoDB drops them too
		dst = dst[:len(dst)-1]
	}
	return dst
}

// fracDigits is the number of decimals of Key.Frac.
const fracDigits = 19

// An Item is a prediction as the table stores it, or a tombstone (see Version.Deleted), or the removal of one. It is measured when
// it is created and encoded only when it is sent. It must not be modified, but may be replaced as a whole.
type Item struct {
	Key     Key
	Version prediction.Version
	Expires int64  // epoch seconds
	Size    int    // as DynamoDB counts it
	Raw     string // the prediction's original JSON text
	Trace   any    // the prediction's trace, if tracing is on
	Queued  int64  // when the queue accepted its message, in milliseconds since the epoch; 0: from a file or an object
	Removal Removal
	// Hold is how long the write may wait for a newer version of the key, which is then written instead.
	Hold time.Duration

	layout     *Layout
	payload    jsonscan.Value
	compressed []byte // the compressed payload, if it is stored compressed
	attributes []prediction.Attribute
}

// New returns the item of a prediction, or the reason why the table can't hold it.
func (l *Layout) New(p *prediction.Prediction) (*Item, *prediction.Reject) {
	it := &Item{
		Version: p.Version, Expires: p.Expires, Raw: p.Raw,
		layout: l, payload: p.Payload, attributes: p.Attributes,
	}
	var why *prediction.Reject
	if it.Key, why = l.key(p); why != nil {
		return nil, why
	}
	if it.Size, why = l.fixedSize(it); why != nil {
		return nil, why
	}
	if p.Version.Deleted {
		return it, nil
	}
	for i := range p.Attributes {
		a := &p.Attributes[i]
		size, why := l.attribute(a)
		if why != nil {
			return nil, why
		}
		it.Size += size
	}
	if why := it.encodePayload(); why != nil {
		return nil, why
	}
	if it.Size > MaxSize {
		return nil, prediction.Rejectf(prediction.ReasonTooLarge, "", "the item would have %d bytes of DynamoDB's %d: send a smaller payload, fewer attributes, or set WORKER_PAYLOAD_ENCODING=zstd", it.Size, MaxSize)
	}
	return it, nil
}

// Units returns the write units that the item costs.
func (it *Item) Units() int { return Units(it.Size) }

// UnitsSaved returns the write units that compression saves compared to JSON text.
func (it *Item) UnitsSaved() int {
	if it.compressed == nil {
		return 0
	}
	plain := it.Size - len(it.compressed) - len(AttrEncoding) - len(Zstd) + len(it.payload.Text) - it.payload.Spaces
	return Units(plain) - Units(it.Size)
}

// Bytes returns the memory that the item takes beside its prediction.
func (it *Item) Bytes() int { return cap(it.compressed) }

// Units returns the write units of an item of the given size: one for each started KB ("Read/write capacity mode").
func Units(size int) int { return (size + unitSize - 1) / unitSize }

func (l *Layout) key(p *prediction.Prediction) (Key, *prediction.Reject) {
	k := Key{ID: p.ID.Text}
	switch {
	case l.HashType == TypeN && !p.ID.N:
		return k, prediction.Rejectf(prediction.ReasonKey, l.HashKey, "is a string, but the table's hash key is a number: send a number")
	case l.HashType == TypeN:
		d := jsonscan.ParseDecimal(p.ID.Text)
		if why := checkNumber(l.HashKey, d); why != nil {
			return k, why
		}
		k.ID = string(d.Append(nil))
	case p.ID.N:
		return k, prediction.Rejectf(prediction.ReasonKey, l.HashKey, "is a number, but the table's hash key is a string: send a string")
	case k.ID == "":
		return k, prediction.Rejectf(prediction.ReasonKey, l.HashKey, "is empty: a key has at least one byte")
	case len(k.ID) > MaxHashBytes:
		return k, prediction.Rejectf(prediction.ReasonKey, l.HashKey, "has %d bytes: a key has at most %d", len(k.ID), MaxHashBytes)
	}
	switch l.Kind {
	case Versioned:
		k.Sort = p.EventTime.In(l.PerSecond)
		if p.Version.Deleted {
			k.Frac = tombstoneFrac(p.EventTime, l.PerSecond)
		}
	case ExpirySorted:
		k.Sort = p.Expires
	}
	return k, nil
}

// tombstoneFrac returns the fraction of a tombstone's sort key. The key is the event time's unit plus (1 + f) / 2, where f is the event
// time's fraction of that unit. So it lies in the upper half of the unit, where no prediction's key can be, and tombstones of different
// event times have different keys. A reader that goes from newest to oldest meets the tombstone before the predictions of its unit.
func tombstoneFrac(t prediction.Time, perSecond uint64) uint64 {
	const attosPerSecond = 1_000_000_000_000_000_000
	unit := attosPerSecond / perSecond
	return (unit + t.Atto%unit) * 5 * perSecond // (1 + f) / 2 in units of 1e-19
}

// fixedSize returns the size of an item without its payload and other attributes.
func (l *Layout) fixedSize(it *Item) (int, *prediction.Reject) {
	var buf [48]byte
	size := len(l.HashKey)
	if l.HashType == TypeN {
		size += numberSize(jsonscan.ParseDecimal(it.Key.ID))
	} else {
		size += len(it.Key.ID)
		if why := l.checkIndexSize(l.HashKey, len(it.Key.ID)); why != nil {
			return 0, why
		}
	}
	number := func(name string, text []byte) {
		size += len(name) + plainSize(text)
	}
	if l.SortKey != "" {
		number(l.SortKey, it.Key.AppendSort(buf[:0]))
	} else if l.TTLAttribute != AttrTimestamp {
		number(AttrTimestamp, strconv.AppendInt(buf[:0], it.Version.Event.In(l.PerSecond), 10))
	}
	if l.TTLAttribute != l.SortKey {
		number(l.TTLAttribute, strconv.AppendInt(buf[:0], it.Expires, 10))
	}
	number(AttrCreatedAt, it.Version.Event.AppendSeconds(buf[:0]))
	if l.Ordered {
		number(AttrSent, it.AppendSent(buf[:0]))
	}
	if it.Version.Deleted {
		size += len(AttrDeleted) + 1
	}
	return size, nil
}

// attribute checks another attribute and returns its size.
func (l *Layout) attribute(a *prediction.Attribute) (int, *prediction.Reject) {
	if why := checkName(a.Name); why != nil {
		return 0, why
	}
	if l.reserved(a.Name) {
		return 0, prediction.Rejectf(prediction.ReasonReservedName, a.Name, "is an attribute that the worker sets itself: rename the field")
	}
	size, why := nativeSize(a.Name, a.Value, 0)
	if why != nil {
		return 0, why
	}
	if why := l.checkIndexKey(a.Name, a.Value, size); why != nil {
		return 0, why
	}
	return len(a.Name) + size, nil
}

// encodePayload decides how the payload is stored and adds its size.
func (it *Item) encodePayload() *prediction.Reject {
	l := it.layout
	it.Size += len(AttrPayload)
	compact := len(it.payload.Text) - it.payload.Spaces
	switch l.Encoding {
	case Map:
		size, why := nativeSize(AttrPayload, it.payload, 0)
		if why != nil {
			return why
		}
		if why := l.checkIndexKey(AttrPayload, it.payload, size); why != nil {
			return why
		}
		it.Size += size + len(AttrEncoding) + len(Map)
		return nil
	case Zstd:
		with := it.Size + len(AttrEncoding) + len(Zstd)
		if Units(with) < Units(it.Size+compact) { // otherwise compression can't save a unit
			if it.compressed = compress(it.payload, (Units(it.Size+compact)-1)*unitSize-with); it.compressed != nil {
				it.Size = with + len(it.compressed)
				return nil
			}
		}
	}
	it.Size += compact
	return l.checkIndexSize(AttrPayload, compact)
}

// AppendJSON appends the item in DynamoDB's JSON: an object of attribute names and typed values.
func (it *Item) AppendJSON(dst []byte) []byte {
	l := it.layout
	dst = append(l.AppendID(appendName(append(dst, '{'), l.HashKey), it.Key.ID), ',')
	if l.SortKey != "" {
		dst = append(appendName(dst, l.SortKey), `{"N":"`...)
		dst = append(it.Key.AppendSort(dst), `"},`...)
	} else if l.TTLAttribute != AttrTimestamp {
		dst = appendInt(dst, AttrTimestamp, it.Version.Event.In(l.PerSecond))
	}
	if l.TTLAttribute != l.SortKey {
		dst = appendInt(dst, l.TTLAttribute, it.Expires)
	}
	dst = append(dst, `"createdAt":{"N":"`...)
	dst = append(it.Version.Event.AppendSeconds(dst), `"},`...)
	if l.Ordered {
		dst = append(it.AppendSent(append(dst, `"predcache.sent":{"N":"`...)), `"},`...)
	}
	if it.Version.Deleted {
		return append(dst, `"deleted":{"BOOL":true}}`...)
	}
	dst = append(dst, `"prediction":`...)
	switch {
	case it.compressed != nil:
		dst = append(dst, `{"B":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, it.compressed), `"},"encoding":{"S":"zstd"}`...)
	case l.Encoding == Map:
		dst = append(appendNative(dst, it.payload), `,"encoding":{"S":"map"}`...)
	default:
		dst = append(dst, `{"S":"`...)
		dst = append(jsonscan.AppendCompactQuoted(dst, it.payload), `"}`...)
	}
	for i := range it.attributes {
		dst = appendName(append(dst, ','), it.attributes[i].Name)
		dst = appendNative(dst, it.attributes[i].Value)
	}
	return append(dst, '}')
}

// MaxJSONSize returns an upper bound of the bytes that AppendJSON appends.
func (it *Item) MaxJSONSize() int {
	const fixed = 320 // attributes beside key and payload, and all punctuation
	l := it.layout
	size := fixed + 6*(len(l.HashKey)+len(l.SortKey)+len(l.TTLAttribute)+len(it.Key.ID)) // each byte may become \u00xx
	payload := len(it.payload.Text)
	switch {
	case it.compressed != nil:
		size += base64.StdEncoding.EncodedLen(len(it.compressed))
	case l.Encoding == Map:
		size += nativeFactor * payload
	case payload > unitSize:
		size += payload + jsonscan.QuotedOverhead(it.payload)
	default:
		size += 2 * payload // each byte may be a quote or a backslash
	}
	for i := range it.attributes {
		size += nativeFactor * (len(it.attributes[i].Name) + len(it.attributes[i].Value.Text) + 2)
	}
	return size
}

// AppendSent appends the value of AttrSent: the sent time with the place as decimals, and sentDeleted for a tombstone.
func (it *Item) AppendSent(dst []byte) []byte {
	sent, place := it.Version.Sent, int64(it.Version.Place)
	const places = 10_000_000_000 // more than an int32 has
	if it.Version.Deleted {
		dst = strconv.AppendUint(dst, sentDeleted+uint64(sent), 10)
	} else {
		if sent < 0 && place != 0 { // -5 and one place is -4.9999999999
			sent, place = sent+1, places-place
		}
		dst = strconv.AppendInt(dst, sent, 10)
	}
	if place == 0 {
		return dst
	}
	dst = append(dst, '.')
	point := len(dst)
	dst = strconv.AppendInt(dst, places+place, 10) // a leading 1 keeps the zeros, and is taken out again
	return append(dst[:point], dst[point+1:]...)
}

// sentDeleted is added to a tombstone's sent time, so that it is newer than every prediction of its event time by the same condition
// that orders predictions. Sent times of files go down to -2^63, so the sum is at least 7.7e17, far beyond the milliseconds of a clock.
const sentDeleted = 10_000_000_000_000_000_000

func appendName(dst []byte, name string) []byte {
	return append(jsonscan.AppendQuoted(dst, name), ':')
}

func appendInt(dst []byte, name string, n int64) []byte {
	dst = append(appendName(dst, name), `{"N":"`...)
	return append(strconv.AppendInt(dst, n, 10), `"},`...)
}
