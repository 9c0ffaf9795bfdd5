package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// soak sends messages at the workload's rate for its time. They are the same few over and over, each time with a message id, a
// key and an event time of their own, written over the old ones. A message is sent again once it has been deleted: a worker
// that falls behind slows the sending.
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

// renew makes m the n-th message.
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

// soaked notes that the message of a key is durable. f.table is held.
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

// soak has the worker work through a soak, and prints each minute what it took.
func (b *bench) soak(w workload) error {
	var s stats
	cmd, err := b.start("worker", w, &s)
	if err != nil {
		return err
	}
	defer end(cmd)
	if err := b.call("Open", w, &s); err != nil {
		return err
	}
	fmt.Println("| minute | messages | CPU us | MiB | heap MiB | goroutines | files | p50 ms | p99 ms | held | lost |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for start, deleted, cpu := time.Now(), 0, cpuTime(cmd.Process.Pid); ; {
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
		m, err := metrics()
		if err != nil {
			return err
		}
		used := cpuTime(cmd.Process.Pid)
		fmt.Printf("| %.0f | %d | %.1f | %.0f | %.1f | %.0f | %.0f | %.1f | %.1f | %d | %d |\n", time.Since(start).Minutes(), s.Deleted,
			(used-cpu).Seconds()*1e6/float64(max(s.Deleted-deleted, 1)), m["process_resident_memory_bytes"]/(1<<20), m["go_memstats_heap_inuse_bytes"]/(1<<20),
			m["go_goroutines"], m["process_open_fds"], s.AgeP50*1000, s.AgeP99*1000, s.Messages-s.Deleted, s.Lost)
		if over {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				return err
			}
			return cmd.Wait() // the drain
		}
		deleted, cpu = s.Deleted, used
	}
}

// metrics reads the worker's metrics without labels.
func metrics() (map[string]float64, error) {
	resp, err := http.Get("http://" + httpAddr + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 1<<20))
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), " "); found {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return values, lines.Err()
}
