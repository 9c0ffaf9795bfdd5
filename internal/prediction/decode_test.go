package prediction

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/predcache/predcache/internal/jsonscan"
)

// The clock and the sent time in these tests.
var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const sent = 1769860799_500

func config() Config {
	return Config{
		Fields:          Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt", Deleted: "deleted"},
		Attributes:      Attributes{All: true},
		TTL:             24 * time.Hour,
		MaxFuture:       5 * time.Minute,
		MaxDecodedBytes: 1 << 20,
	}
}

func decode(cfg Config, m Message) *Decoded {
	if m.Sent == 0 {
		m.Sent = sent
	}
	var d Decoded
	NewDecoder(cfg).Decode(&d, m, now)
	return &d
}

// one decodes a message with one valid prediction.
func one(t *testing.T, cfg Config, body string) Prediction {
	t.Helper()
	d := decode(cfg, Message{Body: body})
	if len(d.Predictions) != 1 || len(d.Rejected) != 0 {
		t.Fatalf("%s: %d predictions, rejected: %s", body, len(d.Predictions), reasons(d))
	}
	return d.Predictions[0]
}

func ids(d *Decoded) []string {
	var all []string
	for _, p := range d.Predictions {
		all = append(all, p.ID.Text)
	}
	return all
}

func reasons(d *Decoded) []string {
	var all []string
	for _, r := range d.Rejected {
		text := fmt.Sprintf("%s of %s", r.Why.Reason, r.Raw)
		if r.Whole {
			text = fmt.Sprintf("%s of the whole", r.Why.Reason)
		}
		all = append(all, text)
	}
	return all
}

// good returns the text of a valid prediction.
func good(id string) string { return `{"predictionId":"` + id + `","prediction":{"label":1}}` }

func inSNS(message, attributes string) string {
	quoted := string(jsonscan.AppendQuoted(nil, message))
	return `{"Type":"Notification","MessageId":"8f0c","TopicArn":"arn:aws:sns:eu-west-1:123456789012:predictions","Message":` + quoted +
		`,"Timestamp":"2026-01-31T11:59:59.000Z","SignatureVersion":"1"` + attributes + `}`
}

func inEventBridge(detail string) string {
	return `{"version":"0","id":"6a7e","detail-type":"Prediction","source":"models.fraud","account":"123456789012","time":"2026-01-31T11:59:59Z","region":"eu-west-1","resources":[],"detail":` + detail + `}`
}

const gzipAttribute = `,"MessageAttributes":{"Other":{"Type":"String","Value":"x"},"Content-Encoding":{"Type":"String","Value":"gzip"}}`

func gzipped(text string) string {
	var out strings.Builder
	encoder := base64.NewEncoder(base64.StdEncoding, &out)
	w := gzip.NewWriter(encoder)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil || encoder.Close() != nil {
		panic(err)
	}
	return out.String()
}

func zstandard(text string, options ...zstd.EOption) string {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(w.EncodeAll([]byte(text), nil))
}

