package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/workertest/process"
)

// A prediction of a file, of 1 KB as a line of NDJSON.
type filed struct {
	ID        string `parquet:"predictionId"`
	Timestamp int64  `parquet:"timestamp"`
	Payload   string `parquet:"prediction"`
	Model     string `parquet:"model,dict"`
	Version   string `parquet:"modelVersion,dict"`
}

// fileWriters write rows in the formats of files. close ends the file.
var fileWriters = map[string]func(w io.Writer) (row func(filed) error, end func() error){
	"ndjson":  writeLines,
	"json":    writeArray,
	"csv":     writeCSV,
	"gzip":    func(w io.Writer) (func(filed) error, func() error) { return compressing(gzip.NewWriter(w)) },
	"zstd":    func(w io.Writer) (func(filed) error, func() error) { z, _ := zstd.NewWriter(w); return compressing(z) },
	"parquet": writeParquet,
	"long":    writeLong,
}

func (f *filed) json() string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%s,"model":%q,"modelVersion":%q}`, f.ID, f.Timestamp, f.Payload, f.Model, f.Version)
}

func writeLines(w io.Writer) (row func(filed) error, end func() error) {
	return func(f filed) error {
		_, err := io.WriteString(w, f.json()+"\n")
		return err
	}, func() error { return nil }
}

// writeLong writes rows of 15 MB, which the worker rejects: no item is so long.
func writeLong(w io.Writer) (row func(filed) error, end func() error) {
	padding := strings.Repeat("x", 15<<20)
	return func(f filed) error {
		_, err := fmt.Fprintf(w, "{\"predictionId\":%q,\"prediction\":\"%s\"}\n", f.ID, padding)
		return err
	}, func() error { return nil }
}

func writeArray(w io.Writer) (row func(filed) error, end func() error) {
	before := "["
	row = func(f filed) error {
		_, err := io.WriteString(w, before+f.json())
		before = ","
		return err
	}
	return row, func() error { _, err := io.WriteString(w, "]"); return err }
}

func compressing(w io.WriteCloser) (row func(filed) error, end func() error) {
	row, _ = writeLines(w)
	return row, w.Close
}

func writeCSV(w io.Writer) (row func(filed) error, end func() error) {
	c := csv.NewWriter(w)
	err := c.Write([]string{"predictionId", "timestamp", "prediction", "model", "modelVersion"})
	row = func(f filed) error {
		return errors.Join(err, c.Write([]string{f.ID, fmt.Sprint(f.Timestamp), f.Payload, f.Model, f.Version}))
	}
	return row, func() error { c.Flush(); return c.Error() }
}

func writeParquet(w io.Writer) (row func(filed) error, end func() error) {
	p := parquet.NewGenericWriter[filed](w, parquet.Compression(&parquet.Snappy))
	n := 0
	row = func(f filed) error {
		if n++; n%100_000 == 0 {
			if err := p.Flush(); err != nil {
				return err
			}
		}
		_, err := p.Write([]filed{f})
		return err
	}
	return row, p.Close
}

// writeFile writes a file of distinct predictions.
func writeFile(name, format string, rows int) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	buffered := bufio.NewWriterSize(file, 1<<20)
	row, end := fileWriters[format](buffered)
	r := rand.New(rand.NewPCG(1, 2))
	var payloads [1000]string // making a million would take longer than writing them
	for i := range payloads {
		payloads[i] = scores(r)
	}
	now := time.Now().Unix()
	for i := range rows {
		f := filed{fmt.Sprintf("row-%09d", i), now, payloads[r.IntN(len(payloads))], "churn", "2026.11.3"}
		if err := row(f); err != nil {
			return err
		}
	}
	return errors.Join(end(), buffered.Flush(), file.Close())
}

// warm measures `worker warm` on files of so many rows, one of each format, and prints a table.
func (b *bench) warm(rows int, formats []string, rounds int) error {
	dir, err := os.MkdirTemp("", "warm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("| format | rows | seconds | CPU s | CPU us a row | rows/s | MiB | items/write |\n|---|---|---|---|---|---|---|---|")
	for _, format := range formats {
		name := filepath.Join(dir, format)
		if err := writeFile(name, format, rows); err != nil {
			return err
		}
		for range rounds {
			if err := b.warmFile(name, format, rows); err != nil {
				return fmt.Errorf("warming %s: %w", format, err)
			}
		}
		os.Remove(name)
	}
	return nil
}

func (b *bench) warmFile(name, format string, rows int) error {
	var s stats
	if err := b.call("Load", workload{Name: "warm"}, &s); err != nil {
		return err
	}
	cmd := exec.Command(b.dir+"/"+b.worker, "warm", name)
	cmd.Env = process.Environment(append([]string{"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIDBENCH", "AWS_ENDPOINT_URL=" + b.url, "WORKER_TABLE_NAME=predictions"}, b.env...)...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := b.call("Results", nil, &s); err != nil {
		return err
	}
	if s.Items != rows {
		return fmt.Errorf("%d items of %d rows are in the table: %s", s.Items, rows, strings.TrimSpace(string(out)))
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / 1024 // MiB on Linux
	fmt.Printf("| %s | %d | %.1f | %.1f | %.1f | %.0f | %d | %.1f |\n", format, rows, took.Seconds(), cpu.Seconds(),
		cpu.Seconds()*1e6/float64(rows), float64(rows)/took.Seconds(), peak, float64(s.Items)/float64(max(s.Writes, 1)))
	return nil
}
