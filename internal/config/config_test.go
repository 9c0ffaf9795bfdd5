package config

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kelseyhightower/envconfig"

	"github.com/predcache/predcache/internal/item"
)

var update = flag.Bool("update", false, "write the tables of docs/settings.md")

// setenv sets the required settings and the given ones, and clears all others.
func setenv(t *testing.T, settings map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, Prefix+"_") {
			t.Setenv(name, value) // restores it after the test
			os.Unsetenv(name)
		}
	}
	t.Setenv("WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions")
	t.Setenv("WORKER_TABLE_NAME", "cache")
	for name, value := range settings {
		t.Setenv(name, value)
	}
}

func mustLoad(t *testing.T, settings map[string]string) *Config {
	t.Helper()
	setenv(t, settings)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		c := mustLoad(t, nil)
		if c.TTL != 24*time.Hour || c.ReceiveWait != 2*time.Second || c.TableSchema != "auto" || c.PayloadEncoding != item.JSON || c.HTTPAddr != ":9090" {
			t.Errorf("defaults: %+v", c)
		}
		if err := c.CheckReceive(10 << 20); err != nil {
			t.Errorf("the defaults don't fit a queue of the largest messages: %v", err)
		}
	})
	t.Run("ignores unprefixed variables", func(t *testing.T) {
		t.Setenv("TTL", "1s")
		t.Setenv("POLLERS", "99")
		if c := mustLoad(t, nil); c.TTL != 24*time.Hour || c.Pollers != 8 {
			t.Errorf("TTL %v and %d pollers came from unprefixed variables", c.TTL, c.Pollers)
		}
	})
	t.Run("reports all errors", func(t *testing.T) {
		setenv(t, map[string]string{
			"WORKER_QUEUE_URL": "", "WORKER_TTL": "5", "WORKER_POLLERS": "0", "WORKER_SORT_UNIT": "us", "WORKER_RECEIVE_WAIT": "21s",
		})
		_, err := Load()
		if err == nil {
			t.Fatal("no error")
		}
		for _, name := range []string{"WORKER_QUEUE_URL", "WORKER_TTL", "WORKER_POLLERS", "WORKER_SORT_UNIT", "WORKER_RECEIVE_WAIT"} {
			if strings.Count(err.Error(), name+" is") != 1 {
				t.Errorf("the error does not name %s once:\n%v", name, err)
			}
		}
	})
}

