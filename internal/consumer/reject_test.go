package consumer

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/prediction"
)

func TestRejectQueue_sent_time_survives_redrive(t *testing.T) {
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

// rejected returns a message whose whole body is rejected.
func rejected(t *testing.T, limit int, body string, why *prediction.Reject, attributes ...Attribute) Outgoing {
	t.Helper()
	m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{ID: "id", Body: body, Receives: 2, Sent: 1_767_225_600_000, Attributes: attributes}}
	m.Reject(prediction.RejectedPart{Raw: body, Whole: true, Why: why}, 1)
	m.bytes = int64(messageBytes + m.size())
	c := &Consumer{cfg: Config{MaxRejectBytes: limit}, budget: newBudget(1, 1, nil)}
	rejections, err := c.rejections(m)
	if err != nil || len(rejections) != 1 {
		t.Fatalf("%d rejections, %v", len(rejections), err)
	}
	return rejections[0].outgoing(limit)
}

func TestARejectSaysWhyAndWhereItCameFrom(t *testing.T) {
	o := rejected(t, MaxSendBytes, "body", prediction.Rejectf(prediction.ReasonSyntax, "a\x01b", "is wrong"),
		Attribute{AttrContentEncoding, "String", "gzip"}, Attribute{"raw", "Binary", "\x00\xff"}, Attribute{AttrReason, "String", "of an earlier time"})
	got := Received{Attributes: o.Attributes}
	for name, want := range map[string]string{
		AttrReason: "syntax", AttrField: "a?b", AttrDetail: "is wrong", AttrSent: "1767225600000", AttrContentEncoding: "gzip",
		AttrSource: `{"messageId":"id","receiveCount":2,"attributes":[{"name":"Content-Encoding","type":"String","value":"gzip"},{"name":"raw","type":"Binary","bytes":"AP8="}]}`,
	} {
		if value := got.Attribute(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	if o.Body != "body" || !strings.HasPrefix(o.DeduplicationID, "id.") || o.GroupID == "" {
		t.Errorf("message %+v", o)
	}
}

func TestRejectSizes(t *testing.T) {
	why := prediction.Rejectf(prediction.ReasonSyntax, "field", "%s", strings.Repeat("é", 2000))
	t.Run("a long detail is cut at a character", func(t *testing.T) {
		o := rejected(t, MaxSendBytes, "body", why)
		if detail := (&Received{Attributes: o.Attributes}).Attribute(AttrDetail); len(detail) > 600 || !utf8.ValidString(detail) {
			t.Errorf("the detail has %d bytes: %q", len(detail), detail)
		}
	})
	t.Run("large attributes of the source are left out", func(t *testing.T) {
		o := rejected(t, MaxSendBytes, "body", why, Attribute{"large", "String", strings.Repeat("x", 200<<10)}, Attribute{"small", "String", "y"})
		if got := (&Received{Attributes: o.Attributes}).Attribute(AttrSource); got != `{"messageId":"id","receiveCount":2,"attributes":[{"name":"small","type":"String","value":"y"}],"attributesLeftOut":1}` {
			t.Errorf("the source is %.300s", got)
		}
	})
	t.Run("the queue's limit is kept", func(t *testing.T) {
		body := strings.Repeat("x", 1000)
		full := rejected(t, MaxSendBytes, body, why)
		for limit := 1800; limit <= full.Size(); limit++ {
			o := rejected(t, limit, body, why)
			if o.Size() > limit || (&Received{Attributes: o.Attributes}).Attribute(AttrReason) != "syntax" {
				t.Fatalf("with room for %d bytes it has %d", limit, o.Size())
			}
		}
	})
	t.Run("what is too long is compressed", func(t *testing.T) {
		o := rejected(t, 2000, strings.Repeat("x", 5000), why)
		if got := (&Received{Attributes: o.Attributes}).Attribute(AttrContentEncoding); got != "gzip" || o.Size() > 2000 {
			t.Errorf("it has %d bytes, encoded as %q", o.Size(), got)
		}
	})
}

func TestRejections(t *testing.T) {
	why := prediction.Rejectf(prediction.ReasonNumber, "score", "is NaN")
	part := func(raw string) prediction.RejectedPart { return prediction.RejectedPart{Raw: raw, Why: why} }
	const body = "a body that is longer than its parts"
	for _, test := range []struct {
		name   string
		good   bool
		count  int
		raw    string
		bodies int
		whole  bool
	}{
		{"the parts beside good predictions", true, 3, "part", 3, false},
		{"the whole of a message that holds nothing good", false, 3, "part", 1, true},
		{"the part of a message of one part", false, 1, "part", 1, false},
		{"the whole of a message with many bad parts", true, maxRejects + 1, "part", 1, true},
		{"the whole where a part doesn't fit", true, 2, noise(3000), 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{ID: "id", Body: body}, expected: test.good}
			for range test.count {
				m.Reject(part(test.raw), 1)
			}
			rejections, err := (&Consumer{cfg: Config{MaxRejectBytes: 1800}, budget: newBudget(1, 1, nil)}).rejections(m)
			if err != nil || len(rejections) != test.bodies || (rejections[0].body == body) != test.whole {
				t.Fatalf("%d rejections, the first of %q, %v", len(rejections), rejections[0].body, err)
			}
			if more := strings.Contains(rejections[0].why.Detail, "more parts"); more != test.whole {
				t.Errorf("the detail is %q", rejections[0].why.Detail)
			}
		})
	}
	t.Run("a part that SQS can't carry is compressed", func(t *testing.T) {
		m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{Body: noise(200)}, expected: true}
		m.Reject(part("{\"a\":\"\x01\"}"), 1)
		rejections, err := (&Consumer{cfg: Config{MaxRejectBytes: MaxSendBytes}, budget: newBudget(1, 1, nil)}).rejections(m)
		if err != nil || len(rejections) != 1 || rejections[0].encoding != "gzip" || !validBody(rejections[0].body) {
			t.Errorf("%+v, %v", rejections, err)
		}
	})
	t.Run("a reject queue that is too small is named", func(t *testing.T) {
		m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{Body: noise(5000)}}
		m.Reject(prediction.RejectedPart{Raw: m.Body, Whole: true, Why: why}, 1)
		if _, err := (&Consumer{cfg: Config{MaxRejectBytes: 1024}, budget: newBudget(1, 1, nil)}).rejections(m); err == nil || !strings.Contains(err.Error(), "MaximumMessageSize") {
			t.Errorf("%v", err)
		}
	})
}

