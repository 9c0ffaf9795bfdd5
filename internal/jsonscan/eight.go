package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// What copies strings, and what reads long ones, takes eight bytes at a time. For a byte c in every place, x^c has a zero where x has c, and (v-ones)&^v has its
// high bit set at the lowest zero of v, and maybe above it, but never below: so the lowest mark is always right, and no other
// is used.
const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// load returns the eight bytes of s from i, of which there are as many.
func load(s string, i int) uint64 {
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), len(s))[i:])
}

// quotes marks the quotes and backslashes of x.
func quotes(x uint64) uint64 {
	q, b := x^ones*'"', x^ones*'\\'
	return ((q-ones)&^q | (b-ones)&^b) & high
}

// specials marks what doesn't stand for itself in a JSON string: quotes, backslashes and control characters.
func specials(x uint64) uint64 {
	return quotes(x) | (x-ones*' ')&^x&high
}

// lowest is the place of the lowest mark.
func lowest(marks uint64) int { return bits.TrailingZeros64(marks) >> 3 }

// shortString is how much of a string is read byte by byte before it is by eight: most names and values are shorter than that.
const shortString = 16

// plainEnd returns the end of what stands for itself from i on.
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
	dst = slices.Grow(dst, 2*len(s)) // the most it can be
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
