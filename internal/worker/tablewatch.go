package worker

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// tableEvery is how often the table is read again. No write reports that TTL was switched off. DynamoDB deletes expired items
// up to days late ("Using time to live (TTL) in DynamoDB"), so an alert after an hour is early enough.
const tableEvery = time.Hour

// A tableWatch follows the table's TTL setting, and reports changed keys or indexes.
type tableWatch struct {
	cfg     *config.Config
	clients *awsclient.Clients
	log     *slog.Logger
	atStart item.Table
	setTTL  func(on bool)
}

func newTableWatch(cfg *config.Config, clients *awsclient.Clients, log *slog.Logger, atStart item.Table, setTTL func(on bool)) *tableWatch {
	return &tableWatch{cfg, clients, log, atStart, setTTL}
}

// run reads the table every hour until ctx is done.
func (w *tableWatch) run(ctx context.Context) error {
	wasOn, reported := w.atStart.TTLAttribute != "", false
	w.setTTL(wasOn)
	tick := time.NewTicker(tableEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 4*w.cfg.CallTimeout)
		info, err := awsclient.DescribeTable(attempt, w.clients, w.cfg.TableName)
		cancel()
		if err != nil {
			continue // the calls that matter report failures
		}
		on := info.TTLAttribute != ""
		w.setTTL(on)
		if wasOn && !on {
			w.log.Warn("table TTL switched off", "table", w.cfg.TableName, "remedy", "switch it on again: expired predictions are no longer deleted, and the table grows")
		}
		wasOn = on
		info.TTLAttribute = w.atStart.TTLAttribute
		if !reported && !reflect.DeepEqual(info.Table, w.atStart) {
			reported = true
			w.log.Warn("table keys or indexes changed since the start", "table", w.cfg.TableName, "remedy", "restart the worker")
		}
	}
}
