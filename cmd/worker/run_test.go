package main

import (
	"strings"
	"testing"
)

// What `worker run` does once it works is tested in internal/worker; here are the ways in which it does not start.
func TestRun_does_not_start(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"no settings", nil, "worker: the settings are not valid:\n  - WORKER_QUEUE_URL is not set: set it to the URL of the queue to consume\n  - WORKER_TABLE_NAME is not set"},
		{"settings that are wrong", map[string]string{"WORKER_QUEUE_URL": "http://127.0.0.1:1/1/q", "WORKER_TABLE_NAME": "cache", "WORKER_TTL": "soon", "WORKER_POLLERS": "0"},
			"\n  - WORKER_TTL is \"soon\": must be a duration like 500ms, 20s or 24h\n  - WORKER_POLLERS is 0: must be"},
		{"attributes that would keep nothing", map[string]string{"WORKER_QUEUE_URL": "http://127.0.0.1:1/1/q", "WORKER_TABLE_NAME": "cache", "WORKER_ATTRIBUTES": "data.model", "WORKER_MIN_EVENT_TIME": "2000-01-01"},
			"\n  - WORKER_ATTRIBUTES is \"data.model\", which names the nested field data.model: attributes are a message's own fields; data keeps the whole object\n  - WORKER_MIN_EVENT_TIME is \"2000-01-01\": must be a time like 2000-01-01T00:00:00Z"},
		{"an unknown variable, which is logged", map[string]string{"WORKER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q", "WORKER_TABLE_NAME": "cache", "AWS_REGION": "us-east-1", "WORKER_TLL": "1h"},
			`"variable":"WORKER_TLL"`},
		{"another region", map[string]string{"WORKER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q", "WORKER_TABLE_NAME": "cache", "AWS_REGION": "us-east-1"},
			"worker: the worker can't run:\n  - the queue is in the region eu-west-1, but the region of AWS calls is us-east-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("WORKER_HTTP_ADDR", "127.0.0.1:0")
			t.Setenv("WORKER_ADMIN_ADDR", "")
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if status, stdout, stderr := invoke(t, "", "run"); status != 1 || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, %q, %q, want %q", status, stdout, stderr, test.want)
			}
		})
	}
}