// noise is a text that no compression makes shorter.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + r.IntN(94))
	}
	return string(b)
}

// Two pollers received one message, and the answer of the first delivery was read last. Its receipt handle replaced the newer one, so
// that SQS ignored the delete and delivered the message again.
func TestHold_keeps_the_newest_receipt_handle(t *testing.T) {
	c := New(Config{Observer: mute{}, MaxMessages: 10, MaxBytes: 1 << 20, Pollers: 1})
	messages, _ := c.hold([]Received{{ID: "id", Receipt: "second", Receives: 2}})
	for _, delivery := range []struct {
		receipt  string
		receives int
		want     string
	}{{"first", 1, "second"}, {"third", 3, "third"}} {
		if again, _ := c.hold([]Received{{ID: "id", Receipt: delivery.receipt, Receives: delivery.receives}}); len(again) > 0 {
			t.Error("a copy is held")
		}
		if got := c.receipts(messages)[0]; got != delivery.want {
			t.Errorf("after the answer of the %s delivery, the receipt handle is the %s", delivery.receipt, got)
		}
	}
}

// A message that waits for its delete keeps nothing of its text: while deletes failed, a gigabyte of rejected text was kept
// after its room had been given back.
func TestWhatIsSafeIsLetGo(t *testing.T) {
	c := New(Config{Observer: mute{}, MaxMessages: 10, MaxBytes: 1 << 20, Pollers: 1})
	messages, bytes := c.hold([]Received{{ID: "id", Receipt: "r", Body: "a body", Attributes: []Attribute{{"a", "String", "b"}}}})
	c.budget.take(bytes)
	m := messages[0]
	m.Reject(prediction.RejectedPart{Raw: m.Body, Whole: true, Why: prediction.Rejectf(prediction.ReasonSyntax, "", "no JSON")}, 1)
	c.finish(m)
	if _, used := c.budget.used(); m.Body != "" || m.Attributes != nil || m.rejects.parts != nil || used != messageBytes {
		t.Errorf("it has %q, %v, %v, and counts %d bytes", m.Body, m.Attributes, m.rejects.parts, used)
	}
}
