package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// bulk is the fake's bucket and its objects queue. It requires that fake.mu is held.
type bulk struct {
	file    *os.File // the only object
	size    int64
	ready   []string // bodies of visible messages
	held    map[string]string
	n       int
	deleted int
}

// offer makes a file the only object, and sends its event.
func (f *fake) offer(name string) {
	file, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	info, err := file.Stat()
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bulk = bulk{file: file, size: info.Size(), held: map[string]string{}, ready: []string{fmt.Sprintf(
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"scores"},"object":{"key":%q,"size":%d,"eTag":"1"}}}]}`, filepath.Base(name), info.Size())}}
	f.changed.Broadcast()
}

// object answers a GetObject of the file, by the kernel's copy.
func (f *fake) object(conn net.Conn, requested string) error {
	f.mu.Lock()
	file, size := f.bulk.file, f.bulk.size
	f.mu.Unlock()
	from, to, status, header := int64(0), size, 200, ""
	if spec, found := strings.CutPrefix(requested, "bytes="); found {
		first, last, _ := strings.Cut(spec, "-")
		from, _ = strconv.ParseInt(first, 10, 64)
		if n, err := strconv.ParseInt(last, 10, 64); err == nil {
			to = min(n+1, size)
		}
		status, header = 206, fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", from, to-1, size)
	}
	time.Sleep(callTime)
	_, err := fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nETag: \"1\"\r\nLast-Modified: %s\r\nDate: %[2]s\r\nContent-Length: %d\r\n%s\r\n", status, time.Now().UTC().Format(http.TimeFormat), to-from, header)
	if err != nil {
		return err
	}
	own, err := os.Open(file.Name()) // with a position of its own
	if err != nil {
		return err
	}
	defer own.Close()
	if _, err := own.Seek(from, io.SeekStart); err != nil {
		return err
	}
	_, err = io.CopyN(conn, own, to-from)
	return err
}

// objectsQueue answers a call of the objects queue.
func (f *fake) objectsQueue(dst []byte, operation, body string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.bulk
	switch operation {
	case "ReceiveMessage":
		deadline := time.Now().Add(time.Second)
		timer := time.AfterFunc(time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.changed.Broadcast()
		})
		defer timer.Stop()
		loads := f.loads // a receive from before the last one belongs to a program that has ended
		for len(q.ready) == 0 && f.loads == loads && time.Now().Before(deadline) {
			f.changed.Wait()
		}
		if len(q.ready) == 0 || f.loads != loads {
			return append(dst, "{}"...)
		}
		q.n++
		id := fmt.Sprintf("object-%d", q.n)
		q.held[id] = q.ready[0]
		dst = fmt.Appendf(dst, `{"Messages":[{"MessageId":%q,"ReceiptHandle":%[1]q,"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"%d"},"Body":`, id, time.Now().UnixMilli())
		dst = append(jsonscan.AppendQuoted(dst, q.ready[0]), "}]}"...)
		q.ready = q.ready[1:]
		return dst
	case "SendMessageBatch":
		return successful(dst, f.entries(body, func(e jsonscan.Value) {
			text, _ := jsonscan.Unquote(unquoted(member(e, "MessageBody").Text))
			q.ready = append(q.ready, strings.Clone(text))
		}))
	case "DeleteMessageBatch":
		return successful(dst, f.entries(body, func(e jsonscan.Value) {
			delete(q.held, unquoted(member(e, "ReceiptHandle").Text))
			q.deleted++
		}))
	}
	return successful(dst, f.entries(body, func(jsonscan.Value) {})) // ChangeMessageVisibilityBatch
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// entries calls do with each entry of a batch, and returns their ids.
func (f *fake) entries(body string, do func(e jsonscan.Value)) (ids []string) {
	v, err := jsonscan.Parse(body)
	if err != nil {
		panic(err)
	}
	for e := range jsonscan.Elements(member(v, "Entries")) {
		do(e)
		ids = append(ids, member(e, "Id").Text)
	}
	f.changed.Broadcast()
	return ids
}

// objects measures reading objects of so many rows, one of each format. With a rate, streamed messages come meanwhile, and once without
// objects before.
func (b *bench) objects(rows int, formats []string, rounds int, rate float64) error {
	dir, err := os.MkdirTemp("", "objects")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.env = append(b.env, "WORKER_REJECT_QUEUE_URL="+b.url+"/000000000000/rejects", "WORKER_OBJECTS_QUEUE_URL="+b.url+"/000000000000/objects", "WORKER_OBJECTS=scores")
	fmt.Println("| format | rows | stream/s | seconds | CPU us a row | rows/s | peak MiB | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|---|---|")
	for _, format := range formats {
		name := filepath.Join(dir, format)
		if err := writeFile(name, format, rows); err != nil {
			return err
		}
		for range rounds {
			if rate > 0 {
				if err := b.readObject("", "none", 0, rate); err != nil {
					return err
				}
			}
			if err := b.readObject(name, format, rows, rate); err != nil {
				return fmt.Errorf("reading %s: %w", format, err)
			}
		}
		os.Remove(name)
	}
	return nil
}

func (b *bench) readObject(name, format string, rows int, rate float64) error {
	var s stats
	w := workload{Name: "objects"}
	if rate > 0 {
		w.Rate, w.Messages = rate, int(20*rate)
	}
	p, err := b.start("worker", w, &s)
	if err != nil {
		return err
	}
	defer p.Kill()
	cpu, start := p.CPUTime(), time.Now()
	if err := b.call("Open", w, &s); err != nil {
		return err
	}
	if name != "" {
		if err := b.call("Offer", name, &s); err != nil {
			return err
		}
	}
	if b.profile != "" {
		defer b.saveProfile(p.Admin)()
	}
	written := rows
	if format == "long" {
		written = 0
	}
	if err := b.await(&s, func() bool { return s.Items >= written && s.ObjectsLeft == 0 && s.Deleted == s.Messages }, 10*time.Minute); err != nil {
		return err
	}
	took, used := time.Since(start), p.CPUTime()-cpu
	_, peak := p.Resident()
	if err := b.call("Results", nil, &s); err != nil {
		return err
	}
	if want := written + s.Messages; s.Items != want {
		return fmt.Errorf("%d items were written, want %d", s.Items, want)
	}
	fmt.Printf("| %s | %d | %.0f | %.1f | %.1f | %.0f | %d | %.1f | %.1f |\n", format, rows, rate, took.Seconds(),
		used.Seconds()*1e6/float64(rows+s.Messages), float64(rows)/took.Seconds(), peak>>20, s.AgeP50*1000, s.AgeP99*1000)
	return nil
}
