// Package objects reads predictions from the files that batch jobs leave in S3. S3's events about new objects arrive on a queue of
// their own. A large object is split into ranges, which go back to that queue as messages, so that all replicas share it. The rows
// of an object go through the same ingest, dedup window and kind of writer as queue messages.
//
//	event ─► ranges ─► queue ─► range ─► rows ─► chunk ─► ingest
//	  └──► rows of what is small or can't be split ─► chunk ─► ingest
//
// An event and a range are messages of a consumer, which keeps their leases, and deletes, rejects or releases them once every row
// has an outcome. Start reading at Loader.handle.
package objects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// An Object names one version of an S3 object.
type Object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// VersionID is empty in a bucket without versioning: then the ETag tells whether the object has changed.
	VersionID string `json:"versionId,omitempty"`
	// ETag is without quotes. It is empty if the event has none.
	ETag string `json:"etag,omitempty"`
	// Size is in bytes; -1 is unknown.
	Size int64 `json:"size"`
}

// A Prefix is a part of S3 from which objects may be read: those of Bucket whose keys begin with Prefix, in bytes, as in an IAM
// policy. An empty Prefix stands for the whole bucket.
type Prefix struct {
	Bucket, Prefix string
}

// A Queue is the objects queue. Ranges are sent to it.
type Queue interface {
	consumer.Queue
	Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error)
}

// An Outcome is what became of an event, an object or a range.
type Outcome string

// The outcomes.
const (
	Read      Outcome = "read"      // to its end, by one worker
	Split     Outcome = "split"     // into ranges
	RangeRead Outcome = "range"     // a range was read to its end
	Continued Outcome = "continued" // this worker stopped, and left the rest to another
	Skipped   Outcome = "skipped"   // empty, or named like what jobs write beside their results
	Changed   Outcome = "changed"   // overwritten meanwhile, of which there is another event
	Refused   Outcome = "rejected"  // as a whole
	Ignored   Outcome = "ignored"   // an event of another kind
)

// Outcomes lists all outcomes.
var Outcomes = []Outcome{Read, Split, RangeRead, Continued, Skipped, Changed, Refused, Ignored}

// An Observer counts what the Loader does. Its methods are called concurrently.
type Observer interface {
	consumer.Observer
	// Object counts an outcome.
	Object(o Outcome)
	// Rows counts rows passed to the ingest, good and bad ones.
	Rows(n int)
	// Left adds to the number of objects and ranges being read, and to the bytes of them that are left. Both may be negative.
	Left(objects int, bytes int64)
	// Denied reports that no object of a part of S3 can be read. Its objects wait. The error is nil once they can be read again.
	Denied(where Prefix, err error)
}

// Config of a Loader.
type Config struct {
	Store   Store
	Queue   Queue
	Rejects consumer.RejectQueue // nil: none
	// MaxRejectBytes is the reject queue's limit of a message.
	MaxRejectBytes int
	Observer       Observer
	Ingest         *ingest.Ingest
	// Ready blocks until the writer of these rows has taken up most of them. It returns false if ctx is done.
	Ready func(ctx context.Context) bool

	Allowed     []Prefix
	RangeBytes  int64 // size of the ranges that a large object is split into
	SplitCSV    bool  // split CSV too: no value contains a line break
	Concurrency int   // maximum number of objects and ranges read at once
	MaxBytes    int64 // maximum memory of rows on their way to the table; more than twice MaxRow
	MaxRow      int   // maximum length of a row in bytes
	Fields      prediction.Fields
	Table       item.Table

	Wait            time.Duration // long-poll time of a receive
	Visibility      time.Duration // the queue's visibility timeout
	MaxMessageBytes int64         // the queue's MaximumMessageSize
	CallTimeout     time.Duration // bounds one attempt of a call, and how long a Get may make no progress
	DeleteLinger    time.Duration
	Log             *slog.Logger
}

// A Loader reads objects into the table.
type Loader struct {
	*consumer.Consumer
	cfg   Config
	log   *slog.Logger
	slots *semaphore.Weighted // objects and ranges being read
	room  *semaphore.Weighted // memory of rows in bytes, without that of long
	long  chan struct{}       // a semaphore of one: the chunk with a long row, which may take twice Config.MaxRow
	turn  *turn

	intake context.Context // set by Poll; done when reading must stop

	jobs sync.WaitGroup // messages being read

	mu      sync.Mutex
	noted   bool            // a test event was logged
	changed map[string]bool // changed objects that were logged
	access  map[Prefix]*access
	waiting int // messages whose bucket can't be read
}

// maxWaiting is the maximum number of messages that are held while their bucket can't be read. Further ones go back to the queue.
const maxWaiting = 16

