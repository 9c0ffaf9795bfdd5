package main

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
)

// signs makes the signs of a world, and what they log.
func (w *world) signs() (*signs, *findings, *logBuffer) {
	w.t.Helper()
	clock := &awsclient.Clock{}
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: w.transport(), Clock: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := find(context.Background(), w.cfg, clients)
	if err != nil {
		w.t.Fatal(err)
	}
	var text logBuffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	return newSigns(w.cfg, found, clients, observer{telemetry.NewMetrics(clock.Now), telemetry.NewHealth(log)}, log), found, &text
}

func TestMessagesNearTheirRetentionAreNoticed(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		s, found, log := w.signs()
		queue := s.watchReceives(awsclient.NewQueue(s.clients, w.cfg.QueueURL))
		counted := 0
		s.set.NearRetention = func(n int) { counted += n }
		receive := func() {
			if _, err := queue.Receive(w.t.Context(), 10, time.Second); err != nil {
				t.Error(err)
			}
		}
		w.queues.Send(queueName, "a", "b")
		receive()
		if counted != 0 {
			t.Errorf("%d fresh messages count as old", counted)
		}
		time.Sleep(found.queue.Retention * 4 / 5)
		for range 5 {
			receive()
			time.Sleep(w.visibility())
		}
		if counted != 10 {
			t.Errorf("%d receives of old messages, want 10", counted)
		}
		if n := strings.Count(log.String(), "near the end of their retention"); n < 1 || n > 5 {
			t.Errorf("%d lines were logged:\n%s", n, log.String())
		}
	})
}

// visibility is the queue's visibility timeout.
func (w *world) visibility() time.Duration { return 30 * time.Second }

func TestTheLimitOfMessagesInFlightIsNoticed(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		s, _, log := w.signs()
		ctx, stop := context.WithCancel(w.t.Context())
		defer stop()
		var reached atomic.Bool
		s.set.InFlightLimit = func(r bool) { reached.Store(r) }
		var inFlight atomic.Int32
		inFlight.Store(500)
		w.queues.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "GetQueueAttributes" {
				return awstest.Fault{Err: &awstest.Error{Status: 200, Raw: `{"Attributes":{"ApproximateNumberOfMessages":"7","ApproximateNumberOfMessagesNotVisible":"` + strconv.Itoa(int(inFlight.Load())) + `"}}`}}
			}
			return awstest.Fault{}
		})
		go s.watch(ctx)
		time.Sleep(90 * time.Second)
		if reached.Load() || log.String() != "" {
			t.Errorf("at %d in flight: %s", inFlight.Load(), log.String())
		}
		inFlight.Store(119950)
		time.Sleep(10 * time.Minute)
		if n := strings.Count(log.String(), "limit of messages in flight is reached"); !reached.Load() || n != 1 {
			t.Errorf("at %d in flight %d lines were logged, want one: %s", inFlight.Load(), n, log.String())
		}
	})
}

func TestATableThatChangedIsNoticed(t *testing.T) {
	inWorld(t, item.Versioned, func(w *world) {
		s, found, log := w.signs()
		ctx, stop := context.WithCancel(w.t.Context())
		defer stop()
		go watchTable(ctx, w.cfg, s.clients, s.log, found.table, func(bool) {})
		time.Sleep(3 * time.Hour)
		if log.String() != "" {
			t.Errorf("logged of a table as it was: %s", log.String())
		}
		client := w.tables.Client()
		if _, err := client.DeleteTable(w.t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(tableName)}); err != nil {
			t.Fatal(err)
		}
		createTable(w.t, client, tableName, item.LatestOnly, item.TypeS)
		time.Sleep(3 * time.Hour)
		if n := strings.Count(log.String(), "are no longer what they were"); n != 1 {
			t.Errorf("%d lines were logged, want one: %s", n, log.String())
		}
	})
}
