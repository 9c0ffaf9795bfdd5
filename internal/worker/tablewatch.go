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

// tableEvery is how often the table is read again, and for how long an answer is valid for whoever asks in between. What changes
// is reported by no write: TTL that was switched off, an index that was added, a table that was deleted and created again.
const tableEvery = time.Minute

// A TableWatch reads the table again while the worker runs, and reports what has changed. A changed key stops the writer; what was
// remembered as written is forgotten with a table that was replaced.
type TableWatch struct {
	cfg     *config.Config
	clients *awsclient.Clients
	log     *slog.Logger
	setTTL  func(on bool)
	atStart item.Table

	reading chan struct{} // holds one while somebody reads, which takes calls: no mutex for that
	// Guarded by reading.
	last      time.Time
	id        string // of the table
	seen      item.Table
	fatal     error
	recreated func() // set by run

	gone atomic.Bool // the table was missing, and has not been read since
}

// NewTableWatch returns a TableWatch for the table as it was at the start, or nil if the settings describe the table: the worker
// may then not ask. setTTL is told whether TTL is on.
func NewTableWatch(cfg *config.Config, clients *awsclient.Clients, resources *Resources, setTTL func(on bool), log *slog.Logger) *TableWatch {
	if resources.TableInfo == nil {
		return nil
	}
	return &TableWatch{
		cfg: cfg, clients: clients, log: log, setTTL: setTTL, reading: make(chan struct{}, 1),
		atStart: resources.Table, seen: resources.Table, id: resources.TableInfo.ID, last: time.Now(), recreated: func() {},
	}
}

// Recheck returns an error if the table can no longer be served as it was at the start. A TableWatch that is nil knows nothing.
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
	if time.Since(w.last) >= tableEvery {
		w.read(ctx)
	}
	return w.fatal
}

// missing notes that the table does not exist, and that what was remembered of it was forgotten. The table that is read next
// is then no news: to forget again would forget what has been written to it.
func (w *TableWatch) missing() {
	if w != nil {
		w.gone.Store(true)
	}
}

// run reads the table every minute until ctx is done. recreated is called when it is another table of the same name.
func (w *TableWatch) run(ctx context.Context, recreated func()) error {
	if w == nil {
		return nil
	}
	w.reading <- struct{}{}
	w.recreated = recreated
	w.setTTL(w.seen.TTLAttribute != "")
	<-w.reading
	tick := time.NewTicker(tableEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.reading <- struct{}{}
			w.read(ctx) // the writer hears of it when it asks
			<-w.reading
		}
	}
}

// read reads the table. A failure is not reported: the calls that matter fail too. It requires w.reading.
func (w *TableWatch) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*w.cfg.CallTimeout)
	defer cancel()
	info, err := awsclient.DescribeTable(ctx, w.clients, w.cfg.TableName)
	if err != nil {
		return
	}
	w.last = time.Now()
	if info.ID != w.id && w.id != "" {
		w.log.Warn("table deleted and created again", "table", w.cfg.TableName, "remedy", "none needed: what was written before is written again when it is sent again")
		w.id = info.ID
		if !w.gone.Load() {
			w.recreated()
		}
	}
	w.gone.Store(false)
	if was, on := w.seen.TTLAttribute != "", info.TTLAttribute != ""; was != on {
		w.setTTL(on)
		if was {
			w.log.Warn("table TTL switched off", "table", w.cfg.TableName, "remedy", "switch it on again: expired predictions are no longer deleted, and the table grows")
		}
	}
	if !maps.Equal(info.Indexes, w.seen.Indexes) {
		w.log.Warn("table indexes changed since the start", "table", w.cfg.TableName, "remedy", "restart the worker: until then, items that a new index refuses are rejected one by one")
	}
	w.seen, w.fatal = info.Table, nil
	if !sameKey(info.Table, w.atStart) {
		w.fatal = errors.New("the table's key is no longer what it was when the worker started: restart the worker")
	}
}

// sameKey reports whether items for one table fit into the other.
func sameKey(a, b item.Table) bool {
	return a.HashKey == b.HashKey && a.HashType == b.HashType && a.SortKey == b.SortKey && a.SortType == b.SortType
}
