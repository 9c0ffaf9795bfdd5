package item

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// Limits of native values ("Supported data types and naming rules in Amazon DynamoDB").
const (
	maxDigits    = 38
	maxMagnitude = 125
	minMagnitude = -130
	maxNesting   = 32
	maxNameBytes = 64<<10 - 1
)

func checkNumber(field string, d jsonscan.Decimal) *prediction.Reject {
	switch m := d.Magnitude(); {
	case len(d.Digits) > maxDigits:
		return prediction.Rejectf(prediction.ReasonNumber, field, "has a number of %d digits: DynamoDB holds %d; send it as a string, or inside the payload, which is stored as text", len(d.Digits), maxDigits)
	case m > maxMagnitude || m < minMagnitude:
		return prediction.Rejectf(prediction.ReasonNumber, field, "has a number outside DynamoDB's range of 1E-130 to 9.9E+125: send it as a string, or inside the payload, which is stored as text")
	}
	return nil
}

// numberSize returns the size of a number: one byte for two significant digits, one more, and one for a minus sign
// ("DynamoDB item sizes and formats").
func numberSize(d jsonscan.Decimal) int {
	size := (len(d.Digits)+1)/2 + 1
	if d.Negative {
		size++
	}
	return size
}

// plainSize is numberSize for a number without exponent, as the worker writes its own.
func plainSize(text []byte) int {
	digits, zeros, negative := 0, 0, 0
	for _, c := range text {
		switch {
		case c == '-':
			negative = 1
		case c == '0' && digits > 0:
			zeros++ // counted once another digit follows
		case c > '0':
			digits += zeros + 1
			zeros = 0
		}
	}
	return (digits+1)/2 + 1 + negative
}

func checkName(name string) *prediction.Reject {
	switch {
	case name == "":
		return prediction.Rejectf(prediction.ReasonFieldValue, "", "the name of a field is empty: DynamoDB's attribute names have at least one byte")
	case len(name) > maxNameBytes:
		return prediction.Rejectf(prediction.ReasonFieldValue, "", "the name of a field has %d bytes: DynamoDB's attribute names have at most %d", len(name), maxNameBytes)
	}
	return nil
}

// nativeSize checks a value that will be stored natively and returns its size as DynamoDB counts it. depth is the number of
// lists and maps around it.
func nativeSize(field string, v jsonscan.Value, depth int) (int, *prediction.Reject) {
	if depth == maxNesting { // the attribute itself is the first level
		return 0, prediction.Rejectf(prediction.ReasonNesting, field, "is nested deeper than DynamoDB's %d levels: flatten it, or send it inside the payload, which is stored as text", maxNesting)
	}
	switch v.Kind() {
	case jsonscan.Number:
		d := jsonscan.ParseDecimal(v.Text)
		return numberSize(d), checkNumber(field, d)
	case jsonscan.String:
		text, err := jsonscan.Unquote(v.Text[1 : len(v.Text)-1])
		if err != nil {
			return 0, prediction.Rejectf(prediction.ReasonFieldValue, field, "holds %v: send valid Unicode", err)
		}
		return len(text), nil
	case jsonscan.Object, jsonscan.Array:
		return containerSize(field, v, depth+1)
	default:
		return 1, nil
	}
}

// containerSize returns the size of a list or map: 3 bytes, one per element, and the elements. It stops when the value
// exceeds the maximum item size, so that memory does not grow with a value that is rejected.
func containerSize(field string, v jsonscan.Value, depth int) (int, *prediction.Reject) {
	total := 3
	add := func(v jsonscan.Value) *prediction.Reject {
		size, why := nativeSize(field, v, depth)
		if total += 1 + size; why == nil && total > MaxSize {
			why = tooLarge(field)
		}
		return why
	}
	for element := range jsonscan.Elements(v) {
		if why := add(element); why != nil {
			return 0, why
		}
	}
	var seen names
	for m := range jsonscan.Members(v) {
		name, err := jsonscan.Unquote(m.Name)
		if err != nil {
			return 0, prediction.Rejectf(prediction.ReasonFieldValue, field, "has a name that holds %v: send valid Unicode", err)
		}
		if why := checkName(name); why != nil {
			return 0, prediction.Rejectf(why.Reason, field, "has a nested name that DynamoDB can't hold: %s", why.Detail)
		}
		if !seen.add(name) {
			return 0, nestedTwice(field)
		}
		total += len(name)
		if why := add(m.Value); why != nil {
			return 0, why
		}
	}
	if seen.twice(v) {
		return 0, nestedTwice(field)
	}
	return total, nil
}

func nestedTwice(field string) *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonDuplicateName, field, "has a nested name twice: send it once")
}

// names finds a name that occurs twice in an object. It allocates nothing for the few names that most objects have: a value can be
// tens of thousands of objects. Of many names it keeps the hashes.
type names struct {
	few    [8]string
	n      int // used of few
	hashes *[]uint64
}

var (
	hashSeed  = maphash.MakeSeed()
	hashLists = sync.Pool{New: func() any { return new([]uint64) }}
)

