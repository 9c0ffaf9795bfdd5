// Package config reads the worker's settings from the environment and validates them before anything starts.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// Prefix begins the name of every setting.
const Prefix = "WORKER"

// Config holds the settings. A field's name makes its variable's: QueueURL is WORKER_QUEUE_URL. There are no name tags:
// with one, envconfig would read the unprefixed variable where the prefixed one is unset. A group tag begins a group
// that lasts until the next one.
type Config struct {
	QueueURL       string `group:"Queues and table" split_words:"true" desc:"URL of the queue to consume. Required."`
	TableName      string `split_words:"true" desc:"Name or ARN of the table to write. Required."`
	RejectQueueURL string `split_words:"true" desc:"URL of the queue for predictions that can never be stored. Without it, their messages stay on the queue with growing visibility timeouts until its redrive policy moves them."`

	TTL          time.Duration `group:"Expiry and clocks" split_words:"true" default:"24h" desc:"Lifetime of a prediction that does not set its own, counted from its event time."`
	TTLJitter    float64       `split_words:"true" default:"0" desc:"Shortens lifetimes by up to this fraction, derived from a hash of the id, so that predictions written in one burst do not expire together. 0 to 0.9. Refused in the expiry-sorted layout."`
	AllowNoTTL   bool          `split_words:"true" default:"false" desc:"Accepts a table whose TTL is off. Readers still ignore expired predictions, but the table grows without limit."`
	MaxFuture    time.Duration `split_words:"true" default:"5m" desc:"Maximum time that an event time may lie in the future. Later ones are rejected: with a wrong unit or clock they would win over every later version."`
	TombstoneTTL time.Duration `split_words:"true" default:"0s" desc:"Lifetime of a delete that does not set its own, counted from the later of its event time and its sent time. 0s is the greater of 336h (14 days, the longest that SQS keeps a message) and WORKER_TTL. A prediction that outlives the delete is visible again. At least WORKER_TTL."`
	MinEventTime string        `split_words:"true" default:"2000-01-01T00:00:00Z" desc:"Earliest event time and expiry, as messages write times. Earlier ones are rejected: no clock gives them, but a missing value, a wrong unit or a wrong epoch does. 0 accepts all."`

	FieldID         string `group:"Message fields" split_words:"true" default:"predictionId" desc:"Field of the id. Every field name may be a dotted path into nested objects."`
	FieldTimestamp  string `split_words:"true" default:"timestamp" desc:"Field of the event time."`
	FieldPrediction string `split_words:"true" default:"prediction" desc:"Field of the payload."`
	FieldTTLSeconds string `split_words:"true" default:"ttlSeconds" desc:"Field of the prediction's own lifetime, in seconds."`
	FieldExpiresAt  string `split_words:"true" default:"expiresAt" desc:"Field of the prediction's own expiry, as an alternative to its lifetime."`
	FieldDeleted    string `split_words:"true" default:"deleted" desc:"Field that marks a delete: true deletes the id as of the event time. See docs/deletes.md."`
	Attributes      string `split_words:"true" default:"all" desc:"Other fields to store as attributes of the item: all, none, or a comma-separated list of top-level names."`

	PayloadEncoding item.Encoding `group:"Items and table layout" split_words:"true" default:"json" desc:"How payloads are stored: json (text), map (native attributes), or zstd (compressed where that saves a write unit)."`
	TableSchema     string        `split_words:"true" default:"auto" desc:"Key and TTL attribute of the table. auto reads them from the table. Without permission for DescribeTable and DescribeTimeToLive, set them like hash=predictionId:S,sort=timestamp,ttl=expiresAt: S or N is the type of the partition key, and a latest-only table has no sort."`
	SortUnit        string        `split_words:"true" default:"s" desc:"Unit of the sort key in the versioned layout: s or ms. Predictions of one id within one unit share an item. Do not change it for a table that has items."`
	Ordering        string        `split_words:"true" default:"last-write" desc:"Which of the predictions that share an item a table keeps: last-write keeps the one written last, newest the one with the newest event time, whichever replica writes it, with one conditional PutItem per item. See docs/data-model.md."`

	Deletes string `group:"Deletes" split_words:"true" default:"off" desc:"What a delete does: off rejects it, hide writes a tombstone that hides the id's older predictions from readers, remove also removes their items from the table, which needs dynamodb:Query and dynamodb:DeleteItem. Upgrade the readers first. Needs WORKER_ORDERING=newest unless the layout is versioned. See docs/deletes.md."`

	Pollers          int           `group:"Throughput and latency" split_words:"true" default:"8" desc:"Maximum concurrent receives. The worker uses one on an empty queue, more while receives return full. 8 pollers at 10 messages a receive and 10 ms a call receive 8,000 a second."`
	ReceiveWait      time.Duration `split_words:"true" default:"2s" desc:"How long a receive waits for messages, 1s to 20s (SQS's maximum). SIGTERM lets the receive in flight finish, so an idle worker ends within this time. Each empty receive is billed: an idle worker costs $0.52 a month at 2s, $0.05 at 20s."`
	WriteConcurrency int           `split_words:"true" default:"8" desc:"Maximum concurrent BatchWriteItem calls. 8 at 25 items a call and 10 ms a call write 20,000 a second."`
	MaxWriteUnits    int           `split_words:"true" default:"0" desc:"Maximum write units a second for this process; 0 means no limit. Divide the table's budget by the number of replicas."`
	MaxAddedLatency  time.Duration `split_words:"true" default:"500ms" desc:"Maximum latency added to save cost, up to 20s: to fill receives and writes, and to write only the newest of several versions of an item. 0s writes each prediction at once, for up to four times the SQS requests. See docs/performance.md."`
	DeleteLinger     time.Duration `split_words:"true" default:"1s" desc:"Maximum time that a delete waits for nine others to fill its call, 0s to 5s. The message stays invisible meanwhile."`

	MaxHeldMessages int           `group:"Memory" split_words:"true" default:"10000" desc:"Maximum messages held, from receive to delete. 8,000 a second for 0.5 s are 4,000. SQS allows 120,000 in flight for all replicas together. At least 14: one receive, and a quarter for rejects."`
	MaxHeldBytes    int64         `split_words:"true" default:"104857600" desc:"Maximum bytes held (100 MiB): messages and their decoded predictions. A receive starts only if 10 messages of the queue's maximum size fit: 10 MiB on a queue that allows 1 MiB, 80 MiB for 8 pollers, beside one decoded message. The process takes up to 156 MiB more at most."`
	MaxDecodedBytes int           `split_words:"true" default:"16777216" desc:"Maximum memory of one decoded message beside its body (16 MiB): its decompressed text, 768 bytes a prediction, 40 an attribute."`
	DedupMaxAge     time.Duration `split_words:"true" default:"1h" desc:"Maximum time for which a written key is remembered, and twice the minimum. Items deleted by hand are written again when they are sent again after this time."`
	DedupWindow     int           `split_words:"true" default:"100000" desc:"Maximum written keys remembered, at least half of them at any time, at about 60 bytes each. At 1,000 a second, 100,000 cover the last 50 to 100 s."`

	ObjectsQueueURL         string `group:"Batch outputs" split_words:"true" desc:"URL of a standard queue with S3's events about new objects. Unset: no objects are read."`
	Objects                 string `split_words:"true" desc:"Buckets and key prefixes that may be read, separated by commas, like scores/daily/,forecasts/. A prefix ends where it is written, as in an IAM policy: scores/daily also permits scores/daily-old/. Required with WORKER_OBJECTS_QUEUE_URL."`
	ObjectsBucketOwner      string `split_words:"true" desc:"Account that owns the buckets, 12 digits. A bucket of another account is not read. Default: the account in WORKER_OBJECTS_QUEUE_URL."`
	ObjectsRangeBytes       int64  `split_words:"true" default:"8388608" desc:"Size of the ranges that a large object is split into (8 MiB), larger if there would be more than 1,000. A kill repeats at most the ranges being read."`
	ObjectsSplitCSV         bool   `split_words:"true" default:"false" desc:"Splits CSV objects into ranges too. It promises that no quoted value contains a line break. By default, one worker reads a whole CSV object."`
	ObjectsConcurrency      int    `split_words:"true" default:"8" desc:"Maximum ranges and objects read at once, 1 to 64."`
	ObjectsMaxBytes         int64  `split_words:"true" default:"50331648" desc:"Maximum memory of the rows of objects on their way to the table (48 MiB), beside WORKER_MAX_HELD_BYTES. Twice WORKER_MAX_DECODED_BYTES of it is for one long row at a time."`
	ObjectsWriteConcurrency int    `split_words:"true" default:"0" desc:"Maximum concurrent BatchWriteItem calls for rows of objects, beside WORKER_WRITE_CONCURRENCY and not above it. 0 means half of that."`
	ObjectsMaxWriteUnits    int    `split_words:"true" default:"0" desc:"Maximum write units a second for rows of objects, part of WORKER_MAX_WRITE_UNITS. 0 means half of that, or no limit if that has none."`

	DrainTimeout time.Duration `group:"Timeouts" split_words:"true" default:"25s" desc:"Maximum time from SIGTERM to exit. In it, held messages are written and deleted, or released. By default, without this project's definitions, ECS and Kubernetes kill after 30 s."`
	CallTimeout  time.Duration `split_words:"true" default:"5s" desc:"Maximum time for one attempt of an AWS call; a receive gets its wait on top. 25 items of 400 KB take about 1 s."`

	PriceWriteUnits  float64 `group:"Cost metrics" split_words:"true" default:"0.625" desc:"Dollars per million write units. The default is on demand in us-east-1."`
	PriceSQSRequests float64 `split_words:"true" default:"0.4" desc:"Dollars per million SQS requests. The default is a standard queue in us-east-1."`

	HTTPAddr  string `group:"HTTP, logs and metrics" split_words:"true" default:":9090" desc:"Address of /livez, /readyz and /metrics."`
	AdminAddr string `split_words:"true" default:"127.0.0.1:9091" desc:"Address of the status page and pprof; empty disables both. It exposes the process's internals: keep it off the network."`
	LogLevel  string `split_words:"true" default:"info" desc:"Minimum level: debug, info, warn or error. debug adds the reason of each reject. Payloads and prediction ids are never logged."`
	LogFormat string `split_words:"true" default:"json" desc:"json or text."`
	Metrics   string `split_words:"true" default:"none" desc:"Where metrics go beside /metrics: none, or emf, which writes 15 CloudWatch metrics to standard output once a minute, in the embedded metric format. They cost $4.50 a month. See docs/telemetry.md."`
}

