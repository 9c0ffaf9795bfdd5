package item

import (
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

func TestPlainSize(t *testing.T) {
	for _, text := range []string{"0", "1", "10", "100", "1700000000", "1790086412", "1700000000.000000001", "1700000000.5", "0.05", "-120", "-0.5", "253402300799.999999999999999999"} {
		if got, want := plainSize([]byte(text)), numberSize(jsonscan.ParseDecimal(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