func TestDecodeForms(t *testing.T) {
	a, b, c := good("a"), good("b"), good("c")
	for _, test := range []struct {
		name, body, encoding string
		ids                  []string
	}{
		{"an object", a, "", []string{"a"}},
		{"an object with white space around", "\r\n\t " + a + "\n", "", []string{"a"}},
		{"an object after a byte order mark", "\ufeff" + a, "", []string{"a"}},
		{"an array after a byte order mark", "\ufeff\r\n[" + a + "]", "", []string{"a"}},
		{"lines after a byte order mark, inside SNS", inSNS("\ufeff"+a+"\n"+b, ""), "", []string{"a", "b"}},
		{"gzip of a byte order mark and an object", gzipped("\ufeff" + a), "gzip", []string{"a"}},
		{"an object over several lines", "{\n  \"predictionId\": \"a\",\n  \"prediction\": [\n    {\"x\": 1}\n  ]\n}\n", "", []string{"a"}},
		{"an array", "[" + a + ",\n" + b + "]", "", []string{"a", "b"}},
		{"an empty array", " [ ] ", "", nil},
		{"objects one a line", a + "\n" + b + "\n" + c, "", []string{"a", "b", "c"}},
		{"objects one a line, with blank lines and carriage returns", "\n" + a + "\r\n\r\n  " + b + "\t\r\n" + c + "\n\n", "", []string{"a", "b", "c"}},
		{"a line by itself", a + "\n", "", []string{"a"}},
		{"SNS around an object", inSNS(a, ""), "", []string{"a"}},
		{"SNS around an array", inSNS("["+a+","+b+"]", ""), "", []string{"a", "b"}},
		{"SNS around lines", inSNS(a+"\n"+b, ""), "", []string{"a", "b"}},
		{"SNS around an id that needs escapes", inSNS(`{"predictionId":"é \"😀\"\n","prediction":1}`, ""), "", []string{"é \"😀\"\n"}},
		{"EventBridge around an object", inEventBridge(a), "", []string{"a"}},
		{"EventBridge around an array", inEventBridge("[" + a + "," + b + "]"), "", []string{"a", "b"}},
		{"EventBridge inside SNS", inSNS(inEventBridge(a), ""), "", []string{"a"}},
		{"SNS inside EventBridge inside SNS", inSNS(inEventBridge(inSNS(a, "")), ""), "", []string{"a"}},
		{"gzip by SQS's attribute", gzipped(a + "\n" + b), "gzip", []string{"a", "b"}},
		{"zstd by SQS's attribute", zstandard("[" + a + "]"), "zstd", []string{"a"}},
		{"an encoding in capitals, with blanks, and base64 in lines", "\n" + gzipped(a)[:60] + "\r\n" + gzipped(a)[60:] + "\n", " GZip ", []string{"a"}},
		{"gzip in two members", joined(gzipped("["+a+","), gzipped(b+"]")), "gzip", []string{"a", "b"}},
		{"identity", a, "identity", []string{"a"}},
		{"gzip inside SNS, by its attribute", inSNS(gzipped(a), gzipAttribute), "", []string{"a"}},
		{"zstd inside SNS, by its attribute", inSNS(zstandard(a), strings.Replace(gzipAttribute, "gzip", "zstd", 1)), "", []string{"a"}},
		{"SNS compressed as a whole", gzipped(inSNS(a, "")), "gzip", []string{"a"}},
		{"compressed inside and outside", gzipped(inSNS(gzipped(a), gzipAttribute)), "gzip", []string{"a"}},
		{"a prediction that looks like an SNS notification", `{"Type":"Notification","TopicArn":"x","Message":"y","predictionId":"a","prediction":1}`, "", []string{"a"}},
		{"a prediction that looks like an EventBridge event", `{"detail-type":1,"source":1,"detail":{},"predictionId":"a","prediction":1}`, "", []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decode(config(), Message{Body: test.body, ContentEncoding: test.encoding})
			if !slices.Equal(ids(d), test.ids) || len(d.Rejected) > 0 {
				t.Errorf("found %q, rejected %s", ids(d), reasons(d))
			}
		})
	}
}

func TestDecodeNoEnvelope(t *testing.T) {
	for _, body := range []string{
		`{"Type":"Notification","Message":"{}"}`, `{"Type":"Notification","TopicArn":"x"}`, `{"TopicArn":"x","Message":"{}"}`,
		`{"Type":"SubscriptionConfirmation","TopicArn":"x","Message":"{}"}`,
		`{"detail-type":"x","detail":[]}`, `{"source":"x","detail":[]}`, `{"detail-type":"x","source":"y"}`,
	} {
		d := decode(config(), Message{Body: body})
		if !slices.Equal(reasons(d), []string{"missing_field of " + body}) {
			t.Errorf("%s: found %q, rejected %q", body, ids(d), reasons(d))
		}
	}
}

func TestDecodeMaxParts(t *testing.T) {
	const most = 100_000
	for _, body := range []string{"[0" + strings.Repeat(",0", most-1) + "]", "{}" + strings.Repeat("\n0", most-1)} {
		if d := decode(config(), Message{Body: body}); len(d.Rejected)+d.More != most || len(d.Rejected) != MaxRejectedParts {
			t.Errorf("%d parts and %d more, the first rejected for %v", len(d.Rejected), d.More, d.Rejected[0].Why)
		}
	}
}

