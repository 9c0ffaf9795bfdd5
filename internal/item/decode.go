package item

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// A Value is the value of a stored attribute. Type is DynamoDB's type, empty for an absent attribute.
type Value struct {
	Type string
	Text string  // S and N: the text; B: the bytes; BOOL: "true" or "false"
	In   []Field // M: in any order; L, SS, NS and BS: without names
	JSON bool    // S: the text is known to be JSON
}

// A Field is a stored attribute.
type Field struct {
	Name  string
	Value Value
}

// Stored is an item that was read from the table.
type Stored struct {
	Key       Key
	CreatedAt prediction.Time // the event time, exactly
	Expires   int64           // epoch seconds
	Encoding  Encoding
	Payload   []byte // JSON text; nil if it was not requested, and of a tombstone
	Deleted   bool   // a tombstone: it hides the predictions of its id whose CreatedAt is not later
}

// errMissing is the error for the absence of an attribute that every item has.
var errMissing = errors.New("is missing")

// Decode reads an item; it is the inverse of AppendJSON. For an item that the worker can't have written it returns an error
// that names the attribute, never its value. An item is a tombstone if its attribute "deleted" is the BOOL true. withPayload is
// false if the payload was not requested. The result shares the memory of the fields' texts, except the payload. See Others for
// the other attributes.
func (l *Layout) Decode(fields []Field, withPayload bool) (s Stored, err error) {
	s.Encoding = JSON
	if s.Key, err = l.DecodeKey(fields); err != nil {
		return s, err
	}
	if s.CreatedAt, err = seconds(Find(fields, AttrCreatedAt)); err != nil {
		return s, about(AttrCreatedAt, err)
	}
	expires, err := seconds(Find(fields, l.TTLAttribute))
	if err != nil {
		return s, about(l.TTLAttribute, err)
	}
	s.Expires = expires.Sec
	if deleted := Find(fields, AttrDeleted); deleted.Type == "BOOL" && deleted.Text == "true" {
		s.Deleted = true
		return s, nil
	}
	if s.Key.Frac != 0 {
		return s, about(l.SortKey, errNotWhole)
	}
	switch encoding := Find(fields, AttrEncoding); encoding.Type {
	case "":
	case "S":
		s.Encoding = Encoding(encoding.Text)
	default:
		return s, about(AttrEncoding, errType("S", encoding))
	}
	if withPayload {
		if s.Payload, err = s.payload(Find(fields, AttrPayload)); err != nil {
			return s, about(AttrPayload, err)
		}
	}
	return s, nil
}

// Others returns the attributes of an item that Decode does not read. It reorders fields. It stands apart from Decode so that fields
// can be on the stack: the compiler would take all that Decode returns to share their memory.
func (l *Layout) Others(fields []Field) []Field {
	n := 0 // number of reserved attributes, which go first
	for i := range fields {
		if l.reserved(fields[i].Name) {
			if i != n {
				fields[i], fields[n] = fields[n], fields[i]
			}
			n++
		}
	}
	return fields[n:]
}

// DecodeKey reads an item's key in canonical form: equal keys are equal strings.
func (l *Layout) DecodeKey(fields []Field) (Key, error) {
	var k Key
	hash := Find(fields, l.HashKey)
	switch {
	case hash.Type != string(l.HashType) || hash.Type == "S" && hash.Text == "":
		return k, about(l.HashKey, errType(string(l.HashType), hash))
	case l.HashType == TypeN:
		d, err := decimal(hash)
		if err != nil {
			return k, about(l.HashKey, err)
		}
		k.ID = string(d.Append(nil))
	default:
		k.ID = hash.Text
	}
	if l.SortKey == "" {
		return k, nil
	}
	d, err := decimal(Find(fields, l.SortKey))
	if err == nil {
		err = k.setSort(d)
	}
	if err != nil {
		return k, about(l.SortKey, err)
	}
	return k, nil
}

