package attribute

import (
	"encoding/json"
	"testing"
)

func TestNumbersOrderAsNumbers(t *testing.T) {
	numbers := []string{"-1e125", "-100", "-99.5", "-10", "-9", "-1.5", "-1", "-0.001", "-1e-130", "0", "1e-130", "0.001", "0.5", "1", "1.05", "1.5", "9", "10", "99.5", "100", "9.9e125"}
	for i := 1; i < len(numbers); i++ {
		if a, b := Scalar("N", numbers[i-1]).SortKey(), Scalar("N", numbers[i]).SortKey(); a >= b {
			t.Errorf("%s does not come before %s", numbers[i-1], numbers[i])
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{
		`{"k":{"S":"é"}}`:      3,
		`{"k":{"N":"0"}}`:      2,
		`{"k":{"N":"123"}}`:    4,
		`{"k":{"N":"1000"}}`:   3,
		`{"k":{"N":"-0.012"}}`: 3,
		`{"k":{"BOOL":false}}`: 2,
		`{"k":{"L":[]}}`:       4,
		`{"k":{"M":{"x":{"NULL":true},"y":{"B":"AQI="}}}}`: 1 + 3 + 2 + 2 + 3,
		`{"k":{"SS":["a","bc"]}}`:                          4,
	} {
		var it Item
		if err := json.Unmarshal([]byte(text), &it); err != nil {
			t.Fatal(err)
		}
		if err := it.Normalize(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := it.Size(); got != want {
			t.Errorf("%s has %d bytes, want %d", text, got, want)
		}
	}
}
