package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// packed are the ways in which a file may come.
var packed = map[string]func(text string) []byte{
	"plain": func(text string) []byte { return []byte(text) },
	"gzip": func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			panic(err)
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return b.Bytes()
	},
	"zstd": func(text string) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		return w.EncodeAll([]byte(text), nil)
	},
}

func fileOf(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "predictions.ndjson")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWarmFillsEachLayout(t *testing.T) {
	at := time.Now().Add(-time.Minute).Unix()
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, "{\"predictionId\":\"%d\",\"timestamp\":%d,\"prediction\":{\"n\":%d}}\r\n\n", i, at, i)
	}
	fmt.Fprintf(&lines, "{\"predictionId\":\"7\",\"timestamp\":%d,\"prediction\":{\"n\":7}}\n", at)      // a repeat
	fmt.Fprintf(&lines, "{\"predictionId\":\"8\",\"timestamp\":%d,\"prediction\":\"newer\"}\n", at+1)    // a newer one
	fmt.Fprintf(&lines, "{\"predictionId\":\"9\",\"timestamp\":%d,\"prediction\":\"later line\"}\n", at) // of one event time, the later line wins
	lines.WriteString("{\"predictionId\":\"over\",\"timestamp\":1000000000,\"prediction\":1}\n")
	lines.WriteString("{\"predictionId\":\"no time\",\"prediction\":1}\n")
	lines.WriteString("{\"predictionId\":\n")
	fmt.Fprintf(&lines, "{\"timestamp\":%d,\"prediction\":1}", at) // and no newline at the end
	for _, b := range backend.All(t) {
		for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
			for how, pack := range packed {
				t.Run(fmt.Sprint(b.Name, "/", kind, "/", how), func(t *testing.T) {
					w := newWire(t, b, kind, item.TypeS, false)
					t.Setenv("WORKER_QUEUE_URL", "")
					name := fileOf(t, pack(lines.String()))
					dry, err := runCommand(t, "warm", "--dry-run", "--allow-rejects", name)
					if err != nil || !strings.Contains(dry, "would be written") {
						t.Fatalf("%s, %v", dry, err)
					}
					out, err := runCommand(t, "warm", name)
					if err == nil || err.Error() != "3 of 307 predictions were rejected: correct them, or use --allow-rejects" {
						t.Fatalf("%s, %v", out, err)
					}
					for _, want := range []string{"307 predictions of ", "duplicate                      1", "expired                        1", "rejected                       3  see " + name + ".rejects", "missing_field                2", "syntax                       1"} {
						if kind == item.LatestOnly && strings.Contains(want, "duplicate") {
							continue // where the table orders versions, a repeat is written if the first one has been
						}
						if !strings.Contains(out, want) || strings.Contains(want, "duplicate") && !strings.Contains(dry, want) {
							t.Errorf("the report lacks %q:\n%s", want, out)
						}
					}
					checkRejects(t, name+".rejects")
					if got := w.payload(t, "8"); got != `"newer"` {
						t.Errorf("the newest of 8 is %s", got)
					}
					if got := w.payload(t, "9"); got != `"later line"` {
						t.Errorf("9 is %s", got)
					}
					if got := w.payload(t, "299"); got != `{"n":299}` {
						t.Errorf("299 is %s", got)
					}
					if _, err := os.Stat(name + ".warm"); !os.IsNotExist(err) {
						t.Errorf("the state is still there: %v", err)
					}
				})
			}
		}
	}
}

func checkRejects(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var r struct {
			Line                       int64
			Reason, Field, Detail, Raw string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Detail == "" || r.Raw == "" {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, fmt.Sprint(r.Line, " ", r.Reason, " ", r.Field))
	}
	if want := "605 missing_field timestamp, 606 syntax , 607 missing_field predictionId"; strings.Join(got, ", ") != want {
		t.Errorf("the rejects are %v, want %s", got, want)
	}
}

// publish sends messages by the SDK.
func (w *wire) publish(t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := w.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &w.queue, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
}

