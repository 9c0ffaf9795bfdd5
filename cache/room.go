package cache

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/cond"
)

// room bounds the bytes that wait to be sent or are being sent, and knows when what was taken so far has left.
type room struct {
	bytes *semaphore.Weighted

	mu    sync.Mutex
	left  sync.Cond      // broadcast when a generation has left; its L is mu
	now   uint64         // guarded by mu: the generation of what is taken; each flush begins a new one
	taken map[uint64]int // guarded by mu: how many of each generation are still there
}

func newRoom(bytes int) *room {
	r := &room{bytes: semaphore.NewWeighted(int64(bytes)), taken: map[uint64]int{}}
	r.left.L = &r.mu
	return r
}

// enter counts a message in, and returns its generation.
func (r *room) enter() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[r.now]++
	return r.now
}

// leave gives back the room of a message.
func (r *room) leave(generation uint64, bytes int64) {
	r.bytes.Release(bytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[generation]--; r.taken[generation] == 0 {
		delete(r.taken, generation)
		r.left.Broadcast()
	}
}

// empty waits until all that has entered so far has left, whatever enters meanwhile.
func (r *room) empty(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.now
	r.now++
	if !cond.Wait(ctx, &r.left, func() bool {
		for generation := range r.taken {
			if generation <= last {
				return false
			}
		}
		return true
	}) {
		return ctx.Err()
	}
	return nil
}
