package prediction

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestID(t *testing.T) {
	for text, want := range map[string]ID{
		`"user-1"`:                 {Text: "user-1"},
		`"caf\u00e9 \ud83d\ude00"`: {Text: "café 😀"},
		`""`:                       {}, // package item checks keys
		`42`:                       {"42", true},
		`12345678901234567890123`:  {"12345678901234567890123", true},
		`1.50e2`:                   {"1.50e2", true},
	} {
		if got := one(t, config(), `{"predictionId":`+text+`,"prediction":1}`).ID; got != want {
			t.Errorf("%s: ID %+v, want %+v", text, got, want)
		}
	}
}

func TestPayload(t *testing.T) {
	for _, text := range []string{`{"a" : [1.50, -0, 1e999]}`, `[]`, `"x"`, `0.10`, `true`, `null`, `"\ud83d"`} {
		p := one(t, config(), `{ "predictionId":"a", "prediction": `+text+` }`)
		if p.Payload.Text != text {
			t.Errorf("%s became %s", text, p.Payload.Text)
		}
		if want := `{ "predictionId":"a", "prediction": ` + text + ` }`; p.Raw != want {
			t.Errorf("raw %s, want %s", p.Raw, want)
		}
	}
}

func TestEventTime(t *testing.T) {
	for text, want := range map[string]Time{
		``:                                    {1769860799, 5e17},
		`,"timestamp":null`:                   {1769860799, 5e17},
		`,"timestamp":1.25`:                   {1, 25e16},
		`,"timestamp":1769860800001`:          {1769860800, 1e15},
		`,"timestamp":"2026-01-31T12:05:00Z"`: {1769861100, 0}, // exactly 5 minutes ahead of the clock
	} {
		p := one(t, config(), `{"predictionId":"a","prediction":1`+text+`}`)
		if p.EventTime != want || p.Version.Event != want || p.Version.Sent != sent {
			t.Errorf("%s: event time %v, version %+v", text, p.EventTime, p.Version)
		}
	}
}

// What publishers send for a time that they don't have or don't know the unit of: each would make a prediction that has expired.
func TestPast(t *testing.T) {
	cfg := config()
	cfg.MinEventTime = Time{Sec: 946684800}
	const want = " is before 2000-01-01T00:00:00Z, a time that no clock gives: send Unix seconds, ms, us or ns since 1970, or RFC 3339, or allow more with WORKER_MIN_EVENT_TIME"
	for name, text := range map[string]string{
		"zero": `0`, "the epoch": `"1970-01-01T00:00:00Z"`, "zero in a string": `"0"`, "uptime": `81234.56`, "minutes": `29497679`, "days": `20484`,
		"seconds since 2001": `791553550`, "ms as seconds": `1769860.750`, "a moment before": `"1999-12-31T23:59:59.999999999Z"`,
	} {
		for field, body := range map[string]string{
			"timestamp": `{"predictionId":"a","prediction":1,"timestamp":` + text + `}`, "expiresAt": `{"predictionId":"a","prediction":1,"expiresAt":` + text + `}`,
		} {
			d := decode(cfg, Message{Body: body})
			if len(d.Rejected) != 1 || d.Rejected[0].Why.Error() != "past: "+field+want {
				t.Errorf("%s: found %q, rejected %+v", name, ids(d), d.Rejected)
			}
		}
	}
	one(t, cfg, `{"predictionId":"a","prediction":1,"timestamp":946684800}`)
	one(t, cfg, `{"predictionId":"a","prediction":1,"timestamp":1500000000}`) // merely expired
	if p := one(t, cfg, `{"predictionId":"a","prediction":1,"timestamp":1500000000,"ttlSeconds":1}`); p.Expires != 1500000001 {
		t.Errorf("expires at %d", p.Expires)
	}
}

func TestRequireTimestamp(t *testing.T) {
	cfg := config()
	cfg.RequireTimestamp = true
	one(t, cfg, `{"predictionId":"a","prediction":1,"timestamp":5}`)
	for _, body := range []string{good("a"), `{"predictionId":"a","prediction":1,"timestamp":null}`} {
		if d := decode(cfg, Message{Body: body}); len(d.Rejected) != 1 || d.Rejected[0].Why.Reason != ReasonMissingField || d.Rejected[0].Why.Field != "timestamp" {
			t.Errorf("%s: found %q, rejected %q", body, ids(d), reasons(d))
		}
	}
}

