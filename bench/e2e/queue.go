package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// open makes the messages visible, either at once or at the workload's rate.
func (f *fake) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	start := time.Now()
	f.stats.Opened = start
	if f.w.Rate == 0 {
		f.send(0, len(f.messages), start)
		return
	}
	if f.w.Soak > 0 {
		go f.soak(start)
		return
	}
	go func() {
		for n := 0; n < len(f.messages); {
			time.Sleep(time.Millisecond)
			now := time.Now()
			due := min(int(now.Sub(start).Seconds()*f.w.Rate), len(f.messages))
			f.mu.Lock()
			f.send(n, due, now)
			f.mu.Unlock()
			n = due
		}
	}()
}

// send makes the messages n to end-1 visible. It requires that f.mu is held.
func (f *fake) send(n, end int, now time.Time) {
	if n == end {
		return
	}
	for ; n < end; n++ {
		f.messages[n].sent = now
		f.ready = append(f.ready, int32(n))
	}
	f.changed.Broadcast()
}

func (f *fake) receive(dst []byte, body string) []byte {
	wait := time.Duration(number(body, `"WaitTimeSeconds":`)) * time.Second
	limit := max(number(body, `"MaxNumberOfMessages":`), 1)
	attributes := strings.Contains(body, `"MessageSystemAttributeNames"`)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Receives++
	if len(f.ready) == 0 && wait > 0 {
		deadline := time.Now().Add(wait)
		timer := time.AfterFunc(wait, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.changed.Broadcast()
		})
		loads := f.loads
		for len(f.ready) == 0 && f.loads == loads && time.Now().Before(deadline) {
			f.changed.Wait()
		}
		timer.Stop()
		if f.loads != loads {
			return append(dst, "{}"...)
		}
	}
	n := min(len(f.ready), limit)
	if n == 0 {
		f.stats.Empty++
		f.stats.RequestChunks++
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"Messages":[`...)
	for i, index := range f.ready[:n] {
		if i > 0 {
			dst = append(dst, ',')
		}
		m := &f.messages[index]
		if attributes {
			dst = append(dst, m.head...)
			dst = strconv.AppendInt(dst, m.sent.UnixMilli(), 10)
			dst = append(dst, `"}}`...)
		} else {
			dst = append(append(dst, m.plain...), '}')
		}
	}
	f.ready = f.ready[n:]
	f.stats.Received += n
	f.stats.RequestChunks += (len(dst) + 65535) >> 16
	return append(dst, "]}"...)
}

// receipts calls do with each message of a batch.
func (f *fake) receipts(body string, do func(index int32)) (ids []string) {
	v, err := jsonscan.Parse(body)
	if err != nil {
		panic(err)
	}
	for e := range jsonscan.Elements(member(v, "Entries")) {
		handle := member(e, "ReceiptHandle").Text
		index, err := strconv.Atoi(handle[1:9])
		if err != nil {
			panic(err)
		}
		do(int32(index))
		ids = append(ids, member(e, "Id").Text)
	}
	return ids
}

func (f *fake) delete(dst []byte, body string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.DeleteCalls++
	f.stats.RequestChunks++
	ids := f.receipts(body, func(index int32) {
		m := &f.messages[index]
		if m.deleted {
			f.stats.Unknown++
		} else {
			m.deleted = true
			f.stats.Deleted++
			if f.w.Soak > 0 && !f.isDurable(m) {
				f.stats.Lost++
			}
		}
	})
	f.stats.LastDelete = time.Now()
	return successful(dst, ids)
}

func (f *fake) changeVisibility(dst []byte, body string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.OtherCalls++
	f.stats.RequestChunks++
	ids := f.receipts(body, func(index int32) {
		if strings.Contains(body, `"VisibilityTimeout":0`) {
			f.ready = append(f.ready, index)
		}
	})
	f.changed.Broadcast()
	return successful(dst, ids)
}

func successful(dst []byte, ids []string) []byte {
	dst = append(dst, `{"Failed":[],"Successful":[`...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"Id":`...), id...), '}')
	}
	return append(dst, "]}"...)
}

func number(body, name string) int {
	_, rest, found := strings.Cut(body, name)
	if !found {
		return 0
	}
	end := strings.IndexAny(rest, ",}")
	n, _ := strconv.Atoi(rest[:end])
	return n
}
