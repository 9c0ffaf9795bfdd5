// Package batch groups single values into batches for concurrent handlers: writes, deletes, rejects and visibility changes.
package batch

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/cond"
)

// Config configures a Batcher.
type Config[T any] struct {
	// MaxItems is the maximum number of values in a batch.
	MaxItems int
	// MaxBytes is the maximum size of a batch, as Take counts it. 0 means no limit. A larger single value gets a batch of
	// its own.
	MaxBytes int
	// Workers is the maximum number of batches in flight. SetLimit can lower it while the batcher runs.
	Workers int
	// Linger is the maximum time that a batch waits to become full. With 0, an idle worker takes what is pending at once,
	// and batches grow only while workers are busy.
	Linger time.Duration
	// Patience is the additional time that a batch waits to become full while another is in flight. Under load it fills all
	// batches. With 0, an idle worker takes what is pending at once.
	Patience time.Duration
	// Hold, if set, returns the time for which a value is held back before it can join a batch: time in which its owner may
	// change it. It is called with the batcher's lock held and must not call the batcher. A held value does not wait for
	// Linger too. Values whose hold ends within Linger leave together.
	Hold func(v T) time.Duration
	// MaxHeld is the maximum number of values that are held. Beyond it, the one whose hold ends first joins the others, and waits
	// for Linger as they do, at most until its hold would have ended.
	MaxHeld int
	// Take is called for each value before it joins a batch that has the given room in bytes. It returns the value's size, or
	// false if the value does not fit and must wait for the next batch. Take is called with the batcher's lock held and must
	// not call the batcher. If it is nil, every value has size 0.
	Take func(v T, room int) (size int, fits bool)
	// Handle processes a batch. It must call Done or Retry on each entry. An entry with neither is retried, so that none
	// is lost. Handle must not keep the slice.
	Handle func(ctx context.Context, entries []*Entry[T])
	// Backoff determines the wait before an entry's next attempt.
	Backoff Backoff
}

// An Entry is a value in a batch.
type Entry[T any] struct {
	Value    T
	Attempts int // before this one

	added  time.Time
	due    time.Time // of a retry, or when its hold ends
	result result
}

// result is the outcome of one attempt.
type result uint8

const (
	none result = iota
	done
	retry
)

// Done marks the entry as finished.
func (e *Entry[T]) Done() { e.result = done }

// Retry requests another attempt after the entry's backoff.
func (e *Entry[T]) Retry() { e.result = retry }

// Backoff is exponential with full jitter: a random time from 0 to Base, doubled with each attempt up to Max.
type Backoff struct {
	Base, Max time.Duration
}

// After returns the wait after the given number of failed attempts, which is at least 1.
func (b Backoff) After(attempts int) time.Duration {
	return time.Duration(rand.Int64N(int64(b.limit(attempts)) + 1))
}

func (b Backoff) limit(attempts int) time.Duration {
	if doublings := attempts - 1; b.Base <= b.Max>>doublings { // otherwise it would exceed Max, or overflow
		return b.Base << doublings
	}
	return b.Max
}

// A Batcher groups values into batches and passes them to its workers.
type Batcher[T any] struct {
	cfg Config[T]

	mu      sync.Mutex
	work    *sync.Cond  // idle workers wait on it
	taken   *sync.Cond  // callers of Below wait on it
	queue   []*Entry[T] // first in, first out
	head    int         // index of the first queued entry
	delayed []*Entry[T] // retries that are not due, a heap by due
	held    []*Entry[T] // values that are held, a heap by due
	pressed bool        // Press: nothing is held
	free    []*Entry[T] // for reuse
	busy    int         // workers that handle a batch
	limit   int         // maximum of busy
	timer   *time.Timer // wakes workers when a lingering batch or a retry is due
	armed   time.Time   // when timer fires
	flush   bool        // Flush was called
	closed  bool
}

// New returns a Batcher. Run starts its workers.
func New[T any](cfg Config[T]) *Batcher[T] {
	b := &Batcher[T]{cfg: cfg, limit: cfg.Workers}
	b.work, b.taken = sync.NewCond(&b.mu), sync.NewCond(&b.mu)
	b.timer = time.AfterFunc(time.Hour, func() {
		b.mu.Lock() // without it, the broadcast could happen between a worker's check of the queue and its wait
		defer b.mu.Unlock()
		b.armed = time.Time{}
		b.work.Broadcast()
	})
	b.timer.Stop()
	return b
}

