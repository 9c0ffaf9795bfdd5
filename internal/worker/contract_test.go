package worker_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// The message contract as its users meet it: what a queue's messages become in the table and in the reject queue. The vectors
// in contract/ have the rules in full.
func TestMessageContract(t *testing.T) {
	at := func(id, timestamp string) string {
		return fmt.Sprintf(`{"predictionId":%q,"timestamp":%s,"prediction":1}`, id, timestamp)
	}
	for _, test := range []struct {
		name    string
		body    func(now time.Time) string
		config  func(f *workertest.Fakes)
		items   []string // "id at createdAt", the time in seconds before the send
		rejects []string // "reason of field"
	}{
		{name: "times as Python, SQL and protobuf write them", body: func(now time.Time) string {
			now = now.Add(-time.Minute)
			return strings.Join([]string{
				at("python", `"`+now.Format("2006-01-02 15:04:05-07:00")+`"`), at("iso", `"`+now.Format("2006-01-02T15:04:05-0700")+`"`),
				at("sql", `"`+now.Format("2006-01-02 15:04:05-07")+`"`), at("protobuf", fmt.Sprintf(`"%d"`, now.UnixMilli())),
				strings.Replace(at("life", fmt.Sprint(now.Unix())), "}", `,"ttlSeconds":"3600"}`, 1),
			}, "\n")
		}, items: []string{"iso at 60", "life at 60", "protobuf at 60", "python at 60", "sql at 60"}},
		{name: "a time without a zone", body: func(now time.Time) string {
			return at("a", `"`+now.Format("2006-01-02 15:04:05")+`"`)
		}, rejects: []string{"field_type of timestamp"}},
		{name: "a byte order mark", body: func(now time.Time) string { return "\ufeff" + at("a", fmt.Sprint(now.Unix())) },
			items: []string{"a at 0"}},
		{name: "a field named like a path", body: func(now time.Time) string {
			return strings.Replace(at("a", fmt.Sprint(now.Unix())), "predictionId", "meta.id", 1)
		}, config: func(f *workertest.Fakes) { f.Config.FieldID = "meta.id" }, items: []string{"a at 0"}},
		{name: "times that no clock gives", body: func(now time.Time) string {
			unix := now.Unix()
			return strings.Join([]string{
				at("zero", "0"), at("epoch", `"1970-01-01T00:00:00Z"`), at("uptime", "81234.56"), at("minutes", fmt.Sprint(unix/60)), at("days", fmt.Sprint(unix/86400)),
				strings.Replace(at("end", fmt.Sprint(unix)), "}", `,"expiresAt":0}`, 1), at("good", fmt.Sprint(unix)),
			}, "\n")
		}, items: []string{"good at 0"}, rejects: slices.Concat(slices.Repeat([]string{"past of timestamp"}, 5), []string{"past of expiresAt"})},
		{name: "times since another epoch, allowed", body: func(time.Time) string { return at("a", "86400") },
			config: func(f *workertest.Fakes) { f.Config.MinEventTime = "0"; f.Config.TTL = 40 * 365 * 24 * time.Hour }, items: []string{"a at 955238400"}},
		{name: "a pointer of the Extended Client is one reject", body: func(time.Time) string {
			return `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]`
		}, rejects: []string{"envelope of "}},
		{name: "an SNS subscription that waits for its confirmation", body: func(time.Time) string {
			return `{"Type":"SubscriptionConfirmation","MessageId":"1","Token":"t","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"You have chosen to subscribe …","SubscribeURL":"https://sns.eu-west-1.amazonaws.com/"}`
		}, rejects: []string{"envelope of Type"}},
		{name: "NaN in one prediction of an array", body: func(now time.Time) string {
			unix := fmt.Sprint(now.Unix())
			return "[" + at("a", unix) + "," + strings.Replace(at("b", unix), ":1}", `:{"score":NaN}}`, 1) + "," + at("c", unix) + "]"
		}, items: []string{"a at 0", "c at 0"}, rejects: []string{"number of prediction"}},
		{name: "an infinity on one line", body: func(now time.Time) string {
			unix := fmt.Sprint(now.Unix())
			return at("a", unix) + "\n" + strings.Replace(at("b", unix), "}", `,"margin":-Infinity}`, 1) + "\n" + at("c", unix)
		}, items: []string{"a at 0", "c at 0"}, rejects: []string{"number of margin"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				if test.config != nil {
					test.config(f)
				}
				now := time.Now()
				f.Send(test.body(now))
				r := f.Start()
				time.Sleep(time.Minute)
				r.Stop()
				f.WantDeleted(1)
				if got := written(f, now); !slices.Equal(got, test.items) {
					t.Errorf("items %q, want %q", got, test.items)
				}
				if got := rejected(f); !slices.Equal(got, test.rejects) {
					t.Errorf("rejects %q, want %q", got, test.rejects)
				}
			})
		})
	}
}

