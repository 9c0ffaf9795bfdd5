package records_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/records"
)

var update = flag.Bool("update", false, "write what is read of the Parquet files in testdata: read the difference before it is committed")

// parquetFiles are files that others have written: see testdata/write_parquet.py.
func parquetFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	return files
}

func openParquet(text []byte) (*records.Reader, error) {
	return records.OpenParquet(bytes.NewReader(text), int64(len(text)), options(1<<20))
}

func TestParquet(t *testing.T) {
	for name, text := range parquetFiles(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			r, err := openParquet(text)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := rest(r)
			if err != nil || r.Format() != records.Parquet || r.Splits() || !records.IsParquet(text) {
				t.Fatalf("%s, %v", r.Format(), err)
			}
			golden := strings.TrimSuffix(name, ".parquet") + ".ndjson"
			got := strings.Join(rows, "\n") + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("rows are\n%s\nwant\n%s, %v", got, want, err)
			}
			for i := range len(rows) + 1 { // continued after i rows
				second, err := openParquet(text)
				if err != nil {
					t.Fatal(err)
				}
				if err := second.Skip(int64(i), int64(i)); err != nil {
					t.Fatal(err)
				}
				left, err := rest(second)
				if err != nil || !slices.Equal(left, rows[i:]) || second.Row() != int64(len(rows)) || second.Offset() != int64(len(rows)) {
					t.Errorf("after %d rows: %q, %v", i, left, err)
				}
			}
		})
	}
}

func TestOpenParquet_refuses(t *testing.T) {
	good := parquetFiles(t)["testdata/parquet/pandas.parquet"]
	for name, text := range map[string][]byte{
		"is too short":             []byte("PAR1"),
		"without its end":          good[:len(good)-1],
		"with a footer of":         append(bytes.Clone(good[:len(good)-8]), "\xff\xff\xff\xffPAR1"...),
		"is encrypted Parquet":     append(bytes.Clone(good[:len(good)-4]), "PARE"...),
		"is damaged Parquet":       append(bytes.Clone(good[:len(good)-200]), good[len(good)-8:]...),
		`no column "predictionId"`: bytes.ReplaceAll(good, []byte("predictionId"), []byte("predictionXX")),
	} {
		_, err := openParquet(text)
		var format *records.FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Damage is an error, never a crash.
func FuzzParquet(f *testing.F) {
	for _, text := range parquetFiles(f) {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		r, err := openParquet(text)
		for err == nil {
			_, err = r.Next()
		}
	})
}

// A file of a few KB can stand for any amount of data: it is refused, or the row is.
func TestParquet_bombs(t *testing.T) {
	type lists struct {
		ID      string   `parquet:"predictionId"`
		Payload []string `parquet:"prediction,dict,list"`
	}
	long := make([]string, 1<<18+1)
	wide := slices.Repeat([]string{strings.Repeat("x", 1000)}, 1<<17)
	var file bytes.Buffer
	writer := parquet.NewGenericWriter[lists](&file, parquet.Compression(&parquet.Zstd))
	if _, err := writer.Write([]lists{{"a", []string{"1"}}, {"long", long}, {"wide", wide}, {"b", nil}}); err != nil || writer.Close() != nil {
		t.Fatal(err)
	}
	r, err := openParquet(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := rest(r)
	if want := []string{`{"predictionId":"a","prediction":["1"]}`, "too_large: ", "too_large: ", `{"predictionId":"b","prediction":[]}`}; err != nil || !slices.Equal(rows, want) {
		t.Errorf("%.200q, %v; want %q", rows, err, want)
	}

	type texts struct {
		ID      string `parquet:"predictionId,dict"`
		Payload string `parquet:"prediction,plain"`
	}
	file.Reset()
	pages := parquet.NewGenericWriter[texts](&file, parquet.Compression(&parquet.Zstd), parquet.PageBufferSize(128<<20))
	if _, err := pages.Write(slices.Repeat([]texts{{"a", wide[0]}}, 70<<10)); err != nil || pages.Close() != nil {
		t.Fatal(err)
	}
	if r, err = openParquet(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	var format *records.FormatError
	if _, err := rest(r); !errors.As(err, &format) || !strings.Contains(err.Error(), "write smaller pages") {
		t.Errorf("a file of %d bytes: %v", file.Len(), err)
	}
}
