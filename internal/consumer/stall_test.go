package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

// A quarter of the messages may stall, together with those that wait for the reject queue. The others back off, and none keeps a probe
// of the table waiting.
func TestStall(t *testing.T) {
	c := New(Config{
		Observer: mute{}, Pollers: 1, MaxMessages: 100, MaxBytes: 64 << 20, MaxMessageBytes: 1 << 20, MaxDecodedBytes: 1 << 20, Visibility: 30 * time.Second,
	})
	var received []Received
	for i := range 40 {
		received = append(received, Received{ID: fmt.Sprint(i), Receipt: fmt.Sprint(i), Body: "x", Receives: 3})
	}
	messages, _ := c.hold(received)
	c.rejecting.messages = 5
	granted := 0
	for _, m := range messages {
		m.Expect()
		m.Done(0)
		ok := m.Stall()
		if again := m.Stall(); ok != again {
			t.Errorf("message %s may stall: %v, and when asked again %v", m.ID, ok, again)
		}
		if ok {
			granted++
		}
	}
	if granted != 20 || c.rejecting.messages != 25 || c.unsettled != 20 || c.gate.unsettled != 20 {
		t.Errorf("%d of 40 may stall, %d wait, %d are unsettled, want 20, 25 and 20", granted, c.rejecting.messages, c.unsettled)
	}
	for i, m := range messages {
		stalled := m.stalled > 0
		outcome := prediction.Failed
		if i%2 == 0 && stalled {
			outcome = prediction.Deleted
		}
		m.Resolve(outcome, "", nil)
		if want := map[bool]state{true: deleting, false: releasing}[outcome == prediction.Deleted]; m.state != want {
			t.Errorf("message %s, stalled %v, with the outcome %v is in the state %d, want %d", m.ID, stalled, outcome, m.state, want)
		}
		if m.delayed == stalled {
			t.Errorf("message %s, stalled %v, backs off: %v", m.ID, stalled, m.delayed)
		}
	}
	if c.rejecting.messages != 5 || c.rejecting.bytes != 0 || c.unsettled != 0 {
		t.Errorf("%d messages and %d bytes wait in the end, %d are unsettled", c.rejecting.messages, c.rejecting.bytes, c.unsettled)
	}
}

// Several deletes are announced as stalled while others of them end. A message that had settled counted as one that waits, for ever.
func TestStall_after_the_message_settled(t *testing.T) {
	c := New(Config{
		Observer: mute{}, Pollers: 1, MaxMessages: 100, MaxBytes: 64 << 20, MaxMessageBytes: 1 << 20, MaxDecodedBytes: 1 << 20, Visibility: 30 * time.Second,
	})
	messages, _ := c.hold([]Received{{ID: "a", Receipt: "a", Body: "x", Receives: 1}})
	m := messages[0]
	m.Expect()
	m.Done(0)
	m.Resolve(prediction.Deleted, "", nil)
	if !m.Stall() || m.delayed || m.stalled != 0 {
		t.Errorf("the message waits with %d bytes, backs off: %v", m.stalled, m.delayed)
	}
	if c.rejecting.messages != 0 || c.rejecting.bytes != 0 || c.unsettled != 0 || c.gate.unsettled != 0 {
		t.Errorf("%d messages and %d bytes wait, %d are unsettled", c.rejecting.messages, c.rejecting.bytes, c.unsettled)
	}
}
