package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/alarmtest"
	"github.com/predcache/predcache/internal/workertest/emftest"
)

// A reporting worker is a worker with WORKER_METRICS=emf.
type reporting struct {
	*workertest.Replica
	out  workertest.LogBuffer
	read int // lines that were read
	stop func()
}

func startReporting(w *workertest.Fakes) *reporting {
	r := &reporting{Replica: w.Start()}
	emf := &telemetry.EMF{Metrics: r.Metrics(), Out: &r.out, Log: slog.New(slog.DiscardHandler), Queue: workertest.QueueName, Table: workertest.TableName}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); emf.Run(ctx) }()
	r.stop = func() { r.Stop(); cancel(); <-done }
	return r
}

// report adds the lines since the last report to a minute.
func (r *reporting) report(t *testing.T, m alarmtest.Minute) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.out.String(), "\n"), "\n")
	for _, line := range lines[min(r.read, len(lines)):] {
		if line == "" {
			continue
		}
		r.read++
		d, err := emftest.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		for metric, values := range d.Metrics {
			m.Worker(metric, values...)
		}
	}
}

// sqsSays adds what SQS says of a queue, if it has messages.
func sqsSays(w *workertest.Fakes, m alarmtest.Minute, name, queue string) {
	visible, _, _ := w.SQS.Counts(queue)
	oldest := time.Now()
	for _, message := range w.SQS.Messages(queue) {
		if message.State != sqsfake.Deleted && message.Sent.Before(oldest) {
			oldest = message.Sent
		}
	}
	if age := time.Since(oldest); visible > 0 || age > 0 {
		m.Queue(name, float64(visible), age.Seconds())
	}
}

// TestAlarms runs workers through troubles for half an hour and has CloudWatch's alarms judge what they report.
func TestAlarms(t *testing.T) {
	alarms, err := alarmtest.Load("../../deployments/cloudwatch/alarms.json")
	if err != nil {
		t.Fatal(err)
	}
	denied := func(c *awstest.Call) (f awstest.Fault) {
		if strings.HasSuffix(c.Operation, "WriteItem") {
			f.Err = awstest.AccessDenied(c.Operation)
		}
		return f
	}
	for name, c := range map[string]struct {
		perSecond int // predictions
		workers   int
		trouble   func(w *workertest.Fakes, minute int, workers []*reporting)
		want      []string
	}{
		"idle":           {workers: 2},
		"working":        {workers: 2, perSecond: 2},
		"nothing to run": {},
		"no workers":     {perSecond: 1, want: []string{"no-workers", "oldest-message"}},
		"the table is denied": {workers: 2, perSecond: 1, trouble: func(w *workertest.Fakes, minute int, _ []*reporting) {
			if minute == 5 {
				w.DynamoDB.SetFault(denied)
			}
		}, want: []string{"calls-fail", "not-ready", "nothing-written", "oldest-message", "table-down"}},
		"denied for three minutes": {workers: 2, perSecond: 1, trouble: func(w *workertest.Fakes, minute int, _ []*reporting) {
			switch minute {
			case 5:
				w.DynamoDB.SetFault(denied)
			case 8:
				w.DynamoDB.SetFault(nil)
			}
		}},
		"the table throttles": {workers: 1, perSecond: 2, trouble: func(w *workertest.Fakes, minute int, _ []*reporting) {
			if minute == 5 {
				var items atomic.Int64
				w.DynamoDB.SetFault(func(c *awstest.Call) (f awstest.Fault) {
					if c.Operation == "BatchWriteItem" {
						f.Unprocessed = func(int, awstest.Entry) bool { return items.Add(1)%5 == 0 }
					}
					return f
				})
			}
		}, want: []string{"throttled"}},
		"bad messages": {workers: 1, perSecond: 1, trouble: func(w *workertest.Fakes, minute int, _ []*reporting) {
			w.Send("no prediction")
		}, want: []string{"rejects"}},
		"TTL is switched off": {workers: 1, perSecond: 1, trouble: func(w *workertest.Fakes, minute int, _ []*reporting) {
			if minute == 0 {
				time.Sleep(time.Hour) // it can be changed only once an hour
				if _, err := w.DynamoDB.Client().UpdateTimeToLive(w.T.Context(), &dynamodb.UpdateTimeToLiveInput{
					TableName: aws.String(workertest.TableName), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(false)},
				}); err != nil {
					w.T.Error(err)
				}
			}
		}, want: []string{"attention"}},
		"scaled to zero": {workers: 2, trouble: func(_ *workertest.Fakes, minute int, workers []*reporting) {
			if minute == 5 {
				for _, r := range workers {
					r.stop()
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(w *workertest.Fakes) {
				var workers []*reporting
				for range c.workers {
					workers = append(workers, startReporting(w))
				}
				var minutes []alarmtest.Minute
				for i := range 30 {
					if c.trouble != nil {
						c.trouble(w, i, workers)
					}
					for second := range 60 {
						for n := range c.perSecond {
							w.Send(fmt.Sprintf(`{"predictionId":"%d-%d-%d","prediction":1}`, i, second, n))
						}
						time.Sleep(time.Second)
					}
					m := alarmtest.Minute{}
					for _, r := range workers {
						r.report(t, m)
					}
					sqsSays(w, m, "QueueName", workertest.QueueName)
					sqsSays(w, m, "RejectQueueName", workertest.RejectName)
					minutes = append(minutes, m)
				}
				for _, r := range workers {
					r.stop()
				}
				var raised []string
				for _, a := range alarms {
					fires, err := a.Raised(minutes)
					if err != nil {
						t.Fatal(err)
					}
					if fires {
						raised = append(raised, a.Name)
					}
				}
				slices.Sort(raised)
				if !slices.Equal(raised, c.want) {
					t.Errorf("the alarms %v are raised, want %v", raised, c.want)
				}
			})
		})
	}
}
