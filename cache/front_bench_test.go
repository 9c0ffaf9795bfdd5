package cache_test

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/maypok86/otter/v2"

	"github.com/predcache/predcache/cache"
)

// generated is a client that has an item of every id, of the size that size says.
type generated struct {
	cache.DynamoDB
	size       func(id string) int
	attributes int
	expires    string
	calls      *atomic.Int64
}

func newGenerated(size func(id string) int, attributes int) generated {
	return generated{size: size, attributes: attributes, expires: fmt.Sprint(time.Now().Add(24 * time.Hour).Unix()), calls: &atomic.Int64{}}
}

func (g generated) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	g.calls.Add(1)
	id := in.Key["predictionId"].(*types.AttributeValueMemberS).Value
	n := g.size(id)
	if n < 0 {
		return &dynamodb.GetItemOutput{}, nil
	}
	item := map[string]types.AttributeValue{"predictionId": in.Key["predictionId"], "createdAt": number(1), "expiresAt": number(g.expires),
		"prediction": text(`"` + strings.Repeat("x", n) + `"`)}
	for i := range g.attributes {
		item[fmt.Sprint("attribute", i)] = text("value")
	}
	return &dynamodb.GetItemOutput{Item: item}, nil
}

func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFrontMemory fills fronts with entries of many kinds, and compares what they count with what the heap has.
func TestFrontMemory(t *testing.T) {
	const bound = 16 << 20
	spread := func(from, to int) func(string) int {
		return func(id string) int {
			h := uint32(2166136261)
			for i := range len(id) {
				h = (h ^ uint32(id[i])) * 16777619
			}
			return from + int(h%uint32(to-from))
		}
	}
	for name, g := range map[string]generated{
		"misses":              newGenerated(func(string) int { return -1 }, 0),
		"tiny":                newGenerated(func(string) int { return 1 }, 0),
		"100 bytes":           newGenerated(func(string) int { return 100 }, 1),
		"1 KB":                newGenerated(func(string) int { return 1000 }, 3),
		"1 KB, 20 attributes": newGenerated(func(string) int { return 1000 }, 20),
		"50 to 5000 bytes":    newGenerated(spread(50, 5000), 4),
		"50 KB":               newGenerated(func(string) int { return 50_000 }, 3),
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			c := openClient(g, "predictions", cache.WithLayout(cache.LatestOnly()), cache.WithFront(cache.Front{MaxBytes: bound, MaxAge: time.Hour, NegativeAge: time.Hour}))
			for i := 0; ; i++ {
				if _, err := c.Get(t.Context(), fmt.Sprint("user/", i)); err != nil && !errors.Is(err, cache.ErrNotFound) {
					t.Fatal(err)
				}
				if i%1000 == 0 && c.Stats().FrontBytes > bound*95/100 {
					break
				}
			}
			grown, stats := heap()-before, c.Stats()
			ratio := float64(grown) / float64(stats.FrontBytes)
			t.Logf("%d entries: %d bytes counted, %d on the heap: %.3f", stats.FrontEntries, stats.FrontBytes, grown, ratio)
			if ratio > 1.15 || ratio < 1/1.15 {
				t.Errorf("%d bytes counted, %d on the heap: %.3f", stats.FrontBytes, grown, ratio)
			}
			c.Close()
			runtime.KeepAlive(c)
		})
	}
}

