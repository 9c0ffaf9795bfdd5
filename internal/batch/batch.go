// Package batch gathers single things into batches: for the writer, for deletes, for rejects.
package batch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/cond"
)

// Config says what a batch may be.
type Config[T any] struct {
	MaxItems int
	// MaxBytes bounds a batch's bytes as Take counts them; 0 is no bound. A single thing over it still goes, alone.
	MaxBytes int
	// Workers is how many batches may be under way at once. SetLimit can lower it while the batcher runs.
	Workers int
	// Linger is how long a batch that isn't full may wait for more. 0: what is pending goes at once, and batches grow
	// only while workers are busy.
	Linger time.Duration
	// Patience is how much longer a batch that isn't full waits while another is under way, whose end would make a worker
	// free: under load all batches go full. 0: it goes at once to an idle worker.
	Patience time.Duration
	// Take is called, under the batcher's lock, for each thing that is about to leave in a batch that has room for so many
	// bytes. It returns the thing's size, or false where that is more than the room and the thing must wait for the next batch.
	// It must not call the batcher. nil: everything has size 0.
	Take func(v T, room int) (size int, fits bool)
	// Handle does the work of a batch. It must call Done or Retry on each entry: an entry that has neither when it returns
	// is tried again, since to forget it would be to lose it. It must not keep the slice.
	Handle func(ctx context.Context, entries []*Entry[T])
	// Backoff is waited before an entry's next attempt.
	Backoff Backoff
}

// An Entry is a thing in a batch.
type Entry[T any] struct {
	Value    T
	Attempts int // before this one

	added   time.Time
	due     time.Time // of a retry
	verdict verdict
}

type verdict uint8

const (
	none verdict = iota
	done
	retry
)

// Done says that the entry needs no further attempt.
func (e *Entry[T]) Done() { e.verdict = done }

// Retry says that the entry is to be tried again, after its backoff.
func (e *Entry[T]) Retry() { e.verdict = retry }

// Backoff is exponential with full jitter: a random time up to Base doubled by each attempt, up to Max.
type Backoff struct {
	Base, Max time.Duration
}

// After returns how long to wait after so many failed attempts, of which there is at least one.
func (b Backoff) After(attempts int) time.Duration {
	return time.Duration(rand.Int64N(int64(b.limit(attempts)) + 1))
}

func (b Backoff) limit(attempts int) time.Duration {
	if doublings := attempts - 1; b.Base <= b.Max>>doublings { // else it would exceed Max, or wrap around
		return b.Base << doublings
	}
	return b.Max
}

// A Batcher gathers things and hands them to its workers in batches.
type Batcher[T any] struct {
	cfg Config[T]

	mu      sync.Mutex
	wake    *sync.Cond  // of workers that wait for work
	left    *sync.Cond  // of those that wait in Below
	queue   []*Entry[T] // first in, first out
	head    int         // of queue
	delayed []*Entry[T] // retries whose time hasn't come, a heap by due
	free    []*Entry[T] // to be used again
	busy    int
	limit   int
	timer   *time.Timer // wakes a worker when a lingering batch or a retry is due
	armed   time.Time   // when it will
	flush   bool        // no more lingering
	closed  bool
}

// New makes a Batcher; Run starts its workers.
func New[T any](cfg Config[T]) *Batcher[T] {
	b := &Batcher[T]{cfg: cfg, limit: cfg.Workers}
	b.wake, b.left = sync.NewCond(&b.mu), sync.NewCond(&b.mu)
	b.timer = time.AfterFunc(time.Hour, func() {
		b.mu.Lock() // else the wake-up could fall between a worker's look at the queue and its wait
		defer b.mu.Unlock()
		b.armed = time.Time{}
		b.wake.Broadcast()
	})
	b.timer.Stop()
	return b
}

// Run works until ctx is done and the handlers under way have returned. What is pending then stays pending: see Drain.
func (b *Batcher[T]) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.closed = true
		b.wake.Broadcast()
	})
	defer stop()
	defer b.timer.Stop()
	var workers sync.WaitGroup
	for range b.cfg.Workers {
		workers.Go(func() { b.work(ctx) })
	}
	workers.Wait()
	return nil
}

// Add queues things together, so that an idle worker takes them as one batch.
func (b *Batcher[T]) Add(values ...T) {
	if len(values) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, v := range values {
		b.queue = append(b.queue, b.entry(v, now))
	}
	b.rouse(now)
}

// Below waits until fewer than n things wait for a worker. Those that wait for the time of their next attempt don't count, since
// their number says nothing of how busy the workers are. It returns false where ctx has ended.
func (b *Batcher[T]) Below(ctx context.Context, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cond.Wait(ctx, b.left, func() bool { return len(b.queue)-b.head < n }) && ctx.Err() == nil
}

