package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// soak sends messages at the workload's rate until its time is over. It reuses a few messages, each time with a new message id,
// key and event time, written over the old ones. It sends a message again only after its deletion, so a worker that falls behind
// slows the sending.
func (f *fake) soak(start time.Time) {
	for n, now := 0, start; now.Sub(start) < f.w.Soak; now = time.Now() {
		due := int(now.Sub(start).Seconds() * f.w.Rate)
		f.mu.Lock()
		f.table.Lock()
		for ; n < due; n++ {
			m := &f.messages[n%len(f.messages)]
			if n >= len(f.messages) && !m.deleted {
				break
			}
			m.renew(n, now)
			f.ready = append(f.ready, int32(n%len(f.messages)))
		}
		f.stats.Messages = n
		f.table.Unlock()
		f.changed.Broadcast()
		f.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

// renew turns m into the n-th message.
func (m *stored) renew(n int, now time.Time) {
	m.sent, m.deleted, m.durable = now, false, false
	for _, text := range [][]byte{m.head, m.plain} {
		for _, part := range []struct {
			before, format string
			value          int
		}{
			{`{"MessageId":"`, "%08x", n},
			{`user-`, "%09d", n},
			{`timestamp\":`, "%010d", int(now.Unix())},
		} {
			i := strings.Index(string(text), part.before) + len(part.before)
			copy(text[i:], fmt.Sprintf(part.format, part.value))
		}
	}
}

// soaked records that the message of a key is durable. It requires that f.table is held.
func (f *fake) soaked(key string, now time.Time) {
	n, _ := strconv.Atoi(strings.TrimPrefix(key, "user-"))
	m := &f.messages[n%len(f.messages)]
	m.durable = true
	f.ages = append(f.ages, now.Sub(m.sent).Seconds())
}

func (f *fake) isDurable(m *stored) bool {
	f.table.Lock()
	defer f.table.Unlock()
	return m.durable
}

// soak runs the worker on a soak workload and prints its use of resources every minute.
func (b *bench) soak(w workload) error {
	var s stats
	p, err := b.start("worker", w, &s)
	if err != nil {
		return err
	}
	defer p.Kill()
	if err := b.call("Open", w, &s); err != nil {
		return err
	}
	fmt.Println("| minute | messages | CPU us | MiB | heap MiB | goroutines | files | p50 ms | p99 ms | held | lost |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for start, deleted, cpu := time.Now(), 0, p.CPUTime(); ; {
		time.Sleep(min(time.Minute, time.Until(start.Add(w.Soak))))
		over := time.Since(start) >= w.Soak
		if over {
			if err := b.await(&s, func() bool { return s.Deleted == s.Messages }, time.Minute); err != nil {
				return err
			}
		}
		if err := b.call("Results", nil, &s); err != nil {
			return err
		}
		m, err := p.Metrics(context.Background())
		if err != nil {
			return err
		}
		used := p.CPUTime()
		fmt.Printf("| %.0f | %d | %.1f | %.0f | %.1f | %.0f | %.0f | %.1f | %.1f | %d | %d |\n", time.Since(start).Minutes(), s.Deleted,
			(used-cpu).Seconds()*1e6/float64(max(s.Deleted-deleted, 1)), m.Value("process_resident_memory_bytes")/(1<<20), m.Value("go_memstats_heap_inuse_bytes")/(1<<20),
			m.Value("go_goroutines"), m.Value("process_open_fds"), s.AgeP50*1000, s.AgeP99*1000, s.Messages-s.Deleted, s.Lost)
		if over {
			return p.Stop(time.Minute)
		}
		deleted, cpu = s.Deleted, used
	}
}
