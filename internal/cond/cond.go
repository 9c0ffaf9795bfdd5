// Package cond waits on a sync.Cond with a context.
package cond

import (
	"context"
	"sync"
)

// Wait blocks until cond returns true. It returns false if ctx is done first. The caller must hold c.L, and Wait holds it
// whenever it calls cond. Whoever changes the state that cond reads must call c.Broadcast.
func Wait(ctx context.Context, c *sync.Cond, cond func() bool) bool {
	if cond() {
		return true
	}
	stop := context.AfterFunc(ctx, func() {
		c.L.Lock() // without it, the broadcast could happen between the check of ctx and the wait
		defer c.L.Unlock()
		c.Broadcast()
	})
	defer stop()
	for !cond() {
		if ctx.Err() != nil {
			return false
		}
		c.Wait()
	}
	return true
}
