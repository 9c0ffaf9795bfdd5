// Package consumer receives messages and settles them: it holds each from its receive until it is deleted, rejected or
// released, and keeps it invisible meanwhile.
package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/prediction"
)

// MaxBatch is how many messages one call of SQS carries.
const MaxBatch = 10

// A Queue is what the consumer needs of SQS. A call's error means that nothing is known of its effect.
type Queue interface {
	Receive(ctx context.Context, limit int, wait time.Duration) ([]Received, error)
	Delete(ctx context.Context, receipts []string) ([]Failure, error)
	ChangeVisibility(ctx context.Context, changes []Visibility) ([]Failure, error)
}

// A RejectQueue takes what can never be written.
type RejectQueue interface {
	Send(ctx context.Context, messages []Outgoing) ([]Failure, error)
}

// A Visibility sets in how long a message becomes visible again.
type Visibility struct {
	Receipt string
	Timeout time.Duration
}

// A Failure is one failed entry of a call that succeeded.
type Failure struct {
	Index       int
	SenderFault bool // trying again would not help
	Code        string
}

// An Observer counts what the consumer decides. Calls of the queue are counted by whoever wraps it. Its methods are called by
// several goroutines.
type Observer interface {
	Settled(how Disposition, messages int)
	// Rejected counts a part of a message that can never be written.
	Rejected(reason prediction.Reason)
	Held(messages int, bytes int64)
	Pollers(n int)
	Extended(messages int)
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
	BackedOff             // it can't be rejected anywhere: it becomes visible later with each receive
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
	// Handle reads what one receive brought. It calls Expect for each prediction, whose Resolve must then be called once, and Read
	// once for each message.
	Handle func(ctx context.Context, messages []*Message)
	// Ready blocks, before a receive, until what was received before has been taken up. It returns false if ctx is done.
	Ready func(ctx context.Context) bool

	Pollers     int           // at the most
	Wait        time.Duration // of a receive, 0 to 20 s
	Visibility  time.Duration // the queue's own timeout, which a receive gives its messages
	MaxMessages int           // held at the most
	MaxBytes    int64         // held at the most: messages, and what is made of them
	// MaxMessageBytes is the queue's limit: a receive may bring ten messages of this size, so it waits for that much room.
	MaxMessageBytes int64
	// MaxDecodedBytes is what a message may take beside its body. This much of MaxBytes is kept from receives, so that what has
	// been received can always be decoded.
	MaxDecodedBytes int64
	// CallTimeout bounds an attempt; a receive has Wait on top of it.
	CallTimeout time.Duration
	// Pace is waited after a receive that brought some messages but not ten, so that the next one brings more. 0: not at all.
	Pace time.Duration
	// DeleteLinger is for how long a delete may wait for nine others. Nobody waits for it but the message, which stays
	// invisible.
	DeleteLinger time.Duration
}

// A Consumer receives and settles.
type Consumer struct {
	cfg     Config
	budget  *budget
	gate    *gate
	deletes *batch.Batcher[*Message]
	rejects *batch.Batcher[*rejection]
	changes *batch.Batcher[change]
	growing chan struct{} // holds one while a message has reserved bytes
	giveUp  chan struct{} // closed by GiveUp

	mu        sync.Mutex
	held      map[string]*Message // by message id
	unsettled int                 // of held: those with predictions that have no outcome yet
	rejecting struct {            // of held: those that wait for the reject queue
		messages int
		bytes    int64
		failing  bool // the reject queue's last call failed
	}
	accepted acceptedRejects
	drained  chan struct{} // closed once nothing is held; nil unless somebody waits
}