// New returns a Loader. Run and Poll start it.
func New(cfg Config) *Loader {
	l := &Loader{
		cfg: cfg, log: cfg.Log,
		slots: semaphore.NewWeighted(int64(cfg.Concurrency)), room: semaphore.NewWeighted(cfg.MaxBytes - 2*int64(cfg.MaxRow)), long: make(chan struct{}, 1),
		// Half of the processors: streamed predictions never wait for a processor behind rows of objects.
		turn:    newTurn(max(runtime.GOMAXPROCS(0)/2, 1)),
		changed: map[string]bool{}, access: map[Prefix]*access{},
	}
	const pollers = 2
	// The rest of a long receive would keep other replicas from sharing an object, so each brings one message.
	l.Consumer = consumer.New(consumer.Config{
		Queue: cfg.Queue, Rejects: cfg.Rejects, MaxRejectBytes: cfg.MaxRejectBytes, Observer: cfg.Observer,
		Handle: l.take, Ready: l.ready, Pollers: pollers, Limit: 1, Wait: cfg.Wait, Visibility: cfg.Visibility,
		MaxMessages: cfg.Concurrency + pollers + 2*maxWaiting + consumer.MaxBatch, MaxBytes: 4*consumer.ReceiveBytes(cfg.MaxMessageBytes) + maxBodies,
		MaxMessageBytes: cfg.MaxMessageBytes, CallTimeout: cfg.CallTimeout, DeleteLinger: cfg.DeleteLinger,
	})
	return l
}

// maxBodies is the memory for the messages held, which are events and ranges of about 1 KB.
const maxBodies = 2 << 20

// Poll receives and reads until intake is done, and returns when no row is passed on any more. What was being read is left to other
// workers: see job.leave. When calls is done, what has not been left is released.
func (l *Loader) Poll(intake, calls context.Context) error {
	l.intake = intake
	err := l.Consumer.Poll(intake, calls)
	l.jobs.Wait()
	return err //nolint:wrapcheck // it is this package's own
}

// ready blocks until an object can be read, and the writer can take its rows.
func (l *Loader) ready(ctx context.Context) bool {
	if l.slots.Acquire(ctx, 1) != nil {
		return false
	}
	l.slots.Release(1)
	return l.cfg.Ready(ctx)
}

// take starts to read a message.
func (l *Loader) take(calls context.Context, messages []*consumer.Message) {
	for _, m := range messages {
		s := &seat{l: l}
		if !s.take(1) {
			fail(m)
			m.Done(0)
			continue
		}
		l.jobs.Go(func() {
			defer s.release()
			l.turn.enter()
			defer l.turn.leave()
			defer m.Done(0)
			defer l.recovered(m)
			l.handle(calls, m, s)
		})
	}
}

// recovered rejects a message that caused a panic, such as by a file that a decoder can't cope with: it would crash the next worker too.
func (l *Loader) recovered(m *consumer.Message) {
	if fault := recover(); fault != nil {
		l.log.Error("panic while reading an object", "fault", fmt.Sprintf("%T", fault), "message", m.ID,
			"remedy", "this is a bug in the worker: please report it. The message is rejected with the reason internal")
		l.reject(m, m.Body, true, nil, prediction.Rejectf(prediction.ReasonInternal, "", "the worker failed to read the object: please report it"))
	}
}

// A seat is a share of Loader.slots.
type seat struct {
	l *Loader
	n int64
}

// take takes a share of n, in place of the one before. It returns false, without a share, if the intake is done first.
func (s *seat) take(n int64) bool {
	s.release()
	if s.l.slots.Acquire(s.l.intake, n) != nil {
		return false
	}
	s.n = n
	return true
}

func (s *seat) release() {
	s.l.slots.Release(s.n)
	s.n = 0
}

// fail lets a message be redelivered at once.
func fail(m *consumer.Message) {
	m.Expect()
	m.Resolve(prediction.Failed, "", nil)
}

// handle reads the objects of a message. calls is done when the worker gives up what it has not written.
func (l *Loader) handle(calls context.Context, m *consumer.Message, s *seat) {
	n, why := parse(m.Body)
	switch {
	case why != nil:
		l.reject(m, m.Body, true, nil, why)
	case n.test:
		l.cfg.Observer.Object(Ignored)
		l.noteTest()
	case n.part != nil:
		l.readPart(calls, m, s, n.part)
	}
	for range n.ignored {
		l.cfg.Observer.Object(Ignored)
	}
	for i := range n.created {
		l.readCreated(calls, m, s, &n.created[i])
	}
}

func (l *Loader) noteTest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.noted {
		l.log.Info("S3's test event has arrived")
	}
	l.noted = true
}

// reject rejects an object or a message. whole says that raw is the message's body.
func (l *Loader) reject(m *consumer.Message, raw string, whole bool, o *Object, why *prediction.Reject) {
	l.cfg.Observer.Object(Refused)
	part := prediction.RejectedPart{Raw: raw, Whole: whole, Why: why}
	if o != nil {
		part.Object = &prediction.ObjectPlace{Bucket: o.Bucket, Key: o.Key, VersionID: o.VersionID}
	}
	l.log.Debug("rejected", "message", m.ID, "reason", why.Reason, "field", why.Field, "detail", why.Detail)
	m.Reject(part, 1)
}

// noteChanged counts a part of an object that has changed, and logs the object once.
func (l *Loader) noteChanged(o *Object) {
	l.cfg.Observer.Object(Changed)
	l.mu.Lock()
	defer l.mu.Unlock()
	name := o.Bucket + "/" + o.Key + "\n" + o.ETag
	if l.changed[name] {
		return
	}
	if len(l.changed) == maxNoted {
		clear(l.changed)
	}
	l.changed[name] = true
	l.log.Info("object changed before it was read to its end", "bucket", o.Bucket, "key", o.Key)
}

// maxNoted bounds the memory of what was logged.
const maxNoted = 1000

// errStopped is the error of a read that the end of the intake stopped.
var errStopped = errors.New("the worker stops")