// joined returns the base64 of two decoded base64 texts, concatenated.
func joined(a, b string) string {
	first, _ := base64.StdEncoding.DecodeString(a)
	second, _ := base64.StdEncoding.DecodeString(b)
	return base64.StdEncoding.EncodeToString(append(first, second...))
}

func TestDecodeNeighbours(t *testing.T) {
	a, b := good("a"), good("b")
	for _, test := range []struct {
		name, body string
		ids        []string
		reasons    []string
	}{
		{"a broken line", a + "\n{\"predictionId\":\n" + b, []string{"a", "b"}, []string{`syntax of {"predictionId":`}},
		{"a broken first line", "{\"predictionId\":\n" + a, []string{"a"}, []string{`syntax of {"predictionId":`}},
		{"a line with two objects", a + a + "\n" + b, []string{"b"}, []string{"syntax of " + a + a}},
		{"lines that are no objects", a + "\n[" + b + "]\n7\nnot JSON\n", []string{"a"}, []string{"syntax of [" + b + "]", "syntax of 7", "syntax of not JSON"}},
		{"a line without an id", a + "\n{\"prediction\": 1}\n" + b, []string{"a", "b"}, []string{`missing_field of {"prediction": 1}`}},
		{"elements that are no objects", `[1,` + a + `,null,"x",[` + b + `]]`, []string{"a"},
			[]string{"field_type of 1", "field_type of null", `field_type of "x"`, "field_type of [" + b + "]"}},
		{"an element without a payload", `[` + a + `, { "predictionId": "c" } ,` + b + `]`, []string{"a", "b"}, []string{`missing_field of { "predictionId": "c" }`}},
		{"SNS around a broken line", inSNS(a+"\n{\n"+b, ""), []string{"a", "b"}, []string{"syntax of {"}},
		{"an array whose second element names a pointer's class", `[` + a + `,"software.amazon.payloadoffloading.PayloadS3Pointer"]`, []string{"a"},
			[]string{`field_type of "software.amazon.payloadoffloading.PayloadS3Pointer"`}},
		{"NaN in an element", `[` + a + `,{"predictionId":"n","prediction":{"score":NaN}},` + b + `]`, []string{"a", "b"},
			[]string{`number of {"predictionId":"n","prediction":{"score":NaN}}`}},
		{"NaN in each line", "{\"predictionId\":NaN}\n{\"predictionId\":\"n\",\"prediction\":-Infinity}\n", nil,
			[]string{`number of {"predictionId":NaN}`, `number of {"predictionId":"n","prediction":-Infinity}`}},
		{"NaN in elements that are no objects", `[NaN,` + a + `,[1,{"x":-inf}]]`, []string{"a"}, []string{"field_type of NaN", `field_type of [1,{"x":-inf}]`}},
		{"NaN inside SNS", inSNS(a+"\n{\"predictionId\":NaN}", ""), []string{"a"}, []string{`number of {"predictionId":NaN}`}},
		{"an envelope inside an array is no prediction", `[` + inSNS(a, "") + `,` + b + `]`, []string{"b"}, []string{"missing_field of " + inSNS(a, "")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decode(config(), Message{Body: test.body})
			if !slices.Equal(ids(d), test.ids) || !slices.Equal(reasons(d), test.reasons) {
				t.Errorf("found %q, rejected %q", ids(d), reasons(d))
			}
		})
	}
}

