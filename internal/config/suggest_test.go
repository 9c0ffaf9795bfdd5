package config

import "testing"

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"WORKER_TLL":           "WORKER_TTL",
		"WORKER_QUEUEURL":      "WORKER_QUEUE_URL",
		"WORKER_POLLER":        "WORKER_POLLERS",
		"WORKER_LOGLEVEL":      "WORKER_LOG_LEVEL",
		"WORKER_TABLE":         "",
		"WORKER_SOMETHING_NEW": "",
	} {
		if got := Suggest(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
