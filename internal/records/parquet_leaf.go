package records

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/predcache/predcache/internal/jsonscan"
)

// column sets how the values of a leaf column are written.
func (n *node) column(t parquet.Type) error {
	var logical any
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.DecimalType:
		n.number, n.leaf = true, decimalLeaf(t.Kind(), l.Scale)
	case *format.TimestampType:
		n.leaf = timestampLeaf(l)
	case *format.DateType:
		n.leaf = func(dst []byte, v parquet.Value) []byte {
			return time.Unix(int64(v.Int32())*86_400, 0).UTC().AppendFormat(dst, `"2006-01-02"`)
		}
	case *format.TimeType:
		n.leaf = timeLeaf(l, t.Kind())
	case *format.UUIDType:
		n.leaf = func(dst []byte, v parquet.Value) []byte {
			b := v.ByteArray()
			if len(b) != 16 {
				return appendBinary(dst, b)
			}
			return fmt.Appendf(dst, `"%x-%x-%x-%x-%x"`, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
	case *format.StringType, *format.JsonType, *format.EnumType:
		n.text, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendText(dst, v.ByteArray()) }
	default:
		return n.physical(t, logical)
	}
	return nil
}

// physical sets how the values of a type without a meaning of its own are written.
func (n *node) physical(t parquet.Type, logical any) error {
	integer, _ := logical.(*format.IntType)
	unsigned := integer != nil && !integer.IsSigned
	switch t.Kind() {
	case parquet.Boolean:
		n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendBool(dst, v.Boolean()) }
	case parquet.Int32:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, int64(v.Int32()), 10) }
		if unsigned {
			n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendUint(dst, uint64(v.Uint32()), 10) }
		}
	case parquet.Int64:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, v.Int64(), 10) }
		if unsigned {
			n.leaf = func(dst []byte, v parquet.Value) []byte { return strconv.AppendUint(dst, v.Uint64(), 10) }
		}
	case parquet.Int96: // timestamps of old versions of Spark, Hive and Impala
		n.leaf = func(dst []byte, v parquet.Value) []byte { return appendTime(dst, int96Time(v.Int96()), true) }
	case parquet.Float:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, float64(v.Float()), 32) }
	case parquet.Double:
		n.number, n.leaf = true, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, v.Double(), 64) }
	case parquet.ByteArray, parquet.FixedLenByteArray:
		n.text = t.Kind() == parquet.ByteArray
		n.leaf = func(dst []byte, v parquet.Value) []byte { return appendBinary(dst, v.ByteArray()) }
	default:
		return errors.New("has a column of an unknown type")
	}
	return nil
}

// appendText appends a text. One that is not UTF-8 makes the row's JSON invalid, so that the row is rejected.
func appendText(dst, text []byte) []byte {
	if !utf8.Valid(text) {
		return append(append(append(dst, '"'), text...), '"')
	}
	return jsonscan.AppendQuoted(dst, string(text))
}

// appendBinary appends bytes that are no text, as base64.
func appendBinary(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
}

// appendFloat appends the shortest text that is the same number. NaN and infinities are no JSON: the row is rejected, as in the other
// formats.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "NaN"...)
	}
	kind := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) { // as in JSON of others
		kind = 'e'
	}
	return strconv.AppendFloat(dst, f, kind, -1, bits)
}

func float16(b []byte) float64 {
	if len(b) != 2 {
		return math.NaN()
	}
	bits := binary.LittleEndian.Uint16(b)
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	f := math.Ldexp(1+fraction/1024, exponent-15)
	switch exponent {
	case 0:
		f = math.Ldexp(fraction/1024, -14)
	case 31:
		return math.NaN()
	}
	if bits>>15 == 1 {
		f = -f
	}
	return f
}

// decimalLeaf writes decimals with all their digits.
func decimalLeaf(kind parquet.Kind, scale int32) func([]byte, parquet.Value) []byte {
	return func(dst []byte, v parquet.Value) []byte {
		var digits []byte
		switch kind {
		case parquet.Int32:
			digits = strconv.AppendInt(nil, int64(v.Int32()), 10)
		case parquet.Int64:
			digits = strconv.AppendInt(nil, v.Int64(), 10)
		default: // two's complement, big-endian
			b := v.ByteArray()
			n := new(big.Int).SetBytes(b)
			if len(b) > 0 && b[0]&0x80 != 0 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
			digits = n.Append(nil, 10)
		}
		return appendScaled(dst, digits, int(scale))
	}
}

// appendScaled appends digits with so many of them behind the point.
func appendScaled(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	if scale <= 0 {
		return append(dst, digits...)
	}
	whole := len(digits) - scale
	if whole <= 0 {
		dst = append(dst, "0."...)
		for range -whole {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	return append(append(append(dst, digits[:whole]...), '.'), digits[whole:]...)
}

// timestampLeaf writes times as RFC 3339. One that is not adjusted to UTC has no zone, and stands for no instant.
func timestampLeaf(t *format.TimestampType) func([]byte, parquet.Value) []byte {
	perSecond := unitsPerSecond(&t.Unit)
	return func(dst []byte, v parquet.Value) []byte {
		n := v.Int64()
		sec := n / perSecond
		rest := n % perSecond
		if rest < 0 {
			sec, rest = sec-1, rest+perSecond
		}
		return appendTime(dst, time.Unix(sec, rest*(1e9/perSecond)), t.IsAdjustedToUTC)
	}
}

func unitsPerSecond(u *format.TimeUnit) int64 {
	switch u.Value.(type) {
	case *format.NanoSeconds:
		return 1e9
	case *format.MicroSeconds:
		return 1e6
	}
	return 1e3
}

func appendTime(dst []byte, t time.Time, utc bool) []byte {
	form := `"2006-01-02T15:04:05.999999999"`
	if utc {
		form = `"2006-01-02T15:04:05.999999999Z"`
	}
	return t.UTC().AppendFormat(dst, form)
}

func timeLeaf(t *format.TimeType, kind parquet.Kind) func([]byte, parquet.Value) []byte {
	perSecond := unitsPerSecond(&t.Unit)
	return func(dst []byte, v parquet.Value) []byte {
		n := v.Int64()
		if kind == parquet.Int32 {
			n = int64(v.Int32())
		}
		return time.Unix(0, n*(1e9/perSecond)).UTC().AppendFormat(dst, `"15:04:05.999999999"`)
	}
}

// int96Time returns the time of nanoseconds of a day and the number of the Julian day.
func int96Time(v deprecated.Int96) time.Time {
	const epoch = 2_440_588 // Julian day of 1970-01-01
	nanos := int64(v[1])<<32 | int64(v[0])
	return time.Unix((int64(int32(v[2]))-epoch)*86_400, nanos)
}
