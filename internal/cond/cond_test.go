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
		trueAfter, ctxEndsAfter time.Duration
		want                    bool
		waits                   time.Duration
	}{
		"true":                    {0, time.Hour, true, 0},
		"true though ctx is done": {0, 0, true, 0},
		"becomes true":            {time.Second, time.Hour, true, time.Second},
		"ctx ends first":          {time.Hour, time.Second, false, time.Second},
		"false and ctx is done":   {time.Hour, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ctxEndsAfter)
				defer cancel()
				var mu sync.Mutex
				c := sync.NewCond(&mu)
				start := time.Now()
				change := time.AfterFunc(test.trueAfter, func() {
					mu.Lock()
					defer mu.Unlock()
					c.Broadcast()
				})
				defer change.Stop()
				mu.Lock()
				defer mu.Unlock()
				got := cond.Wait(ctx, c, func() bool { return time.Since(start) >= test.trueAfter })
				if waited := time.Since(start); got != test.want || waited != test.waits {
					t.Errorf("%v after %v, want %v after %v", got, waited, test.want, test.waits)
				}
			})
		})
	}
}

func TestSleep(t *testing.T) {
	for name, test := range map[string]struct {
		ctxEndsAfter, want time.Duration
		slept              bool
	}{
		"the whole time": {2 * time.Second, time.Second, true},
		"ctx ends first": {500 * time.Millisecond, 500 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ctxEndsAfter)
				defer cancel()
				start := time.Now()
				slept := cond.Sleep(ctx, time.Second)
				if waited := time.Since(start); slept != test.slept || waited != test.want {
					t.Errorf("%v after %v, want %v after %v", slept, waited, test.slept, test.want)
				}
			})
		})
	}
}
