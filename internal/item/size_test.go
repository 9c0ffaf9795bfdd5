package item_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// stored is an item as a DynamoDB client reads it: attribute names to typed values.
type stored map[string]map[string]any

func stand(t testing.TB, encoded []byte) stored {
	t.Helper()
	var s stored
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.UseNumber()
	if err := d.Decode(&s); err != nil || d.More() {
		t.Fatalf("%v in %s", err, encoded)
	}
	object, err := jsonscan.Parse(string(encoded))
	if members := slices.Collect(jsonscan.Members(object)); err != nil || len(members) != len(s) {
		t.Fatalf("an attribute occurs twice, or %v: %s", err, encoded)
	}
	return s
}

// checkEncoded compares an item with its prediction, and with an independent implementation of DynamoDB's rules.
func checkEncoded(t testing.TB, it *item.Item, p *prediction.Prediction, encoding item.Encoding) {
	t.Helper()
	encoded := it.AppendJSON([]byte("before "))
	encoded = bytes.TrimPrefix(encoded, []byte("before "))
	if len(encoded) > it.MaxJSONSize() {
		t.Fatalf("%d bytes encoded, over the bound of %d: %.300s", len(encoded), it.MaxJSONSize(), encoded)
	}
	if !utf8.Valid(encoded) {
		t.Fatalf("invalid UTF-8: %q", encoded)
	}
	s := stand(t, encoded)
	size := 0
	for name, value := range s {
		size += len(name) + sizeOf(t, value)
	}
	if size != it.Size || size > item.MaxSize {
		t.Fatalf("an item of %d bytes says that it has %d: %.300s", size, it.Size, encoded)
	}
	checkPayload(t, s, p, encoding)
	for _, a := range p.Attributes {
		if got, want := plain(t, s[a.Name]), unmarshal(t, a.Value.Text); !reflect.DeepEqual(got, want) {
			t.Fatalf("attribute %q is %v, want %v", a.Name, got, want)
		}
	}
	if want := string(p.EventTime.AppendSeconds(nil)); s["createdAt"]["N"] != want {
		t.Fatalf("createdAt is %v, want %s", s["createdAt"], want)
	}
}

func checkPayload(t testing.TB, s stored, p *prediction.Prediction, encoding item.Encoding) {
	t.Helper()
	compact := string(jsonscan.AppendCompact(nil, p.Payload))
	said, _ := s["encoding"]["S"].(string)
	switch {
	case said == "map" && encoding == item.Map:
		if got, want := plain(t, s["prediction"]), unmarshal(t, compact); !reflect.DeepEqual(got, want) {
			t.Fatalf("payload %v, want %v", got, want)
		}
	case said == "zstd" && encoding == item.Zstd:
		if got := decompressed(t, s["prediction"]["B"].(string)); string(got) != compact {
			t.Fatalf("payload %s, want %s", got, compact)
		}
	case said == "" && encoding != item.Map:
		if s["prediction"]["S"] != compact {
			t.Fatalf("payload %v, want %s", s["prediction"], compact)
		}
	default:
		t.Fatalf("encoding %q under %s", said, encoding)
	}
}

func unmarshal(t testing.TB, text string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// plain converts a typed value to what encoding/json makes of the original JSON. Numbers keep their text.
func plain(t testing.TB, value map[string]any) any {
	t.Helper()
	if len(value) != 1 {
		t.Fatalf("a value of %d types: %v", len(value), value)
	}
	for kind, v := range value {
		switch kind {
		case "S", "BOOL":
			return v
		case "N":
			return json.Number(v.(string))
		case "NULL":
			if v == true {
				return nil
			}
		case "L":
			list := []any{}
			for _, e := range v.([]any) {
				list = append(list, plain(t, e.(map[string]any)))
			}
			return list
		case "M":
			m := map[string]any{}
			for name, e := range v.(map[string]any) {
				m[name] = plain(t, e.(map[string]any))
			}
			return m
		}
	}
	t.Fatalf("no such value: %v", value)
	return nil
}

// sizeOf computes a size by "DynamoDB item sizes and formats" from the decoded value.
func sizeOf(t testing.TB, value map[string]any) int {
	t.Helper()
	for kind, v := range value {
		switch kind {
		case "S":
			return len(v.(string))
		case "N":
			return numberSize(v.(string))
		case "B":
			b, err := base64.StdEncoding.DecodeString(v.(string))
			if err != nil {
				t.Fatal(err)
			}
			return len(b)
		case "BOOL", "NULL":
			return 1
		case "L":
			size := 3
			for _, e := range v.([]any) {
				size += 1 + sizeOf(t, e.(map[string]any))
			}
			return size
		case "M":
			size := 3
			for name, e := range v.(map[string]any) {
				size += 1 + len(name) + sizeOf(t, e.(map[string]any))
			}
			return size
		}
	}
	t.Fatalf("no such value: %v", value)
	return 0
}

// numberSize is one byte for two significant digits, one more, and one for a minus sign.
func numberSize(text string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(mantissa, "-"), ".", ""), "0")
	size := 1
	for i := 0; i < len(digits); i += 2 {
		size++
	}
	if strings.HasPrefix(text, "-") && digits != "" {
		size++
	}
	return size
}

