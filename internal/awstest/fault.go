package awstest

import (
	"context"
	"io"
	"time"

	"github.com/predcache/predcache/internal/awstest/attribute"
)

// Call is one request, as a fault hook and the log of calls see it.
type Call struct {
	// Operation is the API's name, e.g. BatchWriteItem.
	Operation string
	// N counts the calls of this operation at this fake, from 1.
	N int
	// Resource is the queue's, the bucket's or (for a single-table call) the table's name.
	Resource string
	// Entries are the messages or items that the request names, in the order of the request.
	Entries []Entry
	// Start is when the request had been read; End, in the log only, when the fake was done with it. An answer that was lost
	// or came after the client had gone counts too.
	Start, End time.Time
	// Code, in the log only, is the error's code, "" for a success, or "(lost)" where the client got no answer.
	Code string

	ctx  context.Context
	base string
}

// Context ends when the client has gone.
func (c *Call) Context() context.Context { return c.ctx }

// Base is the scheme and host that the client called.
func (c *Call) Base() string { return c.base }

// Entry is one message or item of a request.
type Entry struct {
	// ID is the entry's id in an SQS batch.
	ID string
	// Body is a sent message's body.
	Body string
	// ReceiptHandle is what a delete or a change of visibility names.
	ReceiptHandle string
	// MessageID is the message that a sound receipt handle stands for, or that a receive is about to deliver.
	MessageID string
	// Visibility is the timeout asked for by a change of visibility, in seconds.
	Visibility int
	// Key and VersionID are of an S3 object; of a listing, Key is the prefix.
	Key, VersionID string
	// First and Last are the bytes of an object that an answer has, both included. Set with Applied.
	First, Last int64
	// Table and Item are of a write to DynamoDB; of a delete or a read, Item is the key.
	Table string
	Item  attribute.Item
	// Delete is true for a write that deletes.
	Delete bool
	// Applied is true for a write that took effect, or an object's read. It is set when the call has run: in [Fault.After]
	// or later.
	Applied bool
}

// Fault is what goes wrong with one call. The zero value is nothing. The fields are in the order in which they strike.
type Fault struct {
	// Delay is time that the service takes before the effect. It passes in full even when the client goes away meanwhile, and
	// the effect follows: a service that has read a request does not stop for that. To end sooner use Close.
	Delay time.Duration
	// Hang waits until the client goes, then ends without effect.
	Hang bool
	// Drop closes the connection without effect.
	Drop bool
	// Err is answered, without effect.
	Err *Error
	// Unprocessed picks items of BatchWriteItem or BatchGetItem that come back as unprocessed, by their place in Call.Entries.
	Unprocessed func(i int, e Entry) bool
	// FailEntry picks entries of an SQS batch that fail, without effect; nil lets one through.
	FailEntry func(i int, e Entry) *EntryError
	// Redeliver picks messages of a receive that are delivered and yet stay visible, so that the next receive delivers them
	// again: SQS delivers at least once.
	Redeliver func(e Entry) bool
	// After is called when the effect has taken place, before the answer.
	After func()
	// AnswerDelay is time between the effect and the answer.
	AnswerDelay time.Duration
	// HangAnswer takes effect, then waits until the client goes.
	HangAnswer bool
	// ErrAfter takes effect, then is answered.
	ErrAfter *Error
	// LoseAnswer takes effect, then closes the connection without an answer.
	LoseAnswer bool
	// TearAnswer takes effect, then sends half of the body and closes the connection.
	TearAnswer bool
	// Stream replaces the body of a streamed answer. ctx ends when the client has gone. A read that fails closes the
	// connection. See [TornAfter] and [StalledAfter].
	Stream func(ctx context.Context, body io.Reader) io.Reader
}

// EntryError is the failure of one entry of an SQS batch.
type EntryError struct {
	Code, Message string
	SenderFault   bool
}

// FaultFunc decides what goes wrong with a call. It is called by the goroutine that serves the request, with no lock held,
// after the request was read and before anything is checked; it may wait, and may be called concurrently.
type FaultFunc func(*Call) Fault

// UnprocessedFrom returns a Fault.Unprocessed that sends back the items from the n-th on, counting from 0.
func UnprocessedFrom(n int) func(int, Entry) bool {
	return func(i int, _ Entry) bool { return i >= n }
}
