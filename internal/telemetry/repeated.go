package telemetry

import (
	"log/slog"
	"sync"
	"time"
)

// repeated logs an error that comes again and again: the first at once, then once a minute how many there were.
type repeated struct {
	log     *slog.Logger
	message string

	mu     sync.Mutex
	since  time.Time
	logged time.Time
	count  int
}

func (r *repeated) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.logged) >= 10*remind { // it has not been heard of for long: this is a new one
		r.since, r.count = now, 0
	}
	r.count++
	if r.count > 1 && now.Sub(r.logged) < remind {
		return
	}
	r.logged = now
	if r.count == 1 {
		r.log.Warn(r.message, "reason", err.Error())
		return
	}
	r.log.Warn(r.message, "reason", err.Error(), "since", r.since.UTC().Format(time.RFC3339), "failures", r.count)
}
