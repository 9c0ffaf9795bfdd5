package item_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

var update = flag.Bool("update", false, "write the golden items")

// Tables of the three layouts.
var (
	versioned    = item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"}
	expirySorted = item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "timestamp"}
	latestOnly   = item.Table{HashKey: "predictionId", HashType: item.TypeS, TTLAttribute: "expiresAt"}
)

var encodings = []item.Encoding{item.JSON, item.Map, item.Zstd}

func layout(t testing.TB, table item.Table, encoding item.Encoding) *item.Layout {
	t.Helper()
	l, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var decoder = prediction.NewDecoder(prediction.Config{
	Fields:          prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt", Deleted: "deleted"},
	Attributes:      prediction.Attributes{All: true},
	TTL:             24 * time.Hour,
	MaxFuture:       5 * time.Minute,
	MaxDecodedBytes: 8 << 20,
})

// decoded decodes a message with one prediction.
func decoded(t testing.TB, body string) *prediction.Prediction {
	t.Helper()
	var d prediction.Decoded
	decoder.Decode(&d, prediction.Message{Body: body, Sent: 1769860800_000}, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
	if len(d.Rejected) > 0 {
		t.Fatalf("%.200s: %v", body, d.Rejected[0].Why)
	}
	return &d.Predictions[0]
}

func made(t testing.TB, l *item.Layout, body string) *item.Item {
	t.Helper()
	it, why := l.New(decoded(t, body))
	if why != nil {
		t.Fatalf("%.200s: %v", body, why)
	}
	return it
}

// TestGoldenItems compares items with testdata. go test ./internal/item -update writes it.
func TestGoldenItems(t *testing.T) {
	body := `{"predictionId": "user-1", "timestamp": 1769860799.0625, "ttlSeconds": 3600, "model": "fraud", "modelVersion": 12345678901234567890,
		"tags": ["a", {"new": true, "score": 0.10}], "note": null,
		"prediction": {"label": "genuine \"caf\u00e9\"", "scores": [0.10, 9007199254740993, -1.50e-7],
		"because": "` + strings.Repeat("amount, ", 120) + `"}}`
	for _, test := range []struct {
		name      string
		table     item.Table
		perSecond uint64
		body      string
	}{
		{"versioned", versioned, 1, body},
		{"versioned-ms", versioned, 1000, body},
		{"expiry-sorted", expirySorted, 1, body},
		{"latest-only", latestOnly, 1, body},
		{"number-key", item.Table{HashKey: "id", HashType: item.TypeN, SortKey: "at", SortType: item.TypeN, TTLAttribute: "ttl"}, 1000,
			strings.Replace(body, `"user-1"`, `-12.50e2`, 1)},
	} {
		for _, encoding := range encodings {
			name := test.name + "-" + string(encoding)
			t.Run(name, func(t *testing.T) {
				l, err := item.NewLayout(test.table, item.Options{PerSecond: test.perSecond, Encoding: encoding})
				if err != nil {
					t.Fatal(err)
				}
				compareGolden(t, filepath.Join("testdata", name+".json"), made(t, l, test.body).AppendJSON(nil))
			})
		}
	}
}

func compareGolden(t *testing.T, path string, encoded []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, readable(t, encoded), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the item is\n%s\nand in %s\n%s", got.Bytes(), path, want)
	}
}

// readable replaces a compressed payload by its text, since another version of the compressor may produce other bytes.
func readable(t testing.TB, encoded []byte) []byte {
	t.Helper()
	before, rest, found := bytes.Cut(encoded, []byte(`{"B":"`))
	if !found {
		return encoded
	}
	b, after, _ := bytes.Cut(rest, []byte(`"`))
	text, err := json.Marshal("zstd of " + string(decompressed(t, string(b))))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{before, []byte(`{"B":`), text, after}, nil)
}