// written lists the items of the table: their ids, and how old their events were when they were sent, in seconds.
func written(f *workertest.Fakes, sent time.Time) (all []string) {
	for _, it := range f.DynamoDB.Items(workertest.TableName) {
		var created float64
		if _, err := fmt.Sscan(*it["createdAt"].N, &created); err != nil {
			f.T.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s at %.0f", *it["predictionId"].S, float64(sent.Unix())-created))
	}
	slices.Sort(all)
	return all
}

func rejected(f *workertest.Fakes) (all []string) {
	for _, m := range f.SQS.Messages(workertest.RejectName) {
		all = append(all, m.Attributes["predcache.reason"]+" of "+m.Attributes["predcache.field"])
	}
	return all
}

// A message that comes again with a new sent time, from a dead-letter queue or an archive, must not replace what is newer.
func TestReplayedEnvelope(t *testing.T) {
	workertest.WithFakes(t, item.LatestOnly, func(f *workertest.Fakes) {
		event := func(payload string, at time.Time) string {
			return fmt.Sprintf(`{"version":"0","id":"1","detail-type":"Prediction","source":"model","time":%q,"detail":{"predictionId":"a","prediction":%s}}`,
				at.UTC().Format(time.RFC3339), payload)
		}
		f.Config.Ordering = config.OrderingNewest
		old := time.Now()
		time.Sleep(10 * time.Hour)
		for _, body := range []string{event(`"new"`, time.Now()), event(`"old"`, old)} {
			f.Send(body)
			r := f.Start() // each time another worker, which remembers nothing
			time.Sleep(time.Minute)
			r.Stop()
		}
		if it := f.DynamoDB.Item(workertest.TableName, "a"); it == nil || *it["prediction"].S != `"new"` {
			t.Errorf("the table has %v, want the newer prediction", it)
		}
	})
}

// A replayed event, whose sent time is that of its envelope, says nothing about how far the worker is behind: it was queued now.
func TestReplayedEnvelopeIsNotLate(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		old := time.Now()
		time.Sleep(10 * time.Hour)
		f.Send(fmt.Sprintf(`{"version":"0","id":"1","detail-type":"Prediction","source":"model","time":%q,"detail":{"predictionId":"a","prediction":1}}`,
			old.UTC().Format(time.RFC3339)))
		r := f.Start()
		time.Sleep(time.Minute)
		if _, text := r.Probe("/metrics"); !strings.Contains(text, "\npredcache_prediction_age_seconds_bucket{le=\"60\"} 1\n") {
			t.Errorf("its age is not counted from when it was queued:\n%s", text)
		}
		r.Stop()
	})
}

// A rejected part leaves its envelope behind: its sent time is the envelope's.
func TestRejectOfAReplayedEnvelope(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		old := time.Now()
		time.Sleep(10 * time.Hour)
		f.Send(fmt.Sprintf(`{"version":"0","id":"1","detail-type":"Prediction","source":"model","time":%q,"detail":[{"predictionId":"a","prediction":1},{"predictionId":"b"}]}`,
			old.UTC().Format(time.RFC3339)))
		r := f.Start()
		time.Sleep(time.Minute)
		r.Stop()
		rejects := f.SQS.Messages(workertest.RejectName)
		if want := fmt.Sprint(old.UnixMilli()); len(rejects) != 1 || rejects[0].Attributes["predcache.sentTimestamp"] != want {
			t.Errorf("rejects %+v, want one that was sent at %s", rejects, want)
		}
	})
}

// Predictions that had expired were deleted, and nothing but a metric told of them.
func TestExpiredPredictionsAreReported(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		r := f.Start()
		for i := range 50 {
			f.Send(workertest.Message(fmt.Sprint("hours-as-days-", i), 25*time.Hour, `1`), workertest.Message(fmt.Sprint("good-", i), 0, `1`))
		}
		time.Sleep(30 * time.Second)
		f.WantItems(50)
		const want = "50 of 100 predictions in the last minute had expired before they were written"
		if code, text := r.Probe("/readyz"); code != http.StatusOK || !strings.Contains(text, "ready\nwarning: the share of expired predictions: "+want) {
			t.Errorf("/readyz: %d %s", code, text)
		}
		if log := r.Log.String(); strings.Count(log, `msg="needs attention" part="the share of expired predictions" reason="`+want+`" remedy="compare timestamp`) != 1 {
			t.Errorf("logged %s", log)
		}
		r.Stop()
	})
}
