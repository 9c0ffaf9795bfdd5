// Package cond waits for a condition, or for a time, with a context.
package cond

import (
	"context"
	"sync"
	"time"
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

// Sleep blocks for d. It returns false if ctx is done first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
