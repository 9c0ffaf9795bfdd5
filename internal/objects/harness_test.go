package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A world is a Loader with a queue, a store and a table in memory.
type world struct {
	t      *testing.T
	queue  *memoryQueue
	store  *memoryStore
	loader *Loader
	cfg    Config

	mu       sync.Mutex
	ids      []string // of predictions, in the order of their admission
	items    []*item.Item
	hold     bool // predictions get no outcome
	held     []dedup.Waiter
	outcomes map[Outcome]int
	rejects  []consumer.Outgoing
	rows     int
	left     [2]int64
	denied   map[Prefix]error
	settled  [consumer.NumDispositions]int
}

// newWorld returns a world inside of a bubble. change may change the configuration.
func newWorld(t *testing.T, change func(*Config)) *world {
	w := &world{t: t, queue: &memoryQueue{}, store: &memoryStore{objects: map[string]*memoryObject{}}, outcomes: map[Outcome]int{}, denied: map[Prefix]error{}}
	layout, err := item.NewLayout(item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"}, item.Options{PerSecond: 1})
	if err != nil {
		t.Fatal(err)
	}
	fields := prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt"}
	in := ingest.New(ingest.Config{
		Decoder: prediction.Config{Fields: fields, TTL: 24 * time.Hour, MaxFuture: time.Hour, MaxDecodedBytes: 1 << 20},
		Layout:  layout, Admit: w.admit, Submit: func(...*item.Item) {}, Observer: w, Now: time.Now, Grace: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	w.cfg = Config{
		Store: w.store, Queue: w.queue, Rejects: rejectQueue{w}, MaxRejectBytes: 1 << 20, Observer: w, Ingest: in,
		Ready: func(ctx context.Context) bool { return ctx.Err() == nil }, Allowed: []Prefix{{"scores", "daily/"}},
		RangeBytes: 8 << 20, Concurrency: 8, MaxBytes: 8 << 20, MaxRow: 1 << 20, Fields: fields,
		Wait: 20 * time.Second, Visibility: 30 * time.Second, MaxMessageBytes: 1 << 20, CallTimeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&w.cfg)
	}
	return w
}

// run runs a Loader until until returns true or an hour has passed, and then lets it stop in 20 s.
func (w *world) run(until func() bool) {
	w.t.Helper()
	w.loader = New(w.cfg)
	running, stop := context.WithCancel(context.Background())
	intake, stopIntake := context.WithCancel(running)
	calls, stopCalls := context.WithCancel(running)
	defer stopCalls()
	var work sync.WaitGroup
	work.Go(func() { _ = w.loader.Run(running) })
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		_ = w.loader.Poll(intake, calls)
	}()
	w.loader.SetMode(consumer.ModeOpen)
	for end := time.Now().Add(time.Hour); !until() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if !until() {
		w.t.Errorf("an hour was not enough: %d messages visible, %d held, outcomes %v", w.queue.len(), w.loader.Held(), w.outcomes)
	}
	stopIntake()
	time.AfterFunc(20*time.Second, stopCalls)
	<-polled
	drain, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.loader.Drained(drain); err != nil {
		w.t.Errorf("after 20 s: %v", err)
	}
	stop()
	work.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left != [2]int64{} {
		w.t.Errorf("%d objects and %d bytes count as left", w.left[0], w.left[1])
	}
	if !w.loader.room.TryAcquire(w.cfg.MaxBytes-2*int64(w.cfg.MaxRow)) || !w.loader.slots.TryAcquire(int64(w.cfg.Concurrency)) || len(w.loader.long) > 0 {
		w.t.Error("room, slots or the right to long rows were not given back")
	}
}

// idle reports whether the queue is empty.
func (w *world) idle() bool { return w.queue.len() == 0 }

func (w *world) admit(it *item.Item, to dedup.Waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, it.Key.ID)
	w.items = append(w.items, it)
	if w.hold {
		w.held = append(w.held, to)
		return false
	}
	go to.Resolve(prediction.Written, it.Raw, nil)
	return false
}

// release gives the predictions that wait their outcome.
func (w *world) release() {
	w.mu.Lock()
	held := w.held
	w.hold, w.held = false, nil
	w.mu.Unlock()
	for _, to := range held {
		to.Resolve(prediction.Written, "", nil)
	}
}

func (w *world) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.ids))
}

func (w *world) Outcome(prediction.Outcome, int, int64) {}
func (w *world) Settled(d consumer.Disposition, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled[d] += n
}
func (w *world) Rejected(*prediction.Reject) {}
func (w *world) Held(int, int64)             {}
func (w *world) Pollers(int)                 {}
func (w *world) Extended(int)                {}
func (w *world) LeaseLost()                  { w.t.Error("a lease was lost") }
func (w *world) Undeliverable(error)         {}
func (w *world) Object(o Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes[o]++
}
func (w *world) Rows(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows += n
}
func (w *world) Left(objects int, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left[0] += int64(objects)
	w.left[1] += bytes
}
func (w *world) Denied(p Prefix, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.denied[p] = err
}

