package attribute

import (
	"encoding/json"
	"testing"
)

// TestFlatItemsAreReadAsOthers checks that the loop by hand and encoding/json agree.
func TestFlatItemsAreReadAsOthers(t *testing.T) {
	for text, flat := range map[string]bool{
		`{}`:                              true,
		`{"k":{"S":"a"},"n":{"N":"1.5"}}`: true,
		`{"k":{"S":""}}`:                  true,
		`{"é":{"S":"漢 \"x\" \\ \n é"}}`:   true,
		`{"a\"b":{"S":"😀"}}`:              true,
		`{"k":{"S":"\ud83d\ude00"}}`:      true,
		`{"k": {"S":"a"}}`:                false, // not compact
		`{"k":{"S":"a"},"k":{"S":"b"}}`:   false,
		`{"k":{"B":"AQ=="}}`:              false,
		`{"k":{"S":"a","N":"1"}}`:         false,
		`{"k":{"L":[{"S":"a"}]}}`:         false,
		`{"k":{"M":{"x":{"N":"1"}}}}`:     false,
		`{"k":{"NULL":true},"b":{}}`:      false,
		`{"k":null}`:                      false,
		"{\"k\":{\"S\":\"\xff\"}}":        false,
	} {
		if got := readFlat([]byte(text)) != nil; got != flat {
			t.Errorf("%s: read by hand: %v", text, got)
		}
		type plain map[string]*Value
		var got Item
		var want plain
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if got.JSON() != Item(want).JSON() {
			t.Errorf("%s: got %s, want %s", text, got.JSON(), Item(want).JSON())
		}
	}
	for _, text := range []string{`{"k":{"S":1}}`, `{"k":{"X":"a"}}`, `[]`, `{"k":"a"}`} {
		var it Item
		if err := json.Unmarshal([]byte(text), &it); err == nil {
			t.Errorf("%s is read as %s", text, it.JSON())
		}
	}
}

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
