package sim

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/objects"
)

// objectBugs act on the reading of objects.
var objectBugs = []bug{
	{name: "a row at a range's boundary is dropped", as: covered, services: onStore(func(ctx context.Context, next objects.Store, r objects.Request) (*objects.Content, error) {
		content, err := next.Get(ctx, r)
		if err != nil || r.From == 0 || r.To == 0 {
			return content, err
		}
		// As if a range were read from its first byte and not from the one before: its first line then counts as begun before it.
		first := make([]byte, 1)
		if n, err := io.ReadFull(content.Body, first); n == 1 && err == nil && first[0] == '\n' {
			first[0] = ' '
		}
		content.Body = body{io.MultiReader(bytes.NewReader(first), content.Body), content.Body}
		return content, nil
	})},
	{name: "a row at a range's boundary is read twice", as: onceEach, services: onObjectsQueue(objectsQueueSeam{
		receive: func(ctx context.Context, next objects.Queue, limit int, wait time.Duration) ([]consumer.Received, error) {
			received, err := next.Receive(ctx, limit, wait)
			for i := range received {
				received[i].Body = endOfRange.ReplaceAllStringFunc(received[i].Body, func(end string) string {
					n, _ := strconv.Atoi(end[len(`"end":`):])
					return `"end":` + strconv.Itoa(n+1)
				})
			}
			return received, err
		}})},
	{name: "the ETag of an object is ignored", as: neighbours, services: onStore(func(ctx context.Context, next objects.Store, r objects.Request) (*objects.Content, error) {
		asked := r
		r.ETag, r.VersionID = "", ""
		content, err := next.Get(ctx, r)
		if err == nil && asked.ETag != "" {
			content.ETag = asked.ETag
			if asked.Size > 0 {
				content.Size = asked.Size
			}
		}
		return content, err
	})},
	{name: "leases of the objects queue are not kept", as: noReceives, services: onObjectsQueue(objectsQueueSeam{
		change: func(ctx context.Context, next objects.Queue, changes []consumer.Visibility) ([]consumer.Failure, error) {
			if changes[0].Timeout > 0 {
				return nil, nil
			}
			return next.ChangeVisibility(ctx, changes)
		}})},
	{name: "WORKER_OBJECTS is not checked", as: allowed, config: func(c *config.Config) {
		if c.Objects != "" {
			c.Objects = openBucket + "," + closedBucket
		}
	}},
	{name: "a range that failed to be sent is taken for sent", as: covered, services: onObjectsQueue(objectsQueueSeam{
		send: func(ctx context.Context, next objects.Queue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			_, _ = next.Send(ctx, messages)
			return nil, nil
		}})},
	{name: "a fan-out leaves out its last range", as: covered, services: onObjectsQueue(objectsQueueSeam{
		send: func(ctx context.Context, next objects.Queue, messages []consumer.Outgoing) ([]consumer.Failure, error) {
			if len(messages) > 1 {
				messages = messages[:len(messages)-1]
			}
			return next.Send(ctx, messages)
		}})},
	{name: "rows of an object count as sent when they are read", services: onStore(func(ctx context.Context, next objects.Store, r objects.Request) (*objects.Content, error) {
		content, err := next.Get(ctx, r)
		if err == nil {
			content.Modified = time.Now()
		}
		return content, err
	})},
}

var endOfRange = regexp.MustCompile(`"end":[0-9]+`)

// body is a body with another reader.
type body struct {
	io.Reader
	io.Closer
}

// onStore installs a bug between the loader and S3, if objects are read.
func onStore(get func(ctx context.Context, next objects.Store, r objects.Request) (*objects.Content, error)) func(seams) {
	return func(s seams) {
		if s.Objects != nil {
			next := s.Objects.Store
			s.Objects.Store = storeFunc(func(ctx context.Context, r objects.Request) (*objects.Content, error) { return get(ctx, next, r) })
		}
	}
}

// A storeFunc is an objects.Store.
type storeFunc func(ctx context.Context, r objects.Request) (*objects.Content, error)

// Get implements objects.Store.
func (f storeFunc) Get(ctx context.Context, r objects.Request) (*objects.Content, error) {
	return f(ctx, r)
}

// onObjectsQueue installs a bug between the loader and its queue, if objects are read.
func onObjectsQueue(bug objectsQueueSeam) func(seams) {
	return func(s seams) {
		if s.Objects != nil {
			seam := bug
			seam.Queue = s.Objects.Queue
			s.Objects.Queue = seam
		}
	}
}

// An objectsQueueSeam replaces those of the calls that are set.
type objectsQueueSeam struct {
	objects.Queue
	receive func(ctx context.Context, next objects.Queue, limit int, wait time.Duration) ([]consumer.Received, error)
	change  func(ctx context.Context, next objects.Queue, changes []consumer.Visibility) ([]consumer.Failure, error)
	send    func(ctx context.Context, next objects.Queue, messages []consumer.Outgoing) ([]consumer.Failure, error)
}

// Receive implements consumer.Queue.
func (q objectsQueueSeam) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	if q.receive == nil {
		return q.Queue.Receive(ctx, limit, wait)
	}
	return q.receive(ctx, q.Queue, limit, wait)
}

// ChangeVisibility implements consumer.Queue.
func (q objectsQueueSeam) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	if q.change == nil {
		return q.Queue.ChangeVisibility(ctx, changes)
	}
	return q.change(ctx, q.Queue, changes)
}

// Send implements objects.Queue.
func (q objectsQueueSeam) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	if q.send == nil {
		return q.Queue.Send(ctx, messages)
	}
	return q.send(ctx, q.Queue, messages)
}
