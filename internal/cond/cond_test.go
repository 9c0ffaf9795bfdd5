package cond_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/cond"
)

func TestWait(t *testing.T) {
	for name, test := range map[string]struct {
		holdsAfter, endsAfter time.Duration
		want                  bool
		waits                 time.Duration
	}{
		"it holds":                      {0, time.Hour, true, 0},
		"it holds though ctx has ended": {0, 0, true, 0},
		"it comes to hold":              {time.Second, time.Hour, true, time.Second},
		"ctx ends":                      {time.Hour, time.Second, false, time.Second},
		"ctx has ended":                 {time.Hour, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.endsAfter)
				defer cancel()
				var mu sync.Mutex
				c := sync.NewCond(&mu)
				start := time.Now()
				change := time.AfterFunc(test.holdsAfter, func() {
					mu.Lock()
					defer mu.Unlock()
					c.Broadcast()
				})
				defer change.Stop()
				mu.Lock()
				defer mu.Unlock()
				got := cond.Wait(ctx, c, func() bool { return time.Since(start) >= test.holdsAfter })
				if waited := time.Since(start); got != test.want || waited != test.waits {
					t.Errorf("%v after %v, want %v after %v", got, waited, test.want, test.waits)
				}
			})
		})
	}
}
