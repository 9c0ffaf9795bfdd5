package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
	"github.com/predcache/predcache/internal/workertest/process"
)

func TestTexts(t *testing.T) {
	tests := []struct{ got, want string }{
		{count(0), "0"},
		{count(999), "999"},
		{count(1519), "1,519"},
		{count(1234567), "1,234,567"},
		{count(-123456), "-123,456"},
		{plural(1, "call"), "1 call"},
		{plural(2000, "call"), "2,000 calls"},
		{plural(1, "prediction was", "predictions were"), "1 prediction was"},
		{plural(11, "prediction was", "predictions were"), "11 predictions were"},
		{each(1438, "item", 60), "calls of 24.0 items each"},
		{each(0, "item", 60), ""},
		{each(1, "item", 0), ""},
		{seconds(time.Millisecond), "under 0.01 s"},
		{seconds(250 * time.Millisecond), "0.25 s"},
		{seconds(12340 * time.Millisecond), "12.3 s"},
		{days(59 * time.Second), "59 s"},
		{days(90 * time.Second), "1 min 30 s"},
		{days(-90 * time.Minute), "-1 h 30 min"},
		{days(25 * time.Hour), "1 day 1 h"},
		{days(800 * 24 * time.Hour), "800 days 0 h"},
		{strings.Join(wrap("one two  three", 7), "|"), "one two|three"},
		{strings.Join(wrap("incomprehensible it is", 7), "|"), "incomprehensible|it is"},
		{strings.Join(wrap("", 7), "|"), ""},
		{bar(0, 0), strings.Repeat("░", 24)},
		{bar(1, 2), strings.Repeat("█", 12) + strings.Repeat("░", 12)},
		{bar(3, 2), strings.Repeat("█", 24)},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestScreen(t *testing.T) {
	show := func(terminal bool) string {
		var out strings.Builder
		s := &screen{out: &out, terminal: terminal}
		s.title("First")
		s.live("half")
		s.live("more")
		s.line("done  ")
		s.title("Second")
		return out.String()
	}
	if got, want := show(false), "First\ndone\n\nSecond\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := show(true), "\033[1mFirst\033[0m\n\r\033[Khalf\r\033[Kmore\r\033[Kdone\n\n\033[1mSecond\033[0m\n"; got != want {
		t.Errorf("on a terminal: got %q, want %q", got, want)
	}
}

// A worker that did its job on two live predictions, a repeat, an expired and a broken one.
func goodResult(t *testing.T) *result {
	t.Helper()
	first := `{"predictionId":"a","timestamp":1800000000,"prediction":1}`
	broken := `{"predictionId":"","prediction":1}`
	want, err := expect.Of([]recording.Message{
		{Body: first + "\n" + broken},
		{Body: first},
		{Body: `{"predictionId":"a","timestamp":1800000001,"prediction":2}`},
		{Body: `{"predictionId":"b","timestamp":1700000000,"prediction":2}`},
	}, expect.Versioned, time.Unix(1_800_000_002, 0))
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := process.ParseMetrics(`predcache_messages_received_total 4
predcache_messages_settled_total{disposition="deleted"} 4
predcache_calls_total{operation="ReceiveMessage"} 3
predcache_calls_total{operation="BatchWriteItem"} 1
predcache_calls_total{operation="DeleteMessageBatch"} 2
predcache_calls_total{operation="DescribeTable"} 1
predcache_predictions_total{outcome="written"} 2
predcache_predictions_total{outcome="duplicate"} 1
predcache_predictions_total{outcome="expired"} 1
predcache_predictions_total{outcome="rejected"} 1
predcache_write_units_total 2
predcache_write_units_saved_total{cause="duplicate"} 1
predcache_write_units_saved_total{cause="expired"} 1
`)
	if err != nil {
		t.Fatal(err)
	}
	r := &result{want: want, metrics: metrics, outcomes: metrics.By("predcache_predictions_total", "outcome")}
	for _, item := range want.Items {
		r.items = append(r.items, item)
	}
	r.rejects = []localaws.Reject{{Body: broken, Reason: "key", Field: "predictionId", Detail: "is empty: a key has at least one byte"}}
	return r
}

func TestReport(t *testing.T) {
	var out strings.Builder
	goodResult(t).write(&screen{out: &out})
	const want = `What became of the 5 predictions
  written           2  sent to the table
  duplicate         1  repeats, which share the write of the first
  superseded        0  older: a newer one of the same key is written instead
  expired           1  over before it could be written, so not paid for
  rejected          1  can't be stored: now in the reject queue

Why 1 prediction was rejected
  key            predictionId is empty: a key has at least one byte

What it took
  ReceiveMessage                 3  calls of 1.3 messages each
  DeleteMessageBatch             2  calls of 2.0 messages each
  BatchWriteItem                 1  calls of 2.0 items each
  DescribeTable                  1  calls
  write units                    2  used
                                 2  saved: 1 duplicate, 1 expired
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChecks(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*result)
		want  string // part of the report
	}{
		{"an item is missing", func(r *result) { r.items = r.items[1:] }, "the table lacks a at 180000000"},
		{"the reject queue is empty", func(r *result) { r.rejects = nil }, `the reject queue lacks, for the reason "key"`},
		{"a message is left", func(r *result) { r.left = 1 }, "the queue still holds 1 message"},
		{"dead letters", func(r *result) { r.dead = 2 }, "the dead-letter queue holds 2 messages"},
		{"a repeat is written", func(r *result) { r.outcomes["written"]++; r.outcomes["duplicate"]-- }, "counts 3 written, but it must be 2"},
		{"a prediction is lost", func(r *result) { r.outcomes["duplicate"]-- }, "counts 2 written, duplicate and superseded, but it must be 3"},
		{"a prediction fails", func(r *result) { r.outcomes["failed"]++ }, "counts 1 failed, but it must be 0"},
		{"expired ones are written", func(r *result) { r.outcomes["expired"]-- }, "counts 0 expired, but it must be 1"},
	}
	report := func(r *result) (string, error) {
		var out strings.Builder
		err := writeChecks(&screen{out: &out}, r.checks(expect.Versioned))
		return out.String(), err
	}
	if text, err := report(goodResult(t)); err != nil || strings.Count(text, "\n  ok ") != 4 {
		t.Errorf("nothing is wrong, but: %v\n%s", err, text)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := goodResult(t)
			test.spoil(r)
			text, err := report(r)
			if err == nil || err.Error() != "1 check failed" {
				t.Errorf("error: %v", err)
			}
			if !strings.Contains(text, test.want) || strings.Count(text, "\n  FAILED ") != 1 {
				t.Errorf("lacks %q:\n%s", test.want, text)
			}
		})
	}
}

func TestManyDifferencesAreCut(t *testing.T) {
	var out strings.Builder
	_ = writeChecks(&screen{out: &out}, []check{{"all is well", slices.Repeat([]string{"it isn't"}, 1000)}})
	if text := out.String(); strings.Count(text, "it isn't") != maxDifferences || !strings.HasSuffix(text, "and 990 more\n") {
		t.Errorf("got\n%s", text)
	}
}

func TestReadBack(t *testing.T) {
	says := func(id, label string) recording.Message {
		return recording.Message{Body: `{"predictionId":"` + id + `","prediction":{"label":` + label + `}}`}
	}
	got := disagreements([]recording.Message{says("a", "1"), says("b", "2"), {Body: "broken"}, says("a", "1"), says("c", "3"), says("c", "4"), says("b", "5")})
	if !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("the models disagree on %q", got)
	}

	item := expect.Item{
		"createdAt": "N 3590000001/2", "expiresAt": "N 1795003600", "model": "S digits", "modelVersion": "N 2",
		"prediction": `S {"label":3,"probabilities":{"3":0.97,"8":0.03}}`,
	}
	want := "11:06:40.500  a 3 (97 %)  by digits 2           expires in 59 min 59 s"
	if got := itemText(item, "expiresAt", epoch("1795000001")); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