// entry makes an entry, of the memory of one that is done. b.mu is held.
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

// rouse sees to it that what is queued gets a worker in time: at once if it is ripe, else when it will be. A worker that is
// busy finds it by itself when it ends. b.mu is held.
func (b *Batcher[T]) rouse(now time.Time) {
	if b.busy < b.limit && b.ripe(now) {
		b.wake.Signal()
	} else {
		b.schedule(now)
	}
}

// SetLimit sets how many batches may be under way at once; 0 pauses, with those under way let finish.
func (b *Batcher[T]) SetLimit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = min(n, b.cfg.Workers)
	b.wake.Broadcast()
}

// Flush ends lingering for good: from now on what is pending goes at once.
func (b *Batcher[T]) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush = true
	b.wake.Broadcast()
}

// Drain takes back what is pending, once Run has returned.
func (b *Batcher[T]) Drain() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []T
	for _, e := range append(b.queue[b.head:], b.delayed...) {
		left = append(left, e.Value)
	}
	b.queue, b.head, b.delayed = nil, 0, nil
	b.left.Broadcast()
	return left
}

func (b *Batcher[T]) work(ctx context.Context) {
	batch := make([]*Entry[T], 0, b.cfg.MaxItems)
	b.mu.Lock()
	for {
		batch = b.next(batch[:0])
		if len(batch) == 0 {
			b.mu.Unlock() // not deferred: it would hide a panic of the handler, which runs unlocked
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

// next waits for a batch; an empty one means that the batcher was stopped. b.mu is held.
func (b *Batcher[T]) next(batch []*Entry[T]) []*Entry[T] {
	for !b.closed {
		now := time.Now()
		b.promote(now)
		if b.busy < b.limit && b.ripe(now) {
			batch = b.take(batch)
			b.left.Broadcast()
			b.busy++
			b.rouse(now) // also for a retry that falls due while this worker is busy
			return batch
		}
		b.schedule(now)
		b.wake.Wait()
	}
	return nil
}

// ripe tells whether what is queued may go now. b.mu is held.
func (b *Batcher[T]) ripe(now time.Time) bool {
	queued := len(b.queue) - b.head
	return queued >= b.cfg.MaxItems || queued > 0 && (b.flush || !now.Before(b.ripens()))
}

// ripens is when what is queued may go though it makes no full batch. b.mu is held.
func (b *Batcher[T]) ripens() time.Time {
	at := b.queue[b.head].added.Add(b.cfg.Linger)
	if b.busy > 0 {
		at = at.Add(b.cfg.Patience)
	}
	return at
}

// schedule sets the timer to when something becomes ripe without anybody's doing. b.mu is held.
func (b *Batcher[T]) schedule(now time.Time) {
	if b.busy >= b.limit {
		return // a worker that ends wakes us
	}
	var due time.Time
	if b.head < len(b.queue) {
		due = b.ripens()
	}
	if len(b.delayed) > 0 && (due.IsZero() || b.delayed[0].due.Before(due)) {
		due = b.delayed[0].due
	}
	if !due.IsZero() && !due.Equal(b.armed) {
		b.armed = due
		b.timer.Reset(due.Sub(now))
	}
}

// take moves the next batch out of the queue. b.mu is held.
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
		e.verdict = none
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

// settle puts the entries that need it up for another attempt. b.mu is held.
func (b *Batcher[T]) settle(batch []*Entry[T]) {
	now := time.Now()
	// One throw of the dice for all of a batch: what comes back of it together goes together again. Apart, 25 items would be as
	// many calls, and ten deletes too.
	dice, whole, attempts := rand.Float64(), true, 0
	for _, e := range batch {
		whole = whole && e.verdict != done
		attempts = max(attempts, e.Attempts+1)
	}
	for _, e := range batch {
		if e.verdict == done {
			*e = Entry[T]{}
			b.free = append(b.free, e)
			continue
		}
		e.Attempts++
		if !whole {
			attempts = e.Attempts // a hot key slows itself down, and not those that came back with it for the first time
		}
		e.due = now.Add(time.Duration(dice * float64(b.cfg.Backoff.limit(attempts))))
		b.push(e)
	}
}

// promote moves retries whose time has come to the front of the queue: they have waited longest. b.mu is held.
func (b *Batcher[T]) promote(now time.Time) {
	var due []*Entry[T]
	for len(b.delayed) > 0 && !b.delayed[0].due.After(now) {
		due = append(due, b.pop())
	}
	if len(due) == 0 {
		return
	}
	for _, e := range due {
		e.added = e.due.Add(-b.cfg.Linger) // no more lingering
	}
	if b.head < len(due) {
		b.queue = append(make([]*Entry[T], len(due)), b.queue[b.head:]...)
		b.head = len(due)
	}
	b.head -= len(due)
	copy(b.queue[b.head:], due)
}