// An envelope's time stands in for SQS's sent time, which is new in a replay and in a redrive.
func TestEnvelopeTime(t *testing.T) {
	const hour = 3600_000
	a, own := good("a"), `{"predictionId":"a","prediction":1,"timestamp":1769850000}`
	bridge := func(at string) string { return strings.Replace(inEventBridge(a), "2026-01-31T11:59:59Z", at, 1) }
	for _, test := range []struct {
		name, body  string
		sent, order int64
		event       Time
		version     int64 // Version.Sent
	}{
		{"SNS", inSNS(a, ""), sent, 0, Time{1769860799, 0}, 1769860799_000},
		{"SNS, redriven hours later", inSNS(a, ""), sent + 10*hour, 0, Time{1769860799, 0}, 1769860799_000},
		{"EventBridge, within its second", inEventBridge(a), sent, 0, Time{1769860799, 0}, sent},
		{"EventBridge, replayed hours later", inEventBridge(a), sent + 10*hour, 0, Time{1769860799, 0}, 1769860799_999},
		{"the inner and earlier of two", inSNS(bridge("2026-01-31T02:00:00Z"), ""), sent, 0, Time{1769824800, 0}, 1769824800_999},
		{"a prediction with its own event time", strings.Replace(inEventBridge(a), a, own, 1), sent + 10*hour, 0, Time{1769850000, 0}, 1769860799_999},
		{"a caller with an order of its own", inSNS(a, ""), sent, 7, Time{1769860799, 0}, 7},
		{"a file, which has no sent time", inSNS(a, ""), 0, 7, Time{1769860799, 0}, 7},
		{"later than SQS's", bridge("2026-01-31T12:00:00Z"), sent, 0, Time{1769860799, 5e17}, sent},
		{"no clock's", bridge("1970-01-01T00:00:00Z"), sent, 0, Time{1769860799, 5e17}, sent},
		{"no time", bridge("yesterday"), sent, 0, Time{1769860799, 5e17}, sent},
	} {
		cfg := config()
		cfg.MinEventTime, cfg.RequireTimestamp = Time{Sec: 946684800}, test.sent == 0
		var d Decoded
		NewDecoder(cfg).Decode(&d, Message{Body: test.body, Sent: test.sent, Order: test.order}, now.Add(24*time.Hour))
		if len(d.Predictions) != 1 {
			t.Errorf("%s: rejected %q", test.name, reasons(&d))
		} else if p := d.Predictions[0]; p.EventTime != test.event || p.Version.Event != test.event || p.Version.Sent != test.version {
			t.Errorf("%s: event time %v, version %+v", test.name, p.EventTime, p.Version)
		}
	}
	// A rejected part loses its envelope, so it keeps the time.
	d := decode(config(), Message{Body: inSNS(a+"\n{}", ""), Sent: sent + 10*hour})
	if d.Sent != 1769860799_000 || len(d.Rejected) != 1 || d.Rejected[0].Sent != d.Sent {
		t.Errorf("sent at %d, the rejected part at %+v", d.Sent, d.Rejected)
	}
}

func TestVersion(t *testing.T) {
	// In ascending order.
	ordered := []Version{
		{},
		{Hash: 1},
		{Place: 1},
		{Sent: 1},
		{Sent: 1, Hash: 7},
		{Sent: 1, Place: 1, Hash: 3},
		{Event: Time{0, 1}},
		{Event: Time{0, 1}, Sent: 9},
		{Event: Time{0, 1}, Deleted: true}, // newer than every prediction of its event time, whenever that was sent
		{Event: Time{0, 1}, Deleted: true, Sent: 1},
		{Event: Time{1, 0}, Sent: 3},
	}
	for i, v := range ordered {
		for j, u := range ordered {
			if want := min(max(i-j, -1), 1); v.Compare(u) != want {
				t.Errorf("%+v to %+v: %d, want %d", v, u, v.Compare(u), want)
			}
		}
	}
	a := Version{Event: Time{1, 0}, Sent: 5, Hash: 7}
	resent, other, later := a, a, a
	resent.Sent, resent.Place = 9, 3
	other.Hash = 8
	later.Event.Atto = 1
	if !a.SameContent(resent) || a.SameContent(other) || a.SameContent(later) {
		t.Error("SameContent must compare event time and text, not the sent time")
	}
}

func TestPlace(t *testing.T) {
	d := decode(config(), Message{Body: good("a") + "\nbroken\n" + good("a") + "\n{}\n" + good("a")})
	var places []int32
	for _, p := range d.Predictions {
		places = append(places, p.Version.Place)
	}
	if !slices.Equal(places, []int32{0, 2, 4}) {
		t.Errorf("places %v", places)
	}
}

