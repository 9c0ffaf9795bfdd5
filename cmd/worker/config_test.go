package main

import (
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/config"
)

func TestConfig(t *testing.T) {
	status, stdout, stderr := invoke(t, "", "config")
	if status != 0 || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	for _, want := range []string{"# Queues and table\nWORKER_QUEUE_URL             (empty)\n    URL of the queue", "\n\n# Expiry and clocks\nWORKER_TTL                   24h\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("prints\n%s\nwant %q", stdout, want)
		}
	}
	if lines, settings := strings.Count(stdout, "\nWORKER_"), len(config.Settings()); lines != settings {
		t.Errorf("prints %d settings of %d", lines, settings)
	}
	for line := range strings.Lines(stdout) {
		if len(line) > 101 {
			t.Errorf("a line of %d characters: %s", len(line)-1, line)
		}
	}
	if status, stdout, _ := invoke(t, "", "config", "--markdown"); status != 0 || stdout != config.Markdown() {
		t.Errorf("worker config --markdown: status %d and %q", status, stdout)
	}
}
