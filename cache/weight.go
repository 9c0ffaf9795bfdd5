package cache

import (
	"sort"
	"unsafe"
)

// The front counts its memory as Go's allocator does: what it asks for is rounded up to a size class. Tests compare the sum
// with the heap.
const (
	// entryBytes is what an entry takes beside its prediction and its key: the entry itself, otter's node of it, and its share of
	// the hash table, of the frequency sketch and of the buffers.
	entryBytes = 184
	// mapBytes is a map's header; groupBytes a group of eight slots of a name and a JSON text, with its control word.
	mapBytes   = 48
	groupBytes = 352
)

// weightOf is the memory of a prediction's entry, in bytes.
func weightOf(p *Prediction) uint32 {
	n := entryBytes + predictionBytes + class(len(p.ID)) + class(cap(p.Payload))
	if len(p.Attributes) > 0 {
		texts := len(p.ID)
		for name, value := range p.Attributes {
			texts += len(name) + len(value)
		}
		groups := 1
		for groups*7 < len(p.Attributes) && len(p.Attributes) > 8 { // a table of more than a group is filled to 7/8
			groups *= 2
		}
		n += mapBytes + groups*groupBytes + class(texts) - class(len(p.ID)) // which share their memory
	}
	return uint32(min(n, 1<<32-1))
}

// weightOfMiss is the memory of a remembered miss.
func weightOfMiss(key string) uint32 { return uint32(entryBytes + class(len(key))) }

// predictionBytes is a Prediction's own memory.
var predictionBytes = class(int(unsafe.Sizeof(Prediction{})))

// class is the memory that an allocation of n bytes takes.
func class(n int) int {
	switch {
	case n == 0:
		return 0
	case n > sizeClasses[len(sizeClasses)-1]:
		const page = 8 << 10
		return (n + page - 1) / page * page
	}
	return sizeClasses[sort.SearchInts(sizeClasses[:], n)]
}

// sizeClasses are those of Go's allocator (runtime/sizeclasses.go).
var sizeClasses = [...]int{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512,
	576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5120, 5376,
	6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576,
	27264, 28672, 32768,
}
