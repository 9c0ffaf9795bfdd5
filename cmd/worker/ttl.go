package main

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// ttlEvery is how often the table's TTL setting is read again. It can be switched off under a running worker, which no write
// would tell; DynamoDB deletes up to days late anyway, so an hour is early enough to alert.
const ttlEvery = time.Hour

// watchTable follows the table's TTL setting until ctx is done, and notices that its keys or indexes have changed.
func watchTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients, log *slog.Logger, atStart item.Table, set func(on bool)) {
	was, changed := atStart.TTLAttribute != "", false
	set(was)
	tick := time.NewTicker(ttlEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 4*cfg.CallTimeout)
		info, err := awsclient.DescribeTable(attempt, clients, cfg.TableName)
		cancel()
		if err != nil {
			continue // what fails is told by the calls that matter
		}
		on := info.TTLAttribute != ""
		set(on)
		if was && !on {
			log.Warn("the table's TTL was switched off: expired predictions are no longer deleted, and the table grows; switch it on again", "table", cfg.TableName)
		}
		was = on
		info.TTLAttribute = atStart.TTLAttribute
		if !changed && !reflect.DeepEqual(info.Table, atStart) {
			changed = true
			log.Warn("the table's keys or indexes are no longer what they were when the worker started: restart the worker", "table", cfg.TableName)
		}
	}
}
