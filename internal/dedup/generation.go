package dedup

import (
	"math/bits"

	"github.com/predcache/predcache/internal/prediction"
)

// A generation is a hash table of keys and their versions that is cleared as a whole. It takes about 60 bytes a key, two
// thirds of a map, and contains no pointers for the garbage collector to follow.
type generation struct {
	max     int      // maximum number of entries
	entries []entry  // in the order of their addition
	chains  []uint32 // first entry of each chain, like entry.next. The length is a power of two, at least len(entries)
}

// An entry is a key and its prediction.Version, laid out without padding.
type entry struct {
	key   fingerprint
	event prediction.Time
	sent  int64
	hash  uint64
	place int32  // inverted, and so negative, for a delete
	next  uint32 // next entry of the chain: its index plus 1, or 0
}

func (e *entry) version() prediction.Version {
	v := prediction.Version{Event: e.event, Sent: e.sent, Place: e.place, Hash: e.hash}
	if v.Deleted = e.place < 0; v.Deleted {
		v.Place = ^e.place
	}
	return v
}

func (e *entry) set(v prediction.Version) {
	e.event, e.sent, e.place, e.hash = v.Event, v.Sent, v.Place, v.Hash
	if v.Deleted {
		e.place = ^v.Place
	}
}

// find returns a key's entry, or nil. The entry is valid until the next add.
func (g *generation) find(f fingerprint) *entry {
	if len(g.entries) == 0 {
		return nil
	}
	for n := *g.chain(f); n != 0; {
		e := &g.entries[n-1]
		if e.key == f {
			return e
		}
		n = e.next
	}
	return nil
}

func (g *generation) full() bool { return len(g.entries) == g.max }

// add adds a key. The generation must not be full or have the key.
func (g *generation) add(f fingerprint, v prediction.Version) {
	if len(g.entries) == cap(g.entries) {
		g.grow()
	}
	g.entries = append(g.entries, entry{key: f})
	g.entries[len(g.entries)-1].set(v)
	g.link(len(g.entries) - 1)
}

// grow doubles the capacity, up to max.
func (g *generation) grow() {
	room := min(max(2*len(g.entries), 512), g.max)
	g.entries = append(make([]entry, 0, room), g.entries...)
	g.chains = make([]uint32, 1<<bits.Len(uint(room-1)))
	for i := range g.entries {
		g.link(i)
	}
}

func (g *generation) link(i int) {
	e := &g.entries[i]
	chain := g.chain(e.key)
	e.next, *chain = *chain, uint32(i+1)
}

// chain returns the head of a key's chain. The multiplication by 2^64 over the golden ratio spreads the sort keys of one id,
// which are often evenly spaced.
func (g *generation) chain(f fingerprint) *uint32 {
	return &g.chains[f[0]*0x9e3779b97f4a7c15>>(64-bits.Len(uint(len(g.chains)-1)))]
}

func (g *generation) clear() {
	g.entries = g.entries[:0]
	clear(g.chains)
}
