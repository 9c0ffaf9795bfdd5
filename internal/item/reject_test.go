package item_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/item"
)

// Each text has "secret" wherever a message can have a value. No reject may repeat it.
func TestNewRejects(t *testing.T) {
	numberKey := latestOnly
	numberKey.HashType = item.TypeN
	renamed := item.Table{HashKey: "id", HashType: item.TypeS, SortKey: "at", SortType: item.TypeN, TTLAttribute: "ttl"}
	const (
		asText  = "; send it as a string, or inside the payload, which is stored as text"
		inRange = "number: score has a number outside DynamoDB's range of 1E-130 to 9.9E+125: send it as a string, or inside the payload, which is stored as text"
		deep    = "nesting: %s is nested deeper than DynamoDB's 32 levels: flatten it, or send it inside the payload, which is stored as text"
	)
	nested := func(levels int) string { return strings.Repeat("[", levels) + `"secret"` + strings.Repeat("]", levels) }
	for _, test := range []struct {
		name     string
		table    item.Table
		encoding item.Encoding
		fields   string // beside the id and the payload, or with them
		want     string
	}{
		{"an empty id", latestOnly, item.JSON, `"predictionId":""`, "key: predictionId is empty: a key has at least one byte"},
		{"an id too long", latestOnly, item.JSON, `"predictionId":"` + strings.Repeat("é", 1025) + `"`, "key: predictionId has 2050 bytes: a key has at most 2048"},
		{"a number for a key that is a string", latestOnly, item.JSON, `"predictionId":7`, "key: predictionId is a number, but the table's hash key is a string: send a string"},
		{"a string for a key that is a number", numberKey, item.JSON, `"predictionId":"7"`, "key: predictionId is a string, but the table's hash key is a number: send a number"},
		{"a number of 39 digits for a key", numberKey, item.JSON, `"predictionId":` + strings.Repeat("7", 39), "number: predictionId has a number of 39 digits: DynamoDB holds 38" + asText},
		{"a number out of range for a key", numberKey, item.JSON, `"predictionId":1e126`,
			strings.Replace(inRange, "score", "predictionId", 1)},

		{"a number of 39 digits", latestOnly, item.JSON, `"score":0.` + strings.Repeat("7", 39), "number: score has a number of 39 digits: DynamoDB holds 38" + asText},
		{"a number too great", latestOnly, item.JSON, `"score":-1e126`, inRange},
		{"a number too small", latestOnly, item.JSON, `"score":9e-131`, inRange},
		{"a number beyond reason", latestOnly, item.JSON, `"score":1e999999999999`, inRange},
		{"a nested number", latestOnly, item.JSON, `"score":{"a":["secret",1e126]}`, inRange},
		{"nesting of 33", latestOnly, item.JSON, `"score":` + nested(32), fmt.Sprintf(deep, "score")}, // 32 lists and what is in them
		{"half a surrogate pair", latestOnly, item.JSON, `"score":"secret\ud83d"`, "field_value: score holds half of a UTF-16 surrogate pair: send valid Unicode"},
		{"a nested name with half a surrogate pair", latestOnly, item.JSON, `"score":{"secret\ud83d":1}`, "field_value: score has a name that holds half of a UTF-16 surrogate pair: send valid Unicode"},
		{"a nested name that is there twice, among many", latestOnly, item.JSON, `"score":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"b":2}`, "duplicate_name: score has a nested name twice: send it once"},
		{"a nested name that is there twice, after many", latestOnly, item.JSON, `"score":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"j":2}`, "duplicate_name: score has a nested name twice: send it once"},
		{"a nested name that is there twice", latestOnly, item.JSON, `"score":[{"secret":1,"secr\u0065t":2}]`, "duplicate_name: score has a nested name twice: send it once"},
		{"a nested name that is empty", latestOnly, item.JSON, `"score":{"":1}`,
			"field_value: score has a nested name that DynamoDB can't hold: the name of a field is empty: DynamoDB's attribute names have at least one byte"},
		{"an empty name", latestOnly, item.JSON, `"":1`, "field_value: the name of a field is empty: DynamoDB's attribute names have at least one byte"},
		{"a name too long", latestOnly, item.JSON, `"` + strings.Repeat("n", 65536) + `":1`, "field_value: the name of a field has 65536 bytes: DynamoDB's attribute names have at most 65535"},

		{"a payload's number under map", latestOnly, item.Map, `"prediction":[1e126]`, strings.Replace(inRange, "score", "prediction", 1)},
		{"a payload's nesting under map", latestOnly, item.Map, `"prediction":` + nested(32), fmt.Sprintf(deep, "prediction")},
		{"a payload's text under map", latestOnly, item.Map, `"prediction":{"a":"secret\ude00"}`, "field_value: prediction holds half of a UTF-16 surrogate pair: send valid Unicode"},

		{"a name that the worker uses", latestOnly, item.JSON, `"createdAt":"secret"`, "reserved_name: createdAt is an attribute that the worker sets itself: rename the field"},
		{"a name that only some items have", latestOnly, item.JSON, `"encoding":"secret"`, "reserved_name: encoding is an attribute that the worker sets itself: rename the field"},
		{"the name of the hash key", renamed, item.JSON, `"id":1`, "reserved_name: id is an attribute that the worker sets itself: rename the field"},
		{"the name of the sort key", renamed, item.JSON, `"at":1`, "reserved_name: at is an attribute that the worker sets itself: rename the field"},
		{"the name of the TTL attribute", renamed, item.JSON, `"ttl":1`, "reserved_name: ttl is an attribute that the worker sets itself: rename the field"},

		{"an item over 400 KB", latestOnly, item.JSON, `"predictionId":"a","timestamp":1769860799,"prediction":"` + strings.Repeat("s", 409600-68-1) + `"`,
			"too_large: the item would have 409601 bytes of DynamoDB's 409600: send a smaller payload, fewer attributes, or set WORKER_PAYLOAD_ENCODING=zstd"},
		{"an item over 400 KB by its attributes", latestOnly, item.Map, `"timestamp":1769860799,"a":"` + strings.Repeat("s", 204800) + `","b":"` + strings.Repeat("s", 204800) + `"`,
			"too_large: the item would have 409692 bytes of DynamoDB's 409600: send a smaller payload, fewer attributes, or set WORKER_PAYLOAD_ENCODING=zstd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := test.fields
			if !strings.Contains(body, `"predictionId"`) {
				body += `,"predictionId":"secret"`
			}
			if !strings.Contains(body, `"prediction"`) {
				body += `,"prediction":"secret"`
			}
			_, why := layout(t, test.table, test.encoding).New(decoded(t, "{"+body+"}"))
			if why == nil || why.Error() != test.want {
				t.Fatalf("rejected: %v\n    want: %s", why, test.want)
			}
			if strings.Contains(why.Error(), "secret") {
				t.Error("the reject repeats the message")
			}
		})
	}
}

