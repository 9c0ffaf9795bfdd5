package records_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// tables are the layouts by name.
var tables = map[string]item.Table{
	"versioned":     {HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"},
	"renamed":       {HashKey: "pk", HashType: item.TypeN, SortKey: "at", SortType: item.TypeN, TTLAttribute: "ttl"},
	"expiry-sorted": {HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "timestamp"},
	"latest-only":   {HashKey: "predictionId", HashType: item.TypeS, TTLAttribute: "expiresAt"},
}

// decode makes a prediction of a message.
func decode(t *testing.T, text string) *prediction.Prediction {
	t.Helper()
	now := time.Unix(1_769_860_900, 0)
	d := prediction.NewDecoder(prediction.Config{
		Fields: options(0).Fields, Attributes: prediction.Attributes{All: true}, TTL: time.Hour, TombstoneTTL: time.Hour, MaxFuture: time.Hour, MaxDecodedBytes: 1 << 20,
	})
	var decoded prediction.Decoded
	d.Decode(&decoded, prediction.Message{Body: text}, now)
	if len(decoded.Predictions) != 1 {
		t.Fatalf("%s: rejected %+v", text, decoded.Rejected)
	}
	return &decoded.Predictions[0]
}

func stored(t *testing.T, table item.Table, encoding item.Encoding, text string) string {
	t.Helper()
	perSecond := uint64(1000)
	if table.SortKey == table.TTLAttribute {
		perSecond = 1
	}
	layout, err := item.NewLayout(table, item.Options{PerSecond: perSecond, Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	it, why := layout.New(decode(t, text))
	if why != nil {
		t.Fatal(why)
	}
	return string(it.AppendJSON(nil))
}

// A table's export makes the same items again, in a table of the same layout and in one of another.
func TestExport(t *testing.T) {
	const message = `{"predictionId":%s,"timestamp":1769860800.123456789012345678,"ttlSeconds":77.5,"prediction":{"score":0.10,"text":"%s"},` +
		`"model":"m \"1\"","n":-1.5e-7,"yes":true,"none":null,"list":[1,{"x":[]}],"map":{}}`
	for _, encoding := range []item.Encoding{item.JSON, item.Map, item.Zstd} {
		for from, source := range tables {
			for to, target := range tables {
				if (source.HashKey == "pk") != (target.HashKey == "pk") {
					continue // the names of the keys are the target's
				}
				t.Run(fmt.Sprint(encoding, "/", from, " to ", to), func(t *testing.T) {
					id := `"a\n\"b"`
					if source.HashType == item.TypeN {
						id = "17"
					}
					text := fmt.Sprintf(message, id, strings.Repeat("abc ", 500))
					o := options(1 << 20)
					o.Table = target
					export := `{"Item":` + stored(t, source, encoding, text) + "}\n"
					r, err := records.Open(strings.NewReader(export+export), o)
					if err != nil {
						t.Fatal(err)
					}
					rows, err := rest(r)
					if err != nil || len(rows) != 2 || r.Format() != records.Export {
						t.Fatalf("%s rows %q, %v", r.Format(), rows, err)
					}
					if got, want := stored(t, target, encoding, rows[1]), stored(t, target, encoding, text); got != want {
						t.Errorf("the item is\n%s, want\n%s", got, want)
					}
				})
			}
		}
	}
}

// The id is found where the old table's partition key has another name: that of the message's field, which can be set.
func TestExport_renamed_key(t *testing.T) {
	source, target := tables["versioned"], item.Table{HashKey: "pk", HashType: item.TypeS, SortKey: "at", SortType: item.TypeN, TTLAttribute: "expiresAt"}
	const prediction, tombstone = `{"predictionId":"a","timestamp":1769860800.25,"ttlSeconds":1000000,"prediction":1,"model":"m"}`, `{"predictionId":"a","timestamp":1769860801,"ttlSeconds":1000000,"deleted":true}`
	for name, text := range map[string]string{"a prediction": prediction, "a tombstone": tombstone} {
		for _, field := range []string{"predictionId", "key"} {
			t.Run(name+" by "+field, func(t *testing.T) {
				old := source
				old.HashKey = field
				o := options(1 << 20)
				o.Table, o.Fields.ID = target, field
				r, err := records.Open(strings.NewReader(`{"Item":`+stored(t, old, item.JSON, text)+"}\n"), o)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := rest(r)
				if err != nil || len(rows) != 1 {
					t.Fatalf("rows %q, %v", rows, err)
				}
				row := strings.Replace(rows[0], `"`+field+`":`, `"predictionId":`, 1)
				if got, want := stored(t, target, item.JSON, row), stored(t, target, item.JSON, text); got != want {
					t.Errorf("the item is\n%s, want\n%s", got, want)
				}
			})
		}
	}
}

// A delete moves with its times. In the other layout its end is where that has it.
func TestExport_deletes(t *testing.T) {
	const message = `{"predictionId":"a","timestamp":1769860800.25,"ttlSeconds":1000000,"deleted":true}`
	for from, source := range tables {
		for to, target := range tables {
			if source.HashKey == "pk" || target.HashKey == "pk" {
				continue
			}
			good := stored(t, source, item.JSON, `{"predictionId":"a","timestamp":1769860800,"prediction":1}`)
			o := options(1 << 20)
			o.Table = target
			r, err := records.Open(strings.NewReader(`{"Item":`+good+"}\n"+`{"Item":`+stored(t, source, item.JSON, message)+"}\n"), o)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := rest(r)
			if err != nil || len(rows) != 2 {
				t.Fatalf("%s to %s: rows %q, %v", from, to, rows, err)
			}
			if got, want := stored(t, target, item.JSON, rows[1]), stored(t, target, item.JSON, message); got != want {
				t.Errorf("%s to %s: the item is\n%s, want\n%s", from, to, got, want)
			}
		}
	}
}

func TestExport_rejects(t *testing.T) {
	good := `{"Item":{"predictionId":{"S":"a"},"createdAt":{"N":"1769860800"},"expiresAt":{"N":"1769860900"},"prediction":{"S":"1"}}}`
	for row, want := range map[string]string{
		`{"Item":{"predictionId":{"S":"a"},"prediction":{"S":"{"}}}`:                          "field_value: ",
		`{"Item":{"predictionId":{"S":"a"}}}`:                                                 "field_value: ",
		`{"Item":{"predictionId":{"S":"a"},"prediction":{"S":"1"},"encoding":{"S":"other"}}}`: "field_value: ",
		`{"Item":{"predictionId":{"S":`:                                                       "syntax: ",
		`{"Other":1}`:                                                                         "syntax: ",
	} {
		r, err := records.Open(strings.NewReader(good+"\n"+row+"\n"+good), options(1000))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := rest(r)
		if err != nil || len(rows) != 3 || rows[1] != want+row || rows[0] != rows[2] {
			t.Errorf("%s: rows %q, %v; want %s", row, rows, err, want)
		}
	}
}
