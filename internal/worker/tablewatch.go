package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// tableInterval is the time between reads of the table's description, and the time for which Recheck uses the last one. No write
// reports that TTL was switched off, an index was added, or the table was deleted and created again.
const tableInterval = time.Minute

// A TableWatch reads the table's description again while the worker runs, and reports changes. A changed key stops the writer. After
// the table was replaced, the window forgets what it remembers as written.
type TableWatch struct {
	cfg     *config.Config
	clients *awsclient.Clients
	log     *slog.Logger
	setTTL  func(on bool)
	atStart item.Table

	reading chan struct{} // a semaphore of one, whose wait a context can end; held during calls of AWS
	// Guarded by reading.
	last      time.Time
	id        string // of the table
	seen      item.Table
	fatal     error  // the table can't be written until it is mended
	recreated func() // set by run

	gone atomic.Bool // the table was missing, and has not been read since
}

// NewTableWatch returns a TableWatch that compares the table with resources. It returns nil if the settings describe the table, since
// the worker then has no permission to. setTTL is called with whether TTL is on.
func NewTableWatch(cfg *config.Config, clients *awsclient.Clients, resources *Resources, setTTL func(on bool), log *slog.Logger) *TableWatch {
	if resources.TableInfo == nil {
		return nil
	}
	return &TableWatch{
		cfg: cfg, clients: clients, log: log, setTTL: setTTL, reading: make(chan struct{}, 1),
		atStart: resources.Table, seen: resources.Table, id: resources.TableInfo.ID, last: time.Now(), recreated: func() {},
	}
}

// Recheck returns an error if the table's key has changed since the start. A nil TableWatch returns nil.
func (w *TableWatch) Recheck(ctx context.Context) error {
	if w == nil {
		return nil
	}
	select {
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-ctx.Done():
		return nil
	}
	if time.Since(w.last) >= tableInterval {
		w.read(ctx)
	}
	return w.fatal
}

// missing records that the table does not exist, and that the window has forgotten what was written to it. When the table exists
// again, read must not call recreated: the window would forget what has been written to the new one.
func (w *TableWatch) missing() {
	if w != nil {
		w.gone.Store(true)
	}
}

// run reads the table's description every minute until ctx is done. It calls recreated when the table was deleted and created again.
func (w *TableWatch) run(ctx context.Context, recreated func()) error {
	if w == nil {
		return nil
	}
	w.reading <- struct{}{}
	w.recreated = recreated
	w.setTTL(w.seen.TTLAttribute != "")
	<-w.reading
	tick := time.NewTicker(tableInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.reading <- struct{}{}
			w.read(ctx) // the writer gets the result from Recheck
			<-w.reading
		}
	}
}

// read reads the table's description. It ignores a failure, since writes report those. It requires w.reading.
func (w *TableWatch) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*w.cfg.CallTimeout)
	defer cancel()
	info, err := awsclient.DescribeTable(ctx, w.clients, w.cfg.TableName)
	if err != nil {
		return
	}
	w.last = time.Now()
	if info.ID != w.id && w.id != "" {
		w.log.Warn("table deleted and created again", "table", w.cfg.TableName, "remedy", "none: the worker no longer skips predictions that it wrote to the old table")
		w.id = info.ID
		if !w.gone.Load() {
			w.recreated()
		}
	}
	w.gone.Store(false)
	if was, on := w.seen.TTLAttribute != "", info.TTLAttribute != ""; was != on {
		w.setTTL(on)
		if was {
			w.log.Warn("table TTL switched off", "table", w.cfg.TableName, "remedy", "switch it on again: otherwise expired predictions are not deleted, and the table grows")
		}
	}
	if !maps.Equal(info.Indexes, w.seen.Indexes) {
		w.log.Warn("table indexes changed since the start", "table", w.cfg.TableName, "remedy", "restart the worker: until then, items that a new index refuses are rejected one by one")
	}
	w.seen, w.fatal = info.Table, nil
	if !sameKey(info.Table, w.atStart) {
		w.fatal = errors.New("the table's key has changed since the worker started: restart the worker")
	}
}

// sameKey reports whether two tables have the same key.
func sameKey(a, b item.Table) bool {
	return a.HashKey == b.HashKey && a.HashType == b.HashType && a.SortKey == b.SortKey && a.SortType == b.SortType
}