var errNotWhole = errors.New("is not a whole number of seconds or milliseconds")

// setSort sets the sort key. Only a tombstone's may have a fraction.
func (k *Key) setSort(d jsonscan.Decimal) (err error) {
	if d.Exp < -fracDigits || d.Exp < 0 && d.Negative || d.Magnitude() > maxSortMagnitude {
		return errNotWhole
	}
	var buf [48]byte
	whole, fraction, found := strings.Cut(string(d.Append(buf[:0])), ".")
	if k.Sort, err = strconv.ParseInt(whole, 10, 64); err == nil && found {
		const zeros = "0000000000000000000"
		k.Frac, err = strconv.ParseUint(fraction+zeros[len(fraction):], 10, 64)
	}
	return err
}

// SetSort sets the sort key from a number in any notation, since DynamoDB may return another than was sent.
func (k *Key) SetSort(number string) error {
	d, err := decimal(&Value{Type: "N", Text: number})
	if err != nil {
		return err
	}
	return k.setSort(d)
}

// maxSortMagnitude keeps a sort key within an int64; the year 9999 in milliseconds has 15 digits.
const maxSortMagnitude = 17

// ReadKey returns the partition key that the items of an id have, or an error if no item can have it.
func (l *Layout) ReadKey(id string) (string, error) {
	p := prediction.Prediction{ID: prediction.ID{Text: id}}
	if l.HashType == TypeN {
		if !jsonscan.IsNumber(id) {
			return "", fmt.Errorf("the table's partition key %q is a number, but the id is not", l.HashKey)
		}
		p.ID.N = true
	} else if !utf8.ValidString(id) {
		return "", errors.New("the id is not valid UTF-8")
	}
	k, why := l.key(&p)
	if why != nil {
		return "", why
	}
	return k.ID, nil
}

// payload decodes by the item's encoding attribute, never by the payload's appearance.
func (s *Stored) payload(v *Value) ([]byte, error) {
	switch s.Encoding {
	case JSON:
		if v.Type != "S" {
			return nil, errType("S", v)
		}
		if v.JSON {
			return []byte(v.Text), nil
		}
		return []byte(v.Text), checkJSON(v.Text)
	case Zstd:
		if v.Type != "B" {
			return nil, errType("B", v)
		}
		text, err := decompressor().DecodeAll([]byte(v.Text), nil)
		if err != nil {
			return nil, fmt.Errorf("is not zstd, or over %d MiB once decompressed: %w", maxPayload>>20, err)
		}
		return text, checkJSON(string(text))
	case Map:
		if v.Type == "" {
			return nil, errMissing
		}
		return v.appendText(nil, 0, false)
	}
	return nil, errors.New("has an encoding that this version does not know")
}

// Payload returns the JSON text of an item's payload, whatever its encoding.
func Payload(fields []Field) ([]byte, error) {
	s := Stored{Encoding: JSON}
	if encoding := Find(fields, AttrEncoding); encoding.Type != "" {
		s.Encoding = Encoding(encoding.Text)
	}
	return s.payload(Find(fields, AttrPayload))
}

// maxPayload bounds what a compressed payload can become. It is above what a worker accepts by default.
const maxPayload = 64 << 20

// decompressor is shared: DecodeAll is safe for concurrent use.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPayload))
	if err != nil {
		panic(err) // the options are constant
	}
	return r
})

func checkJSON(text string) error {
	if _, err := jsonscan.Parse(text); err != nil {
		return fmt.Errorf("is not JSON: %w", err)
	}
	return nil
}

// AppendJSON appends the value as JSON text. Numbers keep their digits. Types that only others write become what DynamoDB's
// JSON makes of them: sets become arrays, binary becomes base64.
func (v *Value) AppendJSON(dst []byte) ([]byte, error) { return v.appendText(dst, 0, true) }