func TestNewLimits(t *testing.T) {
	nested := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	for _, fields := range []string{
		`"score":` + strings.Repeat("7", 38), `"score":9.9999999999999999999999999999999999999e125`, `"score":1e-130`, `"score":-1E125`, `"score":0e999`,
		`"score":` + nested, `"score":""`, `"` + strings.Repeat("n", 65535) + `":1`, `"score":"\ud83d\ude00"`,
	} {
		body := `{"predictionId":"a","prediction":1,` + fields + `}`
		checkEncoded(t, made(t, layout(t, latestOnly, item.JSON), body), decoded(t, body), item.JSON)
	}
	// As text, a payload may hold what DynamoDB can't.
	for _, payload := range []string{`1e999`, strings.Repeat("7", 1000), nested + "", `[` + nested + `]`, `{"a":1,"a":2,"":3}`, `"\ud83d"`} {
		for _, encoding := range []item.Encoding{item.JSON, item.Zstd} {
			body := `{"predictionId":"a","prediction":` + payload + `}`
			checkEncoded(t, made(t, layout(t, latestOnly, encoding), body), decoded(t, body), encoding)
		}
	}
	full := `{"predictionId":"a","timestamp":1769860799,"prediction":"` + strings.Repeat("s", 409600-68-2) + `"}`
	if it := made(t, layout(t, latestOnly, item.JSON), full); it.Size != item.MaxSize || it.Units() != 400 {
		t.Errorf("%d bytes, %d units", it.Size, it.Units())
	}
}

