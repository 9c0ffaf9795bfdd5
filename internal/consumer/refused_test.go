package consumer

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/predcache/predcache/internal/prediction"
)

// refusing delivers one message, and is a reject queue that refuses the first reject for good and takes no other yet.
type refusing struct {
	mu        sync.Mutex
	delivered bool
	sends     map[string]int // by body
}

func (q *refusing) Receive(ctx context.Context, _ int, _ time.Duration) ([]Received, error) {
	q.mu.Lock()
	first := !q.delivered
	q.delivered = true
	q.mu.Unlock()
	if !first {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []Received{{ID: "m", Receipt: "r", Body: strings.Repeat("x", 3<<20), Receives: 1, Attributes: []Attribute{{"a", "String", "b"}}}}, nil
}

func (q *refusing) Delete(context.Context, []string) ([]Failure, error) { return nil, nil }

func (q *refusing) ChangeVisibility(context.Context, []Visibility) ([]Failure, error) {
	return nil, nil
}

func (q *refusing) Send(_ context.Context, messages []Outgoing) ([]Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var failures []Failure
	for i := range messages {
		q.sends[messages[i].Body[:1]]++
		failures = append(failures, Failure{Index: i, SenderFault: messages[i].Body[0] == '0'})
	}
	return failures, nil
}

// The rejects of a message that has gone back to its queue were retried for ever, though each of its deliveries adds them again.
// Their text no longer counted as held, and a batch of them was built while its message lost its attributes.
func TestRejects_of_released_message_are_given_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &refusing{sends: map[string]int{}}
		c := New(Config{
			Queue: queue, Rejects: queue, MaxRejectBytes: MaxSendBytes, Observer: mute{}, Pollers: 1, Wait: time.Second, Visibility: 30 * time.Second,
			MaxMessages: 100, MaxBytes: 64 << 20, MaxMessageBytes: 1 << 20, MaxDecodedBytes: 1 << 20, CallTimeout: time.Hour,
			Ready: func(context.Context) bool { return true },
			Handle: func(_ context.Context, messages []*Message) {
				m := messages[0]
				m.Expect()
				for i := range 8 {
					why := prediction.Rejectf(prediction.ReasonNumber, "score", "is NaN")
					m.Reject(prediction.RejectedPart{Raw: strconv.Itoa(i) + strings.Repeat("x", 300<<10), Why: why}, 1)
				}
				m.Resolve(prediction.Written, "", nil)
				m.Done(0)
			},
		})
		running, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { _ = c.Run(running) })
		work.Go(func() { _ = c.Poll(running, running) })
		c.SetMode(ModeOpen)
		time.Sleep(30 * time.Minute)
		queue.mu.Lock()
		for body, n := range queue.sends {
			if n > 10 {
				t.Errorf("reject %s was sent %d times", body, n)
			}
		}
		if len(queue.sends) != 8 {
			t.Errorf("%d rejects were sent, want 8", len(queue.sends))
		}
		queue.mu.Unlock()
		if n := c.Held(); n != 0 {
			t.Errorf("%d messages are held", n)
		}
		stop()
		work.Wait()
	})
}

// In JSON, a < takes 6 bytes. Ten rejects of 100 KB each with such a source made a request that SQS refuses as a whole, for ever.
func TestSource_is_bounded_with_its_escapes(t *testing.T) {
	why := prediction.Rejectf(prediction.ReasonSyntax, "", "is wrong")
	o := rejected(t, MaxSendBytes, "body", why, Attribute{"small", "String", "x"}, Attribute{"html", "String", strings.Repeat("<", 3<<10)})
	got := (&Received{Attributes: o.Attributes}).Attribute(AttrSource)
	if want := `{"messageId":"id","receiveCount":2,"attributes":[{"name":"small","type":"String","value":"x"}],"attributesLeftOut":1}`; got != want {
		t.Errorf("the source has %d bytes: %.200s", len(got), got)
	}
}