// Values of WORKER_METRICS.
const (
	MetricsNone = "none"
	MetricsEMF  = "emf"
)

// Values of WORKER_DELETES.
const (
	DeletesOff    = "off"
	DeletesHide   = "hide"
	DeletesRemove = "remove"
)

// longestRetention is the longest that SQS keeps a message ("Amazon SQS message quotas"). A delete lives as long by default, since a
// prediction that it hides may still arrive until then.
const longestRetention = 14 * 24 * time.Hour

// Values of WORKER_ORDERING.
const (
	OrderingLastWrite = "last-write"
	OrderingNewest    = "newest"
)

// releaseReserve is the end of the drain timeout, in which unwritten messages are released.
const releaseReserve = 3 * time.Second

// WriteDeadline returns the time after SIGTERM for which the worker still writes items.
func (c *Config) WriteDeadline() time.Duration {
	return c.DrainTimeout - min(releaseReserve, c.DrainTimeout/4)
}

// validate returns an error for each invalid setting. Each begins with the setting's name.
func (c *Config) validate() (errs []error) {
	refuse := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(name, value string, allowed ...string) {
		refuse(!slices.Contains(allowed, value), "%s is %q: must be one of %s", name, value, strings.Join(allowed, ", "))
	}
	c.validateQueues(refuse)
	c.validateObjects(refuse)
	c.validateFields(refuse)
	c.validateTimes(refuse)
	refuse(c.TableName == "", "WORKER_TABLE_NAME is not set: set it to the name or ARN of the table")
	_, err := c.schema()
	refuse(err != nil, "WORKER_TABLE_SCHEMA is %q: %w", c.TableSchema, err)
	oneOf("WORKER_PAYLOAD_ENCODING", string(c.PayloadEncoding), string(item.JSON), string(item.Map), string(item.Zstd))
	oneOf("WORKER_SORT_UNIT", c.SortUnit, "s", "ms")
	oneOf("WORKER_ORDERING", c.Ordering, OrderingLastWrite, OrderingNewest)
	oneOf("WORKER_DELETES", c.Deletes, DeletesOff, DeletesHide, DeletesRemove)
	refuse(c.Deletes != DeletesOff && c.FieldDeleted == "", "WORKER_DELETES is %s, but WORKER_FIELD_DELETED is empty, so no message is a delete: name the field, or set WORKER_DELETES=off", c.Deletes)
	oneOf("WORKER_LOG_LEVEL", c.LogLevel, "debug", "info", "warn", "error")
	oneOf("WORKER_LOG_FORMAT", c.LogFormat, "json", "text")
	oneOf("WORKER_METRICS", c.Metrics, MetricsNone, MetricsEMF)
	refuse(c.TTLJitter < 0 || c.TTLJitter > 0.9, "WORKER_TTL_JITTER is %v: must be 0 to 0.9", c.TTLJitter)
	refuse(c.Pollers < 1 || c.Pollers > 256, "WORKER_POLLERS is %d: must be 1 to 256", c.Pollers)
	refuse(c.WriteConcurrency < 1 || c.WriteConcurrency > 256, "WORKER_WRITE_CONCURRENCY is %d: must be 1 to 256", c.WriteConcurrency)
	refuse(c.MaxWriteUnits < 0, "WORKER_MAX_WRITE_UNITS is %d: must be 0 (no limit) or more", c.MaxWriteUnits)
	refuse(c.MaxHeldMessages < 14, "WORKER_MAX_HELD_MESSAGES is %d: must be at least 14, one receive and a quarter for rejects", c.MaxHeldMessages)
	refuse(c.MaxDecodedBytes < 1<<20, "WORKER_MAX_DECODED_BYTES is %d: must be at least 1048576, the largest message", c.MaxDecodedBytes)
	refuse(c.DedupMaxAge < time.Second, "WORKER_DEDUP_MAX_AGE is %v: must be at least 1s", c.DedupMaxAge)
	refuse(c.DedupWindow < 2, "WORKER_DEDUP_WINDOW is %d: must be at least 2", c.DedupWindow)
	refuse(c.PriceWriteUnits < 0, "WORKER_PRICE_WRITE_UNITS is %v: must be 0 dollars per million or more", c.PriceWriteUnits)
	refuse(c.PriceSQSRequests < 0, "WORKER_PRICE_SQS_REQUESTS is %v: must be 0 dollars per million or more", c.PriceSQSRequests)
	_, _, err = net.SplitHostPort(c.HTTPAddr)
	refuse(err != nil, "WORKER_HTTP_ADDR is %q: must be host:port or :port", c.HTTPAddr)
	_, _, err = net.SplitHostPort(c.AdminAddr)
	refuse(c.AdminAddr != "" && err != nil, "WORKER_ADMIN_ADDR is %q: must be host:port or empty", c.AdminAddr)
	return errs
}