func decompressed(t testing.TB, b string) []byte {
	t.Helper()
	compressed, err := base64.StdEncoding.DecodeString(b)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := r.DecodeAll(compressed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestKey(t *testing.T) {
	numberKey := versioned
	numberKey.HashType = item.TypeN
	for _, test := range []struct {
		name      string
		table     item.Table
		perSecond uint64
		fields    string
		want      item.Key
	}{
		{"versioned in seconds, rounded down", versioned, 1, `"predictionId":"a","timestamp":1769860799.999999`, item.Key{ID: "a", Sort: 1769860799}},
		{"versioned in milliseconds, rounded down", versioned, 1000, `"predictionId":"a","timestamp":1769860799.999999`, item.Key{ID: "a", Sort: 1769860799999}},
		{"expiry-sorted by the end of life", expirySorted, 1, `"predictionId":"a","timestamp":1769860799.5,"ttlSeconds":60.5`, item.Key{ID: "a", Sort: 1769860860}},
		{"latest only by the id alone", latestOnly, 1, `"predictionId":"a","timestamp":1769860799`, item.Key{ID: "a"}},
		{"latest only in milliseconds", latestOnly, 1000, `"predictionId":"a","timestamp":1769860799`, item.Key{ID: "a"}},
		{"an id of the longest length", latestOnly, 1, `"predictionId":"` + strings.Repeat("é", 1024) + `"`, item.Key{ID: strings.Repeat("é", 1024)}},
		{"an id with escapes", latestOnly, 1, `"predictionId":"\u0000\"\n"`, item.Key{ID: "\x00\"\n"}},
		{"a number", numberKey, 1, `"predictionId":42,"timestamp":5`, item.Key{ID: "42", Sort: 5}},
		{"the same number in another notation", numberKey, 1, `"predictionId":0.420e+2,"timestamp":5`, item.Key{ID: "42", Sort: 5}},
		{"a number with every digit", numberKey, 1, `"predictionId":-12345678901234567890123456789012345.678,"timestamp":5`, item.Key{ID: "-12345678901234567890123456789012345.678", Sort: 5}},
		{"a very small number", numberKey, 1, `"predictionId":1e-130,"timestamp":5`, item.Key{ID: "0." + strings.Repeat("0", 129) + "1", Sort: 5}},
		{"zero with a sign", numberKey, 1, `"predictionId":-0.0,"timestamp":5`, item.Key{ID: "0", Sort: 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := item.NewLayout(test.table, item.Options{PerSecond: test.perSecond, Encoding: item.JSON})
			if err != nil {
				t.Fatal(err)
			}
			it := made(t, l, `{"prediction":1,`+test.fields+`}`)
			if it.Key != test.want {
				t.Errorf("key %+v, want %+v", it.Key, test.want)
			}
			checkEncoded(t, it, decoded(t, `{"prediction":1,`+test.fields+`}`), item.JSON)
		})
	}
}

func TestNewKeepsSource(t *testing.T) {
	p := decoded(t, `{"predictionId":"a","timestamp":5,"prediction": 1}`)
	it, why := layout(t, latestOnly, item.JSON).New(p)
	if why != nil || it.Raw != p.Raw || it.Version != p.Version || it.Expires != p.Expires {
		t.Errorf("%+v of %+v", it, p)
	}
}

func TestCompression(t *testing.T) {
	l := layout(t, latestOnly, item.Zstd)
	for _, test := range []struct {
		name       string
		payload    string
		compressed bool
		units      int
	}{
		{"a short one that is one unit anyway", `"` + strings.Repeat("a", 500) + `"`, false, 1},
		{"one that just fits a unit", `"` + strings.Repeat("a", 954) + `"`, false, 1},
		{"one that is a byte over", `"` + strings.Repeat("a", 955) + `"`, true, 1},
		{"a long one that repeats itself", `[` + strings.Repeat(`0.25, `, 2000) + `1]`, true, 1},
		{"one that hardly compresses", `"` + noise(1200) + `"`, false, 2},
		{"one over 400 KB that fits once compressed", `[` + strings.Repeat(`"0123456789", `, 50000) + `1]`, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := `{"predictionId":"a","timestamp":1769860799,"prediction":` + test.payload + `}`
			it := made(t, l, body)
			if got := bytes.Contains(it.AppendJSON(nil), []byte(`"encoding":{"S":"zstd"}`)); got != test.compressed {
				t.Errorf("compressed: %v, size %d", got, it.Size)
			}
			if it.Units() != test.units {
				t.Errorf("%d units of %d bytes", it.Units(), it.Size)
			}
			checkEncoded(t, it, decoded(t, body), item.Zstd)
		})
	}
}

// noise returns n bytes of text that compresses badly.
func noise(n int) string {
	random := make([]byte, n)
	state := uint64(42)
	for i := range random {
		state = state*6364136223846793005 + 1442695040888963407
		random[i] = byte(state >> 56)
	}
	return base64.StdEncoding.EncodeToString(random)[:n]
}

func TestUnits(t *testing.T) {
	for size, want := range map[int]int{1: 1, 1024: 1, 1025: 2, 2048: 2, 409600: 400} {
		if got := item.Units(size); got != want {
			t.Errorf("%d bytes: %d units", size, got)
		}
	}
}