type rejectQueue struct{ w *world }

func (q rejectQueue) Send(_ context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	q.w.rejects = append(q.w.rejects, messages...)
	return nil, nil
}

// A memoryQueue is the objects queue.
type memoryQueue struct {
	mu       sync.Mutex
	messages []*memoryMessage
	n        int
	failing  int // sends that fail
	sent     []string
}

type memoryMessage struct {
	consumer.Received
	visible time.Time
}

func (q *memoryQueue) put(body string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.n++
	q.messages = append(q.messages, &memoryMessage{Received: consumer.Received{ID: strconv.Itoa(q.n), Body: body, Sent: time.Now().UnixMilli()}})
}

func (q *memoryQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

func (q *memoryQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	for end := time.Now().Add(wait); ; {
		q.mu.Lock()
		var received []consumer.Received
		for _, m := range q.messages {
			if now := time.Now(); len(received) < limit && !m.visible.After(now) {
				q.n++
				m.visible, m.Receives, m.Receipt = now.Add(30*time.Second), m.Receives+1, strconv.Itoa(q.n)
				received = append(received, m.Received)
			}
		}
		q.mu.Unlock()
		if len(received) > 0 || !time.Now().Before(end) {
			return received, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (q *memoryQueue) Delete(_ context.Context, receipts []string) ([]consumer.Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = slices.DeleteFunc(q.messages, func(m *memoryMessage) bool { return slices.Contains(receipts, m.Receipt) })
	return nil, nil
}

func (q *memoryQueue) ChangeVisibility(_ context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range changes {
		for _, m := range q.messages {
			if m.Receipt == c.Receipt {
				m.visible = time.Now().Add(c.Timeout)
			}
		}
	}
	return nil, nil
}

func (q *memoryQueue) Send(_ context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	q.mu.Lock()
	failing := q.failing > 0
	if failing {
		q.failing--
	}
	q.mu.Unlock()
	if failing && len(messages) > 1 {
		for i := range messages {
			if i != 1 {
				q.put(messages[i].Body)
			}
		}
		return []consumer.Failure{{Index: 1, Code: "InternalError"}}, nil
	}
	if failing {
		return nil, errors.New("no answer")
	}
	for _, m := range messages {
		q.put(m.Body)
		q.mu.Lock()
		q.sent = append(q.sent, m.Body)
		q.mu.Unlock()
	}
	return nil, nil
}

// A memoryStore is S3.
type memoryStore struct {
	mu      sync.Mutex
	objects map[string]*memoryObject // by bucket/key
	denied  func(Request) error
	torn    func() int // bytes after which a body breaks; 0: never
	delay   time.Duration
	gets    int
}

type memoryObject struct {
	text     []byte
	etag     string
	modified time.Time
}

func (s *memoryStore) put(key, text string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &memoryObject{[]byte(text), fmt.Sprintf("%x", len(text)) + strconv.Itoa(rand.IntN(1e9)), time.Now().Truncate(time.Second)}
	s.objects["scores/"+key] = o
	return Object{Bucket: "scores", Key: key, ETag: o.etag, Size: int64(len(text))}
}

func (s *memoryStore) Get(ctx context.Context, r Request) (*Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.denied != nil {
		if err := s.denied(r); err != nil {
			return nil, err
		}
	}
	o := s.objects[r.Bucket+"/"+r.Key]
	switch {
	case o == nil:
		return nil, fmt.Errorf("%w: it does not exist", ErrUnreadable)
	case r.ETag != "" && r.ETag != o.etag:
		return nil, fmt.Errorf("%w: 412", ErrChanged)
	}
	to := int64(len(o.text))
	if r.To > 0 {
		to = min(to, r.To)
	}
	if r.From >= to && r.From > 0 {
		return nil, fmt.Errorf("%w: 416", ErrUnreadable)
	}
	body := &memoryBody{ctx: ctx, Reader: bytes.NewReader(o.text[r.From:to]), delay: s.delay, torn: -1}
	if s.torn != nil {
		body.torn = s.torn()
	}
	return &Content{Body: body, Size: int64(len(o.text)), ETag: o.etag, Modified: o.modified}, nil
}

type memoryBody struct {
	*bytes.Reader
	ctx   context.Context
	delay time.Duration
	torn  int // bytes left until it breaks; -1: it does not
}

func (b *memoryBody) Read(p []byte) (int, error) {
	if b.delay > 0 {
		select {
		case <-time.After(b.delay):
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	if b.torn < 0 {
		return b.Reader.Read(p)
	}
	if b.torn == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.Reader.Read(p[:min(len(p), b.torn)])
	b.torn -= n
	return n, err
}

func (b *memoryBody) Close() error { return nil }

// event is S3's event about an object.
func event(o Object) string {
	return fmt.Sprintf(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":%q,"size":%d,"eTag":%q}}}]}`, o.Bucket, o.Key, o.Size, o.ETag)
}