func TestRedelivery(t *testing.T) {
	cfg := config()
	cfg.TTLJitter = 0.5
	body := `{"predictionId":"a","prediction":[1, 2],"model":"m"}` + "\n" + good("b")
	decoder := NewDecoder(cfg)
	var first, again Decoded
	decoder.Decode(&first, Message{Body: body, Sent: sent}, now)
	decoder.Decode(&again, Message{Body: good("x"), Sent: 5}, now) // to be overwritten
	decoder.Decode(&again, Message{Body: body, Sent: sent}, now.Add(9*time.Hour))
	if len(first.Predictions) != 2 || !reflect.DeepEqual(first.Predictions, again.Predictions) {
		t.Errorf("first %+v, then %+v", first.Predictions, again.Predictions)
	}
}

func TestDecodedReuse(t *testing.T) {
	decoder := NewDecoder(config())
	var d Decoded
	decoder.Decode(&d, Message{Body: zstandard(good("a") + "\nbroken"), ContentEncoding: "zstd"}, now)
	if len(d.Predictions) != 1 || len(d.Rejected) != 1 || d.Bytes != len(good("a")+"\nbroken")+PredictionBytes {
		t.Fatalf("%+v", d)
	}
	decoder.Decode(&d, Message{Body: good("b")}, now)
	if !slices.Equal(ids(&d), []string{"b"}) || len(d.Rejected) != 0 || d.Bytes != PredictionBytes {
		t.Errorf("%+v", d)
	}
}

func TestRoom(t *testing.T) {
	var many strings.Builder
	for i := range 400 {
		fmt.Fprintf(&many, "{\"predictionId\":\"%d\",\"prediction\":1}\n", i)
	}
	for _, test := range []struct {
		name, body, encoding string
		asked                []int
	}{
		{"not asked for a small message", good("a"), "", nil},
		{"not asked for a small compressed message", gzipped(good("a")), "gzip", nil},
		{"asked as predictions are found", many.String(), "", []int{132096, 265728, 532992}},
		{"asked for all before a long text is inflated", gzipped(many.String() + strings.Repeat(" ", 100_000)), "gzip", []int{1 << 20}},
		{"asked for a copy of an envelope's content", inSNS(strings.Repeat(good("a")+"\n", 80)+strings.Repeat(" ", FreeBytes), ""), "", []int{139876}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []int
			m := Message{Body: test.body, ContentEncoding: test.encoding, Sent: sent, Room: func(n int) bool {
				asked = append(asked, n)
				return true
			}}
			var d Decoded
			if !NewDecoder(config()).Decode(&d, m, now) || len(d.Predictions) == 0 || len(d.Rejected) > 0 {
				t.Fatalf("found %d, rejected %q", len(d.Predictions), reasons(&d))
			}
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked for %v, want %v", asked, test.asked)
			}
			if len(asked) > 0 && d.Bytes > asked[len(asked)-1] {
				t.Errorf("took %d bytes, asked for %v", d.Bytes, asked)
			}
			m.Room = func(int) bool { return false }
			if ok := NewDecoder(config()).Decode(&d, m, now); ok != (test.asked == nil) || !ok && len(d.Predictions)+len(d.Rejected) > 0 {
				t.Errorf("without room: %v, %d predictions, %d rejected", ok, len(d.Predictions), len(d.Rejected))
			}
		})
	}
}

// A pooled buffer was given back before its text had been copied, and another message's text was written over it.
func TestDecompressConcurrently(t *testing.T) {
	d := NewDecoder(config())
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			payload := strings.Repeat(fmt.Sprint(reader), 20_000)
			m := Message{Body: gzipped(fmt.Sprintf(`{"predictionId":"a","prediction":%q}`, payload)), ContentEncoding: "gzip", Sent: sent}
			var decoded Decoded
			for range 500 {
				d.Decode(&decoded, m, now)
				if len(decoded.Predictions) != 1 || decoded.Predictions[0].Payload.Text != `"`+payload+`"` {
					t.Errorf("reader %d has another text", reader)
					return
				}
			}
		})
	}
	readers.Wait()
}
