package prediction

import (
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// Config configures a Decoder. An empty field name means that messages don't have the field.
type Config struct {
	Fields     Fields
	Attributes Attributes
	TTL        time.Duration // lifetime of a prediction that does not set its own
	// TTLJitter shortens lifetimes by up to this fraction, derived from a hash of the id, so that predictions written in one
	// burst do not expire together. It does not change an expiry set by ExpiresAt.
	TTLJitter float64
	// TombstoneTTL is the lifetime of a delete that does not set its own, counted from the later of its event time and sent time. 0
	// means TTL. A delete lives for at least TTL, so that it outlives the predictions that it hides if they have the default lifetime.
	TombstoneTTL time.Duration
	// RejectDeletes rejects deletes.
	RejectDeletes bool
	// RequireTimestamp rejects a prediction without an event time, unless an envelope has one. Otherwise it gets the message's
	// sent time.
	RequireTimestamp bool
	MaxFuture        time.Duration // maximum time of an event time ahead of the clock
	// MinEventTime is the earliest event time and expiry. Earlier ones are no clock's: a missing value became 0, or the unit or
	// the epoch is wrong. The prediction would have expired at once and disappeared.
	MinEventTime Time
	// MaxDecodedBytes bounds the memory of a message beside its body, as counted in Decoded.Bytes. Without it, 1 MiB of gzip
	// could become 1 GiB of text, and 1 MiB of small objects 100 MiB of predictions.
	MaxDecodedBytes int
}

// Fields are the names of a prediction's fields. A dotted name is a path into nested objects.
type Fields struct {
	ID, Timestamp, Payload, TTLSeconds, ExpiresAt, Deleted string
}

// Attributes selects the other fields to store: all, or those in Names.
type Attributes struct {
	All   bool
	Names []string
}

func (a Attributes) keep(name string) bool {
	if a.All {
		return true
	}
	for _, n := range a.Names {
		if n == name {
			return true
		}
	}
	return false
}

// A Message is a message of a queue.
type Message struct {
	Body            string
	ContentEncoding string // empty, gzip or zstd; the body is base64 for the latter two
	Sent            int64  // milliseconds since the epoch; the event time of predictions without one, unless an envelope has a time
	// Order is the Version.Sent of the predictions. 0 means Sent, or an envelope's time. Place is the Version.Place of the first.
	Order int64
	Place int32
	// Room is called before the message takes more than FreeBytes beside its body, with the total that it may take. It blocks
	// until there is room, and returns false to give up. If it is nil, there is always room.
	Room func(bytes int) bool
}

// The memory that a decoded message takes beside its body.
const (
	// FreeBytes is the memory that needs no Room. It covers about 80 predictions, so that Room is called only for large and
	// for compressed messages.
	FreeBytes = 64 << 10
	// PredictionBytes is the memory of one prediction on its way to the table: the prediction, its item, its entries in the
	// dedup window and the batcher, and its reference to the message.
	PredictionBytes = 768
	// AttributeBytes is the additional memory of each of its attributes.
	AttributeBytes = 40
)

// Decoded holds the parts of a message. It can be reused for the next one.
type Decoded struct {
	Predictions []Prediction
	Rejected    []RejectedPart // the first MaxRejectedParts
	More        int            // number of further rejected parts
	Bytes       int            // approximate memory of the message beside its body
	Sent        int64          // when the predictions were sent: Message.Sent, or an earlier time of an envelope

	members []jsonscan.Member
}

// MaxRejectedParts is the maximum number of rejected parts to keep. A message with more is rejected as a whole.
const MaxRejectedParts = 11

// A RejectedPart is a part of a message that is not a valid prediction, with the reason.
type RejectedPart struct {
	Raw   string // its original text
	Whole bool   // Raw is the whole message body, with its Content-Encoding
	Why   *Reject
	Sent  int64 // when it was sent, in milliseconds since the epoch; 0: with its message
	// Object is where the part was read, if it is not in its message. It is described in the reject.
	Object *ObjectPlace
}

// An ObjectPlace is a place in an object of S3.
type ObjectPlace struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	// Offset is in bytes of the decompressed text. Row counts from 1; 0 is unknown, as in a range of the object.
	Offset int64 `json:"offset"`
	Row    int64 `json:"row,omitempty"`
}

// A Decoder decodes messages. It is safe for concurrent use if each goroutine has its own Decoded.
type Decoder struct {
	cfg    Config
	fields [numFields]path
	zstd   zstdReaders
}

