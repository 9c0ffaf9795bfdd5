// Package objects reads predictions from the files that batch jobs leave in S3. S3's events about new objects arrive on a queue of
// their own. A large object is split into ranges, which go back to that queue as messages, so that all replicas share it. The rows
// of an object go through the same ingest, dedup window and kind of writer as queue messages.
package objects

// An Object names one version of an S3 object.
type Object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// VersionID is empty in a bucket without versioning: then the ETag tells whether the object has changed.
	VersionID string `json:"versionId,omitempty"`
	// ETag is without quotes. It is empty if the event has none.
	ETag string `json:"etag,omitempty"`
	// Size is in bytes; -1 is unknown.
	Size int64 `json:"size"`
}

// A Prefix is a part of S3 from which objects may be read: those of Bucket whose keys begin with Prefix, in bytes, as in an IAM
// policy. An empty Prefix stands for the whole bucket.
type Prefix struct {
	Bucket, Prefix string
}