// add returns false if the name is known to occur twice.
func (s *names) add(name string) bool {
	if s.hashes == nil {
		if slices.Contains(s.few[:s.n], name) {
			return false
		}
		if s.n < len(s.few) {
			s.few[s.n] = name
			s.n++
			return true
		}
		s.hashes = hashLists.Get().(*[]uint64)
		for _, other := range s.few {
			*s.hashes = append(*s.hashes, maphash.String(hashSeed, other))
		}
	}
	*s.hashes = append(*s.hashes, maphash.String(hashSeed, name))
	return true
}

// twice reports whether a name occurs twice in object, all of whose names were added. s must not be used afterwards.
func (s *names) twice(object jsonscan.Value) bool {
	if s.hashes == nil {
		return false
	}
	slices.Sort(*s.hashes)
	count := len(*s.hashes)
	unique := len(slices.Compact(*s.hashes)) == count
	*s.hashes = (*s.hashes)[:0]
	hashLists.Put(s.hashes)
	if unique {
		return false
	}
	seen := map[string]struct{}{} // two names can have one hash
	for m := range jsonscan.Members(object) {
		name, _ := jsonscan.Unquote(m.Name) // valid, as it was added
		if _, found := seen[name]; found {
			return true
		}
		seen[name] = struct{}{}
	}
	return false
}

func tooLarge(field string) *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonTooLarge, field, "alone exceeds DynamoDB's %d bytes of an item: send less, or send it inside the payload with WORKER_PAYLOAD_ENCODING=zstd", MaxSize)
}

// checkIndexKey checks an attribute that may be in the key of an index. DynamoDB leaves an item without the attribute out of
// the index, but refuses an item with a wrong type, together with its batch.
func (l *Layout) checkIndexKey(field string, v jsonscan.Value, size int) *prediction.Reject {
	index, indexed := l.Indexes[field]
	if !indexed {
		return nil
	}
	switch kind := v.Kind(); {
	case index.Type == TypeS && kind == jsonscan.String, index.Type == TypeN && kind == jsonscan.Number:
	default:
		return prediction.Rejectf(prediction.ReasonIndexKey, field, "is %v, but an index of the table declares it as %s: send that type, or leave it out", kind, index.Type)
	}
	return l.checkIndexSize(field, size)
}

// checkIndexSize checks the length of a string in the key of an index.
func (l *Layout) checkIndexSize(field string, size int) *prediction.Reject {
	index, indexed := l.Indexes[field]
	switch {
	case !indexed:
		return nil
	case size == 0:
		return prediction.Rejectf(prediction.ReasonIndexKey, field, "is empty, but an index of the table has it in its key: leave it out")
	case size > index.MaxBytes:
		return prediction.Rejectf(prediction.ReasonIndexKey, field, "has %d bytes: as an index has it in its key, it has at most %d", size, index.MaxBytes)
	}
	return nil
}

// nativeFactor is the maximum number of bytes that a byte of JSON text becomes in DynamoDB's JSON: "1," becomes
// `{"N":"1"},`, and a control character in an unescaped name becomes \u00xx again.
const nativeFactor = 6

// appendNative appends v as a typed value in DynamoDB's JSON. Numbers keep their text.
func appendNative(dst []byte, v jsonscan.Value) []byte {
	switch v.Kind() {
	case jsonscan.Number:
		dst = append(dst, `{"N":"`...)
		return append(append(dst, v.Text...), `"}`...)
	case jsonscan.String:
		dst = append(dst, `{"S":`...)
		return append(append(dst, v.Text...), '}')
	case jsonscan.Bool:
		dst = append(dst, `{"BOOL":`...)
		return append(append(dst, v.Text...), '}')
	case jsonscan.Array:
		dst = append(dst, `{"L":[`...)
		first := true
		for element := range jsonscan.Elements(v) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendNative(dst, element)
		}
		return append(dst, `]}`...)
	case jsonscan.Object:
		dst = append(dst, `{"M":{`...)
		first := true
		for m := range jsonscan.Members(v) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, '"')
			dst = append(dst, m.Name...)
			dst = append(dst, `":`...)
			dst = appendNative(dst, m.Value)
		}
		return append(dst, `}}`...)
	default:
		return append(dst, `{"NULL":true}`...)
	}
}

// encoders are pooled, since each takes some hundred KB. Compression runs in the caller's goroutine.
var encoders = sync.Pool{New: func() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithWindowSize(512<<10))
	if err != nil {
		panic(err) // the options are constant
	}
	return w
}}

// maxScratch is the largest buffer that is kept. A payload can have 16 MiB, as WORKER_MAX_DECODED_BYTES.
const maxScratch = 1 << 20

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// compress returns the compressed, compacted payload, or nil if that takes more than room bytes.
func compress(payload jsonscan.Value, room int) []byte {
	w := encoders.Get().(*zstd.Encoder)
	text, out := scratch.Get().(*[]byte), scratch.Get().(*[]byte)
	defer func() {
		encoders.Put(w)
		for _, buffer := range []*[]byte{text, out} {
			if cap(*buffer) <= maxScratch {
				scratch.Put(buffer)
			}
		}
	}()
	*text = jsonscan.AppendCompact((*text)[:0], payload)
	*out = w.EncodeAll(*text, (*out)[:0])
	if len(*out) > room {
		return nil
	}
	return append([]byte(nil), *out...)
}
