// Package prediction is the message contract: the forms of a message and the predictions in it. It does not depend on AWS:
// bodies and attributes are text.
package prediction

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A Prediction is one cached result, or the delete of an id: see Version.Deleted. Its strings are substrings of the message's
// body and keep it in memory.
type Prediction struct {
	ID         ID
	EventTime  Time
	Expires    int64 // epoch seconds: the event time plus the lifetime, or the message's own expiry
	Version    Version
	Payload    jsonscan.Value // empty for a delete, which has no Attributes either
	Attributes []Attribute
	Raw        string // the original JSON text of the prediction
}

// An ID identifies what was predicted. N is true if it is a JSON number in the message; Text is then the number's text.
type ID struct {
	Text string
	N    bool
}

// An Attribute is another field of a prediction, stored beside the payload.
type Attribute struct {
	Name  string
	Value jsonscan.Value
}

// A Version orders the predictions of one key: by event time at full precision, then deletes after predictions, then by sent
// time, then by place in the message, then by a hash of the content. The order is the same in every process.
type Version struct {
	Event   Time
	Sent    int64 // milliseconds since the epoch
	Place   int32
	Deleted bool   // the id is deleted as of Event: every prediction up to that time is hidden
	Hash    uint64 // of Prediction.Raw
}

// Compare returns -1 if v is older than u, 1 if it is newer, and 0 if they are the same version.
func (v Version) Compare(u Version) int {
	if c := v.Event.Compare(u.Event); c != 0 {
		return c
	}
	if v.Deleted != u.Deleted {
		if v.Deleted {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(v.Sent, u.Sent), cmp.Compare(v.Place, u.Place), cmp.Compare(v.Hash, u.Hash))
}

// SameContent reports whether v and u are duplicates: the same event time and the same text, which make the same item.
func (v Version) SameContent(u Version) bool { return v.Event == u.Event && v.Hash == u.Hash }

// An Outcome is the result of processing a prediction.
type Outcome uint8

// The outcomes. A message is deleted when all its predictions have one of the first six. Failed releases it.
const (
	Written    Outcome = iota // durable in the table
	Deleted                   // a delete that is durable in the table, and whose older items are removed if that is on
	Duplicate                 // the same prediction is durable
	Superseded                // a newer version of its key is durable
	Expired                   // expired before it was written
	Rejected                  // can never be written
	Failed                    // not written; the next receive tries again
	NumOutcomes
)

func (o Outcome) String() string {
	return [...]string{"written", "deleted", "duplicate", "superseded", "expired", "rejected", "failed"}[o]
}

// A Reason is the kind of fault that keeps a prediction from being stored. Reasons are values of a metric label.
type Reason string

// The reasons.
const (
	ReasonEncoding      Reason = "encoding"       // Content-Encoding unknown, or its base64, gzip or zstd broken
	ReasonTooLarge      Reason = "too_large"      // the message is too long once decompressed, or the item over 400 KB
	ReasonSyntax        Reason = "syntax"         // not JSON
	ReasonEnvelope      Reason = "envelope"       // an envelope of SNS, EventBridge or the SQS Extended Client without its content
	ReasonMissingField  Reason = "missing_field"  // a required field is missing
	ReasonFieldType     Reason = "field_type"     // a field of the wrong JSON type or form
	ReasonFieldValue    Reason = "field_value"    // a field with a value out of range
	ReasonReservedName  Reason = "reserved_name"  // a field named like an attribute that the worker sets
	ReasonDuplicateName Reason = "duplicate_name" // a field that occurs twice
	ReasonFuture        Reason = "future"         // the event time is too far ahead of the clock
	ReasonPast          Reason = "past"           // the event time or the expiry is earlier than any clock's
	ReasonKey           Reason = "key"            // a key that is empty, too long or of the wrong type
	ReasonNumber        Reason = "number"         // a number that JSON or DynamoDB can't hold
	ReasonNesting       Reason = "nesting"        // nested deeper than DynamoDB can hold
	ReasonIndexKey      Reason = "index_key"      // an attribute that does not match an index of the table
	ReasonDeletesOff    Reason = "deletes_off"    // a delete, but WORKER_DELETES is off
	ReasonTable         Reason = "table"          // refused by DynamoDB
	ReasonObject        Reason = "object"         // an object of S3 that can't be read, or may not be
	ReasonInternal      Reason = "internal"       // a bug of the worker
)

// Reasons lists all reasons.
var Reasons = []Reason{
	ReasonEncoding, ReasonTooLarge, ReasonSyntax, ReasonEnvelope, ReasonMissingField, ReasonFieldType, ReasonFieldValue, ReasonReservedName,
	ReasonDuplicateName, ReasonFuture, ReasonPast, ReasonKey, ReasonNumber, ReasonNesting, ReasonIndexKey, ReasonDeletesOff, ReasonTable, ReasonObject,
	ReasonInternal,
}

// A Reject explains why a prediction or a whole message can never be written. Detail says what is wrong and what to do. It
// contains nothing from the message but field names and sizes.
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

// Rejectf returns a Reject with a formatted detail.
func Rejectf(reason Reason, field, format string, args ...any) *Reject {
	return &Reject{reason, clip(field), fmt.Sprintf(format, args...)}
}

// maxField bounds a field's name in a Reject: a name can have a megabyte.
const maxField = 512

func clip(field string) string {
	if len(field) <= maxField {
		return strings.Clone(field) // not a part of the message's text, which would stay in memory as long as the Reject
	}
	return strings.ToValidUTF8(field[:maxField], "") + "…"
}
