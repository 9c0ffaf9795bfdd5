package prediction

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// FuzzDecode checks invariants of Decode for arbitrary messages.
func FuzzDecode(f *testing.F) {
	a := good("a")
	for _, body := range []string{
		a, "[" + a + "," + a + "]", a + "\n" + a, a + "\n{", "", "[]", "{}", "[1]", "{\n" + a + "\n", inSNS(a, ""), inSNS(gzipped(a), gzipAttribute),
		inEventBridge(a), inSNS(inEventBridge("["+a+"]"), ""), `{"predictionId":1,"prediction":null,"timestamp":1769860800123,"ttlSeconds":0.5,"model":{"a":[1]}}`,
		`{"predictionId":"\ud83d","prediction":1}`, `{"predictionId":"a","prediction":1,"expiresAt":"2026-01-31T12:00:00.5Z","predictionId":2}`,
		`{"nested":{"id":"b"},"prediction":{},"timestamp":null}`, `{"predictionId":"a","deleted":true,"timestamp":1769860800,"ttlSeconds":9}`,
		`{"predictionId":"a","deleted":null,"prediction":1}`, `{"predictionId":"a","deleted":true,"prediction":1,"expiresAt":1869860800}`,
		`{"predictionId":"a","prediction":1,"timestamp":0}`, `{"predictionId":"a","prediction":1,"expiresAt":"1970-01-01T00:00:00Z"}`,
		`{"predictionId":"a","prediction":1,"timestamp":"2026-01-31 11:59:10+0000","ttlSeconds":"60"}`, `{"predictionId":"a","prediction":1,"timestamp":"2026-01-31 11:59:10"}`,
		"\ufeff" + a, `{"nested.id":"a","nested":{"id":"b"},"prediction":1}`, `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]`,
		`{"Type":"SubscriptionConfirmation","TopicArn":"t","SubscribeURL":"https://t"}`, `{"detail-type":1,"source":1,"time":"2026-01-31T02:00:00Z","detail":` + a + `}`,
		"[" + a + `,{"predictionId":"b","prediction":[NaN,-Infinity]},` + a + "]", a + "\n{\"predictionId\":Infinity}\n" + a, `{"detail-type":1,"source":1,"detail":{"nested":NaN}}`,
	} {
		f.Add(body, "", false, int64(sent))
		f.Add(body, "gzip", true, int64(0))
	}
	f.Add(gzipped(a), "GZIP ", false, int64(sent))
	f.Add(zstandard(a), "zstd", false, int64(sent))
	f.Add(a, "identity", true, int64(sent))

	cfg := config()
	cfg.MaxDecodedBytes = 4 << 10
	cfg.TTLJitter = 0.1
	cfg.MinEventTime = Time{Sec: 946684800}
	nested := cfg
	nested.Fields.ID, nested.Attributes = "nested.id", Attributes{Names: []string{"model"}}
	decoders := map[bool]*Decoder{false: NewDecoder(cfg), true: NewDecoder(nested)}
	var used Decoded // by all that came before
	f.Fuzz(func(t *testing.T, body, encoding string, paths bool, sent int64) {
		m := Message{Body: body, ContentEncoding: encoding, Sent: max(sent, 0) % 4e12}
		var d Decoded
		decoders[paths].Decode(&d, m, now)
		decoders[paths].Decode(&used, m, now)
		if !slices.EqualFunc(d.Predictions, used.Predictions, func(a, b Prediction) bool { return reflect.DeepEqual(a, b) }) || !reflect.DeepEqual(reasons(&d), reasons(&used)) {
			t.Fatalf("decoded as %+v, then as %+v", d, used)
		}
		checkParts(t, &d, body)
		place := int32(-1)
		for _, p := range d.Predictions {
			if p.Version.Place <= place {
				t.Fatalf("place %d after %d", p.Version.Place, place)
			}
			place = p.Version.Place
			checkPrediction(t, p, m)
		}
		if int(place) >= len(d.Predictions)+len(d.Rejected) {
			t.Fatalf("place %d of %d and %d", place, len(d.Predictions), len(d.Rejected))
		}
	})
}

func checkParts(t *testing.T, d *Decoded, body string) {
	t.Helper()
	for _, r := range d.Rejected {
		if !slices.Contains(Reasons, r.Why.Reason) || r.Why.Detail == "" {
			t.Fatalf("rejected without a reason: %+v", r.Why)
		}
		if r.Whole && (len(d.Rejected) > 1 || len(d.Predictions) > 0 || r.Raw != body) {
			t.Fatalf("the whole was rejected beside %d others and %d predictions: %q", len(d.Rejected)-1, len(d.Predictions), r.Raw)
		}
		if !r.Whole && strings.Trim(r.Raw, " \t\r\n") == "" { // JSON knows no other white space
			t.Fatal("rejected nothing")
		}
	}
}

func checkPrediction(t *testing.T, p Prediction, m Message) {
	t.Helper()
	if p.Version.Deleted {
		if p.Payload.Text != "" || p.Attributes != nil {
			t.Fatalf("a delete keeps the payload %q and the attributes %v", p.Payload.Text, p.Attributes)
		}
		if least := max(p.EventTime.Sec, m.Sent/1000); p.Expires < least {
			t.Fatalf("a delete of %v, sent at %d, expires at %d", p.EventTime, m.Sent, p.Expires)
		}
	}
	if !json.Valid([]byte(p.Raw)) || p.Raw[0] != '{' || !strings.Contains(p.Raw, p.Payload.Text) || json.Valid([]byte(p.Payload.Text)) == p.Version.Deleted {
		t.Fatalf("payload %q of %q", p.Payload.Text, p.Raw)
	}
	if p.Version != (Version{p.EventTime, p.Version.Sent, p.Version.Place, p.Version.Deleted, xxhash.Sum64String(p.Raw)}) || p.Version.Sent > m.Sent && m.Sent > 0 {
		t.Fatalf("version %+v of an event at %v, sent at %d", p.Version, p.EventTime, m.Sent)
	}
	limit := Time{now.Add(5 * time.Minute).Unix(), 0}
	if p.EventTime.Sec < 0 || p.EventTime.Atto >= attosPerSecond || p.EventTime.Compare(limit) > 0 && p.EventTime.Compare(FromMillis(m.Sent)) > 0 {
		t.Fatalf("event time %v", p.EventTime)
	}
	if p.EventTime.Sec < 946684800 && p.EventTime.Compare(FromMillis(m.Sent)) != 0 {
		t.Fatalf("event time %v", p.EventTime)
	}
	if p.Expires < 0 || p.Expires > maxSeconds {
		t.Fatalf("expires at %d", p.Expires)
	}
	for _, a := range p.Attributes {
		if !json.Valid([]byte(a.Value.Text)) || !strings.Contains(p.Raw, a.Value.Text) {
			t.Fatalf("attribute %+v of %q", a, p.Raw)
		}
	}
}