// payload is what a service reads of an id, by worker get.
func (w *wire) payload(t *testing.T, id string) string {
	t.Helper()
	out, err := runCommand(t, "get", id, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Prediction json.RawMessage }
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return string(p.Prediction)
}

func TestWarmReplacesNothingNewer(t *testing.T) {
	at := time.Now().Add(-time.Minute).Unix()
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			w := newWire(t, b, item.LatestOnly, item.TypeS, false)
			t.Setenv("WORKER_ORDERING", "newest")
			w.publish(t, fmt.Sprintf(`{"predictionId":"newer","timestamp":%d,"prediction":"live"}`, at+1),
				fmt.Sprintf(`{"predictionId":"same","timestamp":%d,"prediction":"live"}`, at),
				fmt.Sprintf(`{"predictionId":"older","timestamp":%d,"prediction":"live"}`, at-1))
			w.consume(t)
			t.Setenv("WORKER_ORDERING", "")
			os.Unsetenv("WORKER_ORDERING")
			name := fileOf(t, []byte(strings.Join([]string{
				fmt.Sprintf(`{"predictionId":"newer","timestamp":%d,"prediction":"file"}`, at),
				fmt.Sprintf(`{"predictionId":"same","timestamp":%d,"prediction":"file"}`, at),
				fmt.Sprintf(`{"predictionId":"older","timestamp":%d,"prediction":"file"}`, at),
			}, "\n")))
			out, err := runCommand(t, "warm", name)
			if err != nil || !strings.Contains(out, "superseded                     2") {
				t.Fatalf("%s, %v", out, err)
			}
			if newer, same, older := w.payload(t, "newer"), w.payload(t, "same"), w.payload(t, "older"); newer != `"live"` || same != `"live"` || older != `"file"` {
				t.Errorf("newer is %s, same %s, older %s", newer, same, older)
			}
		})
	}
}

func TestWarm_continues_after_interrupt(t *testing.T) {
	b := backend.All(t)[0]
	const n = 12_000
	const last = 200 // calls before the table fails: enough for the first batches, whose backoff may be 50 ms, to be written
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"predictionId\":\"%d\",\"prediction\":{\"n\":%d}}\n", i, i)
	}
	for how, pack := range packed {
		t.Run(how, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			name := fileOf(t, pack(lines.String()))
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var calls atomic.Int32
			b.FakeDynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
				if c.Operation != "BatchWriteItem" {
					return awstest.Fault{}
				}
				n := calls.Add(1)
				if n == last {
					interrupt()
				}
				if n >= last || n%7 == 0 { // what was refused before leaves gaps in what is written
					return awstest.Fault{Err: awstest.ServiceUnavailable()}
				}
				return awstest.Fault{}
			})
			t.Setenv("WORKER_DRAIN_TIMEOUT", "2s")
			t.Setenv("WORKER_RECEIVE_WAIT", "1s")
			t.Setenv("WORKER_WRITE_CONCURRENCY", "2")
			var out workertest.LogBuffer // the table's state is reported from another goroutine
			err := dispatch(ctx, []string{"warm", "--timestamp", "now", name}, nil, &out, &out)
			b.FakeDynamoDB.SetFault(nil)
			if err == nil || !strings.Contains(err.Error(), "interrupted") {
				t.Fatalf("%s, %v", out.String(), err)
			}
			var at struct{ Offset, Row int64 }
			text, err := os.ReadFile(name + ".warm")
			if err == nil {
				err = json.Unmarshal(text, &at)
			}
			if err != nil || at.Offset == 0 || at.Offset >= int64(lines.Len()) || int(at.Row) != strings.Count(lines.String()[:at.Offset], "\n") {
				t.Fatalf("the state is %+v, %v, after %d calls and the output %s", at, err, calls.Load(), out.String())
			}
			for i := range at.Row { // what counts as in the table is there
				if got := w.payload(t, fmt.Sprint(i)); got != fmt.Sprintf(`{"n":%d}`, i) && i%50 == 0 {
					t.Fatalf("%d is %s", i, got)
				}
				if i > 200 {
					break
				}
			}
			again, err := runCommand(t, "warm", "--timestamp", "now", name)
			if err != nil || strings.Contains(again, "interrupted") || !strings.Contains(again, fmt.Sprintf("continuing in %s after row %s", name, thousands(at.Row))) || !strings.Contains(again, thousands(n-at.Row)+" predictions of") {
				t.Fatalf("%s, %v", again, err)
			}
			ids := map[string]bool{}
			for _, it := range b.FakeDynamoDB.Items(w.table) {
				ids[it.Text("predictionId")] = true
			}
			if len(ids) != n {
				t.Errorf("the table has %d ids, want %d", len(ids), n)
			}
		})
	}
}

