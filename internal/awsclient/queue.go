package awsclient

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A Queue is one SQS queue. It is the consumer's queue and its reject queue.
type Queue struct {
	url  string // quoted as JSON
	fifo bool

	receive, remove, change, send *awsjson.Operation
}

// NewQueue returns the queue of a URL.
func NewQueue(clients *Clients, url string) *Queue {
	s := awsjson.SQS(clients.SQS.Options(), clients.Clock)
	return &Queue{
		url: string(jsonscan.AppendQuoted(nil, url)), fifo: strings.HasSuffix(url, ".fifo"),
		receive: s.Operation("ReceiveMessage"), remove: s.Operation("DeleteMessageBatch"),
		change: s.Operation("ChangeMessageVisibilityBatch"), send: s.Operation("SendMessageBatch"),
	}
}

// Receive implements consumer.Queue.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	c := q.receive.Begin()
	defer q.receive.End(c)
	b := append(c.Request, `{"QueueUrl":`...)
	b = append(append(b, q.url...), `,"MaxNumberOfMessages":`...)
	b = append(strconv.AppendInt(b, int64(limit), 10), `,"WaitTimeSeconds":`...)
	b = strconv.AppendInt(b, int64(wait/time.Second), 10)
	c.Request = append(b, `,"MessageSystemAttributeNames":["ApproximateReceiveCount","SentTimestamp","MessageGroupId","AWSTraceHeader"],"MessageAttributeNames":["All"]}`...)

	var received []consumer.Received
	err := q.receive.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			if name == "Messages" {
				received = readMessages(w, limit, &c.Scratch)
			}
		})
	})
	if err != nil {
		return nil, brief(q.receive.Name(), err)
	}
	return received, nil
}

// readMessages reads the messages of a receive. Each body is a string of its own, since it is dropped before the other
// parts of its message, which share one.
func readMessages(w *jsonscan.Walker, limit int, scratch *[]byte) []consumer.Received {
	var received []consumer.Received
	small := texts{scratch: scratch}
	w.Array(func() {
		if received == nil {
			received = make([]consumer.Received, 0, limit)
		}
		received = append(received, consumer.Received{})
		r := &received[len(received)-1]
		w.Object(func(name string) {
			switch name {
			case "MessageId":
				r.ID = small.read(w)
			case "ReceiptHandle":
				r.Receipt = small.read(w)
			case "Body":
				*scratch = w.AppendString((*scratch)[:0])
				r.Body = string(*scratch)
			case "Attributes":
				w.Object(func(name string) {
					switch name {
					case "ApproximateReceiveCount":
						r.Receives, _ = strconv.Atoi(w.String()) // 0 where a stand-in leaves it out
					case "SentTimestamp":
						r.Sent, _ = strconv.ParseInt(w.String(), 10, 64)
					case "MessageGroupId":
						r.GroupID = small.read(w)
					case "AWSTraceHeader":
						r.TraceHeader = small.read(w)
					}
				})
			case "MessageAttributes":
				w.Object(func(name string) {
					a := consumer.Attribute{Name: strings.Clone(name)}
					w.Object(func(name string) { readAttribute(w, &a, name) })
					r.Attributes = append(r.Attributes, a)
				})
			}
		})
	})
	return received
}

// readAttribute reads one member of a message attribute.
func readAttribute(w *jsonscan.Walker, a *consumer.Attribute, name string) {
	switch name {
	case "DataType":
		a.Type = readString(w)
	case "StringValue":
		if text := readString(w); text != "" {
			a.Value = text
		}
	case "BinaryValue":
		if text := readString(w); text != "" {
			value, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				w.Fail("a binary value that is not base64")
			}
			a.Value = string(value)
		}
	}
}

// Delete implements consumer.Queue.
func (q *Queue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	c := q.remove.Begin()
	defer q.remove.End(c)
	b := q.beginEntries(c)
	for i, receipt := range receipts {
		b = append(appendReceipt(b, i, receipt), '}')
	}
	c.Request = append(b, "]}"...)
	return q.batch(ctx, q.remove, c, nil)
}

// ChangeVisibility implements consumer.Queue.
func (q *Queue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	c := q.change.Begin()
	defer q.change.End(c)
	b := q.beginEntries(c)
	for i := range changes {
		b = append(appendReceipt(b, i, changes[i].Receipt), `,"VisibilityTimeout":`...)
		b = append(strconv.AppendInt(b, int64(changes[i].Timeout/time.Second), 10), '}')
	}
	c.Request = append(b, "]}"...)
	return q.batch(ctx, q.change, c, nil)
}

