package objects

import (
	"encoding/json"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

// A notice is what a message of the objects queue says.
type notice struct {
	created []created // new objects
	// ignored is the number of events that are not about a new object.
	ignored int
	// test is true for the message that S3 sends when a notification is configured ("Granting permissions to publish event
	// notification messages to a destination"). It names the bucket only.
	test bool
	// part is set if the message is the worker's own: a range of an object, or the rest of one.
	part *part
}

// A created is one new object of a notice.
type created struct {
	Object
	raw string // the event as a message of its own, for the reject queue
	why *prediction.Reject
}

// maxEnvelopes is the maximum number of envelopes around an event. EventBridge to SNS to SQS makes two.
const maxEnvelopes = 3

// maxEvents bounds the events of one message. S3 sends one a message, and SNS and EventBridge don't collect them.
const maxEvents = 1000

// The forms of a message. encoding/json ignores the fields of other forms.
type (
	envelope struct {
		// SNS ("Amazon SNS message format for Amazon SQS").
		Type     string
		TopicArn string
		Message  *string
		// EventBridge ("EventBridge event message structure", Amazon S3 User Guide).
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Detail     json.RawMessage `json:"detail"`
		// S3 ("Event message structure", Amazon S3 User Guide).
		Records []json.RawMessage
		Event   string

		Part *int `json:"predcache.range"`
	}
	// record is an event of S3. Its key is encoded like a form: a space is a plus sign.
	record struct {
		EventSource string `json:"eventSource"`
		EventName   string `json:"eventName"`
		S3          struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				Size      *int64 `json:"size"`
				ETag      string `json:"eTag"`
				VersionID string `json:"versionId"`
			} `json:"object"`
		} `json:"s3"`
	}
	// detail is EventBridge's event. Its key is as it is.
	detail struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      *int64 `json:"size"`
			ETag      string `json:"etag"`
			VersionID string `json:"version-id"`
		} `json:"object"`
	}
)

// parse reads a message of the objects queue. The reject is set if it is none that S3, SNS, EventBridge or a worker sends.
func parse(body string) (notice, *prediction.Reject) { return parseIn(body, 0) }

func parseIn(body string, envelopes int) (notice, *prediction.Reject) {
	var e envelope
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "", "the message is not an event of S3: this queue is for events of S3, in JSON; predictions go to the queue of WORKER_QUEUE_URL")
	}
	switch {
	case e.Part != nil:
		if envelopes > 0 {
			return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "predcache.range", "is inside an envelope: only workers send ranges")
		}
		return parsePart(body)
	case e.Type == "Notification" && e.TopicArn != "" && e.Message != nil:
		if envelopes == maxEnvelopes {
			return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "Message", "is inside too many envelopes: unwrap them before the queue")
		}
		return parseIn(*e.Message, envelopes+1)
	case e.Type != "" && e.TopicArn != "":
		return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "Type", "is not Notification: if SNS waits for a subscription to be confirmed, let the queue's owner subscribe it, which needs no confirmation")
	case e.Event == "s3:TestEvent":
		return notice{test: true}, nil
	case e.DetailType != "" && e.Source != "" && len(e.Detail) > 0:
		return parseDetail(body, &e)
	case len(e.Records) > maxEvents:
		return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "Records", "has more than %d events: split the message", maxEvents)
	case len(e.Records) > 0:
		return parseRecords(e.Records), nil
	}
	return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "", "the message is not an event of S3: it has none of Records, detail and Message; predictions go to the queue of WORKER_QUEUE_URL")
}

