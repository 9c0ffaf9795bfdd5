package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

func TestPublish(t *testing.T) {
	var lines strings.Builder
	for i := range 95 {
		fmt.Fprintf(&lines, "{\"predictionId\":\"%d\",\"prediction\":%q}\n", i, strings.Repeat("x", 1000))
	}
	const good = `{"predictionId":"1","prediction":1}` + "\n"
	long := `{"predictionId":"2","prediction":"` + strings.Repeat("x", 1<<20) + `"}`
	b := backend.All(t)[0]
	for _, test := range []struct {
		name  string
		text  string
		flags string
		want  string // the output, or the error without the name of the file
		sent  int    // predictions in the queue
	}{
		{"ten messages a call", lines.String(), "", "sent 95 predictions in 95 messages and 10 calls\n", 95},
		{"packed messages", lines.String(), "--pack", "sent 95 predictions in 2 messages and 1 calls\n", 95},
		{"blank lines, CRLF, a byte order mark, no newline at the end", "\xef\xbb\xbf\r\n" + good + "\r\n\n" + `{"predictionId":"2","prediction":2}`, "", "sent 2 predictions in 2 messages", 2},
		{"nothing", "", "", "sent 0 predictions", 0},
		{"a broken line", good + `{"predictionId":` + "\n" + good, "", "line 2: syntax: the message is not JSON", 1},
		{"an empty id", good + "\n" + `{"predictionId":"","prediction":1}`, "", "line 3: the id is empty: an id has at least one character (1 predictions in 1 messages were sent)", 1},
		{"an id too long", `{"predictionId":"` + strings.Repeat("x", 2049) + `","prediction":1}`, "", "line 1: the id has 2049 bytes, and a key of DynamoDB at most 2048", 0},
		{"no id", good + `{"id":"2","prediction":1}`, "", "line 2: missing_field: predictionId", 1},
		{"no id, unchecked", `{"id":"2","prediction":1}`, "--unchecked", "sent 1 predictions in 1 messages", 1},
		{"an array on a line", good + `[{"predictionId":"2","prediction":1}]`, "", "line 2 is an array: send an object", 1},
		{"a line too long", good + long, "", "line 2 is longer than 1,048,576 bytes, the most that SQS takes", 1},
		{"a line too long, unchecked", good + long, "--unchecked", "line 2 is longer than 1,048,576 bytes, the most that SQS takes", 1},
		{"gzip", string(packed["gzip"](good + good)), "", "sent 2 predictions in 2 messages", 2},
		{"zstd", string(packed["zstd"](good + good)), "", "sent 2 predictions in 2 messages", 2},
		{"broken gzip", "\x1f\x8b\x08\x00", "", " is damaged", 0},
		{"a zip archive", "PK\x03\x04", "", " is a zip archive: give NDJSON, JSON, CSV with a header", 0},
		{"UTF-16", "\xff\xfe{\x00", "", " is UTF-16: give NDJSON", 0},
		{"CSV", "predictionId,prediction\n1,2\n2,\n", "", `row 2: missing_field: prediction is missing`, 1},
		{"CSV of something else", "id,score\n1,2\n", "", ` does not begin with JSON, and read as CSV it has no column "predictionId" (WORKER_FIELD_ID)`, 0},
		{"a JSON array", "[\n" + `{"predictionId":"2","prediction":1}` + "\n]", "", "sent 1 predictions in 1 messages", 1},
		{"damaged Parquet", "PAR1\x15", "", " is not Parquet: it is too short", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, stdin := range []bool{false, true} {
				w := newWire(t, b, item.Versioned, item.TypeS, false)
				input, file := "", fileOf(t, []byte(test.text))
				source := file
				if stdin {
					input, file, source = test.text, "-", "standard input"
				}
				status, stdout, stderr := invoke(t, input, append([]string{"publish", file}, strings.Fields(test.flags)...)...)
				want := test.want
				if strings.HasPrefix(want, " ") {
					want = source + want
				}
				if strings.HasPrefix(want, "sent ") {
					if status != 0 || !strings.HasPrefix(stdout, want) || stderr != "" {
						t.Errorf("status %d, %q, %q; want 0 and %q", status, stdout, stderr, want)
					}
				} else if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "worker: "+want) {
					t.Errorf("status %d, %q, %q; want 1 and %q", status, stdout, stderr, want)
				}
				sent := 0
				for _, m := range b.FakeSQS.Messages(w.queue[strings.LastIndexByte(w.queue, '/')+1:]) {
					sent += strings.Count(m.Body, `"prediction":`)
				}
				if sent != test.sent {
					t.Errorf("%d predictions are in the queue, want %d", sent, test.sent)
				}
			}
		})
	}
}

func TestPublish_unreachable(t *testing.T) {
	t.Setenv("WORKER_QUEUE_URL", "http://127.0.0.1:1/1/q")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	status, _, stderr := invoke(t, workertest.Message("a", 0, "1"), "publish", "-")
	if status != 1 || !strings.Contains(stderr, "check the network, AWS_REGION and AWS_ENDPOINT_URL") || !strings.Contains(stderr, "(0 predictions in 0 messages were sent)") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if status, _, stderr := invoke(t, "", "publish", "no such file"); status != 1 || !strings.Contains(stderr, "no such file or directory") {
		t.Errorf("status %d, %q", status, stderr)
	}
}