// BenchmarkFrontHit has each goroutine read ids that the front holds.
func BenchmarkFrontHit(b *testing.B) {
	const ids = 10_000
	c := openClient(newGenerated(func(string) int { return 1000 }, 3), "predictions", cache.WithLayout(cache.LatestOnly()),
		cache.WithFront(cache.Front{MaxAge: time.Hour}))
	defer c.Close()
	var all []string
	for i := range ids {
		all = append(all, fmt.Sprint("user-", i))
		if _, err := c.Get(b.Context(), all[i]); err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(ids); pb.Next(); i++ {
			if _, err := c.Get(ctx, all[i%ids]); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") // says more than ns/op on a busy machine
}

func TestFrontHitAllocatesNothing(t *testing.T) {
	c := openClient(newGenerated(func(string) int { return 1000 }, 3), "predictions", cache.WithLayout(cache.LatestOnly()),
		cache.WithFront(cache.Front{MaxAge: time.Hour}))
	defer c.Close()
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := c.Get(ctx, "a"); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// zipf draws ranks from 0 on whose probability falls with the power of s.
func zipf(n int, s float64) func(random *rand.Rand) int {
	sums := make([]float64, n)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -s)
		sums[i] = sum
	}
	return func(random *rand.Rand) int { return sort.SearchFloat64s(sums, random.Float64()*sum) }
}

// lru is the plain policy to compare with.
type lru struct {
	room  int
	order list.List
	all   map[int]*list.Element
}

func (l *lru) hit(key int) bool {
	if e, found := l.all[key]; found {
		l.order.MoveToFront(e)
		return true
	}
	if len(l.all) == l.room {
		last := l.order.Back()
		delete(l.all, l.order.Remove(last).(int))
	}
	l.all[key] = l.order.PushFront(key)
	return false
}

// TestFrontHitRate compares the front with otter's own cache and with plain LRU, on Zipf 0.99 with room for 0.1 % of the keys.
func TestFrontHitRate(t *testing.T) {
	const keys, requests = 1_000_000, 200_000
	c := openClient(newGenerated(func(string) int { return 600 }, 0), "predictions", cache.WithLayout(cache.LatestOnly()),
		cache.WithFront(cache.Front{MaxAge: time.Hour, MaxBytes: 1 << 20}))
	defer c.Close()
	if _, err := c.Get(t.Context(), "probe"); err != nil {
		t.Fatal(err)
	}
	room := (1 << 20) / int(c.Stats().FrontBytes)
	own := otter.Must(&otter.Options[int, int]{MaximumSize: room})
	plain := &lru{room: room, all: map[int]*list.Element{}}
	draw, random := zipf(keys, 0.99), rand.New(rand.NewPCG(1, 2))
	var ours, theirs, lrus float64
	before := c.Stats()
	for range requests {
		key := draw(random)
		if _, err := c.Get(t.Context(), fmt.Sprint("user-", key)); err != nil {
			t.Fatal(err)
		}
		if _, found := own.GetIfPresent(key); found {
			theirs++
		} else {
			own.Set(key, key)
		}
		if plain.hit(key) {
			lrus++
		}
	}
	ours = float64(c.Stats().FrontHits - before.FrontHits)
	t.Logf("room for %d of %d: the front hits %.1f %%, otter %.1f %%, LRU %.1f %%", room, keys, 100*ours/requests, 100*theirs/requests, 100*lrus/requests)
	// What the policy makes of a busy machine, whose maintenance comes late, differs by up to a point.
	if ours < theirs-requests/50 || ours < lrus {
		t.Errorf("the front hits %.1f %%, otter %.1f %%", 100*ours/requests, 100*theirs/requests)
	}
}

// tail is a client some of whose calls are slow.
type tail struct {
	cache.DynamoDB
	takes func() time.Duration
	calls *atomic.Int64
	found *dynamodb.GetItemOutput
}

func (c tail) GetItem(ctx context.Context, _ *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	c.calls.Add(1)
	select {
	case <-time.After(c.takes()):
		return c.found, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestHedging(t *testing.T) {
	for name, test := range map[string]struct {
		takes  func() time.Duration
		p99    time.Duration
		budget float64
	}{
		"3 % at 50 ms": {func() time.Duration {
			if rand.IntN(100) < 3 {
				return 50 * time.Millisecond
			}
			return 4*time.Millisecond + rand.N(2*time.Millisecond)
		}, 15 * time.Millisecond, 0.04},
		"all slow": {func() time.Duration { return 50*time.Millisecond + rand.N(200*time.Millisecond) }, time.Second, 0.05},
		"all ever slower": {func() func() time.Duration {
			d := 5 * time.Millisecond
			return func() time.Duration { d += 50 * time.Microsecond; return d }
		}(), time.Minute, 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 10_000
				client := tail{takes: test.takes, calls: &atomic.Int64{}, found: &dynamodb.GetItemOutput{Item: map[string]types.AttributeValue{
					"predictionId": text("a"), "createdAt": number(1), "expiresAt": number(time.Now().Add(1000 * time.Hour).Unix()), "prediction": text("1")}}}
				c := openClient(client, "predictions", cache.WithLayout(cache.LatestOnly()), cache.WithHedging())
				var took []time.Duration
				for range n {
					start := time.Now()
					if _, err := c.Get(t.Context(), "a"); err != nil {
						t.Fatal(err)
					}
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				extra := float64(client.calls.Load()-n) / n
				got := c.Stats()
				t.Logf("p50 %v, p99 %v, p99.9 %v, %.1f %% more calls, %+v won", took[n/2], took[n*99/100], took[n*999/1000], 100*extra, got.HedgeWins)
				if took[n*99/100] > test.p99 || extra > test.budget || got.Hedges != client.calls.Load()-n || got.Calls != client.calls.Load() {
					t.Errorf("p99 %v, %.1f %% more calls, %+v", took[n*99/100], 100*extra, got)
				}
			})
		})
	}
}
