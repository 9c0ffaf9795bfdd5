package worker

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A Rechecker reads the table again after it refused an item: its keys, indexes or TTL may have changed under us.
type Rechecker struct {
	clients *awsclient.Clients
	cfg     *config.Config
	atStart item.Table

	asking chan struct{} // holds one while somebody asks, which takes a call: no mutex for that
	last   time.Time
	answer error
}

// NewRechecker returns a Rechecker for a table as it was at the start.
func NewRechecker(clients *awsclient.Clients, cfg *config.Config, atStart item.Table) *Rechecker {
	return &Rechecker{clients: clients, cfg: cfg, atStart: atStart, asking: make(chan struct{}, 1)}
}

// recheckEvery is how long an answer is valid. Halving a batch asks several times.
const recheckEvery = time.Minute

// Recheck returns what has changed, if anything. Calls within a minute share an answer.
func (r *Rechecker) Recheck(ctx context.Context) error {
	if _, configured := r.cfg.Table(); configured {
		return nil // we may not ask
	}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return nil
	}
	if !r.last.IsZero() && time.Since(r.last) < recheckEvery {
		return r.answer
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	info, err := awsclient.DescribeTable(ctx, r.clients, r.cfg.TableName)
	if err != nil {
		return nil // not known; the next refusal asks again
	}
	r.last, r.answer = time.Now(), nil
	if !reflect.DeepEqual(info.Table, r.atStart) {
		r.answer = errors.New("the table's keys, indexes or TTL are no longer what they were when the worker started: restart the worker")
	}
	return r.answer
}
