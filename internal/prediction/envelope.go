package prediction

import (
	"strings"

	"github.com/predcache/predcache/internal/jsonscan"
)

// maxEnvelopes is the maximum number of envelopes around a prediction. EventBridge to SNS to SQS makes two.
const maxEnvelopes = 3

// s3Pointers are what the Extended Client Libraries for SQS and SNS send for a payload that they have put into S3: an array of a
// class name and an object ("Managing large Amazon SQS messages using the Extended Client Library and Amazon S3").
var s3Pointers = []string{`"software.amazon.payloadoffloading.PayloadS3Pointer"`, `"com.amazon.sqs.javamessaging.MessageS3Pointer"`}

// isS3Pointer reports whether an array is such a pointer. As any other array it would be rejected in two parts, which nobody
// could put together again.
func isS3Pointer(array string) bool {
	first := strings.TrimLeft(array[1:], " \t\r\n")
	for _, class := range s3Pointers {
		if strings.HasPrefix(first, class) {
			return true
		}
	}
	return false
}

// object reads the only object of a message, whose members are scanned: a prediction or an envelope.
func (r *decoding) object(object jsonscan.Value, envelopes int) *Reject {
	if r.flaw != nil || r.has(fieldID) && (r.has(fieldPayload) || r.has(fieldDeleted)) { // first, since an EventBridge event has an "id" too
		return r.prediction(object)
	}
	switch {
	case r.isS3Event():
		return Rejectf(ReasonEnvelope, "", "the message is an event of S3, not a prediction: let the bucket send its events to the queue of WORKER_OBJECTS_QUEUE_URL, and the worker reads the objects")
	case r.member("Type").Text == `"Notification"` && r.member("TopicArn").Text != "" && r.member("Message").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "Message", "is inside too many envelopes: unwrap them before the queue")
		}
		r.envelopeTime(r.member("Timestamp"))
		return r.notification(envelopes + 1)
	case r.member("detail-type").Text != "" && r.member("source").Text != "" && r.member("detail").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "detail", "is inside too many envelopes: unwrap them before the queue")
		}
		r.envelopeTime(r.member("time"))
		return r.body(r.member("detail").Text, "", envelopes+1)
	case r.isConfirmation():
		return Rejectf(ReasonEnvelope, "Type", "says that SNS waits for a subscription to be confirmed, and sends nothing before: let the queue's owner subscribe it, which needs no confirmation, or open the message's SubscribeURL")
	}
	return r.prediction(object) // reports what is missing
}

// isS3Event reports whether the object is an event of S3, by itself or from EventBridge, or the test event that S3 sends first ("Event
// message structure", "EventBridge events" of the Amazon S3 User Guide).
func (r *decoding) isS3Event() bool {
	if r.member("source").Text == `"aws.s3"` && r.member("detail-type").Text != "" || r.member("Event").Text == `"s3:TestEvent"` {
		return true
	}
	records := r.member("Records")
	return records.Kind() == jsonscan.Array && strings.Contains(records.Text, `"aws:s3"`)
}

// envelopeTime lets the time of an SNS or EventBridge envelope stand in for SQS's sent time, which is new when a message is
// redriven from a dead-letter queue or its event is replayed from an archive: an old prediction would win over newer ones. A
// time that is later than SQS's, or that no clock gives, is ignored.
func (r *decoding) envelopeTime(v jsonscan.Value) {
	t, err := parseTime(v)
	if err != nil || t.Compare(r.cfg.MinEventTime) < 0 || t.After(r.now.Add(r.cfg.MaxFuture)) {
		return
	}
	ms := t.In(1000)
	if r.sent > 0 && ms > r.sent { // 0: a file has no sent time
		return
	}
	r.sent, r.inEnvelope = ms, true
	if !r.orderBySent {
		return
	}
	// EventBridge's time has whole seconds. Within its second, SQS's sent time still orders events of one event time.
	if strings.IndexByte(v.Text, '.') < 0 {
		ms += 999
	}
	if r.order == 0 || ms < r.order {
		r.order = ms
	}
}

// isConfirmation reports whether the object is what SNS sends to a queue that another account subscribed ("Sending Amazon SNS
// messages to an Amazon SQS queue in a different account").
func (r *decoding) isConfirmation() bool {
	kind := r.member("Type").Text
	return (kind == `"SubscriptionConfirmation"` || kind == `"UnsubscribeConfirmation"`) && r.member("TopicArn").Text != "" && r.member("SubscribeURL").Text != ""
}

// notification unwraps an SNS notification, which SNS sends unless raw message delivery is on. Message is a string, and the
// publisher's attributes are in the envelope ("Amazon SNS message format for Amazon SQS").
func (r *decoding) notification(envelopes int) *Reject {
	message := r.member("Message")
	if message.Kind() != jsonscan.String {
		return Rejectf(ReasonEnvelope, "Message", "is %v: SNS delivers a string", message.Kind())
	}
	if strings.IndexByte(message.Text, '\\') >= 0 { // unescaping makes a copy
		if why := r.take(len(message.Text)); why != nil {
			return why
		}
	}
	text, err := jsonscan.Unquote(inside(message))
	if err != nil {
		return Rejectf(ReasonEnvelope, "Message", "holds %v", err)
	}
	contentEncoding := ""
	for attribute := range jsonscan.Members(r.member("MessageAttributes")) {
		if !strings.EqualFold(unquoted(attribute.Name), "Content-Encoding") {
			continue
		}
		for m := range jsonscan.Members(attribute.Value) {
			if unquoted(m.Name) == "Value" && m.Value.Kind() == jsonscan.String {
				contentEncoding = unquoted(inside(m.Value))
			}
		}
	}
	return r.body(text, contentEncoding, envelopes)
}

// unquoted is Unquote for a name that is only compared. One that can't be unescaped matches no known name.
func unquoted(body string) string {
	text, err := jsonscan.Unquote(body)
	if err != nil {
		return body
	}
	return text
}
