package cache

import (
	"errors"
	"sync"
)

// flights are the calls under way, one per key. Callers that arrive during a call wait for its result.
type flights[T any] struct {
	mu  sync.Mutex
	all map[string]*flight[T] // guarded by mu
}

// A flight is one call that callers share.
type flight[T any] struct {
	key  string
	done chan struct{} // closed once value and err are set
	sent int64         // when it began; see Cache.mono

	value T
	err   error
}

// errAbandoned is the error of a flight whose call never began, because its owner's context ended. Others try again.
var errAbandoned = errors.New("the call was not made")

// join returns the flight of a key, and whether it is a new one, which the caller must land.
func (f *flights[T]) join(key string, now int64) (_ *flight[T], owner bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, found := f.all[key]; found {
		return fl, false
	}
	if f.all == nil {
		f.all = map[string]*flight[T]{}
	}
	fl := &flight[T]{key: key, done: make(chan struct{}), sent: now}
	f.all[key] = fl
	return fl, true
}

// land ends a flight. Its value and error never change after that.
func (f *flights[T]) land(fl *flight[T], value T, err error) {
	f.mu.Lock()
	flying := f.all[fl.key] == fl
	if flying {
		delete(f.all, fl.key)
	}
	f.mu.Unlock()
	if !flying {
		return
	}
	fl.value, fl.err = value, err
	close(fl.done)
}
