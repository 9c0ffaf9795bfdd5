// Package consumer receives messages from SQS and settles them. It holds each message from its receive until it is deleted,
// rejected or released, and extends its visibility timeout meanwhile.
package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/prediction"
)

// SQS's limits of one call ("Amazon SQS message quotas").
const (
	MaxBatch     = 10      // messages
	MaxSendBytes = 1 << 20 // all bodies and attributes together
)

// A Queue is the part of SQS that the consumer uses. After an error, the effect of the call is unknown.
type Queue interface {
	Receive(ctx context.Context, limit int, wait time.Duration) ([]Received, error)
	Delete(ctx context.Context, receipts []string) ([]Failure, error)
	ChangeVisibility(ctx context.Context, changes []Visibility) ([]Failure, error)
}

// A RejectQueue takes predictions that can never be written.
type RejectQueue interface {
	Send(ctx context.Context, messages []Outgoing) ([]Failure, error)
}

// A Visibility sets a message's visibility timeout. With 0, the message becomes visible at once.
type Visibility struct {
	Receipt string
	Timeout time.Duration
}

// A Failure is one failed entry of a call that succeeded.
type Failure struct {
	Index       int
	SenderFault bool // another attempt would fail too
	Code        string
}

// An Observer counts what the consumer decides. Calls of the queue are counted by a wrapper of the Queue. Its methods are
// called concurrently.
type Observer interface {
	Settled(d Disposition, messages int)
	// Rejected counts a part of a message that can never be written.
	Rejected(why *prediction.Reject)
	// Held reports the messages and bytes in use, including those reserved for receives in flight.
	Held(messages int, bytes int64)
	// Pollers reports how many pollers may receive.
	Pollers(n int)
	// Extended counts messages whose visibility timeout was extended.
	Extended(messages int)
	// LeaseLost counts a message that was redelivered while it was held.
	LeaseLost()
	// Undeliverable reports that the reject queue can't take a message, which therefore stays on its queue.
	Undeliverable(err error)
}

// A Disposition is how a message was settled.
type Disposition uint8

// The dispositions.
const (
	Deleted   Disposition = iota
	Rejected              // sent to the reject queue, and deleted
	Released              // made visible again
	BackedOff             // hidden for a while, since its rejects can't be sent or its deletes not be finished now
	NumDispositions
)

func (d Disposition) String() string {
	return [...]string{"deleted", "rejected", "released", "backed_off"}[d]
}

// Config of a Consumer.
type Config struct {
	Queue   Queue
	Rejects RejectQueue // nil: none
	// MaxRejectBytes is the reject queue's limit of a message.
	MaxRejectBytes int
	Observer       Observer
	// Handle reads the messages of one receive. For each prediction it calls Expect, and Resolve must follow once, from any
	// goroutine. For each message it calls Done once.
	Handle func(ctx context.Context, messages []*Message)
	// Ready blocks, before each receive, until the writer has taken up most of what was received. It returns false if ctx is
	// done.
	Ready func(ctx context.Context) bool

	Pollers     int           // maximum number of concurrent receives
	Limit       int           // maximum number of messages of a receive, up to MaxBatch; 0 means MaxBatch
	Wait        time.Duration // long-poll time of a receive, 0 to 20 s
	Visibility  time.Duration // the queue's visibility timeout
	MaxMessages int           // maximum number of messages held
	MaxBytes    int64         // maximum memory of the messages held, including their decoded predictions
	// MaxMessageBytes is the queue's MaximumMessageSize. A receive waits for room for ten messages of this size.
	MaxMessageBytes int64
	// MaxDecodedBytes is the maximum memory of a decoded message beside its body. Receives leave this much of MaxBytes free, so
	// that a received message can always be decoded.
	MaxDecodedBytes int64
	// CallTimeout bounds one attempt of a call. A receive gets Wait in addition.
	CallTimeout time.Duration
	// Pace is the maximum pause after a receive that returned 1 to 9 messages, so that the next one returns more. 0 disables it.
	Pace time.Duration
	// Now is the services' clock, by which Pace tells a backlog from a quiet queue. nil: this host's.
	Now func() time.Time
	// Pressed, if set, is called with true when something begins to wait for room in MaxMessages and MaxBytes, and with false when
	// nothing waits any more. It must not call the Consumer.
	Pressed func(bool)
	// DeleteLinger is the maximum time that a delete waits for nine others. The message stays invisible meanwhile.
	DeleteLinger time.Duration
}

