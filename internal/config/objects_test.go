package config

import (
	"slices"
	"strings"
	"testing"
)

func objectSettings(changed map[string]string) map[string]string {
	settings := map[string]string{
		"WORKER_OBJECTS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/objects", "WORKER_OBJECTS": "scores/daily/, s3://forecasts/,archive",
	}
	for name, value := range changed {
		settings[name] = value
	}
	return settings
}

func TestObjects(t *testing.T) {
	c := mustLoad(t, objectSettings(nil))
	prefixes, err := c.ObjectPrefixes()
	if want := []ObjectPrefix{{"scores", "daily/"}, {"forecasts", ""}, {"archive", ""}}; err != nil || !slices.Equal(prefixes, want) {
		t.Errorf("%v, %v, want %v", prefixes, err, want)
	}
	if c.BucketOwner() != "123456789012" || c.ObjectsWriters() != 4 || c.ObjectsWriteUnits() != 0 {
		t.Errorf("owner %s, %d writers, %d units", c.BucketOwner(), c.ObjectsWriters(), c.ObjectsWriteUnits())
	}
	c = mustLoad(t, objectSettings(map[string]string{
		"WORKER_OBJECTS_QUEUE_URL": "http://localhost:4566/queue/objects", "WORKER_WRITE_CONCURRENCY": "1", "WORKER_MAX_WRITE_UNITS": "101",
	}))
	if c.BucketOwner() != "" || c.ObjectsWriters() != 1 || c.ObjectsWriteUnits() != 50 {
		t.Errorf("owner %s, %d writers, %d units", c.BucketOwner(), c.ObjectsWriters(), c.ObjectsWriteUnits())
	}
	if c = mustLoad(t, objectSettings(map[string]string{"WORKER_OBJECTS_BUCKET_OWNER": "210987654321"})); c.BucketOwner() != "210987654321" {
		t.Errorf("owner %s", c.BucketOwner())
	}
}

func TestValidateObjects(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"WORKER_OBJECTS_QUEUE_URL", "objects"},
		{"WORKER_OBJECTS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"},
		{"WORKER_OBJECTS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/objects.fifo"},
		{"WORKER_OBJECTS", ""},
		{"WORKER_OBJECTS", "scores,,forecasts"},
		{"WORKER_OBJECTS", "arn:aws:s3:::scores/daily/"},
		{"WORKER_OBJECTS", "scores/daily/*"},
		{"WORKER_OBJECTS_BUCKET_OWNER", "me"},
		{"WORKER_OBJECTS_RANGE_BYTES", "1000"},
		{"WORKER_OBJECTS_CONCURRENCY", "0"},
		{"WORKER_OBJECTS_MAX_BYTES", "37748735"},
		{"WORKER_OBJECTS_WRITE_CONCURRENCY", "9"},
		{"WORKER_OBJECTS_MAX_WRITE_UNITS", "-1"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			setenv(t, objectSettings(map[string]string{tt.name: tt.value}))
			if _, err := Load(); err == nil || !strings.Contains(err.Error(), tt.name+" is") {
				t.Errorf("error %v, want one that names %s", err, tt.name)
			}
		})
	}
	setenv(t, objectSettings(map[string]string{"WORKER_OBJECTS_QUEUE_URL": ""}))
	if _, err := Load(); err == nil || !strings.Contains(err.Error(), "nothing would be read") {
		t.Errorf("error %v: prefixes without a queue", err)
	}
}