// Run runs the workers until ctx is done and running handlers have returned. Drain returns what is still pending then.
func (b *Batcher[T]) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.closed = true
		b.work.Broadcast()
	})
	defer stop()
	defer b.timer.Stop()
	var workers sync.WaitGroup
	for range b.cfg.Workers {
		workers.Go(func() { b.runWorker(ctx) })
	}
	workers.Wait()
	return nil
}

// Add queues values together, so that an idle worker takes them as one batch.
func (b *Batcher[T]) Add(values ...T) {
	if len(values) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, v := range values {
		b.add(b.entry(v, now), now)
	}
	b.wake(now)
}

// add queues an entry, or holds it. It requires b.mu.
func (b *Batcher[T]) add(e *Entry[T], now time.Time) {
	if b.cfg.Hold != nil && !b.flush && !b.pressed {
		if d := b.cfg.Hold(e.Value); d > 0 {
			e.due = now.Add(d)
			push(&b.held, e)
			if len(b.held) <= b.cfg.MaxHeld {
				return
			}
			e = pop(&b.held)
			if e.added = e.due.Add(-b.cfg.Linger); e.added.After(now) { // Linger, but not beyond its hold
				e.added = now
			}
		}
	}
	b.queue = append(b.queue, e)
}

// Below blocks until fewer than n values wait for a worker. Retries that are not due don't count, since their number does not
// depend on how busy the workers are. It returns false if ctx is done.
func (b *Batcher[T]) Below(ctx context.Context, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cond.Wait(ctx, b.taken, func() bool { return len(b.queue)-b.head < n }) && ctx.Err() == nil
}

// Waiting returns the number of values that wait for a worker, as Below counts them.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) - b.head
}

// entry returns an entry, which it reuses if possible. It requires b.mu.
func (b *Batcher[T]) entry(v T, now time.Time) *Entry[T] {
	last := len(b.free) - 1
	if last < 0 {
		return &Entry[T]{Value: v, added: now}
	}
	e := b.free[last]
	b.free = b.free[:last]
	e.Value, e.added = v, now
	return e
}

// wake hands a ready batch to an idle worker, or sets the timer for when it becomes ready. Busy workers check the queue
// themselves when they finish. It requires b.mu.
func (b *Batcher[T]) wake(now time.Time) {
	if b.busy < b.limit && b.ready(now) {
		b.work.Signal()
	} else {
		b.schedule(now)
	}
}

// SetLimit sets the maximum number of batches in flight, up to Config.Workers. With 0 no batch starts; running ones finish.
func (b *Batcher[T]) SetLimit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = min(n, b.cfg.Workers)
	b.work.Broadcast()
}

// Press begins or ends a time in which no value is held: those that are held can join a batch at once.
func (b *Batcher[T]) Press(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pressed = on; on {
		b.promote(time.Now())
		b.work.Broadcast()
	}
}

// Flush disables Hold, Linger and Patience from now on.
func (b *Batcher[T]) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush = true
	b.work.Broadcast()
}

// Drain removes and returns all pending values. Call it after Run has returned.
func (b *Batcher[T]) Drain() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	var pending []T
	for _, e := range slices.Concat(b.queue[b.head:], b.delayed, b.held) {
		pending = append(pending, e.Value)
	}
	b.queue, b.head, b.delayed, b.held = nil, 0, nil, nil
	b.taken.Broadcast()
	return pending
}

func (b *Batcher[T]) runWorker(ctx context.Context) {
	batch := make([]*Entry[T], 0, b.cfg.MaxItems)
	b.mu.Lock()
	for {
		batch = b.next(batch[:0])
		if len(batch) == 0 {
			b.mu.Unlock() // not deferred: that would hide a panic of the handler, which runs unlocked
			return
		}
		b.mu.Unlock()
		b.cfg.Handle(ctx, batch)
		b.mu.Lock()
		b.busy--
		b.settle(batch)
		clear(batch)
	}
}

// next blocks until a batch is ready. It returns an empty one if the batcher was stopped. It requires b.mu.
func (b *Batcher[T]) next(batch []*Entry[T]) []*Entry[T] {
	for !b.closed {
		now := time.Now()
		b.promote(now)
		if b.busy < b.limit && b.ready(now) {
			batch = b.take(batch)
			b.taken.Broadcast()
			b.busy++
			b.wake(now) // also for a retry that becomes due while this worker is busy
			return batch
		}
		b.schedule(now)
		b.work.Wait()
	}
	return nil
}