func (c *Config) validateQueues(refuse func(bool, string, ...any)) {
	isURL := func(name, value string) {
		u, err := url.Parse(value)
		refuse(value != "" && (err != nil || u.Scheme == "" || u.Host == ""), "%s is %q: must be the queue's URL, like https://sqs.eu-west-1.amazonaws.com/123456789012/predictions", name, value)
	}
	refuse(c.QueueURL == "", "WORKER_QUEUE_URL is not set: set it to the URL of the queue to consume")
	isURL("WORKER_QUEUE_URL", c.QueueURL)
	isURL("WORKER_REJECT_QUEUE_URL", c.RejectQueueURL)
	isURL("WORKER_OBJECTS_QUEUE_URL", c.ObjectsQueueURL)
	refuse(c.RejectQueueURL != "" && c.RejectQueueURL == c.QueueURL, "WORKER_REJECT_QUEUE_URL is the same queue as WORKER_QUEUE_URL: rejects would circulate forever")
}

func (c *Config) validateTimes(refuse func(bool, string, ...any)) {
	refuse(c.TTL < time.Second, "WORKER_TTL is %v: must be at least 1s", c.TTL)
	refuse(c.TombstoneTTL != 0 && c.TombstoneTTL < c.TTL, "WORKER_TOMBSTONE_TTL is %v, less than WORKER_TTL (%v): predictions would outlive their delete and be visible again; must be at least WORKER_TTL, or 0s", c.TombstoneTTL, c.TTL)
	_, err := prediction.ParseTime(c.MinEventTime)
	refuse(err != nil, "WORKER_MIN_EVENT_TIME is %q: must be a time like 2000-01-01T00:00:00Z or 946684800, or 0 to accept all", c.MinEventTime)
	refuse(c.MaxFuture < 0, "WORKER_MAX_FUTURE is %v: must be 0s or more", c.MaxFuture)
	refuse(c.ReceiveWait < time.Second || c.ReceiveWait > 20*time.Second || c.ReceiveWait%time.Second != 0, "WORKER_RECEIVE_WAIT is %v: must be whole seconds from 1s to 20s; without a wait, an idle worker would poll and pay continuously", c.ReceiveWait)
	refuse(c.CallTimeout < 100*time.Millisecond, "WORKER_CALL_TIMEOUT is %v: must be at least 100ms", c.CallTimeout)
	refuse(c.MaxAddedLatency < 0 || c.MaxAddedLatency > 20*time.Second, "WORKER_MAX_ADDED_LATENCY is %v: must be 0s to 20s", c.MaxAddedLatency)
	refuse(c.DeleteLinger < 0 || c.DeleteLinger > 5*time.Second, "WORKER_DELETE_LINGER is %v: must be 0s to 5s", c.DeleteLinger)
	refuse(c.DrainTimeout < time.Second, "WORKER_DRAIN_TIMEOUT is %v: must be at least 1s", c.DrainTimeout)
	refuse(c.DrainTimeout >= time.Second && c.WriteDeadline() < c.ReceiveWait, "WORKER_DRAIN_TIMEOUT is %v, but a receive that has started before SIGTERM can take %v (WORKER_RECEIVE_WAIT): must be at least %v, or lower WORKER_RECEIVE_WAIT",
		c.DrainTimeout, c.ReceiveWait, c.ReceiveWait+releaseReserve)
}

