package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
)

// Resources describes the queues and the table, as read before the worker starts.
type Resources struct {
	Queue     *awsclient.QueueInfo
	Rejects   *awsclient.QueueInfo // nil without a reject queue
	Objects   *awsclient.QueueInfo // nil if no objects are read
	Table     item.Table
	TableInfo *awsclient.TableInfo // nil if the settings describe the table
	Layout    *item.Layout
}

// FindResources reads the descriptions of the queues and the table. The error names all problems that prevent the worker from using
// them. It returns what it could read even with an error.
func FindResources(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*Resources, error) {
	var r Resources
	var errs []error
	note := func(err error) {
		// An error of every call, such as missing credentials, is reported once.
		if err != nil && !slices.ContainsFunc(errs, func(other error) bool { return other.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	var err error
	r.Queue, err = awsclient.DescribeQueue(ctx, clients, "the queue", cfg.QueueURL)
	note(err)
	if r.Queue != nil {
		note(cfg.CheckReceive(consumer.ReceiveBytes(maxMessageBytes(r.Queue))))
		if r.Queue.Visibility == 0 {
			note(errors.New("the queue's visibility timeout is 0, so every message is redelivered while it is being written: set VisibilityTimeout to 30 seconds or more"))
		}
	}
	if cfg.RejectQueueURL != "" {
		r.Rejects, err = awsclient.DescribeQueue(ctx, clients, "the reject queue", cfg.RejectQueueURL)
		note(err)
	}
	note(r.findObjects(ctx, cfg, clients))
	note(r.findTable(ctx, cfg, clients))
	return &r, errors.Join(errs...)
}

// findObjects reads the description of the objects queue.
func (r *Resources) findObjects(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (err error) {
	if cfg.ObjectsQueueURL == "" {
		return nil
	}
	if r.Objects, err = awsclient.DescribeQueue(ctx, clients, "the objects queue", cfg.ObjectsQueueURL); err != nil {
		return err //nolint:wrapcheck // it names the queue
	}
	if r.Objects.Visibility == 0 {
		return errors.New("the objects queue's visibility timeout is 0, so every object is read by all workers at once: set VisibilityTimeout to 2 minutes or more")
	}
	return nil
}

// maxMessageBytes returns the queue's MaximumMessageSize, or SQS's limit if a stand-in does not report one.
func maxMessageBytes(q *awsclient.QueueInfo) int64 {
	if q.MaxMessageBytes == 0 {
		return 1 << 20
	}
	return int64(q.MaxMessageBytes)
}

// FindTable reads only the table's description.
func FindTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*Resources, error) {
	var r Resources
	err := r.findTable(ctx, cfg, clients)
	return &r, err
}

// findTable sets the table and its layout, from the settings or from the table's description.
func (r *Resources) findTable(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (err error) {
	table, configured := cfg.Table()
	if !configured {
		if r.TableInfo, err = awsclient.DescribeTable(ctx, clients, cfg.TableName); err != nil {
			return err //nolint:wrapcheck // it names the table
		}
		table = r.TableInfo.Table
	}
	r.Table = table
	if r.Layout, err = cfg.NewLayout(table); err != nil {
		return fmt.Errorf("the table %q can't be used: %w", cfg.TableName, err)
	}
	return nil
}
