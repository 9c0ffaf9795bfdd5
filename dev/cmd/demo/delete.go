package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

// deletesSetting has the worker remove what deletes hide. In the other layouts that needs WORKER_ORDERING=newest, under which items
// have one more attribute than the demo expects.
func deletesSetting(layout expect.Layout) string {
	if layout == expect.Versioned {
		return "WORKER_DELETES=remove"
	}
	return "WORKER_DELETES=off"
}

// deleteOne publishes the delete of an id with several versions, waits until its message is gone, and checks that the table has nothing
// of the id but a tombstone, and that a service reads a miss.
func deleteOne(ctx context.Context, s *screen, aws *localaws.Server, messages []recording.Message, timeout time.Duration) ([]check, error) {
	ids := disagreements(messages)
	if aws.Layout != expect.Versioned || len(ids) == 0 {
		return nil, nil
	}
	id := ids[0]
	before, err := itemsOf(ctx, aws, id)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	body := fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"deleted":true}`, id, started.UnixMilli())
	if err := aws.Publish(ctx, []recording.Message{{SentAt: float64(started.Unix()), Body: body}}); err != nil {
		return nil, err
	}
	if err := emptied(ctx, aws, aws.Queue, timeout); err != nil {
		return nil, err
	}
	took := time.Since(started)
	after, err := itemsOf(ctx, aws, id)
	if err != nil {
		return nil, err
	}
	c, err := cache.New(aws.Config(), aws.Table)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	read, err := c.Get(ctx, id)
	if err != nil && !errors.Is(err, cache.ErrNotFound) {
		return nil, fmt.Errorf("reading a deleted id: %w", err)
	}
	s.title("Delete %s, with WORKER_DELETES=remove", id)
	s.line("  %-24s %s", "published", body)
	s.line("  %-24s %7s  in %s", "items removed", count(len(before)), seconds(took))
	s.line("  %-24s %7s  a tombstone, which hides what is late", "item left", count(len(after)))
	deleted := check{text: "nothing is left of the deleted id but its tombstone, and a service reads a miss"}
	if len(after) != 1 || after[0]["deleted"] != "BOOL true" || after[0]["prediction"] != "" {
		deleted.differences = append(deleted.differences, fmt.Sprintf("the table has %d items of %s: %v", len(after), id, after))
	}
	if read != nil {
		deleted.differences = append(deleted.differences, fmt.Sprintf("a service reads %s", read.Payload))
	}
	return []check{deleted}, nil
}

// itemsOf returns the items of an id.
func itemsOf(ctx context.Context, aws *localaws.Server, id string) ([]expect.Item, error) {
	all, err := aws.Items(ctx)
	if err != nil {
		return nil, err
	}
	var items []expect.Item
	for _, item := range all {
		if item["predictionId"] == "S "+id {
			items = append(items, item)
		}
	}
	return items, nil
}

// emptied waits until a queue has no message.
func emptied(ctx context.Context, aws *localaws.Server, queue string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("a message is still on %s", queue))
	defer cancel()
	for {
		ready, inFlight, err := aws.Depth(ctx, queue)
		if err != nil || ready+inFlight == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
