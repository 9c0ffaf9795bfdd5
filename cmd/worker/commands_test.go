package main

import (
	"bytes"
	"strings"
	"testing"
)

// runCommand runs one of the worker's commands and returns what it printed.
func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := dispatch(t.Context(), args, nil, &out, &out)
	return out.String(), err
}

func TestConfigListsEverySetting(t *testing.T) {
	out, err := runCommand(t, "config")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WORKER_QUEUE_URL", "WORKER_TTL                   24h"} {
		if !strings.Contains(out, want) {
			t.Errorf("worker config does not print %q", want)
		}
	}
}