func (c *Config) validateFields(refuse func(bool, string, ...any)) {
	refuse(c.FieldID == "", "WORKER_FIELD_ID is empty: must name the field of the id")
	_, err := c.attributes()
	refuse(err != nil, "WORKER_ATTRIBUTES is %q, which %w", c.Attributes, err)
	refuse(c.FieldPrediction == "", "WORKER_FIELD_PREDICTION is empty: must name the field of the payload")
	seen := map[string]string{}
	for _, f := range []struct{ name, value string }{
		{"WORKER_FIELD_ID", c.FieldID}, {"WORKER_FIELD_TIMESTAMP", c.FieldTimestamp}, {"WORKER_FIELD_PREDICTION", c.FieldPrediction},
		{"WORKER_FIELD_TTL_SECONDS", c.FieldTTLSeconds}, {"WORKER_FIELD_EXPIRES_AT", c.FieldExpiresAt}, {"WORKER_FIELD_DELETED", c.FieldDeleted},
	} {
		if f.value == "" {
			continue
		}
		refuse(slices.Contains(strings.Split(f.value, "."), ""), "%s is %q: a path must have a name before and after each dot", f.name, f.value)
		refuse(seen[f.value] != "", "%s is %q, like %s: must be a field of its own", f.name, f.value, seen[f.value])
		seen[f.value] = f.name
	}
}

