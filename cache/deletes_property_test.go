package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/cache"
)

// A shop computes what it misses, publishes it to a worker, and is told of deletes.
type shop struct {
	*store
	line *line

	mu       sync.Mutex
	random   *rand.Rand
	deletes  map[string][]change  // by id
	known    map[string]time.Time // by id: the event time of the newest delete that a consistent read has met
	computed map[string]int       // by id
}

// TestComputeProperties has callers of GetOrCompute, Get and GetMany beside a worker that writes what is published after a while, and
// deletes of event times around now, all at random times:
//   - once a consistent read has met a delete, no answer is of its event time or before;
//   - each delete and each life of a prediction costs one computation at most.
func TestComputeProperties(t *testing.T) {
	for seed := range uint64(8) {
		for _, layout := range []string{"versioned", "latest-only"} {
			t.Run(fmt.Sprint(layout, "/", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runShop(t, layout, seed) })
			})
		}
	}
}

const (
	shopIDs  = 3
	shopLife = 15 * time.Second
	shopOpen = time.Minute
)

func runShop(t *testing.T, layout string, seed uint64) {
	s := &shop{random: rand.New(rand.NewPCG(seed, 2)), deletes: map[string][]change{}, known: map[string]time.Time{}, computed: map[string]int{}}
	s.store, _ = fake(t, layout)
	s.line = newLine(t, "predictions", cache.PublisherConfig{})
	options := []cache.Option{cache.WithPublisher(s.line.Publisher), cache.ComputedAge(5 * time.Second)}
	if seed%2 == 1 {
		options = append(options, cache.WithFront(cache.Front{MaxAge: 2 * time.Second}))
	}
	s.cache = open(s.client, s.table, options...)
	time.Sleep(time.Minute) // from the year 2000 on
	ctx, cancel := context.WithTimeout(t.Context(), shopOpen)
	defer cancel()
	var all sync.WaitGroup
	var table sync.Mutex // its writers take turns, as one worker's do
	all.Go(func() { s.work(ctx, t, &table) })
	all.Go(func() { s.remove(ctx, t, &table) })
	for range 4 {
		all.Go(func() { s.call(ctx, t) })
	}
	all.Wait()
	for id, n := range s.computed {
		if most := len(s.deletes[id]) + int(shopOpen/shopLife) + 1; n > most {
			t.Errorf("%s was computed %d times, with %d deletes", id, n, len(s.deletes[id]))
		}
	}
	if got := s.cache.Stats(); got.Deleted == 0 || got.Computed == 0 || got.TableHits == 0 || got.ComputedHits+got.FrontHits == 0 {
		t.Errorf("it proves little: %d computed, %d deleted, %d hits", got.Computed, got.Deleted, got.TableHits)
	}
	s.cache.Close()
	if err := s.line.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) below(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Int64N(n)
}

// pause sleeps for a random time. It returns false when ctx is done.
func (s *shop) pause(ctx context.Context, most time.Duration) bool {
	select {
	case <-time.After(time.Duration(s.below(int64(most)))):
		return true
	case <-ctx.Done():
		return false
	}
}

// work writes what is published, unless the table has something newer.
func (s *shop) work(ctx context.Context, t *testing.T, table *sync.Mutex) {
	for written := 0; s.pause(ctx, time.Second); {
		bodies := s.line.bodies()
		for _, body := range bodies[written:] {
			table.Lock()
			if it := s.items(t, body)[0]; s.kind != "latest-only" || it.Version.Event.Clock().After(s.newest(it.Key.ID)) {
				s.put(t, body)
			}
			table.Unlock()
		}
		written = len(bodies)
	}
}

// newest returns the event time of the newest delete of an id, as written.
func (s *shop) newest(id string) (newest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deletes[id] {
		if d.event.After(newest) {
			newest = d.event
		}
	}
	return newest
}

// remove writes deletes, of event times up to a second before or after now.
func (s *shop) remove(ctx context.Context, t *testing.T, table *sync.Mutex) {
	for s.pause(ctx, 6*time.Second) {
		id := s.id(int(s.below(shopIDs)))
		event := time.Now().Add(time.Duration(s.below(int64(2 * time.Second)))).Add(-time.Second)
		table.Lock()
		if s.kind == "latest-only" {
			if p, err := openClient(s.client, s.table).Get(t.Context(), id); err == nil && p.EventTime.After(event) {
				table.Unlock()
				continue // a worker that orders would not replace it
			}
		}
		if event.After(s.newest(id)) {
			s.put(t, s.tombstone(id, event, 2*shopOpen))
			s.mu.Lock()
			s.deletes[id] = append(s.deletes[id], change{event: event, ends: time.Now()})
			s.mu.Unlock()
		}
		table.Unlock()
	}
}

func (s *shop) call(ctx context.Context, t *testing.T) {
	for s.pause(ctx, 300*time.Millisecond) {
		id := s.id(int(s.below(shopIDs)))
		start := time.Now()
		s.mu.Lock()
		known := s.known[id]
		s.mu.Unlock()
		var p *cache.Prediction
		var err error
		switch s.below(6) {
		case 0:
			if p, err = s.cache.Get(t.Context(), id, cache.Consistent()); err == nil || errors.Is(err, cache.ErrNotFound) {
				s.learn(id, start)
			}
		case 1:
			p, err = s.cache.Get(t.Context(), id)
		case 2:
			var many []*cache.Prediction
			many, err = s.cache.GetMany(t.Context(), []string{id})
			p = many[0]
		default:
			p, err = s.cache.GetOrCompute(t.Context(), id, func(context.Context) (*cache.Prediction, error) {
				s.pause(t.Context(), 50*time.Millisecond)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.computed[id]++
				return &cache.Prediction{Payload: []byte("1"), ExpiresAt: time.Now().Add(shopLife)}, nil
			})
		}
		if err != nil && !errors.Is(err, cache.ErrNotFound) {
			t.Error(err)
		}
		if p != nil && !p.EventTime.After(known) {
			t.Errorf("%s: a prediction of %v, which a delete of %v hides", id, p.EventTime, known)
		}
	}
}

// learn notes the newest delete that a consistent read from start on has met.
func (s *shop) learn(id string, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deletes[id] {
		if d.ends.Before(start) && d.event.After(s.known[id]) {
			s.known[id] = d.event
		}
	}
}
