package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

const (
	// unusualExpired is the share of predictions that had expired above which something is wrong. The alert PredcacheExpired has
	// the same.
	unusualExpired = 0.05

	expiredEvery = 10 * time.Second
	// expiredWindow is the time over which the share is taken, and twice that is how long it is shown afterwards.
	expiredWindow = time.Minute

	expiredRemedy = "compare timestamp, ttlSeconds and expiresAt of a message with its sent time: a publisher's clock, unit or time zone is wrong, or the backlog is older than the predictions' life; see docs/runbook.md#predcacheexpired"
)

// WatchExpired reports as PartExpired that an unusual share of the predictions had expired before they were written, until ctx
// is done. They are dropped, and without this nobody would hear of it.
func (m *Metrics) WatchExpired(ctx context.Context) error {
	type sample struct{ expired, all float64 }
	samples := []sample{{}} // one an expiredEvery, of the last expiredWindow
	ticker := time.NewTicker(expiredEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		samples = append(samples, sample{value(m.outcomes[prediction.Expired]), m.predictions()})
		if most := int(expiredWindow/expiredEvery) + 1; len(samples) > most {
			samples = append(samples[:0], samples[len(samples)-most:]...)
		}
		now, before := samples[len(samples)-1], samples[0]
		if expired, all := now.expired-before.expired, now.all-before.all; expired > unusualExpired*all {
			m.health.warn(PartExpired, "", &manyExpired{int(expired), int(all)}, 2*expiredWindow)
		}
	}
}

// manyExpired is the error of PartExpired.
type manyExpired struct{ expired, all int }

func (e *manyExpired) Error() string {
	return fmt.Sprintf("%d of %d predictions in the last minute had expired before they were written", e.expired, e.all)
}

// Remedy says what to do.
func (*manyExpired) Remedy() string { return expiredRemedy }
