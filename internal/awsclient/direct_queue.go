package awsclient

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A DirectQueue is one SQS queue by our own requests: the consumer's queue.
type DirectQueue struct {
	clients                 *Clients
	url                     string // as JSON
	receive, remove, change *awsjson.Operation
}

// NewDirectQueue returns the queue of a URL, by the settings of the SDK's client.
func NewDirectQueue(clients *Clients, url string) *DirectQueue {
	s := awsjson.SQS(clients.SQS.Options(), clients.Clock)
	return &DirectQueue{
		clients: clients, url: string(jsonscan.AppendQuoted(nil, url)),
		receive: s.Operation("ReceiveMessage"), remove: s.Operation("DeleteMessageBatch"), change: s.Operation("ChangeMessageVisibilityBatch"),
	}
}

// Receive implements consumer.Queue.
func (q *DirectQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	c := q.receive.Begin()
	defer q.receive.End(c)
	b := append(c.Request, `{"QueueUrl":`...)
	b = append(append(b, q.url...), `,"MaxNumberOfMessages":`...)
	b = append(strconv.AppendInt(b, int64(limit), 10), `,"WaitTimeSeconds":`...)
	b = strconv.AppendInt(b, int64(wait/time.Second), 10)
	c.Request = append(b, `,"MessageSystemAttributeNames":["ApproximateReceiveCount","SentTimestamp","MessageGroupId","AWSTraceHeader"],"MessageAttributeNames":["All"]}`...)

	var received []consumer.Received
	err := q.clients.send(ctx, q.receive, c, func(w *jsonscan.Walker) {
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

// readMessages reads what a receive brought. Each body is a string of its own, since it is let go before its message's other
// parts, which share one.
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
func (q *DirectQueue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	c := q.remove.Begin()
	defer q.remove.End(c)
	b := q.beginEntries(c)
	for i, receipt := range receipts {
		b = append(appendEntry(b, i, receipt), '}')
	}
	c.Request = append(b, "]}"...)
	return q.batch(ctx, q.remove, c)
}

// ChangeVisibility implements consumer.Queue.
func (q *DirectQueue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	c := q.change.Begin()
	defer q.change.End(c)
	b := q.beginEntries(c)
	for i := range changes {
		b = append(appendEntry(b, i, changes[i].Receipt), `,"VisibilityTimeout":`...)
		b = append(strconv.AppendInt(b, int64(changes[i].Timeout/time.Second), 10), '}')
	}
	c.Request = append(b, "]}"...)
	return q.batch(ctx, q.change, c)
}

func (q *DirectQueue) beginEntries(c *awsjson.Call) []byte {
	return append(append(append(c.Request, `{"QueueUrl":`...), q.url...), `,"Entries":[`...)
}

func appendEntry(b []byte, i int, receipt string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(append(append(b, `{"Id":"`...), entryIDs[i]...), `","ReceiptHandle":`...)
	return jsonscan.AppendQuoted(b, receipt)
}

// batch makes a call on several messages and returns those for which it failed.
func (q *DirectQueue) batch(ctx context.Context, o *awsjson.Operation, c *awsjson.Call) ([]consumer.Failure, error) {
	var failed []types.BatchResultErrorEntry
	err := q.clients.send(ctx, o, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			if name == "Failed" {
				w.Array(func() { failed = append(failed, readFailure(w)) })
			}
		})
	})
	if err != nil {
		return nil, brief(o.Name(), err)
	}
	if len(failed) == 0 {
		return nil, nil
	}
	return failures(failed)
}

func readFailure(w *jsonscan.Walker) (f types.BatchResultErrorEntry) {
	w.Object(func(name string) {
		switch name {
		case "Id":
			f.Id = aws.String(readString(w))
		case "Code":
			f.Code = aws.String(readString(w))
		case "SenderFault":
			f.SenderFault = w.Bool()
		}
	})
	return f
}

// readString is for what isn't there in every answer.
func readString(w *jsonscan.Walker) string { return string(w.AppendString(nil)) }

// texts holds short strings of one answer together.
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
