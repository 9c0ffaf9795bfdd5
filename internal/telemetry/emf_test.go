package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/workertest/emftest"
	"github.com/predcache/predcache/internal/writer"
)

// lines keeps what is written, a string for each Write.
type lines []string

func (l *lines) Write(b []byte) (int, error) {
	*l = append(*l, string(b))
	return len(b), nil
}

// document checks a line of the format.
func document(t *testing.T, line string) *emftest.Document {
	t.Helper()
	whole, ended := strings.CutSuffix(line, "\n")
	if !ended || strings.Contains(whole, "\n") {
		t.Fatalf("one Write is not one line: %q", line)
	}
	d, err := emftest.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newEMF(m *Metrics, out *lines) *EMF {
	return &EMF{Metrics: m, Out: out, Log: slog.New(slog.DiscardHandler), Queue: "predictions", Table: "cache", Host: "ip-10-0-0-1", Version: "v1"}
}

func TestEMF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wired()
		m.SetWindow(func() dedup.Stats { return dedup.Stats{Pending: 7} })
		m.health.SetReady(true)
		m.Held(2500, 0)
		m.State(writer.Up)
		var out lines
		e := newEMF(m, &out)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); e.Run(ctx) }()

		begin := time.Now() // a full minute
		sent := begin.UnixMilli()
		for range 150 {
			m.Outcome(prediction.Written, 1, sent)
		}
		m.Outcome(prediction.Duplicate, 1, 0)
		m.Outcome(prediction.Superseded, 1, 0)
		m.Outcome(prediction.Expired, 1, 0)
		m.Rejected(prediction.Rejectf(prediction.ReasonSyntax, "", "it is not JSON"))
		m.Batch(25, 3)
		m.calls.total[BatchWriteItem].Add(8)
		m.calls.failures.add(BatchWriteItem, "ThrottlingException")
		m.calls.failures.add(PutItem, "ProvisionedThroughputExceededException")
		m.calls.failures.add(ReceiveMessage, codeCanceled)
		time.Sleep(45 * time.Second)
		m.Outcome(prediction.Deleted, 1, sent)
		m.State(writer.Down)
		m.TableTTL(false)
		m.health.Report(PartTable, "", errors.New("denied"))
		time.Sleep(time.Minute)
		m.Outcome(prediction.Written, 1, sent)
		stop()
		<-done

		if len(out) != 3 {
			t.Fatalf("%d lines", len(out))
		}
		first, second, last := document(t, out[0]), document(t, out[1]), document(t, out[2])
		for i, d := range []*emftest.Document{first, second} {
			if want := begin.Add(30*time.Second + time.Duration(i)*time.Minute).UnixMilli(); d.Timestamp != want {
				t.Errorf("line %d is of %d, want the middle of its minute, %d", i, d.Timestamp, want)
			}
		}
		if first.Namespace != "predcache" || len(first.Dimensions) != 1 || first.Dimensions["Queue"] != "predictions" {
			t.Errorf("namespace %q, dimensions %v", first.Namespace, first.Dimensions)
		}
		want := func(name string, d *emftest.Document, want map[string]float64) {
			t.Helper()
			for metric, v := range want {
				if got := d.Metrics[metric]; len(got) != 1 || got[0] != v {
					t.Errorf("%s: %s is %v, want %v", name, metric, got, v)
				}
			}
		}
		want("first", first, map[string]float64{
			"Written": 150, "Skipped": 2, "Expired": 1, "Rejected": 1, "Calls": 8, "FailedCalls": 2, "Throttled": 3 + 25 + 1,
			"Pending": 7, "HeldPercent": 100 * 2500 / float64(m.limits.HeldMessages), "TableDown": 0, "Ready": 1, "Attention": 0,
		})
		if n := len(first.Metrics["Age"]); n != 100 {
			t.Errorf("%d ages of 150 predictions", n)
		}
		// Counters are what happened since the last line.
		want("second", second, map[string]float64{"Written": 1, "Skipped": 0, "Calls": 0, "Throttled": 0, "TableDown": 1, "Ready": 0, "Attention": 1})
		if got := second.Metrics["Age"]; got != nil {
			t.Errorf("a delete has the ages %v", got)
		}
		for field, want := range map[string]string{"Failing": `["the table"]`, "Warnings": `["the table's TTL is off"]`, "Host": `"ip-10-0-0-1"`, "Table": `"cache"`, "Version": `"v1"`} {
			if got, _ := json.Marshal(second.Fields[field]); string(got) != want {
				t.Errorf("%s is %s, want %s", field, got, want)
			}
		}
		want("last", last, map[string]float64{"Written": 1})
		for _, metric := range emfMetrics {
			if _, there := last.Metrics[metric.name]; there && metric.state {
				t.Errorf("the last line counts the state %s twice in its minute", metric.name)
			}
		}
	})
}