func TestWarmRefusesAFileThatHasChanged(t *testing.T) {
	newWire(t, backend.All(t)[0], item.Versioned, item.TypeS, false)
	name := fileOf(t, []byte("{\"predictionId\":\"1\",\"prediction\":1}\n"))
	if err := os.WriteFile(name+".warm", []byte(fmt.Sprintf(`{"file":%q,"index":0,"offset":10,"row":1,"size":5}`, name)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := runCommand(t, "warm", name); err == nil || !strings.Contains(err.Error(), "no longer the file") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := runCommand(t, "warm", name+"x", name); err == nil {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := runCommand(t, "warm"); err == nil {
		t.Error("no error without a file")
	}
	if _, err := runCommand(t, "warm", "--timestamp", "soon", name); err == nil || !strings.Contains(err.Error(), "RFC 3339") {
		t.Errorf("got %v", err)
	}
}

// Deletes in files hide older predictions, in every layout.
func TestWarmDeletes(t *testing.T) {
	at := time.Now().Add(-time.Minute).Unix()
	for _, b := range backend.All(t) {
		for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
			t.Run(fmt.Sprint(b.Name, "/", kind), func(t *testing.T) {
				w := newWire(t, b, kind, item.TypeS, false)
				name := fileOf(t, []byte(fmt.Sprintf("predictionId,timestamp,prediction,deleted\ngone,%d,1,\nkept,%d,2,false\ngone,%d,,true\n", at, at, at+1)))
				if out, err := runCommand(t, "warm", name); err == nil || !strings.Contains(out, "deletes_off                  1") {
					t.Fatalf("%s, %v", out, err)
				}
				t.Setenv("WORKER_DELETES", "hide")
				out, err := runCommand(t, "warm", name)
				if err != nil || !strings.Contains(out, "deleted                        1") {
					t.Fatalf("%s, %v", out, err)
				}
				t.Setenv("WORKER_DELETES", "off") // else get wants WORKER_ORDERING=newest too
				if got := w.payload(t, "kept"); got != "2" {
					t.Errorf("kept is %s", got)
				}
				if out, err := runCommand(t, "get", "gone"); err == nil {
					t.Errorf("what was deleted is still there: %s", out)
				}
			})
		}
	}
}

// Ties of event time are decided by the order of lines and files.
func TestWarmTies(t *testing.T) {
	at := time.Now().Add(-time.Minute).Unix()
	line := func(id, payload string) string {
		return fmt.Sprintf("{\"predictionId\":%q,\"timestamp\":%d,\"prediction\":%q}\n", id, at, payload)
	}
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			w := newWire(t, b, item.LatestOnly, item.TypeS, false)
			warm := func(files ...string) {
				t.Helper()
				if out, err := runCommand(t, append([]string{"warm"}, files...)...); err != nil {
					t.Fatalf("%s, %v", out, err)
				}
			}
			want := func(payload string) {
				t.Helper()
				for _, id := range []string{"a", "b"} {
					if got := w.payload(t, id); got != strconv.Quote(payload) {
						t.Errorf("%s is %s, want %s", id, got, payload)
					}
				}
			}
			all := fileOf(t, []byte(line("x", "")+line("y", "")+line("a", "first")+line("b", "first")+line("a", "later line")+line("b", "later line")))
			corrections := fileOf(t, []byte(line("a", "later file")+line("b", "later file")))
			warm(all)
			want("later line")
			warm(all, corrections)
			want("later file")
		})
	}
}

