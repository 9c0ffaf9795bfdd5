// Package prediction is the message contract: what a message may look like, and the predictions that it carries.
// It knows nothing of AWS: bodies and attributes come in as text.
package prediction

import (
	"cmp"
	"fmt"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A Prediction is one cached result. Its texts are parts of the message's body, which they keep in memory.
type Prediction struct {
	ID         ID
	EventTime  Time
	Expires    int64 // epoch seconds: the event time plus the prediction's life, or the end that it named
	Version    Version
	Payload    jsonscan.Value
	Attributes []Attribute
	Raw        string // the JSON text of the prediction as it came
}

// An ID names what was predicted. N says that the message gave it as a JSON number; Text is then the number's text.
type ID struct {
	Text string
	N    bool
}

// An Attribute is one of a prediction's other fields, kept beside the payload.
type Attribute struct {
	Name  string
	Value jsonscan.Value
}

// A Version orders the predictions of one key: by event time at full precision, then by sent time, then by place in
// the message, then by a hash of the content. The order is the same in each process.
type Version struct {
	Event Time
	Sent  int64 // milliseconds since the epoch
	Place int32
	Hash  uint64 // of Prediction.Raw
}

// Compare returns -1 where v is older than u, 1 where it is newer, 0 where they are the same version.
func (v Version) Compare(u Version) int {
	return cmp.Or(v.Event.Compare(u.Event), cmp.Compare(v.Sent, u.Sent), cmp.Compare(v.Place, u.Place), cmp.Compare(v.Hash, u.Hash))
}

// SameContent tells whether v and u are of the same prediction, however often it was sent: the same event time and
// the same text, which together make the same item.
func (v Version) SameContent(u Version) bool { return v.Event == u.Event && v.Hash == u.Hash }

// An Outcome is what became of a prediction.
type Outcome uint8

// The outcomes. A message is deleted once each of its predictions has one of the first five; Failed releases it.
const (
	Written    Outcome = iota // durable in the table
	Duplicate                 // the same prediction is durable
	Superseded                // a newer version of its key is durable
	Expired                   // over before it could be written
	Rejected                  // can never be written
	Failed                    // not written, to be tried again by whoever receives it next
	NumOutcomes
)

func (o Outcome) String() string {
	return [...]string{"written", "duplicate", "superseded", "expired", "rejected", "failed"}[o]
}

// A Reason says in one word why a prediction can't be stored. The words are the values of a metric's label.
type Reason string

// The reasons, each with what it covers.
const (
	ReasonEncoding      Reason = "encoding"       // Content-Encoding unknown, or its base64, gzip or zstd broken
	ReasonTooLarge      Reason = "too_large"      // the message is too long once decompressed, or the item over 400 KB
	ReasonSyntax        Reason = "syntax"         // not JSON
	ReasonEnvelope      Reason = "envelope"       // an SNS or EventBridge envelope without its content
	ReasonMissingField  Reason = "missing_field"  // a field that must be there isn't
	ReasonFieldType     Reason = "field_type"     // a field of the wrong JSON type or form
	ReasonFieldValue    Reason = "field_value"    // a field whose value is out of range
	ReasonReservedName  Reason = "reserved_name"  // a field named like an attribute that the worker sets
	ReasonDuplicateName Reason = "duplicate_name" // a field that is there twice
	ReasonFuture        Reason = "future"         // the event time is too far ahead of the clock
	ReasonKey           Reason = "key"            // a key that is empty, too long or of the wrong type
	ReasonNumber        Reason = "number"         // a number that DynamoDB can't hold
	ReasonNesting       Reason = "nesting"        // nested deeper than DynamoDB can hold
	ReasonIndexKey      Reason = "index_key"      // an attribute that isn't what an index of the table declares
	ReasonTable         Reason = "table"          // refused by DynamoDB
	ReasonInternal      Reason = "internal"       // a fault of the worker's own, to be reported
)

// Reasons lists every reason, for those who count by it.
var Reasons = []Reason{
	ReasonEncoding, ReasonTooLarge, ReasonSyntax, ReasonEnvelope, ReasonMissingField, ReasonFieldType, ReasonFieldValue, ReasonReservedName,
	ReasonDuplicateName, ReasonFuture, ReasonKey, ReasonNumber, ReasonNesting, ReasonIndexKey, ReasonTable, ReasonInternal,
}

// A Reject is why a prediction, or a whole message, can never be written. Detail says what is wrong and what to do; it
// holds nothing of the message but field names and sizes.
type Reject struct {
	Reason Reason
	Field  string
	Detail string
}

func (r *Reject) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
	}
	return fmt.Sprintf("%s: %s %s", r.Reason, r.Field, r.Detail)
}

// Rejectf makes a Reject of a field with a formatted detail.
func Rejectf(reason Reason, field, format string, args ...any) *Reject {
	return &Reject{reason, field, fmt.Sprintf(format, args...)}
}