// TestEMFCatchesUp: what a line that could not be written had is in the next one.
func TestEMFCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wired()
		var log strings.Builder
		out := &failing{left: 1}
		e := &EMF{Metrics: m, Out: out, Log: slog.New(slog.NewTextHandler(&log, nil)), Queue: "q"}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); e.Run(ctx) }()
		m.Outcome(prediction.Written, 1, 0)
		time.Sleep(100 * time.Second)
		stop()
		<-done
		if d := document(t, out.lines[0]); d.Value("Written") != 1 {
			t.Errorf("the next line has %v written", d.Metrics["Written"])
		}
		if n := strings.Count(log.String(), "metrics not written"); n != 1 {
			t.Errorf("%d warnings: %s", n, log.String())
		}
	})
}

// failing refuses the first Writes.
type failing struct {
	left int
	lines
}

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left >= 0 {
		return 0, errors.New("closed")
	}
	return f.lines.Write(b)
}

// TestEMFBounds: the price is bounded, and the longest line fits what a container runtime passes on whole.
func TestEMFBounds(t *testing.T) {
	if n := len(emfMetrics); n > 15 {
		t.Errorf("%d metrics; docs and settings say at most 15", n)
	}
	m := wired()
	for i := range 1000 {
		m.age.Observe(float64(i) * 86.399)
	}
	for _, part := range []Part{PartTable, PartRejects, PartSingleRejects, PartExpired, PartReceive, PartDelete, PartVisibility, PartQuery, PartDeleteItem} {
		m.health.Report(part, "", errors.New(strings.Repeat("x", maxReason)))
	}
	var out lines
	e := newEMF(m, &out)
	e.Queue, e.Table, e.Host = strings.Repeat("q", 80), strings.Repeat("t", 255), strings.Repeat("h", 64) // the longest there are
	e.before = &Values{}
	e.flush(false)
	document(t, out[0])
	if n := len(out[0]); n > 4096 {
		t.Errorf("a line of %d bytes; a pipe takes only 4096 at once, and lines of two writers could mix", n)
	}
}

func TestQuantiles(t *testing.T) {
	m := wired()
	if got := quantiles(distribution(m.age)); got != nil {
		t.Errorf("nothing has the quantiles %v", got)
	}
	for range 3 {
		m.age.Observe(0.003)
	}
	if got := quantiles(distribution(m.age)).([]float64); len(got) != 3 || got[0] <= 0 || got[2] > 0.005 {
		t.Errorf("three observations have the quantiles %v", got)
	}
	for range 27 {
		m.age.Observe(0.003)
	}
	for range 970 {
		m.age.Observe(50)
	}
	got := quantiles(distribution(m.age)).([]float64)
	if len(got) != 100 || !slices.IsSorted(got) || got[0] > 0.005 || got[50] < 30 || got[99] > 60 {
		t.Errorf("the quantiles are %v", got)
	}
}

func TestEMFTable(t *testing.T) {
	const file, begin, end = "../../docs/telemetry.md", "TestEMFTable -update -->\n", "<!-- end -->"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(doc), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the document has no place for the table")
	}
	want := before + begin + "\n" + EMFMarkdown() + "\n" + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(doc) != want {
		t.Error("docs/telemetry.md is not what the worker writes: make docs")
	}
}

// TestAlarmsReadWhatIsWritten holds the CloudWatch alarms and the dashboard to the metrics of EMF, and to the runbook.
func TestAlarmsReadWhatIsWritten(t *testing.T) {
	var alarms []struct {
		Name, Runbook, Description string
		Metrics                    []struct {
			Namespace, Name string
			Dimensions      map[string]string
		}
	}
	if err := json.Unmarshal([]byte(file(t, "deployments/cloudwatch/alarms.json")), &alarms); err != nil {
		t.Fatal(err)
	}
	known, read := EMFMetricNames(), map[string]bool{}
	check := func(where, namespace, metric string, dimensions map[string]string) {
		t.Helper()
		if namespace != EMFNamespace {
			return
		}
		read[metric] = true
		if !slices.Contains(known, metric) {
			t.Errorf("%s reads %s, which no worker writes", where, metric)
		}
		if len(dimensions) != 1 || dimensions[EMFDimension] != "${QueueName}" {
			t.Errorf("%s reads %s with the dimensions %v", where, metric, dimensions)
		}
	}
	headings := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(file(t, "docs/runbook.md"), -1) {
		headings[strings.ToLower(h[1])] = true
	}
	for _, a := range alarms {
		for _, m := range a.Metrics {
			check("the alarm "+a.Name, m.Namespace, m.Name, m.Dimensions)
		}
		if !headings[a.Runbook] {
			t.Errorf("the alarm %s has no section %q in docs/runbook.md", a.Name, a.Runbook)
		}
		if len(a.Description) > 500 || !strings.HasSuffix(a.Description, ".") {
			t.Errorf("the alarm %s has the description %q", a.Name, a.Description)
		}
	}
	var dashboard []struct {
		Widget struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(file(t, "deployments/cloudwatch/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, w := range dashboard {
		for _, m := range w.Widget.Properties.Metrics {
			if len(m) >= 4 {
				dimension, _ := m[2].(string)
				value, _ := m[3].(string)
				check("the widget "+w.Widget.Properties.Title, m[0].(string), m[1].(string), map[string]string{dimension: value})
			}
		}
	}
	for _, metric := range known {
		if !read[metric] {
			t.Errorf("%s is paid for, and neither an alarm nor the dashboard reads it", metric)
		}
	}
}
