package records_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/records"
)

// BenchmarkReader reads rows of 1 KB. An operation is a row.
func BenchmarkReader(b *testing.B) {
	const n = 20_000
	type prediction struct {
		ID        string `parquet:"predictionId"`
		Timestamp int64  `parquet:"timestamp"`
		Payload   string `parquet:"prediction"`
		Model     string `parquet:"model,dict"`
	}
	payload := `{"scores":[` + strings.Repeat(`{"name":"feature","weight":0.12345},`, 24) + `0]}`
	var lines, csv, export strings.Builder
	var columns bytes.Buffer
	writer := parquet.NewGenericWriter[prediction](&columns, parquet.Compression(&parquet.Snappy))
	csv.WriteString("predictionId,timestamp,prediction,model\n")
	for i := range n {
		id := "user-" + strconv.Itoa(i)
		fmt.Fprintf(&lines, "{\"predictionId\":%q,\"timestamp\":1769860800,\"prediction\":%s,\"model\":\"m-1\"}\n", id, payload)
		fmt.Fprintf(&csv, "%s,1769860800,\"%s\",m-1\n", id, strings.ReplaceAll(payload, `"`, `""`))
		fmt.Fprintf(&export, `{"Item":{"predictionId":{"S":%q},"createdAt":{"N":"1769860800"},"expiresAt":{"N":"1769869999"},"prediction":{"S":%s},"model":{"S":"m-1"}}}`+"\n",
			id, jsonscan.AppendQuoted(nil, payload))
		if _, err := writer.Write([]prediction{{id, 1769860800, payload, "m-1"}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		b.Fatal(err)
	}
	array := "[" + strings.ReplaceAll(strings.TrimSpace(lines.String()), "\n", ",") + "]"
	text := func(text string) func() (*records.Reader, error) {
		return func() (*records.Reader, error) { return records.Open(strings.NewReader(text), options(1<<20)) }
	}
	for _, format := range []struct {
		name string
		open func() (*records.Reader, error)
	}{
		{"lines", text(lines.String())}, {"array", text(array)}, {"csv", text(csv.String())}, {"export", text(export.String())},
		{"gzip", text(gzipped(lines.String()))}, {"zstd", text(zstandard(lines.String()))},
		{"parquet", func() (*records.Reader, error) { return openParquet(columns.Bytes()) }},
	} {
		b.Run(format.name, func(b *testing.B) {
			b.ReportAllocs()
			r, err := format.open()
			for range b.N {
				var rec records.Record
				if err == nil {
					rec, err = r.Next()
				}
				if errors.Is(err, io.EOF) {
					r, err = format.open()
				}
				if err != nil || rec.Why != nil {
					b.Fatal(err, rec.Why)
				}
			}
		})
	}
}