func TestIndexKeys(t *testing.T) {
	table := versioned
	table.Indexes = map[string]item.IndexKey{
		"model": {Type: item.TypeS, MaxBytes: item.MaxHashBytes}, "score": {Type: item.TypeN, MaxBytes: item.MaxSortBytes},
		"predictionId": {Type: item.TypeS, MaxBytes: item.MaxSortBytes}, "prediction": {Type: item.TypeS, MaxBytes: item.MaxSortBytes},
		"blob": {Type: item.TypeB, MaxBytes: item.MaxSortBytes},
	}
	const typed = "but an index of the table declares it as %s: send that type, or leave it out"
	for _, test := range []struct {
		name     string
		encoding item.Encoding
		fields   string
		want     string // nothing where it is kept
	}{
		{"right types", item.JSON, `"model":"m","score":1.5`, ""},
		{"absent", item.JSON, `"other":1`, ""},
		{"the longest string", item.JSON, `"model":"` + strings.Repeat("m", 2048) + `"`, ""},
		{"a number for a string", item.JSON, `"model":1`, "index_key: model is a number, " + fmt.Sprintf(typed, "S")},
		{"a string for a number", item.JSON, `"score":"1"`, "index_key: score is a string, " + fmt.Sprintf(typed, "N")},
		{"null", item.JSON, `"model":null`, "index_key: model is null, " + fmt.Sprintf(typed, "S")},
		{"what JSON can't give", item.JSON, `"blob":"x"`, "index_key: blob is a string, " + fmt.Sprintf(typed, "B")},
		{"an empty string", item.JSON, `"model":""`, "index_key: model is empty, but an index of the table has it in its key: leave it out"},
		{"a string too long", item.JSON, `"model":"` + strings.Repeat("m", 2049) + `"`, "index_key: model has 2049 bytes: as an index has it in its key, it has at most 2048"},
		{"an id too long for an index's sort key", item.JSON, `"predictionId":"` + strings.Repeat("a", 1025) + `"`, "index_key: predictionId has 1025 bytes: as an index has it in its key, it has at most 1024"},
		{"a payload too long", item.JSON, `"prediction":[` + strings.Repeat("1,", 511) + ` 10]`, "index_key: prediction has 1026 bytes: as an index has it in its key, it has at most 1024"},
		{"a payload that just fits", item.JSON, `"prediction":[` + strings.Repeat("1,", 510) + ` 10]`, ""},
		{"a string under map", item.Map, `"prediction":"x"`, ""},
		{"an object under map", item.Map, `"prediction":{}`, "index_key: prediction is an object, " + fmt.Sprintf(typed, "S")},
		{"a string too long under map", item.Map, `"prediction":"` + strings.Repeat("x", 1025) + `"`, "index_key: prediction has 1025 bytes: as an index has it in its key, it has at most 1024"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := test.fields
			for _, field := range []string{`"predictionId"`, `"prediction"`} {
				if !strings.Contains(body, field) {
					body += `,` + field + `:"a"`
				}
			}
			_, why := layout(t, table, test.encoding).New(decoded(t, "{"+body+"}"))
			switch {
			case test.want == "" && why != nil:
				t.Errorf("rejected: %v", why)
			case test.want != "" && (why == nil || why.Error() != test.want):
				t.Errorf("rejected: %v\n    want: %s", why, test.want)
			}
		})
	}
}
