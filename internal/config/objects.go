package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// An ObjectPrefix is an entry of WORKER_OBJECTS: the objects of a bucket whose keys begin with Prefix.
type ObjectPrefix struct {
	Bucket, Prefix string
}

// isBucketName reports whether S3 has allowed a name at some time ("General purpose bucket naming rules").
func isBucketName(name string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"
	return len(name) >= 3 && len(name) <= 255 && strings.Trim(name, letters) == ""
}

// ObjectPrefixes reads WORKER_OBJECTS. The error says what is wrong with it.
func (c *Config) ObjectPrefixes() (prefixes []ObjectPrefix, err error) {
	if strings.TrimSpace(c.Objects) == "" {
		return nil, nil
	}
	for entry := range strings.SplitSeq(c.Objects, ",") {
		bucket, prefix, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(entry), "s3://"), "/")
		switch {
		case bucket == "":
			return nil, errors.New("has an entry without a bucket: must be like scores/daily/,forecasts/")
		case !isBucketName(bucket):
			return nil, fmt.Errorf("has the bucket %q: must be the name of a bucket, and after a slash the beginning of keys, like scores/daily/", bucket)
		case strings.ContainsAny(prefix, "*?"):
			return nil, fmt.Errorf("has a pattern in %q: must be the beginning of keys, which permits all that follows", entry)
		}
		prefixes = append(prefixes, ObjectPrefix{bucket, prefix})
	}
	return prefixes, nil
}

// isAccountID reports whether a text is the id of an AWS account.
func isAccountID(text string) bool { return len(text) == 12 && strings.Trim(text, "0123456789") == "" }

// BucketOwner returns the account that must own the buckets, or "" if neither the settings nor the queue's URL name one.
func (c *Config) BucketOwner() string {
	if c.ObjectsBucketOwner != "" {
		return c.ObjectsBucketOwner
	}
	u, err := url.Parse(c.ObjectsQueueURL)
	if err != nil {
		return ""
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if isAccountID(part) {
			return part
		}
	}
	return ""
}

// ObjectsWriters returns the maximum number of concurrent write calls for rows of objects.
func (c *Config) ObjectsWriters() int {
	if c.ObjectsWriteConcurrency > 0 {
		return c.ObjectsWriteConcurrency
	}
	return max(c.WriteConcurrency/2, 1)
}

// ObjectsWriteUnits returns the maximum write units a second for rows of objects. 0 means no limit.
func (c *Config) ObjectsWriteUnits() int {
	if c.ObjectsMaxWriteUnits > 0 || c.MaxWriteUnits == 0 {
		return c.ObjectsMaxWriteUnits
	}
	return max(c.MaxWriteUnits/2, 1)
}

func (c *Config) validateObjects(refuse func(bool, string, ...any)) {
	on := c.ObjectsQueueURL != ""
	refuse(on && (c.ObjectsQueueURL == c.QueueURL || c.ObjectsQueueURL == c.RejectQueueURL), "WORKER_OBJECTS_QUEUE_URL is also the queue of predictions or of rejects: must be a queue of its own, so that batch outputs and streamed predictions do not wait for each other")
	refuse(strings.HasSuffix(c.ObjectsQueueURL, ".fifo"), "WORKER_OBJECTS_QUEUE_URL is a FIFO queue: must be a standard one, since S3 sends no events to FIFO queues")
	least := 2*int64(c.MaxDecodedBytes) + 4<<20
	prefixes, err := c.ObjectPrefixes()
	refuse(err != nil, "WORKER_OBJECTS is %q, which %w", c.Objects, err)
	refuse(err == nil && on && len(prefixes) == 0, "WORKER_OBJECTS is not set: set it to the buckets and key prefixes that may be read, like scores/daily/")
	refuse(len(prefixes) > 0 && !on, "WORKER_OBJECTS is set, but WORKER_OBJECTS_QUEUE_URL is not, so nothing would be read: set it to the queue with S3's events")
	refuse(c.ObjectsBucketOwner != "" && !isAccountID(c.ObjectsBucketOwner), "WORKER_OBJECTS_BUCKET_OWNER is %q: must be the id of an account, 12 digits", c.ObjectsBucketOwner)
	refuse(c.ObjectsRangeBytes < 1<<20 || c.ObjectsRangeBytes > 1<<30, "WORKER_OBJECTS_RANGE_BYTES is %d: must be 1048576 to 1073741824 (1 MiB to 1 GiB)", c.ObjectsRangeBytes)
	refuse(c.ObjectsConcurrency < 1 || c.ObjectsConcurrency > 64, "WORKER_OBJECTS_CONCURRENCY is %d: must be 1 to 64", c.ObjectsConcurrency)
	refuse(on && c.ObjectsMaxBytes < least, "WORKER_OBJECTS_MAX_BYTES is %d: must be at least %d, twice WORKER_MAX_DECODED_BYTES for the text and the values of one long row, and 4 MiB for the others", c.ObjectsMaxBytes, least)
	refuse(c.ObjectsWriteConcurrency < 0 || c.ObjectsWriteConcurrency > c.WriteConcurrency, "WORKER_OBJECTS_WRITE_CONCURRENCY is %d: must be 0 (half of WORKER_WRITE_CONCURRENCY) to %d, that of streamed predictions", c.ObjectsWriteConcurrency, c.WriteConcurrency)
	refuse(c.ObjectsMaxWriteUnits < 0, "WORKER_OBJECTS_MAX_WRITE_UNITS is %d: must be 0 (half of WORKER_MAX_WRITE_UNITS) or more", c.ObjectsMaxWriteUnits)
	refuse(c.MaxWriteUnits > 0 && c.ObjectsMaxWriteUnits > c.MaxWriteUnits, "WORKER_OBJECTS_MAX_WRITE_UNITS is %d: must be at most %d, that of all writes (WORKER_MAX_WRITE_UNITS)", c.ObjectsMaxWriteUnits, c.MaxWriteUnits)
}