func TestLoadForCommand(t *testing.T) {
	setenv(t, map[string]string{"WORKER_TABLE_NAME": ""})
	if _, err := LoadForQueue(); err != nil {
		t.Errorf("LoadForQueue requires the table: %v", err)
	}
	setenv(t, map[string]string{"WORKER_QUEUE_URL": ""})
	if _, err := LoadForTable(); err != nil {
		t.Errorf("LoadForTable requires the queue: %v", err)
	}
	setenv(t, map[string]string{"WORKER_QUEUE_URL": "", "WORKER_POLLERS": "0"})
	for _, load := range []func() (*Config, error){LoadForQueue, LoadForTable} {
		if _, err := load(); err == nil || !strings.Contains(err.Error(), "WORKER_POLLERS is 0") {
			t.Errorf("error %v, want one about WORKER_POLLERS", err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"WORKER_QUEUE_URL", "predictions"},
		{"WORKER_TABLE_NAME", ""},
		{"WORKER_REJECT_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"},
		{"WORKER_TTL", "0s"},
		{"WORKER_TTL_JITTER", "1"},
		{"WORKER_MAX_FUTURE", "-1s"},
		{"WORKER_MIN_EVENT_TIME", "2000-01-01"},
		{"WORKER_MIN_EVENT_TIME", "2000-01-01 00:00:00"},
		{"WORKER_ALLOW_NO_TTL", "perhaps"},
		{"WORKER_FIELD_ID", "a..b"},
		{"WORKER_ATTRIBUTES", "data.model"},
		{"WORKER_ATTRIBUTES", "model,data.*"},
		{"WORKER_ATTRIBUTES", "model,,version"},
		{"WORKER_ATTRIBUTES", "model,all"},
		{"WORKER_ATTRIBUTES", "model*"},
		{"WORKER_FIELD_EXPIRES_AT", "timestamp"},
		{"WORKER_PAYLOAD_ENCODING", "gzip"},
		{"WORKER_TABLE_SCHEMA", "versioned"},
		{"WORKER_TABLE_SCHEMA", "hash=id:B,ttl=expiresAt"},
		{"WORKER_TABLE_SCHEMA", "hash=,ttl=expiresAt"},
		{"WORKER_TABLE_SCHEMA", "sort=timestamp,ttl=expiresAt"},
		{"WORKER_SORT_UNIT", "us"},
		{"WORKER_ORDERING", "oldest"},
		{"WORKER_DELETES", "on"},
		{"WORKER_TOMBSTONE_TTL", "1h"}, // less than WORKER_TTL
		{"WORKER_FIELD_DELETED", "prediction"},
		{"WORKER_POLLERS", "257"},
		{"WORKER_WRITE_CONCURRENCY", "-1"},
		{"WORKER_MAX_WRITE_UNITS", "-1"},
		{"WORKER_RECEIVE_WAIT", "1500ms"},
		{"WORKER_RECEIVE_WAIT", "0s"}, // an idle worker would poll, and pay, continuously
		{"WORKER_CALL_TIMEOUT", "1ms"},
		{"WORKER_MAX_ADDED_LATENCY", "21s"},
		{"WORKER_DELETE_LINGER", "6s"},
		{"WORKER_DRAIN_TIMEOUT", "2s"},
		{"WORKER_MAX_HELD_MESSAGES", "13"},
		{"WORKER_MAX_DECODED_BYTES", "1"},
		{"WORKER_DEDUP_WINDOW", "1"},
		{"WORKER_PRICE_WRITE_UNITS", "-1"},
		{"WORKER_PRICE_SQS_REQUESTS", "-1"},
		{"WORKER_HTTP_ADDR", "9090"},
		{"WORKER_ADMIN_ADDR", "localhost"},
		{"WORKER_LOG_LEVEL", "loud"},
		{"WORKER_LOG_FORMAT", "xml"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			setenv(t, map[string]string{tt.name: tt.value})
			if _, err := Load(); err == nil || !strings.Contains(err.Error(), tt.name+" is") {
				t.Errorf("error %v, want one that names %s", err, tt.name)
			}
		})
	}
}

func TestCheckReceive(t *testing.T) {
	c := mustLoad(t, map[string]string{"WORKER_MAX_HELD_BYTES": "8388608"})
	if err := c.CheckReceive(10 << 20); err == nil || !strings.Contains(err.Error(), "at least 27262976") {
		t.Errorf("error %v, want 10 MiB for a receive and 16 MiB for a decoded message", err)
	}
	c.RejectQueueURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/rejects"
	if err := c.CheckReceive(10 << 20); err == nil || !strings.Contains(err.Error(), "at least 36350634") {
		t.Errorf("error %v, want a third more for rejects", err)
	}
}

