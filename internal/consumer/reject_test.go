package consumer

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

func TestARejectThatComesBackKeepsItsFirstSentTime(t *testing.T) {
	const sent = 1_767_225_600_000
	for name, test := range map[string]struct {
		attribute string
		want      int64
	}{
		"earlier":       {"1767225000000", 1_767_225_000_000},
		"none":          {"", sent},
		"no number":     {"yesterday", sent},
		"before 1970":   {"-1", sent},
		"after its own": {strconv.Itoa(sent + 1), sent}, // it would win over every later version
	} {
		t.Run(name, func(t *testing.T) {
			r := Received{Sent: sent, Attributes: []Attribute{{AttrSent, "Number", test.attribute}}}
			if got := r.SentTime(); got != test.want {
				t.Errorf("sent at %d, want %d", got, test.want)
			}
		})
	}
}

// reject is a message with one reject of its whole body.
func reject(body string, why *prediction.Reject, attributes ...Attribute) *Message {
	m := &Message{Received: Received{ID: "id", Body: body, Receives: 2, Sent: 1_767_225_600_000, Attributes: attributes}}
	m.rejects = []Reject{{Raw: body, Whole: true, Why: why}}
	return m
}

func TestARejectSaysWhyAndWhereItCameFrom(t *testing.T) {
	m := reject("body", prediction.Rejectf(prediction.ReasonSyntax, "a\x01b", "is wrong"),
		Attribute{AttrContentEncoding, "String", "gzip"}, Attribute{"raw", "Binary", "\x00\xff"}, Attribute{AttrReason, "String", "of an earlier time"})
	o := outgoing(m, 0, maxSend)
	got := Received{Attributes: o.Attributes}
	for name, want := range map[string]string{
		AttrReason: "syntax", AttrField: "a?b", AttrDetail: "is wrong", AttrSent: "1767225600000", AttrContentEncoding: "gzip",
		AttrSource: `{"messageId":"id","receiveCount":2,"attributes":[{"name":"Content-Encoding","type":"String","value":"gzip"},{"name":"raw","type":"Binary","bytes":"AP8="}]}`,
	} {
		if value := got.Attribute(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	if o.Body != "body" || o.DeduplicationID != "id.0" || o.GroupID == "" {
		t.Errorf("message %+v", o)
	}
}

func TestARejectLeavesOutWhatDoesNotFit(t *testing.T) {
	m := reject(strings.Repeat("x", 1000), prediction.Rejectf(prediction.ReasonSyntax, "field", "%s", strings.Repeat("é", 2000)))
	whole := outgoing(m, 0, maxSend)
	if detail := (&Received{Attributes: whole.Attributes}).Attribute(AttrDetail); len(detail) > 600 || !utf8.ValidString(detail) {
		t.Errorf("the detail has %d bytes, want it cut at a character", len(detail))
	}
	for limit := 1000; limit <= whole.Size(); limit++ {
		o := outgoing(m, 0, limit)
		reason := (&Received{Attributes: o.Attributes}).Attribute(AttrReason)
		if reason != "syntax" || o.Size() > limit && len(o.Attributes) > 2 {
			t.Fatalf("with room for %d bytes it has %d and the attributes %v", limit, o.Size(), o.Attributes)
		}
	}
}