func TestSize(t *testing.T) {
	// Beside the attribute: predictionId 12+1, timestamp 9+6, expiresAt 9+6, createdAt 9+6, prediction 10+1.
	const rest = 13 + 15 + 15 + 15 + 11
	l := layout(t, latestOnly, item.JSON)
	for value, want := range map[string]int{
		`""`: 0, `"abc"`: 3, `"\u00e9\ud83d\ude00\n"`: 7, `true`: 1, `null`: 1,
		`0`: 1, `-0.0`: 1, `7`: 2, `12`: 2, `123`: 3, `-123`: 4, `1000000`: 2, `0.00012`: 2, `1.50e20`: 2, `12345678901234567890123456789012345678`: 20,
		`[]`: 3, `{}`: 3, `[1,"ab",[]]`: 3 + 3 + 3 + 4, `{"k":{"n":null}}`: 3 + 1 + 1 + (3 + 1 + 1 + 1),
	} {
		body := `{"predictionId":"a","timestamp":1769812345,"ttlSeconds":2,"prediction":1,"attr":` + value + `}`
		it := made(t, l, body)
		if got := it.Size - rest - len("attr"); got != want {
			t.Errorf("%s has %d bytes, want %d", value, got, want)
		}
		checkEncoded(t, it, decoded(t, body), item.JSON)
	}
}

func TestSizeWithoutSpaces(t *testing.T) {
	for _, encoding := range encodings {
		l := layout(t, latestOnly, encoding)
		tight := made(t, l, `{"predictionId":"a","prediction":{"a":[1,2,"x y"]},"b":[1]}`)
		loose := made(t, l, `{"predictionId":"a", "prediction" : { "a" : [ 1 , 2, "x y" ] }, "b" : [ 1 ] }`)
		if tight.Size != loose.Size || !bytes.Equal(tight.AppendJSON(nil), loose.AppendJSON(nil)) {
			t.Errorf("%s: %s and %s", encoding, tight.AppendJSON(nil), loose.AppendJSON(nil))
		}
	}
}

func TestMaxJSONSize(t *testing.T) {
	names := item.Table{
		HashKey: strings.Repeat("\x01", 255), HashType: item.TypeS, SortKey: strings.Repeat("\x02", 255), SortType: item.TypeN, TTLAttribute: strings.Repeat("\x03", 255),
	}
	for _, table := range []item.Table{versioned, expirySorted, latestOnly, names} {
		for _, encoding := range encodings {
			l := layout(t, table, encoding)
			for _, value := range []string{
				`1`, `-1`, `[1]`, `[` + strings.Repeat(`1,`, 2000) + `1]`, strings.Repeat(`[`, 31) + `1` + strings.Repeat(`]`, 31), `{"a":1}`, `""`, `[[],{},"",true,null]`,
				`"` + strings.Repeat(`\"`, 300) + `"`, `"` + strings.Repeat(`\\`, 3000) + `"`, `"` + strings.Repeat(`\u0001`, 3000) + `"`,
			} {
				for _, id := range []string{`a`, strings.Repeat(`\u0001`, 2048), strings.Repeat(`\"`, 2048)} {
					body := fmt.Sprintf(`{"predictionId":"%s","timestamp":1234567890.123456789012345678,"prediction":%s,"a":%s,"\u0001\u0002\u0003":%s}`, id, value, value, value)
					checkEncoded(t, made(t, l, body), decoded(t, body), encoding)
				}
			}
		}
	}
}