func TestExpires(t *testing.T) {
	cfg := config()
	cfg.TTL = 90*time.Second + 500*time.Millisecond
	for _, test := range []struct {
		fields string
		want   int64
	}{
		{`"timestamp":1000`, 1090},
		{`"timestamp":1000.5`, 1091},
		{`"timestamp":1000,"ttlSeconds":null,"expiresAt":null`, 1090},
		{`"timestamp":1000,"ttlSeconds":60`, 1060},
		{`"timestamp":1000,"ttlSeconds":6e1`, 1060},
		{`"timestamp":1000.25,"ttlSeconds":0.75`, 1001},
		{`"timestamp":1000.25,"ttlSeconds":0.749999999999999999`, 1000},
		{`"timestamp":1000,"ttlSeconds":100000000000`, 100000001000}, // always seconds, whatever the size
		{`"timestamp":253402300798,"ttlSeconds":1`, 253402301},       // ms by size
		{`"timestamp":1000,"expiresAt":2000`, 2000},
		{`"timestamp":1000,"expiresAt":2000.999`, 2000},
		{`"timestamp":1000,"expiresAt":1769860800123`, 1769860800},
		{`"timestamp":1000,"expiresAt":"2026-01-31T12:00:00.9Z"`, 1769860800},
		{`"timestamp":1000,"expiresAt":1`, 1}, // expired before its event; dropped later
		{`"timestamp":1000,"expiresAt":253402300799000000000`, 253402300799},
		{`"ttlSeconds":60`, 1769860859}, // counted from the sent time
		{`"timestamp":"1000","ttlSeconds":"60"`, 1060},
		{`"timestamp":"1970-01-01 00:16:40+0000","expiresAt":"2000"`, 2000},
	} {
		p := one(t, cfg, `{"predictionId":"a","prediction":1,`+test.fields+`}`)
		if p.Expires != test.want {
			t.Errorf("%s expires at %d, want %d", test.fields, p.Expires, test.want)
		}
	}
}

func TestTTLJitter(t *testing.T) {
	cfg := config()
	cfg.TTL, cfg.TTLJitter = 1000*time.Second, 0.25
	expires := func(id, fields string) int64 {
		return one(t, cfg, `{"predictionId":"`+id+`","prediction":1,"timestamp":5000`+fields+`}`).Expires
	}
	var lives []float64
	for i := range 400 {
		id := fmt.Sprint("user-", i)
		life := expires(id, "") - 5000
		if life <= 750 || life > 1000 {
			t.Fatalf("%s lives %d s", id, life)
		}
		if again := expires(id, `,"model":"another"`) - 5000; again != life {
			t.Fatalf("%s lives %d s, then %d s", id, life, again)
		}
		if own := expires(id, `,"ttlSeconds":100`) - 5000; own <= 75 || own > 100 || math.Abs(float64(own*10-life)) > 10 {
			t.Fatalf("%s lives %d s of 1000, %d s of 100", id, life, own)
		}
		if end := expires(id, `,"expiresAt":9000`); end != 9000 {
			t.Fatalf("its own expiry became %d", end)
		}
		lives = append(lives, float64(life))
	}
	// Evenly spread: each quarter of the range has a quarter of the lifetimes, within a third.
	for quarter := range 4 {
		low := 750 + 62.5*float64(quarter)
		n := 0
		for _, life := range lives {
			if life > low && life <= low+62.5 {
				n++
			}
		}
		if n < 66 || n > 133 {
			t.Errorf("%d of 400 lives from %v s", n, low)
		}
	}
}

func TestFieldPaths(t *testing.T) {
	cfg := config()
	cfg.Fields = Fields{ID: "meta.key.id", Timestamp: "meta.at", Payload: "result", TTLSeconds: "meta.life", ExpiresAt: "ends"}
	p := one(t, cfg, `{"meta":{"at":1000,"key":{"id":"a","shard":3},"life":60},"result":{"x":1},"prediction":"kept","timestamp":7}`)
	if p.ID.Text != "a" || p.EventTime.Sec != 1000 || p.Expires != 1060 || p.Payload.Text != `{"x":1}` {
		t.Errorf("%+v", p)
	}
	// The object that a path leads into remains whole. A default name that is not in use is an ordinary name.
	if got := attributes(p); !slices.Equal(got, []string{`meta={"at":1000,"key":{"id":"a","shard":3},"life":60}`, `prediction="kept"`, `timestamp=7`}) {
		t.Errorf("attributes %q", got)
	}
	if p := one(t, cfg, `{"meta":{"key":{"id":"a"},"at":1000},"result":1,"ends":2000}`); p.Expires != 2000 {
		t.Errorf("expires at %d", p.Expires)
	}
	for _, body := range []string{`{"meta":{"key":"a"},"result":1}`, `{"meta":[{"key":{"id":"a"}}],"result":1}`, `{"result":1}`} {
		if d := decode(cfg, Message{Body: body}); len(d.Rejected) != 1 || d.Rejected[0].Why.Reason != ReasonMissingField || d.Rejected[0].Why.Field != "meta.key.id" {
			t.Errorf("%s: %+v", body, d)
		}
	}
}

