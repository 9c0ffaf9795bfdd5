package config

import "testing"

func TestInForce(t *testing.T) {
	t.Setenv("WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions")
	t.Setenv("WORKER_TABLE_NAME", "predictions")
	t.Setenv("WORKER_TTL", "90m")
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{"WORKER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions", "WORKER_TABLE_NAME": "predictions", "WORKER_TTL": "1h30m"}
	for _, s := range c.InForce() {
		if want, isSet := set[s.Name]; isSet && s.Value != want {
			t.Errorf("%s is %q, not %q", s.Name, s.Value, want)
		} else if !isSet && s.Value != s.Default {
			t.Errorf("%s is %q, but its default is %q", s.Name, s.Value, s.Default)
		}
	}
}
