package records_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/predcache/predcache/internal/records"
)

// Whatever a text holds, its rows do not depend on how it is delivered, and follow each other.
func FuzzOpen(f *testing.F) {
	for _, d := range documents() {
		if len(d.text) < 10_000 {
			f.Add(d.text)
			f.Add(gzipped(d.text))
			f.Add(zstandard(d.text))
		}
	}
	f.Add(`{"Item":{"predictionId":{"S":"a"},"createdAt":{"N":"1.5"},"prediction":{"M":{"x":{"L":[{"NS":["1"]},{"B":"AA=="}]}}},"encoding":{"S":"map"}}}`)
	const limit = 200
	read := func(r io.Reader) (all []records.Record, format records.Format, err error) {
		reader, err := records.Open(r, options(limit))
		if err != nil {
			return nil, "", err
		}
		defer reader.Close()
		for {
			rec, err := reader.Next()
			if err != nil {
				return all, reader.Format(), err
			}
			all = append(all, rec)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			return // a compressed text may be long enough
		}
		all, format, err := read(strings.NewReader(text))
		again, format2, err2 := read(iotest.OneByteReader(strings.NewReader(text)))
		same := func(a, b records.Record) bool {
			return a.Text == b.Text && a.Offset == b.Offset && a.Row == b.Row && a.Place == b.Place && (a.Why == nil) == (b.Why == nil)
		}
		if format != format2 || !slices.EqualFunc(all, again, same) || err.Error() != err2.Error() {
			t.Fatalf("read at once: %s %+v, %v; byte by byte: %s %+v, %v", format, all, err, format2, again, err2)
		}
		for i, rec := range all {
			if i > 0 && (rec.Offset <= all[i-1].Offset || rec.Row <= all[i-1].Row || rec.Place < all[i-1].Place) {
				t.Fatalf("%+v follows %+v", rec, all[i-1])
			}
			if format == records.Lines && rec.Why == nil && len(rec.Text) > limit {
				t.Fatalf("a row of %d bytes", len(rec.Text))
			}
		}
	})
}