// Send implements consumer.RejectQueue.
func (q *Queue) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	c := q.send.Begin()
	defer q.send.End(c)
	b := q.beginEntries(c)
	for i := range messages {
		m := &messages[i]
		b = jsonscan.AppendQuoted(append(beginEntry(b, i), `,"MessageBody":`...), m.Body)
		if q.fifo {
			b = jsonscan.AppendQuoted(append(b, `,"MessageGroupId":`...), m.GroupID)
			b = jsonscan.AppendQuoted(append(b, `,"MessageDeduplicationId":`...), m.DeduplicationID)
		}
		for j := range m.Attributes {
			opening := byte(',')
			if j == 0 {
				b, opening = append(b, `,"MessageAttributes":`...), '{'
			}
			b = appendAttribute(append(b, opening), &m.Attributes[j])
		}
		if len(m.Attributes) > 0 {
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	c.Request = append(b, "]}"...)
	var sent []string
	failed, err := q.batch(ctx, q.send, c, &sent)
	if err != nil {
		return nil, err
	}
	return unanswered(len(messages), sent, failed), nil
}

// unanswered adds the entries that an answer names neither as sent nor as failed. Whoever sent them would delete their source.
func unanswered(entries int, sent []string, failed []consumer.Failure) []consumer.Failure {
	for i, id := range entryIDs[:entries] {
		if !slices.Contains(sent, id) && !slices.ContainsFunc(failed, func(f consumer.Failure) bool { return f.Index == i }) {
			failed = append(failed, consumer.Failure{Index: i, Code: "NoAnswer"})
		}
	}
	return failed
}

func appendAttribute(b []byte, a *consumer.Attribute) []byte {
	b = append(jsonscan.AppendQuoted(b, a.Name), `:{"DataType":`...)
	b = jsonscan.AppendQuoted(b, a.Type)
	if strings.HasPrefix(a.Type, "Binary") {
		b = append(b, `,"BinaryValue":"`...)
		return append(base64.StdEncoding.AppendEncode(b, []byte(a.Value)), `"}`...)
	}
	return append(jsonscan.AppendQuoted(append(b, `,"StringValue":`...), a.Value), '}')
}

func (q *Queue) beginEntries(c *awsjson.Call) []byte {
	return append(append(append(c.Request, `{"QueueUrl":`...), q.url...), `,"Entries":[`...)
}

// An entry's id is its index in the batch, which makes it unique.
var entryIDs = [consumer.MaxBatch]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func beginEntry(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(append(append(b, `{"Id":"`...), entryIDs[i]...), '"')
}

func appendReceipt(b []byte, i int, receipt string) []byte {
	return jsonscan.AppendQuoted(append(beginEntry(b, i), `,"ReceiptHandle":`...), receipt)
}

// A namedEntry is an entry of a batch as the answer names it. The code and the fault are of one that failed.
type namedEntry struct {
	id, code    string
	senderFault bool
}

// batch makes a call on several messages and returns those for which it failed. It appends the ids of the others to succeeded,
// unless that is nil.
func (q *Queue) batch(ctx context.Context, o *awsjson.Operation, c *awsjson.Call, succeeded *[]string) ([]consumer.Failure, error) {
	var failed []namedEntry
	err := o.Send(ctx, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			switch {
			case name == "Failed":
				w.Array(func() { failed = append(failed, readEntry(w)) })
			case name == "Successful" && succeeded != nil:
				w.Array(func() { *succeeded = append(*succeeded, readEntry(w).id) })
			}
		})
	})
	if err != nil {
		return nil, brief(o.Name(), err)
	}
	return failures(failed)
}

func readEntry(w *jsonscan.Walker) (f namedEntry) {
	w.Object(func(name string) {
		switch name {
		case "Id":
			f.id = readString(w)
		case "Code":
			f.code = readString(w)
		case "SenderFault":
			f.senderFault = w.Bool()
		}
	})
	return f
}

func failures(failed []namedEntry) ([]consumer.Failure, error) {
	if len(failed) == 0 {
		return nil, nil
	}
	out := make([]consumer.Failure, len(failed))
	for i, f := range failed {
		index, err := strconv.Atoi(f.id)
		if err != nil || index < 0 || index >= consumer.MaxBatch {
			return nil, fmt.Errorf("the answer names an unknown batch entry %q", f.id)
		}
		out[i] = consumer.Failure{Index: index, SenderFault: f.senderFault, Code: f.code}
	}
	return out, nil
}

// readString returns a copy of a string. Use it only for rare strings: each copy is an allocation.
func readString(w *jsonscan.Walker) string { return string(w.AppendString(nil)) }

// texts stores the short strings of one answer in one allocation.
type texts struct {
	scratch *[]byte
	free    []byte
}

func (t *texts) read(w *jsonscan.Walker) string {
	const piece = 4 << 10 // ten ids and receipt handles have about this length
	text := w.AppendString((*t.scratch)[:0])
	*t.scratch = text
	if cap(t.free) < len(text) {
		t.free = make([]byte, 0, max(piece, len(text)))
	}
	b := append(t.free, text...)
	t.free = b[len(b):]
	return unsafe.String(unsafe.SliceData(b), len(b))
}