func parseRecords(records []json.RawMessage) (n notice) {
	for _, raw := range records {
		c := created{raw: `{"Records":[` + string(raw) + `]}`}
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			c.why = prediction.Rejectf(prediction.ReasonEnvelope, "Records", "has an event that is not like S3's: see \"Event message structure\" in its user guide")
			n.created = append(n.created, c)
			continue
		}
		// S3 writes aws:s3 and ObjectCreated:Put; services that are compatible with it have another source, and s3: before the name.
		name := strings.TrimPrefix(r.EventName, "s3:")
		if !strings.HasSuffix(r.EventSource, ":s3") || !strings.HasPrefix(name, "ObjectCreated:") {
			n.ignored++
			continue
		}
		o := &r.S3.Object
		c.Object = Object{Bucket: r.S3.Bucket.Name, VersionID: o.VersionID, ETag: o.ETag, Size: sizeOf(o.Size)}
		key, err := url.QueryUnescape(o.Key)
		if c.Key = key; err != nil {
			c.why = prediction.Rejectf(prediction.ReasonEnvelope, "s3.object.key", "is not encoded like a form, as S3 encodes it")
		} else {
			c.why = c.check()
		}
		n.created = append(n.created, c)
	}
	return n
}

// parseDetail reads an event of EventBridge.
func parseDetail(body string, e *envelope) (n notice, why *prediction.Reject) {
	if e.Source != "aws.s3" || e.DetailType != "Object Created" {
		n.ignored = 1
		return n, nil
	}
	var d detail
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return n, prediction.Rejectf(prediction.ReasonEnvelope, "detail", "is not like that of an event of S3: see \"EventBridge event message structure\" in its user guide")
	}
	o := &d.Object
	c := created{raw: body, Object: Object{Bucket: d.Bucket.Name, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: sizeOf(o.Size)}}
	c.why = c.check()
	n.created = []created{c}
	return n, nil
}

func sizeOf(size *int64) int64 {
	if size == nil {
		return -1
	}
	return *size
}

// maxKey is the maximum length of a key in bytes ("Naming Amazon S3 objects"). The ids of versions have the same
// ("Retaining multiple versions of objects with S3 Versioning").
const maxKey = 1024

// check returns why an object's names can't be S3's. They end up in a request and in logs.
func (o *Object) check() *prediction.Reject {
	wrong := func(field, problem string) *prediction.Reject {
		return prediction.Rejectf(prediction.ReasonEnvelope, field, "%s", problem)
	}
	switch {
	case o.Bucket == "":
		return wrong("bucket", "is missing")
	case o.Key == "":
		return wrong("key", "is missing")
	case len(o.Key) > maxKey || !utf8.ValidString(o.Key):
		return wrong("key", "is none that S3 allows: at most 1,024 bytes of UTF-8")
	case len(o.VersionID) > maxKey || !printable(o.VersionID):
		return wrong("versionId", "is none that S3 gives")
	case len(o.ETag) > maxKey || !printable(o.ETag) || strings.Contains(o.ETag, `"`):
		return wrong("eTag", "is none that S3 gives")
	case o.Size < -1:
		return wrong("size", "is negative")
	}
	return nil
}

// printable reports whether s can be in a header: ASCII without control characters and spaces.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// permitted returns the entry of the allow-list that covers an object. Of several it is the longest, which says the most about the
// names below it: see skips.
func permitted(allowed []Prefix, o *Object) (longest Prefix, ok bool) {
	for _, p := range allowed {
		if p.Bucket == o.Bucket && strings.HasPrefix(o.Key, p.Prefix) && (!ok || len(p.Prefix) > len(longest.Prefix)) {
			longest, ok = p, true
		}
	}
	return longest, ok
}

// skips reports whether an object holds no predictions, by its size and its name below the permitted prefix. Jobs write such objects
// beside their results: Spark and Hive hide what begins with _ or ., such as _SUCCESS and _delta_log/, but for partitions, which have
// an equals sign; SageMaker and unloads write manifests, and some writers checksums.
func (o *Object) skips(below string) bool {
	if o.Size == 0 {
		return true
	}
	names := strings.Split(strings.TrimPrefix(o.Key, below), "/")
	if below != "" && !strings.HasSuffix(below, "/") {
		names = names[1:] // the first one begins within the prefix, such as predictions.jsonl below predictions
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") && !strings.Contains(name, "=") {
			return true
		}
	}
	base := path.Base(o.Key)
	manifest, _ := path.Match("manifest-*.json", base)
	return manifest || strings.HasSuffix(base, ".checksum") || strings.HasSuffix(o.Key, "/")
}