func TestWarmFormats(t *testing.T) {
	good := "{\"predictionId\":\"a\",\"prediction\":1}\n"
	utf16 := []byte{0xff, 0xfe}
	for _, c := range good {
		utf16 = append(utf16, byte(c), 0)
	}
	for _, test := range []struct{ name, text, want string }{
		{"a byte order mark", "\ufeff" + good, ""},
		{"an array a line", "[" + strings.TrimSpace(good) + "]\n" + good, ""},
		{"nothing", "", ""},
		{"CSV", "predictionId,prediction\na,1\n", ""},
		{"CSV of something else", "id,score\na,1\n", `read as CSV it has no column "predictionId" (WORKER_FIELD_ID)`},
		{"an array over several lines", "[\n" + good + "]\n", ""},
		{"objects back to back", strings.TrimSpace(good) + good, ""},
		{"damaged Parquet", "PAR1\x15\x04", "is not Parquet: it is too short"},
		{"a zip archive", "PK\x03\x04\x14", "is a zip archive"},
		{"UTF-16", string(utf16), "is UTF-16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := backend.All(t)[0]
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			name := fileOf(t, []byte(test.text))
			out, err := runCommand(t, "warm", "--timestamp", "now", name)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("%s, %v, want %q", out, err, test.want)
			}
			items := len(b.FakeDynamoDB.Items(w.table))
			if want := min(strings.Count(test.text, "predictionId"), 1); test.want == "" && items != want || test.want != "" && items != 0 {
				t.Errorf("the table has %d items", items)
			}
			if _, err := os.Stat(name + ".rejects"); !os.IsNotExist(err) {
				t.Errorf("there are rejects: %v", err)
			}
		})
	}
}

// A run that is continued keeps the rejects that belong to what is durable, and writes each of the others once.
func TestWarmContinuesItsRejects(t *testing.T) {
	b := backend.All(t)[0]
	newWire(t, b, item.Versioned, item.TypeS, false)
	var lines strings.Builder
	const n = 2000
	for i := range n {
		if i%10 == 0 {
			fmt.Fprintf(&lines, "{\"predictionId\":\"%d\"}\n", i)
			continue
		}
		fmt.Fprintf(&lines, "{\"predictionId\":\"%d\",\"prediction\":1}\n", i)
	}
	name := fileOf(t, []byte(lines.String()))
	if err := os.WriteFile(name+".rejects", []byte("of an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var calls atomic.Int32
	b.FakeDynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation != "BatchWriteItem" || calls.Add(1) < 20 {
			return awstest.Fault{}
		}
		interrupt()
		return awstest.Fault{Err: awstest.ServiceUnavailable()}
	})
	t.Setenv("WORKER_DRAIN_TIMEOUT", "2s")
	t.Setenv("WORKER_RECEIVE_WAIT", "1s")
	var out workertest.LogBuffer // the table's state is reported from another goroutine
	err := dispatch(ctx, []string{"warm", "--timestamp", "now", name}, nil, &out, &out)
	b.FakeDynamoDB.SetFault(nil)
	if err == nil || !strings.Contains(err.Error(), "interrupted") || !strings.Contains(out.String(), "interrupted: finishing writes") {
		t.Fatalf("%s, %v", out.String(), err)
	}
	if out, err := runCommand(t, "warm", "--timestamp", "now", "--allow-rejects", name); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	text, err := os.ReadFile(name + ".rejects")
	if err != nil {
		t.Fatal(err)
	}
	next := int64(1)
	for line := range strings.Lines(string(text)) {
		var r struct{ Line int64 }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Line != next {
			t.Fatalf("%s, %v, want line %d", line, err, next)
		}
		next += 10
	}
	if next != n+1 {
		t.Errorf("the rejects end at line %d", next-10)
	}
}
