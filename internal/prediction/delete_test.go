package prediction

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestDelete(t *testing.T) {
	cfg := config()
	cfg.TombstoneTTL = 14 * 24 * time.Hour
	const day, event = 24 * 3600, 1769860000
	begin := int64(sent / 1000) // later than the event
	for _, c := range []struct {
		name, body string
		expires    int64
	}{
		{"the default lifetime begins when it was sent", `{"predictionId":"a","timestamp":1769860000,"deleted":true}`, begin + 14*day},
		{"or at its event time, if that is later", `{"predictionId":"a","timestamp":1769860900,"deleted":true}`, 1769860900 + 14*day},
		{"without a timestamp, the sent time is the event time", `{"predictionId":"a","deleted":true}`, begin + 14*day},
		{"its own lifetime", `{"predictionId":"a","timestamp":1769860000,"deleted":true,"ttlSeconds":100000}`, begin + 100000},
		{"a lifetime below that of predictions is raised", `{"predictionId":"a","timestamp":1769860000,"deleted":true,"ttlSeconds":5}`, begin + day},
		{"its own expiry", `{"predictionId":"a","timestamp":1769860000,"deleted":true,"expiresAt":1779860000}`, 1779860000},
		{"an expiry below the lifetime of predictions is raised", `{"predictionId":"a","timestamp":1769860000,"deleted":true,"expiresAt":1769860001}`, begin + day},
		{"payload and attributes are dropped", `{"predictionId":"a","timestamp":1769860000,"deleted":true,"prediction":{"secret":1},"model":"m"}`, begin + 14*day},
	} {
		p := one(t, cfg, c.body)
		if !p.Version.Deleted || p.ID.Text != "a" || p.Payload.Text != "" || p.Attributes != nil || p.Expires != c.expires || p.Version.Event != p.EventTime {
			t.Errorf("%s: %+v, want expiry %d", c.name, p, c.expires)
		}
	}
	cfg.TTLJitter, cfg.TombstoneTTL = 0.9, 0
	if p := one(t, cfg, fmt.Sprintf(`{"predictionId":"a","timestamp":%d,"deleted":true}`, event)); p.Expires != begin+day {
		t.Errorf("without TombstoneTTL, the lifetime is TTL, without jitter: expires at %d, want %d", p.Expires, begin+day)
	}
}

// An ordinary prediction does not keep the field.
func TestNotDeleted(t *testing.T) {
	p := one(t, config(), `{"predictionId":"a","prediction":1,"deleted":false,"model":"m"}`)
	if p.Version.Deleted || p.Payload.Text != "1" || len(p.Attributes) != 1 || p.Attributes[0].Name != "model" {
		t.Errorf("%+v", p)
	}
	cfg := config()
	cfg.Fields.Deleted = ""
	if p := one(t, cfg, `{"predictionId":"a","prediction":1,"deleted":true}`); p.Version.Deleted || len(p.Attributes) != 1 {
		t.Errorf("without the setting, the field is an attribute: %+v", p)
	}
	cfg.Fields.Deleted = "meta.gone"
	if p := one(t, cfg, `{"predictionId":"a","meta":{"gone":true},"deleted":"x"}`); !p.Version.Deleted {
		t.Errorf("a path: %+v", p)
	}
}

func TestDeleteRejects(t *testing.T) {
	for _, c := range []struct {
		body string
		off  bool
		want string
	}{
		{`{"predictionId":"a","prediction":1,"deleted":"true"}`, false, "field_type: deleted is a string"},
		{`{"predictionId":"a","prediction":1,"deleted":1}`, false, "field_type: deleted is a number"},
		{`{"predictionId":"a","prediction":1,"deleted":null}`, false, "field_type: deleted is null"},
		{`{"predictionId":"a","prediction":1,"deleted":{}}`, true, "field_type: deleted is an object"},
		{`{"predictionId":"a","deleted":true}`, true, "deletes_off: deleted is true, but the worker accepts no deletes: set WORKER_DELETES"},
		{`{"predictionId":"a","deleted":false}`, false, "missing_field: prediction"},
		{`{"deleted":true}`, false, "missing_field: predictionId"},
		{`{"predictionId":"a","deleted":true,"deleted":true}`, false, "duplicate_name: deleted"},
		{`{"predictionId":"a","deleted":true,"x":NaN}`, false, "number: x"},
		{`{"predictionId":"a","deleted":true,"timestamp":1}`, false, "past: timestamp"},
		{`{"predictionId":"a","deleted":true,"timestamp":1869860000}`, false, "future: timestamp"},
		{`{"predictionId":"a","deleted":true,"ttlSeconds":0}`, false, "field_value: ttlSeconds"},
		{`{"predictionId":"a","deleted":true,"ttlSeconds":5,"expiresAt":1779860000}`, false, "field_value: expiresAt"},
		{`{"predictionId":"a","deleted":true,"expiresAt":"soon"}`, false, "field_type: expiresAt"},
	} {
		cfg := config()
		cfg.RejectDeletes = c.off
		cfg.MinEventTime = Time{Sec: 946684800}
		d := decode(cfg, Message{Body: c.body})
		if len(d.Predictions) != 0 || len(d.Rejected) != 1 || !strings.HasPrefix(d.Rejected[0].Why.Error(), c.want) {
			t.Errorf("%s, deletes off: %v: %d predictions, %v, want %s", c.body, c.off, len(d.Predictions), reasons(d), c.want)
		}
	}
}

// Deletes come in every form that predictions come in.
func TestDeleteForms(t *testing.T) {
	gone := `{"predictionId":"a","timestamp":1769860000,"deleted":true}`
	for _, body := range []string{
		gone, "[" + gone + "," + good("b") + "]", good("b") + "\n" + gone + "\n", inSNS(gone, ""),
		`{"version":"0","id":"e1","detail-type":"d","source":"s","time":"2026-01-31T11:59:59Z","detail":` + gone + `}`,
	} {
		d := decode(config(), Message{Body: body})
		deletes := 0
		for _, p := range d.Predictions {
			if p.Version.Deleted {
				deletes++
			}
		}
		if deletes != 1 || len(d.Rejected) != 0 {
			t.Errorf("%s: %d deletes, rejected %v", body, deletes, reasons(d))
		}
	}
}
