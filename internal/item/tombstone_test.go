package item_test

import (
	"math"
	"math/big"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// tombstone is a delete with what it must not keep.
const tombstone = `{"predictionId":"user-1","timestamp":1769860799.0625,"deleted":true,"prediction":{"label":"genuine"},"model":"fraud"}`

func TestGoldenTombstones(t *testing.T) {
	for _, test := range []struct {
		name    string
		table   item.Table
		options item.Options
	}{
		{"versioned", versioned, item.Options{PerSecond: 1, Encoding: item.JSON}},
		{"versioned-ms", versioned, item.Options{PerSecond: 1000, Encoding: item.Map}},
		{"expiry-sorted", expirySorted, item.Options{PerSecond: 1, Encoding: item.Zstd, Ordered: true}},
		{"latest-only", latestOnly, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := item.NewLayout(test.table, test.options)
			if err != nil {
				t.Fatal(err)
			}
			p := decoded(t, tombstone)
			p.Version.Place = 7
			it, why := l.New(p)
			if why != nil {
				t.Fatal(why)
			}
			compareGolden(t, filepath.Join("testdata", "tombstone-"+test.name+".json"), it.AppendJSON(nil))
		})
	}
}

// aTime draws a time with up to 18 decimals of a second.
func aTime(t *rapid.T, name string) prediction.Time {
	atto := rapid.OneOf(
		rapid.Uint64Range(0, 999_999_999_999_999_999),
		rapid.SampledFrom([]uint64{0, 1, 999_999_999_999_999, 1_000_000_000_000_000, 500_000_000_000_000_000, 999_999_999_999_999_999}),
	).Draw(t, name+" atto")
	return prediction.Time{Sec: rapid.Int64Range(0, 253402300799).Draw(t, name+" second"), Atto: atto}
}

// The sort keys of a table order tombstones and predictions so that a reader finds them: a tombstone after every prediction of its
// unit, before the next unit, in the order of their event times, and never at a prediction's key.
func TestTombstoneKeys(t *testing.T) {
	for _, perSecond := range []uint64{1, 1000} {
		l, err := item.NewLayout(versioned, item.Options{PerSecond: perSecond, Encoding: item.JSON})
		if err != nil {
			t.Fatal(err)
		}
		keyOf := func(t *rapid.T, at prediction.Time, deleted bool) (item.Key, *big.Rat) {
			it, why := l.New(&prediction.Prediction{ID: prediction.ID{Text: "a"}, EventTime: at, Expires: at.Sec + 9,
				Version: prediction.Version{Event: at, Deleted: deleted}, Payload: jsonscan.Value{Text: "1"}})
			if why != nil {
				t.Fatal(why)
			}
			number, ok := new(big.Rat).SetString(string(it.Key.AppendSort(nil)))
			if !ok {
				t.Fatalf("the sort key %s is no number", it.Key.AppendSort(nil))
			}
			return it.Key, number
		}
		rapid.Check(t, func(t *rapid.T) {
			at, other := aTime(t, "delete"), aTime(t, "other")
			if rapid.Bool().Draw(t, "same second") {
				other.Sec = at.Sec
			}
			key, number := keyOf(t, at, true)
			unit := new(big.Rat).SetInt64(at.In(perSecond))
			within := new(big.Rat).Sub(number, unit)
			if within.Cmp(big.NewRat(1, 2)) < 0 || within.Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("%v: the tombstone's key is %s, not in the upper half of its unit", at, number.FloatString(20))
			}
			if _, again := keyOf(t, other, true); again.Cmp(number) != other.Compare(at) {
				t.Fatalf("the keys of the deletes of %v and %v are not in their order", at, other)
			}
			if _, p := keyOf(t, other, false); other.In(perSecond) <= at.In(perSecond) != (p.Cmp(number) < 0) {
				t.Fatalf("the prediction of %v is not before the delete of %v, which is in its unit or later", other, at)
			}
			var back item.Key
			if err := back.SetSort(string(key.AppendSort(nil))); err != nil || back.Sort != key.Sort || back.Frac != key.Frac {
				t.Fatalf("%+v is %s in the table and %+v again, %v", key, key.AppendSort(nil), back, err)
			}
		})
	}
}