// CheckReceive returns an error if the memory settings do not allow one receive of the given maximum size in bytes. With a reject
// queue, a quarter of the memory is for messages that wait for it.
func (c *Config) CheckReceive(bytes int64) error {
	need, rejects := bytes+int64(c.MaxDecodedBytes), ""
	if c.RejectQueueURL != "" {
		need, rejects = need*4/3, ", and a third as much for rejects"
	}
	if c.MaxHeldBytes < need {
		return fmt.Errorf("WORKER_MAX_HELD_BYTES is %d: must be at least %d, for one receive of 10 messages of the queue's maximum size (%d bytes) and one decoded message (WORKER_MAX_DECODED_BYTES)%s",
			c.MaxHeldBytes, need, bytes, rejects)
	}
	return nil
}

// Prediction returns the settings for decoding messages.
func (c *Config) Prediction() prediction.Config {
	p := prediction.Config{
		Fields:    prediction.Fields{ID: c.FieldID, Timestamp: c.FieldTimestamp, Payload: c.FieldPrediction, TTLSeconds: c.FieldTTLSeconds, ExpiresAt: c.FieldExpiresAt, Deleted: c.FieldDeleted},
		TTL:       c.TTL,
		TTLJitter: c.TTLJitter, TombstoneTTL: c.TombstoneLife(), RejectDeletes: c.Deletes == DeletesOff,
		MaxFuture: c.MaxFuture, MaxDecodedBytes: c.MaxDecodedBytes,
	}
	p.MinEventTime, _ = prediction.ParseTime(c.MinEventTime) // validated
	p.Attributes, _ = c.attributes()                         // validated
	return p
}

