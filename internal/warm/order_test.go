package warm

import (
	"math"
	"testing"
)

func TestOrder(t *testing.T) {
	const now = 1_795_632_490
	orders := []int64{
		(&Run{started: now}).order(0), (&Run{started: now}).order(1), (&Run{started: now}).order(math.MaxUint32),
		(&Run{started: now + 1}).order(0), (&Run{started: math.MaxInt32}).order(math.MaxInt),
		946_684_800_000, // the sent time of a message, in 2000
	}
	for i := 1; i < len(orders); i++ {
		if orders[i-1] >= orders[i] {
			t.Errorf("%d is not before %d", orders[i-1], orders[i])
		}
	}
}