func TestSetSort(t *testing.T) {
	for _, test := range []struct {
		number string
		want   item.Key
		fails  bool
	}{
		{"1769860799", item.Key{Sort: 1769860799}, false},
		{"1769860799.5", item.Key{Sort: 1769860799, Frac: 5_000_000_000_000_000_000}, false},
		{"17698607995E-1", item.Key{Sort: 1769860799, Frac: 5_000_000_000_000_000_000}, false},
		{"0.9999999999999999995", item.Key{Frac: 9_999_999_999_999_999_995}, false},
		{"1.0000000000000000001", item.Key{Sort: 1, Frac: 1}, false},
		{"-1", item.Key{Sort: -1}, false},
		{"-1.5", item.Key{}, true},
		{"1.00000000000000000001", item.Key{}, true},
		{"1e30", item.Key{}, true},
		{"soon", item.Key{}, true},
	} {
		var k item.Key
		if err := k.SetSort(test.number); (err != nil) != test.fails || err == nil && k != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.number, k, err, test.want)
		}
	}
}

// A tombstone is newer than every prediction of its event time by AttrSent too.
func TestSentOfTombstone(t *testing.T) {
	number := func(v prediction.Version) *big.Rat {
		n, ok := new(big.Rat).SetString(string((&item.Item{Version: v}).AppendSent(nil)))
		if !ok {
			t.Fatalf("%+v is no number", v)
		}
		return n
	}
	latest := number(prediction.Version{Sent: 253402300799_999, Place: 999_999}) // the year 9999
	var last *big.Rat
	for _, sent := range []int64{math.MinInt64, -1_500_000_000_000_000_000, -1, 0, 1769860800_000, 253402300799_999} {
		for _, place := range []int32{0, 1, 99_999} {
			n := number(prediction.Version{Sent: sent, Place: place, Deleted: true})
			if n.Cmp(latest) <= 0 || last != nil && n.Cmp(last) <= 0 {
				t.Errorf("a delete sent at %d, place %d, is not newer than what is older", sent, place)
			}
			last = n
		}
	}
}

// Decode reads what AppendJSON writes, and refuses fractions in the sort keys of others.
func TestDecodeTombstone(t *testing.T) {
	for _, table := range []item.Table{versioned, expirySorted, latestOnly} {
		for _, ordered := range []bool{false, true} {
			l, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: ordered})
			if err != nil {
				t.Fatal(err)
			}
			it := made(t, l, tombstone)
			stand(t, it.AppendJSON(nil))
			v, err := jsonscan.Parse(string(it.AppendJSON(nil)))
			if err != nil {
				t.Fatal(err)
			}
			fields, err := fieldsOf(v)
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Decode(fields, true)
			if err != nil || !s.Deleted || s.Payload != nil || s.Key != it.Key || s.CreatedAt != it.Version.Event || s.Expires != it.Expires {
				t.Errorf("%s: %+v, %v", l.Kind, s, err)
			}
			if others := l.Others(fields); len(others) > 0 {
				t.Errorf("%s: the tombstone has other attributes: %v", l.Kind, others)
			}
			if size := item.StoredSize(fields); size != it.Size || size > 200 {
				t.Errorf("%s: %d bytes stored, %d expected", l.Kind, size, it.Size)
			}
		}
	}
	l := layout(t, versioned, item.JSON)
	for name, value := range map[string]item.Value{"deleted as a string": {Type: "S", Text: "true"}, "false": {Type: "BOOL", Text: "false"}} {
		fields := []item.Field{
			{Name: "predictionId", Value: item.Value{Type: "S", Text: "a"}}, {Name: "timestamp", Value: item.Value{Type: "N", Text: "5"}},
			{Name: "expiresAt", Value: item.Value{Type: "N", Text: "9"}}, {Name: "createdAt", Value: item.Value{Type: "N", Text: "5"}},
			{Name: "prediction", Value: item.Value{Type: "S", Text: "1"}}, {Name: "deleted", Value: value},
		}
		if s, err := l.Decode(fields, true); err != nil || s.Deleted {
			t.Errorf("%s is no tombstone: %+v, %v", name, s, err)
		}
		fields[1].Value.Text = "5.5"
		if _, err := l.Decode(fields, true); err == nil {
			t.Errorf("%s: a prediction's sort key has a fraction", name)
		}
	}
	for _, table := range []item.Table{
		{HashKey: "deleted", HashType: item.TypeS, TTLAttribute: "expiresAt"},
		{HashKey: "id", HashType: item.TypeS, TTLAttribute: "expiresAt", Indexes: map[string]item.IndexKey{"deleted": {Type: item.TypeS}}},
	} {
		if _, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON}); err == nil {
			t.Errorf("%+v takes the name of the attribute that marks tombstones", table)
		}
	}
}