// A Consumer receives and settles messages.
type Consumer struct {
	cfg     Config
	budget  *budget
	gate    *gate
	pace    *pace
	deletes *batch.Batcher[*Message]
	rejects *batch.Batcher[*rejection]
	changes *batch.Batcher[change]
	growing chan struct{} // a semaphore of one: the message that has reserved bytes
	abandon chan struct{} // closed by AbandonRejects

	mu        sync.Mutex
	held      map[string]*Message // by message id
	unsettled int                 // held messages with predictions that have no outcome yet
	rejecting struct {            // held messages that wait for the reject queue
		messages int
		bytes    int64
		failing  bool // the reject queue's last call failed
		failures int  // calls that failed in a row
	}
	accepted acceptedRejects
	drained  chan struct{} // closed when nothing is held; nil unless Drained waits
}

// New returns a Consumer. Run and Poll start it.
func New(cfg Config) *Consumer {
	if cfg.Limit == 0 {
		cfg.Limit = MaxBatch
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Consumer{
		cfg:     cfg,
		budget:  newBudget(cfg.MaxMessages, cfg.MaxBytes, cfg.Pressed),
		gate:    newGate(cfg.Pollers, cfg.Limit),
		pace:    &pace{max: cfg.Pace, full: cfg.Limit},
		growing: make(chan struct{}, 1),
		abandon: make(chan struct{}),
		held:    map[string]*Message{},
	}
	backoff := batch.Backoff{Base: 100 * time.Millisecond, Max: 20 * time.Second}
	c.deletes = batch.New(batch.Config[*Message]{
		MaxItems: MaxBatch, Workers: cfg.Pollers, Linger: cfg.DeleteLinger, Handle: c.deleteBatch, Backoff: backoff,
	})
	c.rejects = batch.New(batch.Config[*rejection]{
		MaxItems: MaxBatch, MaxBytes: MaxSendBytes, Workers: rejectSenders, Handle: c.sendRejects, Backoff: backoff,
		Take: func(r *rejection, room int) (int, bool) {
			size := min(r.maxSize()+maxSource+messageBytes, c.cfg.MaxRejectBytes)
			return size, size <= room
		},
	})
	c.changes = batch.New(batch.Config[change]{
		MaxItems: MaxBatch, Workers: 4, Handle: c.changeVisibility, Backoff: backoff,
	})
	return c
}

// SetMode sets how much may be received.
func (c *Consumer) SetMode(m Mode) { c.gate.setMode(m) }

// Held returns the number of messages held.
func (c *Consumer) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// HeldBytes returns the bytes that count against Config.MaxBytes.
func (c *Consumer) HeldBytes() int64 {
	_, bytes := c.budget.used()
	return bytes
}

// Run settles messages and extends the visibility timeouts of held ones until ctx is done.
func (c *Consumer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.deletes.Run(ctx) })
	g.Go(func() error { return c.runRejects(ctx) })
	g.Go(func() error { return c.changes.Run(ctx) })
	g.Go(func() error { return c.keepInvisible(ctx) })
	return g.Wait()
}

// Poll receives until intake is done, and then waits for the receives in flight: SQS hides the messages of a canceled receive
// for the visibility timeout. When calls is done, they are canceled all the same.
func (c *Consumer) Poll(intake, calls context.Context) error {
	var pollers sync.WaitGroup
	for i := range c.cfg.Pollers {
		pollers.Go(func() { c.poll(intake, calls, i) })
	}
	pollers.Wait()
	return nil
}