// TombstoneLife returns the lifetime of a delete that does not set its own.
func (c *Config) TombstoneLife() time.Duration {
	if c.TombstoneTTL > 0 {
		return c.TombstoneTTL
	}
	return max(longestRetention, c.TTL)
}

// attributes reads WORKER_ATTRIBUTES. The error says what is wrong with it.
func (c *Config) attributes() (a prediction.Attributes, err error) {
	switch list := strings.TrimSpace(c.Attributes); {
	case list == "*" || strings.EqualFold(list, "all"):
		return prediction.Attributes{All: true}, nil
	case list == "" || strings.EqualFold(list, "none"):
		return a, nil
	}
	for name := range strings.SplitSeq(c.Attributes, ",") {
		name = strings.TrimSpace(name)
		switch first, _, dotted := strings.Cut(name, "."); {
		case name == "":
			return a, errors.New("has an empty name: must be all, none, or names separated by commas")
		case dotted:
			return a, fmt.Errorf("names the nested field %s: attributes are a message's own fields; %s keeps the whole object", name, first)
		case strings.ContainsAny(name, "*?[") || strings.EqualFold(name, "all") || strings.EqualFold(name, "none"):
			return a, fmt.Errorf("has %s in a list: must be all, none, or the names of fields, without patterns", name)
		}
		a.Names = append(a.Names, name)
	}
	return a, nil
}
