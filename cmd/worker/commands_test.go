package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
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

func TestCheckSaysWhatItFound(t *testing.T) {
	b := backend.All(t)[0]
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	out, err := runCommand(t, "check")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{w.queue, "visibility timeout", "no dead-letter queue", w.table, "versioned", `by the attribute "expiresAt"`, "No problem was found"} {
		if !strings.Contains(out, want) {
			t.Errorf("worker check does not say %q:\n%s", want, out)
		}
	}
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	t.Setenv("WORKER_QUEUE_URL", "http://127.0.0.1:1/1/q")
	t.Setenv("WORKER_TABLE_NAME", "cache")
	t.Setenv("WORKER_CALL_TIMEOUT", "500ms")
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"region":      {map[string]string{"AWS_REGION": ""}, "no AWS region is set: set AWS_REGION"},
		"credentials": {map[string]string{"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials were found"},
		"service":     {map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "check the network, AWS_REGION and AWS_ENDPOINT_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range test.env {
				t.Setenv(variable, value)
			}
			_, err := runCommand(t, "check")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