func (c *Consumer) poll(intake, calls context.Context, i int) {
	backoff := batch.Backoff{Base: time.Second, Max: 30 * time.Second}
	failures := 0
	for c.gate.wait(intake, i) {
		n, late, err := c.receive(intake, calls, i)
		switch {
		case errors.Is(err, errNotAdmitted):
			c.gate.skipped()
		case err == nil:
			failures = 0
			pause, backlog := c.pace.after(n, late)
			c.gate.received(n, backlog)
			c.cfg.Observer.Pollers(c.gate.pollers())
			if pause > 0 {
				cond.Sleep(intake, pause)
			}
		case intake.Err() != nil:
			return
		default:
			failures++
			c.gate.received(0, false) // one poller is enough to notice the recovery
			cond.Sleep(intake, backoff.After(failures)+backoff.Base/2)
		}
	}
}

// errNotAdmitted means that the gate no longer admits a poller that has waited for the writer and for room.
var errNotAdmitted = errors.New("the poller is no longer admitted")

// receive makes poller i's receive, once there is room for the largest possible one, and passes the messages to Handle. It returns how
// many it received, and whether they waited in a backlog.
func (c *Consumer) receive(intake, calls context.Context, i int) (n int, late bool, err error) {
	limit := c.cfg.Limit
	reserved := ReceiveBytes(c.cfg.MaxMessageBytes) / MaxBatch * int64(limit)
	if !c.cfg.Ready(intake) || !c.budget.reserve(intake, limit, reserved, c.cfg.MaxBytes-c.cfg.MaxDecodedBytes) {
		return 0, false, intake.Err()
	}
	if !c.gate.recheck(i) {
		c.budget.release(limit, reserved)
		return 0, false, errNotAdmitted
	}
	ctx, cancel := context.WithTimeout(calls, c.cfg.Wait+c.cfg.CallTimeout)
	defer cancel()
	received, err := c.cfg.Queue.Receive(ctx, limit, c.cfg.Wait)
	if err != nil {
		c.budget.release(limit, reserved)
		return 0, false, err
	}
	late = c.pace.late(received, c.cfg.Now())
	messages, bytes := c.hold(received)
	c.budget.release(limit-len(messages), reserved-bytes)
	if len(messages) > 0 {
		c.gate.read(bytes, func() { c.cfg.Handle(calls, messages) })
	}
	c.observeHeld()
	return len(received), late, nil
}

// hold starts to hold the messages of a receive. A message that is held already was redelivered because its lease ended. The
// copy is dropped, and the message gets the new receipt handle, the only one that can delete it now.
func (c *Consumer) hold(received []Received) (messages []*Message, bytes int64) {
	now, waited := time.Now(), c.pace.waited()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range received {
		r := &received[i]
		if m := c.held[r.ID]; m != nil {
			c.cfg.Observer.LeaseLost()
			if r.Receives < m.lease.receives {
				continue // an earlier delivery, whose answer came later: SQS ignores a delete with its receipt handle
			}
			was := m.lease.extending
			m.lease = newLease(r, now, c.cfg.Visibility)
			m.lease.extending = was
			continue
		}
		m := &Message{Received: *r, Waited: waited, c: c, lease: newLease(r, now, c.cfg.Visibility), bytes: int64(messageBytes + r.size())}
		m.pending.Store(1)
		c.held[r.ID] = m
		c.unsettled++
		messages = append(messages, m)
		bytes += m.bytes
	}
	c.gate.setUnsettled(c.unsettled)
	return messages, bytes
}

func (c *Consumer) observeHeld() {
	messages, bytes := c.budget.used()
	c.cfg.Observer.Held(messages, bytes)
}

// AbandonRejects stops sending rejects. Messages whose rejects have not all been sent are released. Call it once.
func (c *Consumer) AbandonRejects() { close(c.abandon) }

// Drained blocks until nothing is held. It returns an error if ctx is done first.
func (c *Consumer) Drained(ctx context.Context) error {
	c.deletes.Flush()
	c.mu.Lock()
	if len(c.held) == 0 {
		c.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	c.drained = done
	c.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("messages are still held")
	}
}
