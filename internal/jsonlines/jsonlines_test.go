package jsonlines

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// forms are the ways in which a text may be stored.
var forms = map[string]func(t *testing.T, text string) string{
	"plain": func(_ *testing.T, text string) string { return text },
	"gzip": func(t *testing.T, text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	},
	"zstd": func(t *testing.T, text string) string {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(w.EncodeAll([]byte(text), nil))
	},
}

// open opens a text as a file, or as standard input.
func open(t *testing.T, text string, stdin bool) (*File, error) {
	t.Helper()
	name := "-"
	if !stdin {
		name = filepath.Join(t.TempDir(), "lines")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(name, strings.NewReader(text))
	if err == nil {
		t.Cleanup(f.Close)
	}
	return f, err
}

// rest reads the lines that are left.
func rest(t *testing.T, f *File, limit int) (lines []string) {
	t.Helper()
	for {
		line, tooLong, err := f.Next(limit)
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if tooLong {
			line += "..."
		}
		lines = append(lines, line)
	}
}

func TestNext(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 1<<20) + `"}` + "\n"
	for _, test := range []struct {
		name, text string
		limit      int
		want       []string
	}{
		{"nothing", "", 100, nil},
		{"lines", "{}\n\n{\"a\":1}\r\n{}", 100, []string{"{}\n", "\n", "{\"a\":1}\r\n", "{}"}},
		{"a byte order mark", "\ufeff{}\n", 100, []string{"{}\n"}},
		{"an array on each line", "[{}]\n[{},{}]\n", 100, []string{"[{}]\n", "[{},{}]\n"}},
		{"a line of the limit", "{}\n{ }\n{}\n", 4, []string{"{}\n", "{ }\n", "{}\n"}},
		{"a line over the limit", "{}\n{  }\n{}\n", 4, []string{"{}\n", "{  }...", "{}\n"}},
		{"a long line", long + "{}\n", 10, []string{`{"a":"xxxx...`, "{}\n"}},
		{"a long line that fits", long + "{}\n", 2 << 20, []string{long, "{}\n"}},
	} {
		for form, pack := range forms {
			for _, stdin := range []bool{false, true} {
				t.Run(test.name+"/"+form, func(t *testing.T) {
					f, err := open(t, pack(t, test.text), stdin)
					if err != nil {
						t.Fatal(err)
					}
					if got := rest(t, f, test.limit); !slices.Equal(got, test.want) {
						t.Errorf("lines %.200q, want %.200q", got, test.want)
					}
					if f.Line() != int64(len(test.want)) || f.Offset() != int64(len(test.text)) {
						t.Errorf("at line %d, byte %d; want %d, %d", f.Line(), f.Offset(), len(test.want), len(test.text))
					}
				})
			}
		}
	}
}

func TestSkip(t *testing.T) {
	const text = "\ufeff{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"
	for form, pack := range forms {
		for _, stdin := range []bool{false, true} {
			for lines := range 4 {
				first, err := open(t, pack(t, text), stdin)
				if err != nil {
					t.Fatal(err)
				}
				for range lines {
					if _, _, err := first.Next(100); err != nil {
						t.Fatal(err)
					}
				}
				second, err := open(t, pack(t, text), stdin)
				if err != nil {
					t.Fatal(err)
				}
				if err := second.Skip(first.Offset(), first.Line()); err != nil {
					t.Fatal(err)
				}
				if got, want := rest(t, second, 100), rest(t, first, 100); !slices.Equal(got, want) || second.Line() != 3 || second.Offset() != int64(len(text)) {
					t.Errorf("%s after %d lines: %q up to line %d, byte %d; want %q", form, lines, got, second.Line(), second.Offset(), want)
				}
			}
		}
	}
}

func TestOpen_refuses(t *testing.T) {
	for text, want := range map[string]string{
		"PAR1\x15\x00":    "is Parquet: give one JSON object a line",
		"PK\x03\x04":      "is a zip archive",
		"\xff\xfe{\x00":   "is UTF-16",
		"\x1f\x8b\x08":    "as gzip",
		"id,score\n1,2\n": "does not begin with a JSON object: if it is CSV, convert it",
		"[\n{},\n{}\n]\n": "is one JSON array: make it one object a line",
	} {
		for _, stdin := range []bool{false, true} {
			_, err := open(t, text, stdin)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "standard input") != stdin {
				t.Errorf("%q: error %v, want %q", text, err, want)
			}
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
