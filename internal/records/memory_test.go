package records_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/records"
)

// An endless reader returns first, then body again and again, and last, without holding more than one of them.
type endless struct {
	first, body, last string
	times             int
	rest              string
}

func (e *endless) Read(p []byte) (int, error) {
	for e.rest == "" {
		switch {
		case e.first != "":
			e.rest, e.first = e.first, ""
		case e.times > 0:
			e.rest = e.body
			e.times--
		case e.last != "":
			e.rest, e.last = e.last, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// What a Reader holds depends on the longest row that it accepts, and not on the text.
func TestReader_memory(t *testing.T) {
	const (
		size  = 64 << 20
		limit = 1 << 20
		most  = 8 << 20
	)
	row := `{"predictionId":"a","prediction":"` + strings.Repeat("x", 1000) + `"}`
	part := strings.Repeat("x", 64<<10)
	for name, text := range map[string]*endless{
		"an array on one line":     {first: "[" + row, body: "," + row, last: "]", times: size / len(row)},
		"objects back to back":     {body: row, times: size / len(row)},
		"lines":                    {body: row + "\n", times: size / len(row)},
		"an endless line":          {first: a + "\n" + `{"predictionId":"`, body: part, last: "\"}\n" + a, times: size / len(part)},
		"an endless first line":    {first: `{"predictionId":"`, body: part, last: "\"}\n" + a, times: size / len(part)},
		"an endless element":       {first: "[" + a + `,{"predictionId":"`, body: part, last: "\"}," + a + "]", times: size / len(part)},
		"an endless cell":          {first: "predictionId,prediction\na,1\na,\"", body: part, last: "\"\na,1\n", times: size / len(part)},
		"a quote without its end":  {first: "predictionId,prediction\na,1\na,\"", body: part + "\n", times: size / len(part)},
		"endless white space":      {body: strings.Repeat(" \n", 1<<15), last: a, times: size >> 16},
		"nesting without an end":   {first: "[", body: strings.Repeat(`[{"":`, 1<<14), times: size / (5 << 14)},
		"opening brackets":         {body: strings.Repeat("[", 1<<16), times: size >> 16},
		"a header without its end": {first: "predictionId", body: strings.Repeat(",a", 1<<15), times: size >> 16},
	} {
		t.Run(name, func(t *testing.T) {
			var before, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			check := func() {
				runtime.GC()
				if runtime.ReadMemStats(&now); int64(now.HeapAlloc)-int64(before.HeapAlloc) > most {
					t.Fatalf("%d bytes are held", int64(now.HeapAlloc)-int64(before.HeapAlloc))
				}
			}
			r, err := records.Open(text, options(limit))
			for n := 0; err == nil; n++ {
				if n%10_000 == 0 {
					check()
				}
				_, err = r.Next()
			}
			check()
			var format *records.FormatError
			if !errors.Is(err, io.EOF) && !errors.As(err, &format) {
				t.Error(err)
			}
			runtime.KeepAlive(r)
		})
	}
}
