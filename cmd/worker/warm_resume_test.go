package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// A run that is interrupted continues at the row where it was, in every format.
func TestWarm_continues_in_each_format(t *testing.T) {
	b := backend.All(t)[0]
	const n = 4000
	type prediction struct {
		ID      string `parquet:"predictionId"`
		Payload int64  `parquet:"prediction"`
	}
	var array, csv strings.Builder
	var rows bytes.Buffer
	csv.WriteString("predictionId,prediction\n")
	writer := parquet.NewGenericWriter[prediction](&rows, parquet.MaxRowsPerRowGroup(n/3))
	for i := range n {
		fmt.Fprintf(&array, "%s{\"predictionId\":\"%d\",\"prediction\":%d}", map[bool]string{true: "[", false: ",\n"}[i == 0], i, i)
		fmt.Fprintf(&csv, "%d,%d\r\n", i, i)
		if _, err := writer.Write([]prediction{{fmt.Sprint(i), int64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	array.WriteString("]")
	t.Setenv("WORKER_DRAIN_TIMEOUT", "2s")
	t.Setenv("WORKER_RECEIVE_WAIT", "1s")
	for form, text := range map[string]string{
		"array": array.String(), "array, gzip": string(packed["gzip"](array.String())),
		"CSV": csv.String(), "CSV, zstd": string(packed["zstd"](csv.String())), "Parquet": rows.String(),
	} {
		t.Run(form, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			name := fileOf(t, []byte(text))
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var calls atomic.Int32
			b.FakeDynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
				if c.Operation != "BatchWriteItem" || calls.Add(1) < n/25/2 {
					return awstest.Fault{}
				}
				interrupt()
				return awstest.Fault{Err: awstest.ServiceUnavailable()}
			})
			var out workertest.LogBuffer
			err := dispatch(ctx, []string{"warm", "--timestamp", "modified", name}, nil, &out, &out)
			b.FakeDynamoDB.SetFault(nil)
			if err == nil || !strings.Contains(err.Error(), "interrupted") {
				t.Fatalf("%s, %v", out.String(), err)
			}
			var at struct{ Row int64 }
			state, err := os.ReadFile(name + ".warm")
			if err == nil {
				err = json.Unmarshal(state, &at)
			}
			if err != nil || at.Row == 0 || at.Row >= n {
				t.Fatalf("%s, %v", state, err)
			}
			again, err := runCommand(t, "warm", "--timestamp", "modified", name)
			if err != nil || !strings.Contains(again, thousands(n-at.Row)+" predictions of ") {
				t.Fatalf("after row %d: %s, %v", at.Row, again, err)
			}
			if items := len(b.FakeDynamoDB.Items(w.table)); items != n {
				t.Errorf("the table has %d items, want %d", items, n)
			}
		})
	}
}

// A run says what the file needs, and whether repeating it helps, also of a compressed file and of one that is cut off.
func TestWarm_compressed(t *testing.T) {
	newWire(t, backend.All(t)[0], item.Versioned, item.TypeS, false)
	const n = 60_000 // of which the first 64 KB as stored have several thousand
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "{\"predictionId\":\"%d\",\"prediction\":%d}\n", i, i*7919%n)
	}
	whole := packed["gzip"](text.String())
	out, err := runCommand(t, "warm", "--dry-run", "--timestamp", "now", fileOf(t, whole))
	_, needs, _ := strings.Cut(out, "about ")
	needs, _, _ = strings.Cut(needs, " are needed")
	if units, _ := strconv.Atoi(strings.ReplaceAll(needs, ",", "")); err != nil || units < n*8/10 || units > n*12/10 {
		t.Errorf("%d write units are needed, of %d: %s, %v", units, n, out, err)
	}
	out, err = runCommand(t, "warm", "--timestamp", "now", fileOf(t, whole[:len(whole)/50]))
	if err == nil || !strings.Contains(out, "; what follows can't be read") || strings.Contains(out, "repeat the command") {
		t.Errorf("a file that is cut off: %s, %v", out, err)
	}
}
