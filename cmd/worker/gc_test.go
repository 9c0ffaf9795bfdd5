package main

import "testing"

func TestTheHeapGrowsToTheFloorOrToTwiceWhatIsAlive(t *testing.T) {
	for live, want := range map[uint64]uint64{0: 24 << 20, 3 << 20: 24 << 20, 12 << 20: 24 << 20, 13 << 20: 26 << 20, 500 << 20: 1000 << 20} {
		base := max(live, 2<<20)
		goal := base + base*uint64(gcPercent(live))/100
		if goal > want || goal < want*98/100 {
			t.Errorf("%d MiB alive may grow to %d bytes, want %d", live>>20, goal, want)
		}
	}
}
