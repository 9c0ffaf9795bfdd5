package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
)

// frontReads is how often the service asks.
const frontReads = 20_000

// readFront is a service that asks for some ids far more often than for others, through a front, and shows what that saved.
func readFront(ctx context.Context, s *screen, aws *localaws.Server, want *expect.Outcome) error {
	ids := idsOf(want)
	if len(ids) == 0 {
		return nil
	}
	c, err := cache.New(aws.Config(), aws.Table, cache.WithFront(cache.Front{MaxAge: 10 * time.Second}))
	if err != nil {
		return err
	}
	defer c.Close()
	started := time.Now()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it is a demo
	for range frontReads {
		// The first tenth of the ids gets more than half of the reads.
		share := random.Float64() * random.Float64() * random.Float64()
		if _, err := c.Get(ctx, ids[int(share*float64(len(ids)))]); err != nil {
			return fmt.Errorf("reading through a front: %w", err)
		}
	}
	took, stats := time.Since(started), c.Stats()
	s.title("A service reads %s ids %s times, through a front", count(len(ids)), count(frontReads))
	s.line("  %-24s %7s  in %s", "answered by the front", count(int(stats.FrontHits)), seconds(took))
	s.line("  %-24s %7s  of %s without a front", "calls", count(int(stats.Calls)), count(frontReads))
	s.line("  %-24s %7.1f  of %s", "read units", stats.ReadUnits, count(int(stats.ReadUnits/float64(max(stats.Calls, 1))*frontReads)))
	s.line("  %-24s %7.1f  KB", "the front's memory", float64(stats.FrontBytes)/1024)
	return nil
}

// idsOf lists the ids that the table holds.
func idsOf(want *expect.Outcome) []string {
	var ids []string
	for key := range want.Items {
		_, id, _ := strings.Cut(key.ID, " ") // after its type
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
