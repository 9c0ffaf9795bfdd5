package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// findings are what the worker reads of its queues and its table before it starts.
type findings struct {
	queue   *awsclient.QueueInfo
	rejects *awsclient.QueueInfo // nil without a reject queue
	table   item.Table
	info    *awsclient.TableInfo // nil where the settings say what the table is
	layout  *item.Layout
}

// find reads the queues and the table. The error names everything that stands in the way of serving them; what could be
// read is returned all the same.
func find(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (*findings, error) {
	var f findings
	var errs []error
	note := func(err error) {
		// What is wrong with all calls, such as missing credentials, is said once.
		if err != nil && !slices.ContainsFunc(errs, func(other error) bool { return other.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	var err error
	f.queue, err = awsclient.DescribeQueue(ctx, clients, "the queue", cfg.QueueURL)
	note(err)
	if f.queue != nil {
		note(cfg.CheckQueue(maxMessageBytes(f.queue)))
		if f.queue.Visibility == 0 {
			note(errors.New("the queue's visibility timeout is 0, so that every message is received again while it is written: set VisibilityTimeout to 30 seconds or more"))
		}
	}
	if cfg.RejectQueueURL != "" {
		f.rejects, err = awsclient.DescribeQueue(ctx, clients, "the reject queue", cfg.RejectQueueURL)
		note(err)
	}
	table, told := cfg.Table()
	if !told {
		if f.info, err = awsclient.DescribeTable(ctx, clients, cfg.TableName); err != nil {
			note(err)
			return &f, errors.Join(errs...)
		}
		table = f.info.Table
	}
	f.table = table
	if f.layout, err = cfg.NewLayout(table); err != nil {
		note(fmt.Errorf("the table %q can't be served: %w", cfg.TableName, err))
	}
	return &f, errors.Join(errs...)
}

// maxMessageBytes is the queue's limit, or SQS's where a stand-in doesn't tell it.
func maxMessageBytes(q *awsclient.QueueInfo) int64 {
	const most = 1 << 20
	if q.MaxMessageBytes == 0 {
		return most
	}
	return int64(q.MaxMessageBytes)
}
