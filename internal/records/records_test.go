package records_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// forms are the ways in which a text may be stored.
var forms = map[string]func(text string) string{
	"plain":               func(text string) string { return text },
	"gzip":                gzipped,
	"gzip in two members": func(text string) string { return gzipped(text[:len(text)/2]) + gzipped(text[len(text)/2:]) },
	"zstd":                zstandard,
	"zstd in two frames":  func(text string) string { return zstandard(text[:len(text)/2]) + zstandard(text[len(text)/2:]) },
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func zstandard(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// longWindow returns a text that zstd can only decompress with 64 MiB.
func longWindow() string {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(strings.Repeat(a+"\n", 100_000))); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// options are those of the tests: the default names, and a table of the versioned layout.
func options(limit int) records.Options {
	return records.Options{
		Name:   "the text",
		Fields: prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt", Deleted: "deleted"},
		MaxRow: limit,
		Table:  item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"},
	}
}

// rest reads the rows that are left. A rejected row is shown with its reason.
func rest(r *records.Reader) (rows []string, err error) {
	for {
		rec, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return rows, err
		}
		if rec.Why != nil {
			rec.Text = fmt.Sprintf("%s: %s", rec.Why.Reason, rec.Text)
		}
		rows = append(rows, rec.Text)
	}
}

// readers deliver a text in different pieces.
var readers = map[string]func(text string) io.Reader{
	"at once":      func(text string) io.Reader { return strings.NewReader(text) },
	"byte by byte": func(text string) io.Reader { return iotest.OneByteReader(strings.NewReader(text)) },
	"data and EOF": func(text string) io.Reader { return iotest.DataErrReader(strings.NewReader(text)) },
}

// A document is a text and what must be read of it.
type document struct {
	name, text string
	limit      int
	format     records.Format
	rows       []string
}

const (
	a = `{"predictionId":"a","prediction":1}`
	b = `{"predictionId":"b","prediction":{"x":[1,"]}\"\\"]}}`
)

func documents() []document {
	long := `{"predictionId":"l","prediction":"` + strings.Repeat("x", 300_000) + `"}`
	pretty := "{\n  \"predictionId\": \"a\",\n  \"prediction\": {\n    \"x\": 1\n  }\n}"
	lines, values, csv := records.Lines, records.Values, records.CSV
	return []document{
		{"nothing", "", 100, lines, nil},
		{"blank lines", "\n \r\n", 100, lines, nil},
		{"lines", a + "\n\n" + b + "\r\n" + a, 100, lines, []string{a, b, a}},
		{"one line without its end", a, 100, lines, []string{a}},
		{"a byte order mark", "\ufeff" + a + "\n", 100, lines, []string{a}},
		{"an array on each line", "[" + a + "]\n[" + a + "," + b + "]\n", 100, lines, []string{"[" + a + "]", "[" + a + "," + b + "]"}},
		{"a broken first line", "{\"predictionId\":\n" + a + "\n", 100, lines, []string{`{"predictionId":`, a}},
		{"a first line with an open string", "{\"predictionId\":\"\n" + a + "\n", 100, lines, []string{`{"predictionId":"`, a}},
		{"only a broken line", `{"predictionId":`, 100, lines, []string{`{"predictionId":`}},
		{"text behind the first object", a + " x\n" + a + "\n", 100, lines, []string{a + " x", a}},
		{"NaN in the first line", "{\"predictionId\":\"n\",\"prediction\":NaN}\n" + a, 100, lines, []string{`{"predictionId":"n","prediction":NaN}`, a}},
		{"a line of the limit", "{}\n{ }\n{}\n", 4, lines, []string{"{}", "{ }", "{}"}},
		{"a line over the limit", "{}\n{  }\n{}\n", 4, lines, []string{"{}", "too_large: {  }", "{}"}},
		{"a long line", a + "\n" + long + "\n" + a, 1 << 20, lines, []string{a, long, a}},
		{"a long line over the limit", a + "\n" + long + "\n" + a, 1000, lines, []string{a, "too_large: " + long[:1<<10], a}},

		{"an array on one line", "[" + a + "," + b + "]", 100, values, []string{a, b}},
		{"an array over lines", "[\n" + a + ",\n" + b + "\n]\n", 100, values, []string{a, b}},
		{"an indented array", "[\n  " + pretty + ",\n  " + b + "\n]", 100, values, []string{pretty, b}},
		{"an empty array", " [ ]\n", 100, values, nil},
		{"arrays back to back", "[" + a + "][\n" + b + "] []" + a, 100, values, []string{a, b, a}},
		{"objects back to back", a + b + a, 100, values, []string{a, b, a}},
		{"objects back to back, indented", pretty + pretty + "\n" + a, 100, values, []string{pretty, pretty, a}},
		{"a broken element", "[" + a + `,{"predictionId":},` + b + "]", 100, values, []string{a, `{"predictionId":}`, b}},
		{"elements that are no objects", "[" + a + `,1.5,"x]\"",null,[{"y":"]"}]]`, 100, values, []string{a, "1.5", `"x]\""`, "null", `[{"y":"]"}]`}},
		{"a long first object in an array", "[" + long + "," + a + "]", 1 << 20, values, []string{long, a}},
		{"an element over the limit", "[" + a + "," + long + "," + a + "]", 1000, values, []string{a, "too_large: " + long[:1<<10], a}},

		{"CSV", "predictionId,timestamp,prediction,model\na,1769860800.5,\"{\"\"x\"\":[1.50]}\",ranker\nb,2026-01-31T12:00:00Z,0.10,\r\n", 100, csv, []string{
			`{"predictionId":"a","timestamp":1769860800.5,"prediction":{"x":[1.50]},"model":"ranker"}`,
			`{"predictionId":"b","timestamp":"2026-01-31T12:00:00Z","prediction":0.10}`,
		}},
		{"CSV by its types", "predictionId,n,text,yes,zip,wide,prediction\n7,-1.50e3,\"12\",True,007," + strings.Repeat("9", 39) + ",plain text\n", 200, csv, []string{
			`{"predictionId":"7","n":-1.50e3,"text":"12","yes":true,"zip":"007","wide":"` + strings.Repeat("9", 39) + `","prediction":"plain text"}`,
		}},
		{"CSV without a payload", "\ufeff,predictionId,score,label,ttlSeconds\n0,a,0.93,\"one\ntwo \"\"three\"\"\",60\n1,b,,,", 100, csv, []string{
			`{"predictionId":"a","ttlSeconds":60,"prediction":{"score":0.93,"label":"one\ntwo \"three\""}}`,
			`{"predictionId":"b","prediction":{"score":null,"label":null}}`,
		}},
		{"CSV with deletes", "predictionId,timestamp,score,deleted\na,1769860800,,true\nb,1769860800,1,\nc,1769860800,1,\"False\"\n", 100, csv, []string{
			`{"predictionId":"a","timestamp":1769860800,"deleted":true,"prediction":{"score":null}}`,
			`{"predictionId":"b","timestamp":1769860800,"prediction":{"score":1}}`,
			`{"predictionId":"c","timestamp":1769860800,"deleted":false,"prediction":{"score":1}}`,
		}},
		{"CSV by tabs", "predictionId\tprediction\na\t\"1\t2\"\n", 100, csv, []string{`{"predictionId":"a","prediction":"1\t2"}`}},
		{"CSV by semicolons", "predictionId;prediction\na;1,5\n", 100, csv, []string{`{"predictionId":"a","prediction":"1,5"}`}},
		{"CSV with bad rows", "predictionId,prediction\na\na,1,2\n\n\"a\"x,1\na,\xff\nb,say \"hi\"\n", 100, csv, []string{
			"syntax: a", "syntax: a,1,2", "syntax: \"a\"x,1", "syntax: a,\ufffd", `{"predictionId":"b","prediction":"say \"hi\""}`,
		}},
		{"CSV with a long row", "predictionId,prediction\na,\"" + strings.Repeat("x\n", 100) + "\"\nb,1\n", 50, csv, []string{
			"too_large: a,\"" + strings.Repeat("x\n", 100) + "\"\n", `{"predictionId":"b","prediction":1}`,
		}},
		{"CSV with nothing but a header", "predictionId,prediction", 100, csv, nil},
	}
}

func TestReader(t *testing.T) {
	for _, test := range documents() {
		for form, pack := range forms {
			for how, deliver := range readers {
				if how != "at once" && len(test.text) > 10_000 {
					continue // detect looks at the start again with each piece
				}
				t.Run(test.name+"/"+form+"/"+how, func(t *testing.T) {
					r, err := records.Open(deliver(pack(test.text)), options(test.limit))
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					rows, err := rest(r)
					if err != nil || !slices.Equal(rows, test.rows) || r.Format() != test.format {
						t.Errorf("%s rows %.300q, %v; want %s %.300q", r.Format(), rows, err, test.format, test.rows)
					}
					if r.Offset() != int64(len(test.text)) {
						t.Errorf("at byte %d of %d", r.Offset(), len(test.text))
					}
					if splits := test.format == records.Lines && form == "plain"; r.Splits() != splits {
						t.Errorf("it splits: %v", r.Splits())
					}
				})
			}
		}
	}
}

// A Reader continues after any row, and rows know their place.
func TestSkip(t *testing.T) {
	for _, test := range documents() {
		for form, pack := range forms {
			all, err := records.Open(strings.NewReader(pack(test.text)), options(test.limit))
			if err != nil {
				t.Fatal(err)
			}
			last := int32(-1)
			for i := range len(test.rows) + 1 {
				second, err := records.Open(strings.NewReader(pack(test.text)), options(test.limit))
				if err != nil {
					t.Fatal(err)
				}
				if err := second.Skip(all.Offset(), all.Row()); err != nil {
					t.Fatal(err)
				}
				if rows, err := rest(second); err != nil || !slices.Equal(rows, test.rows[i:]) {
					t.Errorf("%s, %s: after %d rows %.200q, %v", test.name, form, i, rows, err)
				}
				rec, err := all.Next()
				if i == len(test.rows) {
					if !errors.Is(err, io.EOF) {
						t.Errorf("%s: %+v, %v behind the end", test.name, rec, err)
					}
					continue
				}
				if err != nil || rec.Place < last || rec.Row != all.Row() || rec.Offset >= all.Offset() {
					t.Errorf("%s: row %+v after place %d, %v", test.name, rec, last, err)
				}
				last = rec.Place
			}
			if got := all.Row(); test.format == records.Lines && got > int64(strings.Count(test.text, "\n")+1) || got < int64(len(test.rows)) {
				t.Errorf("%s: %d rows", test.name, got)
			}
		}
	}
}

func TestOpen_refuses(t *testing.T) {
	for text, want := range map[string]string{
		"PK\x03\x04":         "is a zip archive: give NDJSON",
		"\xff\xfe{\x00":      "is UTF-16",
		"{\x00\"\x00":        "is UTF-16",
		"\x1f\x8b\x08":       "is damaged",
		"id,score\n1,2\n":    `read as CSV it has no column "predictionId" (WORKER_FIELD_ID): give NDJSON`,
		"predictionId\n1\n":  `has no column "prediction" (WORKER_FIELD_PREDICTION), and no other columns`,
		"predictionId,a,a\n": `has two columns "a"`,
		"predictionId;a;a\n": `has two columns "a"`,
		"hello":              "does not begin with JSON",
		"\x01\x02\x03":       "is not text",
		"caf\xe9":            "is not text",
		gzipped("PAR1"):      "is Parquet inside of another compression",
		gzipped(gzipped(a)):  "is gzip inside of another compression",
		`{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"id":{"S":"a"}}}`: "is an incremental export",
	} {
		_, err := records.Open(strings.NewReader(text), options(1000))
		var format *records.FormatError
		if !errors.As(err, &format) || !strings.HasPrefix(err.Error(), "the text ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// What is damaged is told apart from what can't be read now.
func TestReader_errors(t *testing.T) {
	long := "[" + a + strings.Repeat(","+a, 10_000)
	for _, test := range []struct {
		name   string
		r      io.Reader
		rows   int
		format bool
		want   string
	}{
		{"an array without its end", strings.NewReader("[" + a + "," + b), 2, true, "the text ends within an array: it is incomplete, at byte "},
		{"a row without its end", strings.NewReader("[" + a + "," + b[:20]), 1, true, "the text ends within a row: it is incomplete, at byte 37 "},
		{"no comma", strings.NewReader("[" + a + " " + b + "]"), 1, true, "has no comma or bracket where one must be, or a wrong one, at byte 37 "},
		{"two commas", strings.NewReader("[" + a + ",,"), 1, true, "has no comma or bracket"},
		{"a comma before the end", strings.NewReader("[" + a + ",]"), 1, true, "has no comma or bracket"},
		{"an open string", strings.NewReader("[" + a + ",{\"predictionId\":\"x\n},{}]"), 1, true, "has a row that is not JSON: a string over several lines, at byte 37 "},
		{"damaged gzip", strings.NewReader(gzipped(long)[:200]), -1, true, "is damaged after byte"},
		{"a long window", strings.NewReader(longWindow()), -1, true, "is zstd with a window over 32 MiB: compress it without --long"},
		{"a torn connection", io.MultiReader(strings.NewReader(a+"\n"+a+"\n"), iotest.ErrReader(errors.New("torn"))), 2, false, "reading the text: torn"},
		{"a torn connection before the start", iotest.ErrReader(errors.New("torn")), -1, false, "reading the text: torn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := records.Open(test.r, options(1000))
			var rows []string
			if err == nil {
				rows, err = rest(r)
			}
			var format *records.FormatError
			if err == nil || errors.As(err, &format) != test.format || !strings.Contains(err.Error(), test.want) || test.rows >= 0 && len(rows) != test.rows {
				t.Errorf("%d rows, %v; want %d, %s", len(rows), err, test.rows, test.want)
			}
		})
	}
}

// Whatever the ranges, each row belongs to exactly one.
func TestOpenRange(t *testing.T) {
	text := "\ufeff" + a + "\n\n" + b + "\r\n" + strings.Repeat("x", 30) + "\n" + a
	const limit = 60
	all, err := records.Open(strings.NewReader(text), options(limit))
	if err != nil {
		t.Fatal(err)
	}
	var want []records.Record
	for {
		rec, err := all.Next()
		if err != nil {
			break
		}
		rec.Row = 0
		want = append(want, rec)
	}
	for size := 1; size <= len(text)+1; size++ {
		var got []records.Record
		for start := 0; start < len(text); start += size {
			r, err := records.OpenRange(strings.NewReader(text[max(start-1, 0):]), int64(start), int64(start+size), options(limit))
			if err != nil {
				t.Fatal(err)
			}
			for {
				rec, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, rec)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("ranges of %d bytes: %+v, want %+v", size, got, want)
		}
	}
}
