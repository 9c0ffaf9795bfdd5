package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/batch"
	"github.com/predcache/predcache/internal/item"
)

// ErrFull is TryPublish's error while PublisherConfig.Buffer is full.
var ErrFull = errors.New("the publisher's buffer is full")

var errPublisherClosed = fmt.Errorf("the publisher is %w", ErrClosed)

// SQS is the part of *sqs.Client that a Publisher calls.
type SQS interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// A Failure is a message that a Publisher could not send.
type Failure struct {
	Err         error
	Predictions int
	Body        string // the message: a JSON object, or several one a line
}

// PublisherStats counts since the start.
type PublisherStats struct {
	Predictions, Messages int64 // that SQS has accepted
	Calls                 int64 // of SendMessageBatch, also those that failed
	Failed                int64 // predictions that were given up
}

// A Publisher sends predictions to the worker's queue in full batches. It retries only the messages of a call that failed. A
// message may therefore be sent twice; the worker drops the repeat. On a FIFO queue each message is a group of its own, since the
// worker orders by event time, and SQS deduplicates it by its content. A Publisher is safe for concurrent use.
type Publisher struct {
	client  SQS
	queue   string
	fifo    bool
	cfg     PublisherConfig
	room    *room
	rules   *contract
	batches *batch.Batcher[*outgoing]
	stop    context.CancelFunc
	stopped chan struct{} // closed when the last call has ended

	predictions, messages, calls, failed atomic.Int64

	mu     sync.Mutex
	closed bool
	pack   *outgoing   // the message that is being filled, or nil
	seal   *time.Timer // seals pack after Linger
}

// outgoing is a message to be sent.
type outgoing struct {
	body        strings.Builder
	predictions int
	room        int64
	generation  uint64
}

// overhead is the approximate memory of a prediction in addition to its text, in bytes.
const overhead = 256

// packBytes is the size that SQS bills as one request ("Amazon SQS pricing").
const packBytes = 64 << 10

// NewPublisher returns a Publisher to the queue with a URL. It must be closed, or its queued predictions are lost. It calls
// nothing. An error names each argument that is wrong, and its range.
func NewPublisher(client SQS, queueURL string, cfg PublisherConfig) (*Publisher, error) {
	errs := cfg.complete()
	if client == nil {
		errs = append(errs, errors.New("the client is nil"))
	}
	if u, err := url.Parse(queueURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		errs = append(errs, fmt.Errorf("%q is not the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/predictions", queueURL))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("cache: %w", errors.Join(errs...))
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Publisher{
		client: client, queue: queueURL, fifo: strings.HasSuffix(queueURL, ".fifo"), cfg: cfg,
		room: newRoom(cfg.Buffer), rules: newContract(cfg), stop: stop, stopped: make(chan struct{}),
	}
	p.batches = batch.New(batch.Config[*outgoing]{
		MaxItems: maxEntries, MaxBytes: maxMessage, Workers: cfg.Calls, Linger: cfg.Linger, Handle: p.send,
		Take:    func(m *outgoing, room int) (int, bool) { return m.body.Len(), m.body.Len() <= room },
		Backoff: batch.Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second},
	})
	p.seal = time.AfterFunc(time.Hour, p.flushPack)
	p.seal.Stop()
	go func() { // ends when Close calls stop
		defer close(p.stopped)
		_ = p.batches.Run(ctx) // Run always returns nil
	}()
	return p, nil
}

// Publish queues a prediction. It blocks while the buffer is full. An error means that the prediction was not queued: a worker
// with default settings would reject it, ctx ended first, or the Publisher is closed. A later failure goes to OnFailure.
func (p *Publisher) Publish(ctx context.Context, prediction *Prediction) error {
	text, err := p.text(prediction, nil)
	if err != nil {
		return err
	}
	return p.add(ctx, text)
}

// TryPublish is Publish without blocking: it returns ErrFull while the buffer is full.
func (p *Publisher) TryPublish(prediction *Prediction) error {
	return p.tryPublish(prediction, nil)
}

// tryPublish is TryPublish for a table whose layout is l; nil if it is not known.
func (p *Publisher) tryPublish(prediction *Prediction, l *item.Layout) error {
	text, err := p.text(prediction, l)
	if err != nil {
		return err
	}
	size := cost(text)
	if !p.room.bytes.TryAcquire(size) {
		return ErrFull
	}
	return p.take(text, size)
}

