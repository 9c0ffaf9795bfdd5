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

// setenv sets the required settings and others, and clears the rest.
func setenv(t *testing.T, settings map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, Prefix+"_") {
			t.Setenv(name, value) // so that it is restored
			os.Unsetenv(name)
		}
	}
	t.Setenv("WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions")
	t.Setenv("WORKER_TABLE_NAME", "cache")
	for name, value := range settings {
		t.Setenv(name, value)
	}
}

func TestTwoSettingsAreEnough(t *testing.T) {
	setenv(t, nil)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.TTL != 24*time.Hour || c.ReceiveWait != 20*time.Second || c.Layout != "auto" || c.PayloadEncoding != item.JSON || c.HTTPAddr != ":9090" {
		t.Errorf("defaults: %+v", c)
	}
	if err := c.CheckQueue(1 << 20); err != nil {
		t.Errorf("the defaults don't do for a queue of the largest messages: %v", err)
	}
}

func TestUnprefixedVariablesAreNotTaken(t *testing.T) {
	setenv(t, nil)
	t.Setenv("TTL", "1s")
	t.Setenv("POLLERS", "99")
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.TTL != 24*time.Hour || c.Pollers != 8 {
		t.Errorf("TTL %v and %d pollers were taken from unprefixed variables", c.TTL, c.Pollers)
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
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
}

func TestEachSettingIsChecked(t *testing.T) {
	for name, value := range map[string]string{
		"WORKER_QUEUE_URL": "predictions", "WORKER_TABLE_NAME": "", "WORKER_REJECT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions",
		"WORKER_TTL": "0s", "WORKER_TTL_JITTER": "1", "WORKER_MAX_FUTURE": "-1s", "WORKER_ALLOW_NO_TTL": "perhaps",
		"WORKER_FIELD_ID": "a..b", "WORKER_FIELD_EXPIRES_AT": "timestamp",
		"WORKER_PAYLOAD_ENCODING": "gzip", "WORKER_LAYOUT": "wide", "WORKER_HASH_KEY_TYPE": "B", "WORKER_SORT_UNIT": "us",
		"WORKER_POLLERS": "257", "WORKER_WRITE_CONCURRENCY": "-1", "WORKER_MAX_WRITE_UNITS": "-1", "WORKER_RECEIVE_WAIT": "1500ms",
		"WORKER_CALL_TIMEOUT": "1ms", "WORKER_DELETE_LINGER": "6s", "WORKER_DRAIN_TIMEOUT": "10s", "WORKER_MAX_HELD_MESSAGES": "9",
		"WORKER_MAX_DECODED_BYTES": "1", "WORKER_DEDUP_WINDOW": "1", "WORKER_HTTP_ADDR": "9090", "WORKER_ADMIN_ADDR": "localhost",
		"WORKER_LOG_LEVEL": "loud", "WORKER_LOG_FORMAT": "xml",
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, map[string]string{name: value})
			if _, err := Load(); err == nil || !strings.Contains(err.Error(), name+" is") {
				t.Errorf("%s=%s: error %v, want one that names it", name, value, err)
			}
		})
	}
}

func TestACommandNeedsOnlyTheSettingsOfWhatItUses(t *testing.T) {
	setenv(t, map[string]string{"WORKER_TABLE_NAME": ""})
	if _, err := LoadForQueue(); err != nil {
		t.Errorf("a command for the queue asks for the table: %v", err)
	}
	setenv(t, map[string]string{"WORKER_QUEUE_URL": ""})
	if _, err := LoadForTable(); err != nil {
		t.Errorf("a command for the table asks for the queue: %v", err)
	}
	setenv(t, map[string]string{"WORKER_QUEUE_URL": "", "WORKER_POLLERS": "0"})
	for _, load := range []func() (*Config, error){LoadForQueue, LoadForTable} {
		if _, err := load(); err == nil || !strings.Contains(err.Error(), "WORKER_POLLERS is 0") {
			t.Errorf("error %v, want one about WORKER_POLLERS", err)
		}
	}
}

func TestAReceiveWithoutAWaitIsRefused(t *testing.T) {
	setenv(t, map[string]string{"WORKER_RECEIVE_WAIT": "0s"})
	if _, err := Load(); err == nil || !strings.Contains(err.Error(), "WORKER_RECEIVE_WAIT is 0s") {
		t.Errorf("error %v: an idle worker would poll, and pay, without a pause", err)
	}
}

func TestAReceiveMustFitIntoWhatMayBeHeld(t *testing.T) {
	setenv(t, map[string]string{"WORKER_MAX_HELD_BYTES": "8388608"})
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckQueue(1 << 20); err == nil || !strings.Contains(err.Error(), "at least 18874368") {
		t.Errorf("error %v, want the 10 MiB of a receive and the 8 MiB of a decompressed message", err)
	}
}

func TestJitterIsRefusedWhereItWouldBreakTheOrder(t *testing.T) {
	setenv(t, map[string]string{"WORKER_TTL_JITTER": "0.1", "WORKER_LAYOUT": "expiry-sorted"})
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	table, told := c.Table()
	if !told || table.TTLAttribute != "timestamp" {
		t.Fatalf("table %+v, told %v", table, told)
	}
	if _, err := c.NewLayout(table); err == nil || !strings.Contains(err.Error(), "WORKER_TTL_JITTER") {
		t.Errorf("error %v, want one about the jitter", err)
	}
}

func TestAttributesAreAllNoneOrAList(t *testing.T) {
	for value, want := range map[string]string{"all": "all", "none": "", "model, version": "model,version"} {
		c := Config{Attributes: value}
		got := strings.Join(c.Prediction().Attributes.Names, ",")
		if c.Prediction().Attributes.All {
			got = "all"
		}
		if got != want {
			t.Errorf("WORKER_ATTRIBUTES=%s keeps %q, want %q", value, got, want)
		}
	}
}

func TestATypingErrorInANameIsNoticed(t *testing.T) {
	setenv(t, map[string]string{"WORKER_TLL": "1h", "WORKER_SERVICE_HOST": "10.0.0.1", "WORKER_PORT_80_TCP": "x"})
	if got := strings.Join(Unknown(), " "); got != "WORKER_TLL" {
		t.Errorf("unknown: %q, want WORKER_TLL alone: Kubernetes injects the others", got)
	}
}

func TestSettingsHaveTheNamesThatEnvconfigReads(t *testing.T) {
	var read strings.Builder
	if err := envconfig.Usagef(Prefix, new(Config), &read, "{{range .}}{{usage_key .}}\n{{end}}"); err != nil {
		t.Fatal(err)
	}
	var listed strings.Builder
	for _, s := range Settings() {
		listed.WriteString(s.Name + "\n")
	}
	if listed.String() != read.String() {
		t.Errorf("listed:\n%s\nread:\n%s", listed.String(), read.String())
	}
}

func TestEverySettingHasAMeaning(t *testing.T) {
	for _, s := range Settings() {
		if !strings.HasSuffix(s.Meaning, ".") || !regexp.MustCompile(`^WORKER_[A-Z_]+$`).MatchString(s.Name) {
			t.Errorf("%s: %q", s.Name, s.Meaning)
		}
	}
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