// appendText is the inverse of appendNative. foreign allows types that the worker doesn't write.
func (v *Value) appendText(dst []byte, depth int, foreign bool) ([]byte, error) {
	switch v.Type {
	case "N":
		if !jsonscan.IsNumber(v.Text) {
			return nil, errNoNumber
		}
		return append(dst, v.Text...), nil
	case "S":
		return appendString(dst, v.Text)
	case "BOOL":
		return append(dst, v.Text...), nil
	case "NULL":
		return append(dst, "null"...), nil
	case "L", "SS", "NS", "BS":
		if v.Type == "L" || foreign {
			return v.appendList(dst, depth+1, foreign)
		}
	case "M":
		return v.appendMap(dst, depth+1, foreign)
	case "B":
		if foreign {
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), []byte(v.Text)), '"'), nil
		}
	}
	return nil, fmt.Errorf("holds the type %q, which the worker does not write", v.Type)
}

func (v *Value) appendList(dst []byte, depth int, foreign bool) (_ []byte, err error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	dst = append(dst, '[')
	for i := range v.In {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = v.In[i].Value.appendText(dst, depth, foreign); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func (v *Value) appendMap(dst []byte, depth int, foreign bool) (_ []byte, err error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	// Sorted, so that equal maps have equal texts.
	members := slices.SortedFunc(slices.Values(v.In), func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	dst = append(dst, '{')
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendString(dst, members[i].Name); err != nil {
			return nil, err
		}
		if dst, err = members[i].Value.appendText(append(dst, ':'), depth, foreign); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

var errNesting = fmt.Errorf("is nested deeper than DynamoDB's %d levels", maxNesting)

func appendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("is not valid UTF-8")
	}
	return jsonscan.AppendQuoted(dst, s), nil
}

var none Value

// Find returns the value of an attribute, or one without a type if there is none.
func Find(fields []Field, name string) *Value {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i].Value
		}
	}
	return &none
}

func seconds(v *Value) (prediction.Time, error) {
	if v.Type != "N" {
		return prediction.Time{}, errType("N", v)
	}
	return prediction.ParseSeconds(v.Text)
}

func decimal(v *Value) (jsonscan.Decimal, error) {
	if v.Type != "N" {
		return jsonscan.Decimal{}, errType("N", v)
	}
	if !jsonscan.IsNumber(v.Text) {
		return jsonscan.Decimal{}, errNoNumber
	}
	d := jsonscan.ParseDecimal(v.Text)
	if checkNumber("", d) != nil {
		return jsonscan.Decimal{}, errors.New("is a number that DynamoDB can't hold")
	}
	return d, nil
}

var errNoNumber = errors.New("is not a number")

func errType(want string, got *Value) error {
	switch got.Type {
	case "":
		return errMissing
	case want:
		return errors.New("is empty")
	}
	return fmt.Errorf("is of type %s, not %s", got.Type, want)
}

func about(name string, err error) error { return fmt.Errorf("the attribute %q %w", name, err) }

// StoredSize returns the size of an item as DynamoDB counts it ("DynamoDB item sizes and formats").
func StoredSize(fields []Field) int {
	size := 0
	for i := range fields {
		size += len(fields[i].Name) + fields[i].Value.size()
	}
	return size
}

func (v *Value) size() int {
	sum := 0
	switch v.Type {
	case "S", "B":
		return len(v.Text)
	case "N":
		d, err := decimal(v)
		if err != nil {
			return len(v.Text)
		}
		return numberSize(d)
	case "L":
		for i := range v.In {
			sum += 1 + v.In[i].Value.size()
		}
		return 3 + sum
	case "M":
		for i := range v.In {
			sum += 1 + len(v.In[i].Name) + v.In[i].Value.size()
		}
		return 3 + sum
	case "SS", "NS", "BS":
		for i := range v.In {
			sum += v.In[i].Value.size()
		}
		return sum
	}
	return 1
}