// Delete queues a delete of an id as of a time: it hides the predictions of the id whose event time is not later, and none that
// is. The zero time is the time of the call. It blocks and fails as Publish does. The delete lives for the worker's
// WORKER_TOMBSTONE_TTL; PublishJSON sends one with a life of its own.
//
// The worker accepts deletes under WORKER_DELETES=hide or remove, and rejects them otherwise, which a Publisher cannot know.
// Readers see the delete once the worker has written it, in about a second, and a front within MaxAge after that.
func (p *Publisher) Delete(ctx context.Context, id string, at time.Time) error {
	return p.Publish(ctx, &Prediction{ID: id, EventTime: at, deleted: true})
}

// TryDelete is Delete without blocking: it returns ErrFull while the buffer is full.
func (p *Publisher) TryDelete(id string, at time.Time) error {
	return p.TryPublish(&Prediction{ID: id, EventTime: at, deleted: true})
}

// PublishJSON publishes a JSON object that is a prediction or a delete already, with the fields that the worker is configured
// to read. It checks only that the text is an object.
func (p *Publisher) PublishJSON(ctx context.Context, object string) error {
	text, err := oneLine(object)
	if err == nil && len(text) > maxMessage {
		err = errTooLarge
	}
	if err != nil {
		return err
	}
	return p.add(ctx, text)
}

func (p *Publisher) text(prediction *Prediction, l *item.Layout) (string, error) {
	if prediction == nil {
		return "", errors.New("the prediction to publish is nil")
	}
	now := *prediction
	if now.EventTime.IsZero() {
		now.EventTime = time.Now()
	}
	numericID := p.cfg.NumericIDs
	if l != nil {
		numericID = l.HashType == item.TypeN
	}
	text, err := now.message(numericID)
	if err != nil {
		return "", err
	}
	if err := p.rules.check(text, l); err != nil {
		return "", fmt.Errorf("%s can't be published: %w", subject(prediction), err)
	}
	if len(text) > maxMessage {
		return "", fmt.Errorf("%s can't be published: it %w", subject(prediction), errTooLarge)
	}
	return text, nil
}

func cost(text string) int64 { return int64(len(text) + overhead) }

func (p *Publisher) add(ctx context.Context, text string) error {
	size := cost(text)
	if err := p.room.bytes.Acquire(ctx, size); err != nil {
		return fmt.Errorf("waiting for room to publish: %w", err)
	}
	return p.take(text, size)
}

// take queues a text whose size bytes of room the caller has acquired.
func (p *Publisher) take(text string, size int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.room.bytes.Release(size)
		return errPublisherClosed
	}
	if p.pack != nil && p.pack.body.Len()+1+len(text) > packBytes {
		p.sealPack()
	}
	m := p.pack
	if m == nil {
		m = &outgoing{generation: p.room.enter()}
	} else {
		m.body.WriteByte('\n')
	}
	m.body.WriteString(text)
	m.predictions++
	m.room += size
	switch {
	case !p.cfg.Pack:
		p.batches.Add(m)
	case p.pack == nil:
		p.pack = m
		p.seal.Reset(p.cfg.Linger)
	}
	return nil
}

// sealPack queues the message that is being filled. It requires that p.mu is held.
func (p *Publisher) sealPack() {
	if p.pack != nil {
		p.seal.Stop()
		p.batches.Add(p.pack)
		p.pack = nil
	}
}

func (p *Publisher) flushPack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealPack()
}

// Flush blocks until every prediction queued so far has been sent or given up.
func (p *Publisher) Flush(ctx context.Context) error {
	p.flushPack()
	if err := p.room.empty(ctx); err != nil {
		return fmt.Errorf("waiting for queued predictions: %w", err)
	}
	return nil
}

// Close sends the queued predictions until ctx is done, and ends the Publisher. It gives up the remaining ones: they go to
// OnFailure, and the error has their number.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errPublisherClosed
	}
	p.closed = true
	p.sealPack()
	p.mu.Unlock()
	p.batches.Flush()
	late := p.Flush(ctx)
	p.stop()
	<-p.stopped
	left := 0
	for _, m := range p.batches.Drain() {
		left += m.predictions
		p.giveUp(m, errPublisherClosed)
	}
	if left > 0 {
		return fmt.Errorf("%d predictions were not sent: %w", left, late)
	}
	return nil
}

// Stats returns the counts so far.
func (p *Publisher) Stats() PublisherStats {
	return PublisherStats{p.predictions.Load(), p.messages.Load(), p.calls.Load(), p.failed.Load()}
}

func (p *Publisher) giveUp(m *outgoing, err error) {
	p.failed.Add(int64(m.predictions))
	p.cfg.OnFailure(Failure{Err: err, Predictions: m.predictions, Body: m.body.String()})
	p.room.leave(m.generation, m.room)
}

// deduplicationID identifies a message of a FIFO queue by its content. SQS accepts a repeat within 5 minutes, but does not
// deliver it ("Using the message deduplication ID in Amazon SQS").
func deduplicationID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
