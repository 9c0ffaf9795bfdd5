package statuspage

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/writer"
)

// A remediable is an error of a service that has a remedy.
type remediable struct {
	error
	remedy string
}

func (e remediable) Remedy() string { return e.remedy }

func TestHeadline(t *testing.T) {
	denied := remediable{errors.New("BatchWriteItem: AccessDeniedException: not authorized"), "allow it"}
	type want struct {
		state                       State
		level                       Level
		title, text, reason, remedy string // parts of them; "" for reason and remedy: none
	}
	for name, test := range map[string]struct {
		do   func(b *bench)
		want want
	}{
		"starting":                     {func(b *bench) { b.health.SetReady(false) }, want{Starting, Neutral, "Starting", "reads its queue and its table", "", ""}},
		"idle":                         {func(b *bench) { b.SetWindow(func() dedup.Stats { return dedup.Stats{} }) }, want{Idle, Neutral, "Idle: nothing to receive", "One poller waits", "", ""}},
		"receives wait for the writes": {func(*bench) {}, want{Writing, Good, "At work", "nothing has been written in the last minute", "", ""}},
		"at work": {func(b *bench) {
			b.State(writer.Up)
			for range 30 {
				b.work(20, 80*time.Millisecond)
				time.Sleep(time.Second)
			}
		}, want{Writing, Good, "Writing 18 predictions a second", "half of them were durable within 75 ms of being sent, and 99 % within 99 ms", "", ""}},
		"the table is down": {func(b *bench) {
			b.State(writer.Down)
			b.Held(1, 100)
			b.health.Report(telemetry.PartReceive, "", errors.New("later and less"))
			b.health.Report(telemetry.PartTable, "receiving is paused", denied)
			time.Sleep(90 * time.Second)
		}, want{Outage, Critical, "The table can't be written", "For 1 min nothing has been received: 1 message is held", "AccessDeniedException", "allow it"}},
		"only deletes": {func(b *bench) {
			b.State(writer.Up)
			b.receive(10)
			for range 10 {
				b.Outcome(prediction.Deleted, 1, 0)
			}
			b.Removed(1500)
		}, want{Writing, Good, "Writing deletes", "10 deletes were done, and 1,500 items that they hide were removed", "", ""}},
		"removals are denied": {func(b *bench) {
			b.health.Report(telemetry.PartQuery, "", errors.New("Query: AccessDeniedException: not authorized"))
			time.Sleep(5 * time.Second)
		}, want{Failing, Warning, "Query fails", "For 6 s now. The worker tries again", "not authorized", "correct the reason"}},
		"deletes fail": {func(b *bench) {
			b.health.Report(telemetry.PartDelete, "", denied)
			time.Sleep(5 * time.Second)
		}, want{Failing, Warning, "DeleteMessageBatch fails", "For 6 s now. The worker tries again", "not authorized", "allow it"}},
		"many predictions have expired": {func(b *bench) {
			b.work(90, time.Second)
			for range 10 {
				b.Outcome(prediction.Expired, 1, 0)
			}
			time.Sleep(12 * time.Second)
		}, want{Attention, Warning, "The share of expired predictions needs attention", "The worker writes what it can", "had expired", "a publisher's clock, unit or time zone is wrong"}},
		"some predictions have expired": {func(b *bench) {
			b.State(writer.Up)
			b.work(90, time.Second)
			b.Outcome(prediction.Expired, 1, 0)
			time.Sleep(12 * time.Second)
		}, want{Writing, Good, "Writing 0 predictions a second", "", "", ""}},
		"throttled": {func(b *bench) {
			b.State(writer.Up)
			b.Limit(8)
			time.Sleep(10 * time.Second)
			b.Limit(3)
			b.receive(10)
			b.Batch(25, 1200)
			b.write(coded("ProvisionedThroughputExceededException"))
			time.Sleep(2 * time.Second)
		}, want{Throttled, Warning, "Slowed down by the table", "sent back 1,200 items and throttled 1 call. The worker makes 3 calls at once, of 8", "", "raise the table's write capacity"}},
		"rejecting": {func(b *bench) {
			b.State(writer.Up)
			b.work(80, time.Second)
			b.reject(9, prediction.ReasonMissingField, "predictionId", "is missing: it names what was predicted")
			b.reject(1, prediction.ReasonSyntax, "", "the message is not JSON")
		}, want{Rejecting, Warning, "Rejecting 9.1 % of the predictions", "10 predictions of 110 could not be stored", "missing_field: predictionId is missing: it names what was predicted", "worker redrive"}},
		"rejecting a little": {func(b *bench) {
			b.State(writer.Up)
			b.work(400, time.Second)
			b.reject(3, prediction.ReasonSyntax, "", "the message is not JSON")
		}, want{Writing, Good, "Writing ", "", "", ""}},
		"rejecting less than before": {func(b *bench) {
			b.State(writer.Up)
			b.work(80, time.Second)
			b.reject(6, prediction.ReasonSyntax, "", "the message is not JSON")
			time.Sleep(2 * time.Second)
			b.work(440, time.Second) // 0.9 %
		}, want{Rejecting, Warning, "Rejecting 0.9 % of the predictions", "", "syntax: the message is not JSON", "worker redrive"}},
		"refused by DynamoDB": {func(b *bench) {
			b.State(writer.Up)
			b.work(16, time.Second)
			b.reject(6, prediction.ReasonTable, "", "ValidationException: secret")
		}, want{Rejecting, Warning, "Rejecting 23 % of the predictions", "", "table: refused by DynamoDB", "worker redrive"}},
		"the in-flight limit": {func(b *bench) {
			b.State(writer.Up)
			b.InFlightLimit(true)
		}, want{Blocked, Warning, "SQS returns nothing", "Messages wait, and receives stay empty", "", "find the consumer that holds them"}},
		"behind, since a moment": {func(b *bench) { b.backlog(30*time.Second, 100_000, 0) },
			want{Behind, Warning, "Behind by about 3 min", "About 100,000 messages wait. Whether their number falls is known after a minute.", "", "add workers"}},
		"behind, and catching up": {func(b *bench) { b.backlog(3*time.Minute, 100_000, -200) },
			want{Behind, Warning, "Behind by about 3 min, caught up in about 6 min", "falling by 200 messages a second. The workers are the limit", "", "add workers"}},
		"behind, and growing": {func(b *bench) {
			b.Held(9500, 1<<20)
			b.backlog(3*time.Minute, 100_000, 350)
		}, want{Behind, Warning, "Behind by about 3 min, and growing", "rising by 350 messages a second. The table is the limit", "", "raise WORKER_WRITE_CONCURRENCY"}},
		"behind, and not catching up": {func(b *bench) {
			b.backlog(90*time.Second, 100_000, 0)
			b.Batch(20, 5)
			b.backlog(30*time.Second, 100_000, 0)
		}, want{Behind, Warning, "Behind by about 3 min, and not catching up", "their number is not falling. The table is the limit: it throttles", "", "raise the table's write capacity"}},
		"behind, by its own limit": {func(b *bench) {
			b.page.facts.Settings = []Setting{{"WORKER_MAX_WRITE_UNITS", "20", "0", ""}}
			b.backlog(90*time.Second, 100_000, 10)
		}, want{Behind, Warning, "Behind by", "WORKER_MAX_WRITE_UNITS is the limit: 20 write units a second", "", "raise WORKER_MAX_WRITE_UNITS"}},
		"caught up": {func(b *bench) {
			b.backlog(2*time.Minute, 100_000, -800)
			b.backlog(20*time.Second, 10, 0)
		}, want{Writing, Good, "Writing ", "", "", ""}},
		"draining": {func(b *bench) {
			time.Sleep(2 * time.Second)
			b.health.SetReady(false)
			time.Sleep(2 * time.Second)
		}, want{Draining, Neutral, "Draining", "Nothing more is received", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.health.SetReady(true)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				time.Sleep(500 * time.Millisecond) // between the ticks
				if name == "starting" {
					test.do(b)
				}
				go b.page.Run(ctx)
				go b.WatchExpired(ctx)
				go b.WatchBehind(ctx)
				time.Sleep(250 * time.Millisecond) // never at a tick
				if name != "starting" {
					test.do(b)
				}
				time.Sleep(1500 * time.Millisecond)
				b.page.mu.Lock()
				s := b.page.latest
				b.page.mu.Unlock()
				if s.State != test.want.state || s.Level != test.want.level || !strings.HasPrefix(s.Title, test.want.title) || !strings.Contains(s.Text, test.want.text) {
					t.Errorf("%s, %s, %q: %s", s.State, s.Level, s.Title, s.Text)
				}
				for _, part := range []struct{ got, want string }{{s.Reason, test.want.reason}, {s.Remedy, test.want.remedy}} {
					if (part.got == "") != (part.want == "") || !strings.Contains(part.got, part.want) {
						t.Errorf("got %q, want %q", part.got, part.want)
					}
				}
				if strings.Contains(s.Reason, "secret") {
					t.Errorf("the reason %q has a value", s.Reason)
				}
			})
		})
	}
}

func TestRoughly(t *testing.T) {
	for seconds, want := range map[float64]string{0: "10 s", 34: "30 s", 91: "2 min", 700: "12 min", 1500: "25 min", 5000: "85 min", 3 * 3600: "3 h", 50 * 3600: "2 days"} {
		if got := roughly(seconds); got != want {
			t.Errorf("%v s is %q, not %q", seconds, got, want)
		}
	}
}
