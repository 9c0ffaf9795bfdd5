package removal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
)

// slow is a table without items. Its first calls fail, and each takes a second.
type slow struct {
	mu          sync.Mutex
	fails       int
	calls, most int // in progress now, and at the most
}

func (s *slow) Page(context.Context, item.Key, *item.Key) (page removal.Page, err error) {
	s.mu.Lock()
	s.calls++
	s.most = max(s.most, s.calls)
	if s.fails > 0 {
		s.fails--
		err = errors.New("throttled")
	}
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	s.calls--
	s.mu.Unlock()
	return page, err
}

func (s *slow) Removed(int)  {}
func (s *slow) Removing(int) {}

// A removal that succeeded while the failures before it were still announced left one at a time for good.
func TestStall_ends_while_it_is_announced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &slow{fails: 3}
		r := removal.New(removal.Config{
			Table: table, Observer: table, Concurrency: 3, CallTimeout: time.Minute, Submit: func(...*item.Item) {},
			Pending: func(string, prediction.Version) []removal.Found { return nil },
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) })
		remove := func(id string, announced time.Duration) {
			r.Remove(removal.Delete{Key: item.Key{ID: id}, Done: func(bool) {}, Stall: func() bool { time.Sleep(announced); return true }})
		}
		remove("first", time.Minute)
		time.Sleep(30 * time.Second)
		remove("second", 0) // succeeds
		time.Sleep(5 * time.Minute)
		table.mu.Lock()
		table.most = 0
		table.mu.Unlock()
		for i := range 6 {
			remove(fmt.Sprint(i), 0)
		}
		time.Sleep(time.Minute)
		stop()
		running.Wait()
		if table.most != 3 {
			t.Errorf("up to %d calls at once, want 3", table.most)
		}
	})
}
