package ingest_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// now is the clock of these tests.
var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// A bench is an Ingest with what it does, in order.
type bench struct {
	*ingest.Ingest
	did   []string
	crash string // the id at which the window panics
}

func newBench(t *testing.T) *bench {
	t.Helper()
	table := item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"}
	layout, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: item.JSON})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	b.Ingest = ingest.New(ingest.Config{
		Decoder: prediction.Config{
			Fields: prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction"},
			TTL:    time.Hour, MaxFuture: time.Minute, MaxDecodedBytes: 1 << 20,
		},
		Layout: layout, Observer: b, Now: func() time.Time { return now }, Grace: time.Minute, Log: slog.New(slog.DiscardHandler),
		Admit: func(it *item.Item, _ dedup.Waiter) bool {
			if it.Key.ID == b.crash {
				panic("a fault")
			}
			b.note("admit %s", it.Key.ID)
			return true
		},
		Submit: func(items ...*item.Item) {
			if len(items) > 0 {
				b.note("submit %d", len(items))
			}
		},
		Idle: func(context.Context) { b.note("wait") },
	})
	return b
}

func (b *bench) note(format string, args ...any) { b.did = append(b.did, fmt.Sprintf(format, args...)) }

// Outcome implements dedup.Observer.
func (b *bench) Outcome(o prediction.Outcome, _ int, _ int64) { b.note("%v", o) }

// A sink notes what it hears.
type sink struct {
	*bench
	full  bool   // Reserve gives up
	crash string // the id at which Admit panics
}

func (s *sink) Reserve(_ context.Context, bytes int) bool {
	s.note("reserve %d", bytes)
	return !s.full
}
func (s *sink) Admit(it *item.Item) dedup.Waiter {
	if it.Key.ID == s.crash {
		panic("a fault")
	}
	return s
}
func (s *sink) Resolve(o prediction.Outcome, _ string, _ *prediction.Reject) {
	s.note("resolve %v", o)
}
func (s *sink) Reject(part prediction.RejectedPart, count int) {
	s.note("reject %d for %s, whole %v", count, part.Why.Reason, part.Whole)
}
func (s *sink) NoRoom()        { s.note("no room") }
func (s *sink) Done(bytes int) { s.note("done %v", bytes > 0) }

func good(id string) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":1}`, id, now.Unix()-60)
}

func compressed(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(w.EncodeAll([]byte(text), nil))
}

func TestBatch(t *testing.T) {
	long := compressed(good("z") + strings.Repeat(" ", 100_000))
	for _, test := range []struct {
		name   string
		texts  []ingest.Text
		full   bool
		window string // the id at which it panics
		sink   string // the id at which it panics
		want   string
	}{
		{name: "items of several texts are submitted together", texts: []ingest.Text{{Body: good("a")}, {Body: good("b") + "\n" + good("c")}},
			want: "done true, done true, admit a, admit b, admit c, submit 3"},
		{name: "an expired prediction is counted", texts: []ingest.Text{{Body: `{"predictionId":"a","timestamp":1000000000,"prediction":1}`}},
			want: "expired, done true"},
		{name: "a bad part leaves its neighbours alone", texts: []ingest.Text{{Body: good("a") + "\n{}\n" + good("b")}},
			want: "rejected, reject 1 for missing_field, whole false, done true, admit a, admit b, submit 2"},
		{name: "what the table can't hold is rejected", texts: []ingest.Text{{Body: `{"predictionId":7,"prediction":1}`, Sent: now.UnixMilli()}},
			want: "rejected, reject 1 for key, whole false, done true"},
		{name: "what came before is submitted before it waits for room", texts: []ingest.Text{{Body: good("a")}, {Body: long, ContentEncoding: "zstd"}},
			want: "done true, admit a, submit 1, reserve 1048576, done true, admit z, submit 1"},
		{name: "a text without room is given up", texts: []ingest.Text{{Body: long, ContentEncoding: "zstd"}}, full: true,
			want: "reserve 1048576, no room, done false"},
		{name: "what came before is submitted before a long text is read", texts: []ingest.Text{{Body: good("a")}, {Body: good("b") + strings.Repeat(" ", 100_000)}},
			want: "done true, admit a, submit 1, done true, admit b, submit 1"},
		{name: "a text that crashes the reader is rejected beside what it has made", texts: []ingest.Text{{Body: good("a") + "\n" + good("b") + "\n" + good("c")}, {Body: good("d")}}, sink: "b",
			want: "rejected, reject 1 for internal, whole true, done true, done true, admit a, admit d, submit 2"},
		{name: "a prediction that crashes the window is rejected", texts: []ingest.Text{{Body: good("a") + "\n" + good("b")}, {Body: good("c")}}, window: "b",
			want: "done true, done true, admit a, rejected, resolve rejected, admit c, submit 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.crash = test.window
			batch := b.Begin()
			for _, text := range test.texts {
				batch.Add(t.Context(), text, &sink{b, test.full, test.sink})
			}
			batch.End(t.Context())
			if got := strings.Join(b.did, ", "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A message of thousands of predictions was submitted at once, and others waited until all of it was written.
func TestBatch_long_text_is_submitted_little_by_little(t *testing.T) {
	b := newBench(t)
	var text strings.Builder
	for i := range 250 {
		text.WriteString(good(fmt.Sprint(i)) + "\n")
	}
	batch := b.Begin()
	batch.Add(t.Context(), ingest.Text{Body: text.String()}, &sink{bench: b})
	batch.End(t.Context())
	b.did = slices.DeleteFunc(b.did, func(did string) bool { return strings.HasPrefix(did, "admit") })
	if got, want := strings.Join(b.did, ", "), "reserve 132096, reserve 265728, done true, submit 100, wait, submit 100, wait, submit 50"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
