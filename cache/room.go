package cache

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/cond"
)

// room bounds the bytes that are queued or being sent. It also knows when all messages taken before a flush have left.
type room struct {
	bytes *semaphore.Weighted

	mu    sync.Mutex
	left  sync.Cond      // broadcast when a generation has left; its L is mu
	now   uint64         // guarded by mu: the generation of new messages; each flush begins another
	taken map[uint64]int // guarded by mu: how many of each generation are still there
}

func newRoom(bytes int) *room {
	r := &room{bytes: semaphore.NewWeighted(int64(bytes)), taken: map[uint64]int{}}
	r.left.L = &r.mu
	return r
}

// enter counts a message and returns its generation.
func (r *room) enter() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[r.now]++
	return r.now
}

// leave releases the bytes of a message.
func (r *room) leave(generation uint64, bytes int64) {
	r.bytes.Release(bytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[generation]--; r.taken[generation] == 0 {
		delete(r.taken, generation)
		r.left.Broadcast()
	}
}

// empty blocks until all messages that have entered so far have left. Later messages don't delay it.
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
