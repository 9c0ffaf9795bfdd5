package item_test

import (
	"cmp"
	"math"
	"math/big"
	"path/filepath"
	"testing"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// Ordered items have the attribute AttrSent.
func TestOrderedItems(t *testing.T) {
	for _, encoding := range encodings {
		l, err := item.NewLayout(latestOnly, item.Options{PerSecond: 1, Encoding: encoding, Ordered: true})
		if err != nil {
			t.Fatal(err)
		}
		p := decoded(t, `{"predictionId":"user-1","timestamp":1769860799.0625,"prediction":{"label":"genuine"},"model":"fraud"}`)
		p.Version.Place = 7
		it, why := l.New(p)
		if why != nil {
			t.Fatal(why)
		}
		checkEncoded(t, it, p, encoding)
		compareGolden(t, filepath.Join("testdata", "latest-only-ordered-"+string(encoding)+".json"), it.AppendJSON(nil))
	}
	l := layout(t, latestOnly, item.JSON)
	if _, why := l.New(decoded(t, `{"predictionId":"a","prediction":1,"predcache.sent":1}`)); why == nil || why.Reason != prediction.ReasonReservedName {
		t.Errorf("a field took the name: %v", why)
	}
}

// The table must order items of one event time as Version.Compare does.
func TestAppendSent(t *testing.T) {
	var versions []prediction.Version
	for _, sent := range []int64{math.MinInt64 + 1, -1_500_000_000_000_000_001, -1_500_000_000_000_000_000, 0, 9, 10, 1769860799_999, 1769860800_000} {
		for _, place := range []int32{0, 1, 9, 10, 99, 100, 99_999, 100_000, 999_999, math.MaxInt32} {
			versions = append(versions, prediction.Version{Sent: sent, Place: place})
		}
	}
	number := func(v prediction.Version) *big.Rat {
		text := string((&item.Item{Version: v}).AppendSent([]byte("at "))[3:])
		n, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%+v is %q", v, text)
		}
		return n
	}
	for _, a := range versions {
		for _, b := range versions {
			if got, want := number(a).Cmp(number(b)), cmp.Or(cmp.Compare(a.Sent, b.Sent), cmp.Compare(a.Place, b.Place)); got != want {
				t.Fatalf("%+v to %+v: %d, want %d", a, b, got, want)
			}
		}
	}
}