// A member that is named like the whole path wins over the path, and is no attribute.
func TestFieldPathLiteral(t *testing.T) {
	cfg := config()
	cfg.Fields.ID, cfg.Fields.Timestamp = "meta.id", "meta.at"
	for body, kept := range map[string][]string{
		`{"meta.id":"a","prediction":1,"meta.at":5}`:                               nil,
		`{"meta.id":"a","prediction":1,"meta":{"id":"b","at":5}}`:                  {`meta={"id":"b","at":5}`},
		`{"meta":{"id":"b","at":7},"prediction":1,"met\u0061.id":"a","meta.at":5}`: {`meta={"id":"b","at":7}`},
	} {
		p := one(t, cfg, body)
		if p.ID.Text != "a" || p.EventTime.Sec != 5 || !slices.Equal(attributes(p), kept) {
			t.Errorf("%s: %+v, attributes %q", body, p, attributes(p))
		}
	}
}

func TestFieldPathDuplicates(t *testing.T) {
	cfg := config()
	cfg.Fields.ID, cfg.Attributes = "meta.key.id", Attributes{}
	for body, want := range map[string]string{
		`{"meta":{"key":{"id":"a","id":"b"}},"prediction":1}`:         "duplicate_name: meta.key.id occurs twice: send it once",
		`{"meta":{"key":{"id":"a"},"k\u0065y":1},"prediction":1}`:     "duplicate_name: meta.key occurs twice: send it once",
		`{"meta":{"key":{"id":"a"}},"meta":{"key":1},"prediction":1}`: "duplicate_name: meta occurs twice: send it once",
	} {
		d := decode(cfg, Message{Body: body})
		if len(d.Rejected) != 1 || d.Rejected[0].Why.Error() != want {
			t.Errorf("%s: found %q, rejected %q", body, ids(d), reasons(d))
		}
	}
}

func TestDisabledFields(t *testing.T) {
	cfg := config()
	cfg.Fields.TTLSeconds, cfg.Fields.ExpiresAt, cfg.Fields.Timestamp = "", "", ""
	p := one(t, cfg, `{"predictionId":"a","prediction":1,"ttlSeconds":"x","":2}`)
	if p.Expires != 1769860799+24*3600 || !slices.Equal(attributes(p), []string{`ttlSeconds="x"`, `=2`}) {
		t.Errorf("expires %d, attributes %q", p.Expires, attributes(p))
	}
}

func TestEscapedNames(t *testing.T) {
	cfg := config()
	cfg.Fields.ID = "données.é"
	p := one(t, cfg, `{"donn\u00e9es":{"\u00e9":"a"},"pr\u0065diction":1,"timest\u0061mp":5,"mod\u00e8le":"m"}`)
	if p.ID.Text != "a" || p.EventTime.Sec != 5 || !slices.Equal(attributes(p), []string{`données={"\u00e9":"a"}`, `modèle="m"`}) {
		t.Errorf("%+v, attributes %q", p, attributes(p))
	}
}

func TestAttributes(t *testing.T) {
	body := `{"model":"m","predictionId":"a","timestamp":1,"scores":[0.10, 2],"prediction":1,"ttlSeconds":5,"none":null}`
	for _, test := range []struct {
		name string
		keep Attributes
		want []string
	}{
		{"all", Attributes{All: true}, []string{`model="m"`, `scores=[0.10, 2]`, `none=null`}},
		{"none", Attributes{}, nil},
		{"a list", Attributes{Names: []string{"scores", "absent", "timestamp"}}, []string{`scores=[0.10, 2]`}},
	} {
		cfg := config()
		cfg.Attributes = test.keep
		if got := attributes(one(t, cfg, body)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func attributes(p Prediction) []string {
	var all []string
	for _, a := range p.Attributes {
		all = append(all, a.Name+"="+a.Value.Text)
	}
	return all
}

func TestIDFieldInEventBridge(t *testing.T) {
	cfg := config()
	cfg.Fields.ID = "id"
	if p := one(t, cfg, inEventBridge(`{"id":"a","prediction":1}`)); p.ID.Text != "a" {
		t.Errorf("%+v", p)
	}
}

func TestManyFields(t *testing.T) {
	var fields strings.Builder
	for i := range 100 {
		fmt.Fprintf(&fields, `,"field%d":%d`, i, i)
	}
	p := one(t, config(), `{"predictionId":"a","prediction":1`+fields.String()+`}`)
	if len(p.Attributes) != 100 {
		t.Errorf("%d attributes", len(p.Attributes))
	}
	d := decode(config(), Message{Body: `{"predictionId":"a","prediction":1` + fields.String() + `,"field\u0037":0}`})
	if len(d.Rejected) != 1 || d.Rejected[0].Why.Reason != ReasonDuplicateName || d.Rejected[0].Why.Field != "field7" {
		t.Errorf("%+v", d)
	}
}
