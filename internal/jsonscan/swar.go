package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// The functions here process eight bytes at a time. With a byte c repeated in every byte, x^c has a zero byte where x has c.
// (v-ones)&^v sets the high bit of the lowest zero byte of v. It can also set higher ones, but never lower ones, so only
// the lowest mark is used.
const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// load returns the eight bytes of s from i on. s must have them.
func load(s string, i int) uint64 {
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), len(s))[i:])
}

// quotes marks the quotes and backslashes of x.
func quotes(x uint64) uint64 {
	q, b := x^ones*'"', x^ones*'\\'
	return ((q-ones)&^q | (b-ones)&^b) & high
}

// specials marks the bytes of x that end or escape a JSON string, or are invalid in it: quotes, backslashes and control
// characters.
func specials(x uint64) uint64 {
	// With the bit 2 flipped, a quote is 0x20, just above the control characters: one comparison finds both.
	q, b := x^ones*2, x^ones*'\\'
	return ((q-ones*(' '+1))&^q | (b-ones)&^b) & high
}

// lowest returns the index of the lowest marked byte.
func lowest(marks uint64) int { return bits.TrailingZeros64(marks) >> 3 }

// shortString is the length up to which a string is read byte by byte. Most names and values are shorter, and for those
// eight bytes at a time is slower.
const shortString = 16

// plainEnd returns the offset of the first byte from i on that is not plain.
func plainEnd(s string, i int) int {
	for ; i+8 <= len(s); i += 8 {
		if m := specials(load(s, i)); m != 0 {
			return i + lowest(m)
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

// appendEscaped appends s with a backslash before each quote and backslash.
func appendEscaped(dst []byte, s string) []byte {
	dst = slices.Grow(dst, 2*len(s)) // the maximum: every byte escaped
	d := dst[len(dst) : len(dst)+2*len(s)]
	i, j := 0, 0
	for i+8 <= len(s) && j+8 <= len(d) {
		x := load(s, i)
		binary.LittleEndian.PutUint64(d[j:], x)
		m := quotes(x)
		if m == 0 {
			i, j = i+8, j+8
			continue
		}
		n := lowest(m)
		i, j = i+n, j+n
		d[j], d[j+1] = '\\', s[i]
		i, j = i+1, j+2
	}
	for ; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			d[j] = '\\'
			j++
		}
		d[j] = s[i]
		j++
	}
	return dst[:len(dst)+j]
}