// New makes a Consumer.
func New(cfg Config) *Consumer {
	c := &Consumer{
		cfg:     cfg,
		budget:  newBudget(cfg.MaxMessages, cfg.MaxBytes),
		gate:    newGate(cfg.Pollers),
		growing: make(chan struct{}, 1),
		giveUp:  make(chan struct{}),
		held:    map[string]*Message{},
	}
	backoff := batch.Backoff{Base: 100 * time.Millisecond, Max: 20 * time.Second}
	c.deletes = batch.New(batch.Config[*Message]{
		MaxItems: MaxBatch, Workers: cfg.Pollers, Linger: cfg.DeleteLinger, Handle: c.delete, Backoff: backoff,
	})
	c.rejects = batch.New(batch.Config[*rejection]{
		MaxItems: MaxBatch, MaxBytes: maxSend, Workers: 2, Handle: c.sendRejects, Backoff: backoff,
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

// SetMode opens or closes the intake.
func (c *Consumer) SetMode(m Mode) { c.gate.setMode(m) }

// Held is how many messages are held.
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

// Run settles messages and keeps the held ones invisible until ctx is done.
func (c *Consumer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.deletes.Run(ctx) })
	g.Go(func() error { return c.runRejects(ctx) })
	g.Go(func() error { return c.changes.Run(ctx) })
	g.Go(func() error { return c.keepInvisible(ctx) })
	return g.Wait()
}

// Poll receives until intake is done, and then waits for the receives under way: one that is cut short hides what it
// brings for the visibility timeout. calls ends them all the same.
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
		messages, err := c.receive(intake, calls, i)
		switch {
		case errors.Is(err, errClosed):
			c.gate.skipped()
		case err == nil:
			failures = 0
			c.gate.received(len(messages))
			c.cfg.Observer.Pollers(c.gate.pollers())
			if n := len(messages); c.cfg.Pace > 0 && 0 < n && n < MaxBatch {
				sleep(intake, c.cfg.Pace)
			}
		case intake.Err() != nil:
			return
		default:
			failures++
			c.gate.received(0) // one poller is enough to find out when it works again
			sleep(intake, backoff.After(failures)+backoff.Base/2)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errClosed means that fewer may receive than when this poller began to wait for the writers and for room.
var errClosed = errors.New("the intake is closed")

// receive makes poller i's receive, for which there is room whatever it brings, and hands on what it brought.
func (c *Consumer) receive(intake, calls context.Context, i int) ([]Received, error) {
	reserved := ReceiveBytes(c.cfg.MaxMessageBytes)
	if !c.cfg.Ready(intake) || !c.budget.reserve(intake, MaxBatch, reserved, c.cfg.MaxBytes-c.cfg.MaxDecodedBytes) {
		return nil, intake.Err()
	}
	if !c.gate.still(i) {
		c.budget.release(MaxBatch, reserved)
		return nil, errClosed
	}
	ctx, cancel := context.WithTimeout(calls, c.cfg.Wait+c.cfg.CallTimeout)
	defer cancel()
	received, err := c.cfg.Queue.Receive(ctx, MaxBatch, c.cfg.Wait)
	if err != nil {
		c.budget.release(MaxBatch, reserved)
		return nil, err
	}
	messages, bytes := c.hold(received)
	c.budget.release(MaxBatch-len(messages), reserved-bytes)
	if len(messages) > 0 {
		c.cfg.Handle(calls, messages)
	}
	c.observeHeld()
	return received, nil
}

// hold takes in what a receive brought. A message that is held already was redelivered because its lease ran out: the
// copy is dropped, and the message keeps the new receipt handle, the only one that can delete it now.
func (c *Consumer) hold(received []Received) (messages []*Message, bytes int64) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range received {
		r := &received[i]
		if m := c.held[r.ID]; m != nil {
			was := m.lease.extending
			m.lease = newLease(r, now, c.cfg.Visibility)
			m.lease.extending = was
			c.cfg.Observer.LeaseLost()
			continue
		}
		m := &Message{Received: *r, c: c, lease: newLease(r, now, c.cfg.Visibility), bytes: int64(messageBytes + r.size())}
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

// GiveUp stops waiting for the reject queue: what it did not take is released.
func (c *Consumer) GiveUp() { close(c.giveUp) }

// Drained waits until nothing is held.
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