// NewDecoder returns a Decoder. cfg must be valid.
func NewDecoder(cfg Config) *Decoder {
	d := &Decoder{cfg: cfg}
	f := cfg.Fields
	for i, name := range [numFields]string{f.ID, f.Timestamp, f.Payload, f.TTLSeconds, f.ExpiresAt, f.Deleted} {
		parts := strings.Split(name, ".")
		d.fields[i] = path{name, parts[0], parts[1:]}
	}
	d.zstd = newZstd(cfg.MaxDecodedBytes)
	return d
}

// Decode decodes m into dst. now is the AWS services' clock. It returns false, with an empty dst, if m.Room gave up.
func (d *Decoder) Decode(dst *Decoded, m Message, now time.Time) bool {
	dst.Reset()
	run := decoding{Decoder: d, dst: dst, sent: m.Sent, order: m.Order, place: m.Place, now: now, room: m.Room, granted: FreeBytes}
	if run.order == 0 {
		run.order, run.orderBySent = m.Sent, true
	}
	why := run.body(m.Body, m.ContentEncoding, 0)
	dst.Sent = run.sent
	if run.gaveUp {
		dst.Reset()
		return false
	}
	if why != nil {
		// A body that can't be read as a whole is rejected as a whole.
		dst.Reset()
		dst.Rejected = append(dst.Rejected, RejectedPart{Raw: m.Body, Whole: true, Why: why})
	}
	return true
}

// Reset drops the last message's text, and memory that only a large message needs.
func (d *Decoded) Reset() {
	const most = 1000
	clear(d.Predictions)
	clear(d.Rejected)
	clear(d.members[:cap(d.members)])
	d.Predictions, d.Rejected, d.members = d.Predictions[:0], d.Rejected[:0], d.members[:0]
	if cap(d.Predictions) > most || cap(d.members) > most {
		d.Predictions, d.members = nil, nil
	}
	d.More, d.Bytes, d.Sent = 0, 0, 0
}

// decoding is the state of one Decode.
type decoding struct {
	*Decoder
	dst    *Decoded
	now    time.Time
	place  int32
	parts  int                       // that have been read
	values [numFields]jsonscan.Value // of the prediction being read
	copied int                       // bytes of the prediction that are not in its text, but copies of parts of it
	flaw   *Reject                   // of the object whose members are scanned: it is JSON but for a number

	sent, order int64
	orderBySent bool // order is the sent time, not the caller's
	inEnvelope  bool // sent is the time of an envelope

	room    func(bytes int) bool
	granted int  // bytes that the message may take without a call of room
	gaveUp  bool // room returned false
}

// take counts n more bytes beside the body, and waits for room if that exceeds what was granted.
func (r *decoding) take(n int) *Reject {
	r.dst.Bytes += n
	switch {
	case r.dst.Bytes > r.cfg.MaxDecodedBytes:
		return tooLong(r.cfg.MaxDecodedBytes)
	case r.dst.Bytes > r.granted:
		return r.ask(2 * r.dst.Bytes)
	}
	return nil
}

func tooLong(limit int) *Reject {
	return Rejectf(ReasonTooLarge, "", "the message takes more than %d bytes once decoded: split it, or allow more with WORKER_MAX_DECODED_BYTES", limit)
}

// ask waits for room for n bytes in total, at most MaxDecodedBytes.
func (r *decoding) ask(n int) *Reject {
	n = min(n, r.cfg.MaxDecodedBytes)
	if r.room != nil && !r.room(n) {
		r.gaveUp = true
		return errNoRoom
	}
	r.granted = n
	return nil
}

// errNoRoom ends a decoding that gave up. It is not a reject.
var errNoRoom = &Reject{}

// rejectf is Rejectf for a part. After MaxRejectedParts it builds nothing: a part can be two bytes, and a message have 100,000.
func (r *decoding) rejectf(reason Reason, field, format string, args ...any) *Reject {
	if len(r.dst.Rejected) == MaxRejectedParts {
		return errMore
	}
	return Rejectf(reason, field, format, args...)
}

// errMore rejects a part that is only counted.
var errMore = &Reject{}

func (r *decoding) reject(raw string, why *Reject) {
	r.place++
	r.parts++
	if len(r.dst.Rejected) == MaxRejectedParts {
		r.dst.More++
		return
	}
	r.dst.Rejected = append(r.dst.Rejected, RejectedPart{Raw: raw, Why: why, Sent: r.sent})
}