// The deduplication id was the reject's place. Items that DynamoDB refuses have another place in the next delivery, and a FIFO
// queue dropped a reject that had the place of an accepted one: its message was deleted, and it was nowhere.
func TestDeduplicationID_does_not_depend_on_order(t *testing.T) {
	ids := func(bodies ...string) map[string]string {
		m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{ID: "m", Body: "body"}, expected: true}
		for _, body := range bodies {
			m.Reject(prediction.RejectedPart{Raw: body, Why: prediction.Rejectf(prediction.ReasonTable, "", "is refused")}, 1)
		}
		rejections, err := (&Consumer{cfg: Config{MaxRejectBytes: MaxSendBytes}, budget: newBudget(1, 1, nil)}).rejections(m)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, r := range rejections {
			o := r.outgoing(MaxSendBytes)
			ids[o.Body] = o.DeduplicationID
		}
		return ids
	}
	first, second := ids("x", "y"), ids("y", "x")
	if first["x"] == first["y"] || first["x"] != second["x"] || first["y"] != second["y"] || len(first["x"]) > 128 {
		t.Errorf("first %v, then %v", first, second)
	}
}

// A message of 16 MiB, once decoded, with one bad part kept all of it until the reject queue took the part. While that was down, no
// other message could be decoded.
func TestRejections_keep_only_their_text(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{ID: "m", Body: text[:10<<10]}, expected: true}
	m.Reject(prediction.RejectedPart{Raw: text[:100], Why: prediction.Rejectf(prediction.ReasonNumber, "score", "is NaN")}, 1)
	m.bytes = int64(messageBytes + m.size() + len(text))
	c := &Consumer{cfg: Config{MaxRejectBytes: MaxSendBytes}, budget: newBudget(1, 8<<20, nil)}
	c.budget.take(m.bytes)
	rejections, err := c.rejections(m)
	if err != nil || len(rejections) != 1 || rejections[0].body != text[:100] {
		t.Fatalf("%d rejections, %v", len(rejections), err)
	}
	if _, used := c.budget.used(); used != messageBytes+100 || m.bytes != used || m.Body != "" {
		t.Errorf("the message holds %d bytes, counted as %d", m.bytes, used)
	}
	if unsafe.StringData(rejections[0].body) == unsafe.StringData(text) {
		t.Error("the reject is a part of the decoded text")
	}
}

// Ten parts of a compressed message took more while they waited for the reject queue than the message when it was received.
func TestRejections_do_not_grow(t *testing.T) {
	const received = 2000 // bytes of the body
	for _, test := range []struct {
		name  string
		part  string
		whole bool
	}{
		{"short parts stay as they are", noise(received / 10), false},
		{"long parts are compressed", strings.Repeat("x", received), false},
		{"parts that stay too long are rejected as a whole", noise(received/10 + 1), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &Message{c: &Consumer{cfg: Config{Observer: mute{}}}, Received: Received{ID: "m", Body: noise(received)}, expected: true}
			for range maxRejects {
				m.Reject(prediction.RejectedPart{Raw: test.part, Why: prediction.Rejectf(prediction.ReasonNumber, "score", "is NaN")}, 1)
			}
			size := int64(messageBytes + m.size())
			m.bytes = size + maxRejects*int64(len(test.part))
			c := &Consumer{cfg: Config{MaxRejectBytes: MaxSendBytes}, budget: newBudget(1, 8<<20, nil)}
			c.budget.take(m.bytes)
			rejections, err := c.rejections(m)
			if whole := len(rejections) == 1; err != nil || whole != test.whole {
				t.Fatalf("%d rejections, %v", len(rejections), err)
			}
			if _, used := c.budget.used(); used > size || m.bytes != used {
				t.Errorf("the message holds %d bytes, counted as %d, and %d when it was received", m.bytes, used, size)
			}
			if first := rejections[0]; !test.whole && reveal(t, first) != test.part {
				t.Errorf("the first reject has %.100q", first.body)
			}
		})
	}
}

// reveal returns the text of a rejection.
func reveal(t *testing.T, r *rejection) string {
	t.Helper()
	if r.encoding == "" {
		return r.body
	}
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The place of a forgotten message stayed in the order. When it was the oldest, the message's later rejects were forgotten with it.
func TestAcceptedRejects_of_forgotten_message_are_remembered_anew(t *testing.T) {
	var a acceptedRejects
	id := rejectionID{1}
	a.add("m", id)
	a.forget("m")
	a.add("m", id)
	for i := range maxAccepted - 1 {
		a.add(strconv.Itoa(i), id)
	}
	if !a.has("m", id) || !a.has("0", id) || len(a.messages) != maxAccepted {
		t.Errorf("%d messages are remembered; the first two: %v, %v", len(a.messages), a.has("m", id), a.has("0", id))
	}
}
