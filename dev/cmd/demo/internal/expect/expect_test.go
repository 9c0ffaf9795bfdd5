package expect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

var now = time.Unix(1_800_000_000, 0)

func messages(bodies ...string) []recording.Message {
	ms := make([]recording.Message, len(bodies))
	for i, body := range bodies {
		ms[i].Body = body
	}
	return ms
}

// body is a fine prediction for the id a, with more fields put before its end.
func body(timestamp string, label int, more string) string {
	return fmt.Sprintf(`{"predictionId":"a","timestamp":%s,"prediction":{"label":%d}%s}`, timestamp, label, more)
}

func TestItems(t *testing.T) {
	const fine = `,"model":"digits","modelVersion":1.0`
	attributes := Item{"predictionId": "S a", "createdAt": "N 3599999981/2", "prediction": `S {"label":7}`, "model": "S digits", "modelVersion": "N 1"}
	with := func(more Item) Item {
		item := maps.Clone(attributes)
		maps.Copy(item, more)
		return item
	}
	tests := []struct {
		layout Layout
		want   Item
	}{
		{Versioned, with(Item{"timestamp": "N 1799999990", "expiresAt": "N 1800086390"})},
		{LatestOnly, with(Item{"timestamp": "N 1799999990", "expiresAt": "N 1800086390"})},
		{ExpirySorted, with(Item{"timestamp": "N 1800086390"})},
	}
	for _, test := range tests {
		t.Run(string(test.layout), func(t *testing.T) {
			o, err := Of(messages(body("1799999990.50", 7, fine)), test.layout, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Items[test.want.Key(test.layout)]; !maps.Equal(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
			if o.Predictions != 1 || o.Live != 1 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestWhichVersionStays(t *testing.T) {
	first, second, sameSecond := body("1799999990.5", 1, ""), body("1799999995", 2, ""), body("1799999990.9", 3, "")
	all := func(o *Outcome) string {
		var labels []string
		for _, item := range o.Items {
			labels = append(labels, strings.TrimSuffix(strings.TrimPrefix(item["prediction"], `S {"label":`), "}"))
		}
		slices.Sort(labels)
		return strings.Join(labels, " ")
	}
	tests := []struct {
		name                     string
		bodies                   []string
		versioned, sorted, alone string // the labels that stay
		versions                 int
	}{
		{"a repeat", []string{first, first}, "1", "1", "1", 1},
		{"a newer one", []string{first, second}, "1 2", "1 2", "2", 2},
		{"a late older one", []string{second, first}, "1 2", "1 2", "2", 2},
		{"newer within the second of the key", []string{first, sameSecond}, "3", "3", "3", 2},
		{"older within the second of the key", []string{sameSecond, first}, "3", "3", "3", 2},
		{"many in a message", []string{first + "\n" + second}, "1 2", "1 2", "2", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for layout, want := range map[Layout]string{Versioned: test.versioned, ExpirySorted: test.sorted, LatestOnly: test.alone} {
				o, err := Of(messages(test.bodies...), layout, now)
				if err != nil {
					t.Fatal(err)
				}
				if got := all(o); got != want || o.Predictions != 2 || o.Live != 2 || o.Versions != test.versions {
					t.Errorf("%s: stays %s, want %s; %+v", layout, got, want, o)
				}
			}
		})
	}
}

func TestRejects(t *testing.T) {
	tests := []struct{ name, body, reason string }{
		{"cut off", `{"predictionId":"a","pred`, "syntax"},
		{"NaN", body("NaN", 1, ""), "number"},
		{"a JSON string", `"{}"`, "field_type"},
		{"no id", `{"prediction":1}`, "missing_field"},
		{"empty id", `{"predictionId":"","prediction":1}`, "key"},
		{"number as id", `{"predictionId":1,"prediction":1}`, "key"},
		{"long id", `{"predictionId":"` + strings.Repeat("a", 2049) + `","prediction":1}`, "key"},
		{"no prediction", `{"predictionId":"a","timestamp":1800000000}`, "missing_field"},
		{"text as time", body(`"yesterday"`, 1, ""), "field_type"},
		{"far in the future", body("1800000301", 1, ""), "future"},
		{"reserved name", body("1800000000", 1, `,"createdAt":1`), "reserved_name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fine := body("1800000000", 1, "")
			o, err := Of(messages(test.body, fine+"\n"+test.body+"\n"+fine), Versioned, now)
			if err != nil {
				t.Fatal(err)
			}
			if o.Rejects[Reject{test.body, test.reason}] != 2 || len(o.Rejects) != 1 || o.Live != 2 || o.Predictions != 4 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	o, err := Of(messages(body("1799913539", 1, ""), body("1799999000", 1, `,"ttlSeconds":900`), body("1799999039", 1, `,"ttlSeconds":900`), body("1799999040", 1, `,"ttlSeconds":900`)), Versioned, now)
	if err != nil {
		t.Fatal(err)
	}
	if o.Expired != 3 || o.Live != 1 {
		t.Errorf("%d expired, %d live", o.Expired, o.Live)
	}
}

func TestCompare(t *testing.T) {
	broken := `{"predictionId":"","prediction":1}`
	o, err := Of(messages(body("1799999990", 1, ""), body("1799999995", 2, ""), broken, broken), Versioned, now)
	if err != nil {
		t.Fatal(err)
	}
	key := func(second string) Key { return Key{"S a", "N 17999999" + second} }
	right := []Item{o.Items[key("90")], o.Items[key("95")]}
	if got := o.CompareItems(right, Versioned); got != nil {
		t.Errorf("the same items differ: %q", got)
	}
	changed, other := maps.Clone(right[0]), maps.Clone(right[0])
	changed["prediction"], changed["extra"] = "S 5", "BOOL true"
	other["timestamp"] = "N 17"
	want := []string{
		`the table's a at 1799999990 has prediction = S 5, but published was S {"label":1}`,
		"the table's a at 1799999990 has extra = BOOL true, but published was nothing",
		"the table holds a at 17, which nothing published explains",
		"the table lacks a at 1799999995",
	}
	if got := o.CompareItems([]Item{changed, other}, Versioned); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}

	reject := Reject{broken, "key"}
	if got := o.CompareRejects([]Reject{reject, reject}); got != nil {
		t.Errorf("the same rejects differ: %q", got)
	}
	want = []string{
		`the reject queue holds, for the reason "syntax", what should not be there: ` + broken,
		`the reject queue lacks, for the reason "key": ` + broken,
	}
	if got := o.CompareRejects([]Reject{reject, {broken, "syntax"}}); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
