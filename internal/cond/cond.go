// Package cond waits for a condition, and no longer than a context.
package cond

import (
	"context"
	"sync"
)

// Wait waits until holds is true, and returns true; or until ctx has ended before, and returns false. c.L is held, as holds is
// called with it; whoever changes what holds depends on calls c.Broadcast.
func Wait(ctx context.Context, c *sync.Cond, holds func() bool) bool {
	if holds() {
		return true
	}
	stop := context.AfterFunc(ctx, func() {
		c.L.Lock() // else the wake-up could fall between the look at ctx and the wait
		defer c.L.Unlock()
		c.Broadcast()
	})
	defer stop()
	for !holds() {
		if ctx.Err() != nil {
			return false
		}
		c.Wait()
	}
	return true
}