func TestTable(t *testing.T) {
	for schema, want := range map[string]item.Table{
		"hash=predictionId:S,sort=timestamp,ttl=expiresAt": {HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"},
		"hash=id:N, ttl=expiresAt":                         {HashKey: "id", HashType: item.TypeN, TTLAttribute: "expiresAt"},
		"hash=id,sort=until,ttl=until":                     {HashKey: "id", HashType: item.TypeS, SortKey: "until", SortType: item.TypeN, TTLAttribute: "until"},
	} {
		c := mustLoad(t, map[string]string{"WORKER_TABLE_SCHEMA": schema})
		got, configured := c.Table()
		if !configured || got.HashKey != want.HashKey || got.HashType != want.HashType || got.SortKey != want.SortKey || got.SortType != want.SortType || got.TTLAttribute != want.TTLAttribute {
			t.Errorf("%s: table %+v, configured %v, want %+v", schema, got, configured, want)
		}
	}
	if _, configured := mustLoad(t, nil).Table(); configured {
		t.Error("auto counts as a configured schema")
	}
}

func TestNewLayout(t *testing.T) {
	c := mustLoad(t, map[string]string{"WORKER_TTL_JITTER": "0.1", "WORKER_TABLE_SCHEMA": "hash=id,sort=timestamp,ttl=timestamp"})
	table, _ := c.Table()
	if _, err := c.NewLayout(table); err == nil || !strings.Contains(err.Error(), "WORKER_TTL_JITTER") {
		t.Errorf("error %v: jitter would break the order of the expiry-sorted layout", err)
	}
}

func TestDeletes(t *testing.T) {
	const versioned, expirySorted, latestOnly = "hash=id,sort=timestamp,ttl=expiresAt", "hash=id,sort=timestamp,ttl=timestamp", "hash=id,ttl=expiresAt"
	for _, test := range []struct {
		schema, deletes, ordering string
		refused                   bool
	}{
		{versioned, "hide", "last-write", false},
		{versioned, "hide", "newest", false},
		{expirySorted, "hide", "last-write", true},
		{expirySorted, "hide", "newest", false},
		{latestOnly, "hide", "last-write", true},
		{latestOnly, "hide", "newest", false},
		{latestOnly, "off", "last-write", false},
	} {
		c := mustLoad(t, map[string]string{"WORKER_DELETES": test.deletes, "WORKER_ORDERING": test.ordering, "WORKER_TABLE_SCHEMA": test.schema})
		table, _ := c.Table()
		_, err := c.NewLayout(table)
		if test.refused != (err != nil) || err != nil && !strings.Contains(err.Error(), "set WORKER_ORDERING=newest") {
			t.Errorf("%s, %s, %s: error %v", test.schema, test.deletes, test.ordering, err)
		}
	}
	for _, test := range []struct {
		ttl, tombstone string
		want           time.Duration
	}{{"24h", "0s", 14 * 24 * time.Hour}, {"1000h", "0s", 1000 * time.Hour}, {"24h", "48h", 48 * time.Hour}} {
		c := mustLoad(t, map[string]string{"WORKER_TTL": test.ttl, "WORKER_TOMBSTONE_TTL": test.tombstone})
		if got := c.Prediction().TombstoneTTL; got != test.want {
			t.Errorf("WORKER_TTL %s, WORKER_TOMBSTONE_TTL %s: %v, want %v", test.ttl, test.tombstone, got, test.want)
		}
	}
	setenv(t, map[string]string{"WORKER_FIELD_DELETED": "", "WORKER_DELETES": "hide"})
	if _, err := Load(); err == nil || !strings.Contains(err.Error(), "WORKER_FIELD_DELETED is empty") {
		t.Errorf("error %v for deletes without a field", err)
	}
}

func TestAttributes(t *testing.T) {
	for value, want := range map[string]string{"all": "all", "ALL": "all", " * ": "all", "none": "", "None": "", "": "", "model, version": "model,version"} {
		c := Config{Attributes: value}
		got := strings.Join(c.Prediction().Attributes.Names, ",")
		if c.Prediction().Attributes.All {
			got = "all"
		}
		if got != want {
			t.Errorf("WORKER_ATTRIBUTES=%s stores %q, want %q", value, got, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	setenv(t, map[string]string{"WORKER_TLL": "1h", "WORKER_SERVICE_HOST": "10.0.0.1", "WORKER_PORT_80_TCP": "x"})
	if got := strings.Join(Unknown(), " "); got != "WORKER_TLL" {
		t.Errorf("unknown: %q, want WORKER_TLL alone: Kubernetes injects the others", got)
	}
}

func TestSettings(t *testing.T) {
	t.Run("names are envconfig's", func(t *testing.T) {
		var want strings.Builder
		if err := envconfig.Usagef(Prefix, new(Config), &want, "{{range .}}{{usage_key .}}\n{{end}}"); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, s := range Settings() {
			got.WriteString(s.Name + "\n")
		}
		if got.String() != want.String() {
			t.Errorf("got:\n%s\nwant:\n%s", got.String(), want.String())
		}
	})
	t.Run("each has a meaning and a group", func(t *testing.T) {
		for _, s := range Settings() {
			if s.Group == "" || !strings.HasSuffix(s.Meaning, ".") || !regexp.MustCompile(`^WORKER_[A-Z_]+$`).MatchString(s.Name) {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestSettingsPage compares the tables of docs/settings.md with the code. `make docs` writes them.
func TestSettingsPage(t *testing.T) {
	const name, begin, end = "../../docs/settings.md", "TestSettingsPage -update -->\n", "\n<!-- end -->"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	tables, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("docs/settings.md has no place for the settings between %q and %q", begin, end)
	}
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+Markdown()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if tables != Markdown() {
		t.Error("docs/settings.md differs from the code: run `make docs`")
	}
}