// ready reports whether a batch can start now. It requires b.mu.
func (b *Batcher[T]) ready(now time.Time) bool {
	queued := len(b.queue) - b.head
	return queued >= b.cfg.MaxItems || queued > 0 && (b.flush || !now.Before(b.readyAt()))
}

// readyAt returns when a batch that is not full can start. It requires b.mu and a queued entry.
func (b *Batcher[T]) readyAt() time.Time {
	at := b.queue[b.head].added.Add(b.cfg.Linger)
	if b.busy > 0 {
		at = at.Add(b.cfg.Patience)
	}
	return at
}

// schedule sets the timer to when the next batch becomes ready. It requires b.mu.
func (b *Batcher[T]) schedule(now time.Time) {
	if b.busy >= b.limit {
		return // a worker that finishes checks the queue
	}
	var due time.Time
	if b.head < len(b.queue) {
		due = b.readyAt()
	}
	for _, later := range [][]*Entry[T]{b.delayed, b.held} {
		if len(later) > 0 && (due.IsZero() || later[0].due.Before(due)) {
			due = later[0].due
		}
	}
	if !due.IsZero() && !due.Equal(b.armed) {
		b.armed = due
		b.timer.Reset(due.Sub(now))
	}
}

// take moves the next batch out of the queue. It requires b.mu.
func (b *Batcher[T]) take(batch []*Entry[T]) []*Entry[T] {
	room := b.cfg.MaxBytes
	for len(batch) < b.cfg.MaxItems && b.head < len(b.queue) {
		e := b.queue[b.head]
		if b.cfg.Take != nil {
			limit := room
			if b.cfg.MaxBytes == 0 || len(batch) == 0 {
				limit = int(^uint(0) >> 1)
			}
			size, fits := b.cfg.Take(e.Value, limit)
			if !fits {
				break
			}
			room -= size
		}
		b.queue[b.head] = nil
		b.head++
		e.result = none
		batch = append(batch, e)
	}
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	} else if b.head > 1024 && b.head > len(b.queue)/2 {
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	return batch
}

// settle schedules another attempt for the entries that need one. It requires b.mu.
func (b *Batcher[T]) settle(batch []*Entry[T]) {
	now := time.Now()
	// All entries of a batch get the same jitter, so that they are retried in one batch. With a jitter of their own, 25
	// unprocessed items became 25 calls.
	jitter, whole, attempts := rand.Float64(), true, 0
	for _, e := range batch {
		whole = whole && e.result != done
		attempts = max(attempts, e.Attempts+1)
	}
	for _, e := range batch {
		if e.result == done {
			*e = Entry[T]{}
			b.free = append(b.free, e)
			continue
		}
		e.Attempts++
		if !whole {
			attempts = e.Attempts // a hot key backs off alone, without the entries that failed for the first time
		}
		e.due = now.Add(time.Duration(jitter * float64(b.cfg.Backoff.limit(attempts))))
		push(&b.delayed, e)
	}
}

// promote moves due retries, and values whose hold has ended, to the front of the queue, since they have waited longest. It requires
// b.mu.
func (b *Batcher[T]) promote(now time.Time) {
	var due []*Entry[T]
	for len(b.delayed) > 0 && !b.delayed[0].due.After(now) {
		due = append(due, pop(&b.delayed))
	}
	if all := b.flush || b.pressed; len(b.held) > 0 && (all || !b.held[0].due.After(now)) {
		for len(b.held) > 0 && (all || !b.held[0].due.After(now.Add(b.cfg.Linger))) {
			due = append(due, pop(&b.held))
		}
	}
	if len(due) == 0 {
		return
	}
	waited := now.Add(-b.cfg.Linger) // enough; but they must not delay the head that they take the place of
	if b.head < len(b.queue) && b.queue[b.head].added.Before(waited) {
		waited = b.queue[b.head].added
	}
	for _, e := range due {
		e.added = waited
	}
	if b.head < len(due) {
		b.queue = append(make([]*Entry[T], len(due)), b.queue[b.head:]...)
		b.head = len(due)
	}
	b.head -= len(due)
	copy(b.queue[b.head:], due)
}
