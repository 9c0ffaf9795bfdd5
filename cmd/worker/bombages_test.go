package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/bombs"
	"github.com/predcache/predcache/internal/workertest/process"
)

// TestBombAges reports how old good predictions are when they are written, while bombs arrive and while none do, in turn. It asserts
// no time: the machine is shared. TestAges_while_bombs_arrive (internal/worker) asserts them in simulated time.
func TestBombAges(t *testing.T) {
	if *bombsMode == "" {
		t.Skip("it takes a minute: make bombs")
	}
	path, err := process.Build{}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := bombs.All(time.Now())
	if *bombsMode != "each" {
		reportAges(t, path, "all bombs in turn", all)
		return
	}
	for _, b := range all {
		t.Run(b.Name, func(t *testing.T) { reportAges(t, path, b.Name, []bombs.Bomb{b}) })
	}
}

const (
	goodRate  = 100 // good messages a second
	bombRate  = 2   // bombs a second, in their phases
	agePhases = 14  // of a second each: without bombs, with them, without…
	ageCall   = 5 * time.Millisecond
)

// ages are the ages of good predictions when they were written, by phase.
type ages struct {
	mu   sync.Mutex
	sent map[string]sentAt
	of   [agePhases][]time.Duration
}

type sentAt struct {
	phase int
	time  time.Time
}

// reportAges starts a worker and sends it good messages all the time, and bombs in every second phase.
func reportAges(t *testing.T, path, name string, kinds []bombs.Bomb) {
	queues, tables := sqsfake.New(), dynamodbfake.New()
	defer queues.Close()
	defer tables.Close()
	queueServer, tableServer := httptest.NewServer(queues), httptest.NewServer(tables)
	defer queueServer.Close()
	defer tableServer.Close()
	queues.SetRecording(false)
	tables.SetRecording(false)
	queues.CreateQueue(workertest.QueueName, map[string]string{"MaximumMessageSize": "1048576"})
	queues.CreateQueue(workertest.RejectName, map[string]string{"MaximumMessageSize": "1048576"})
	workertest.CreateTable(t, tables.Client(), workertest.TableName, item.Versioned, item.TypeS)
	a := &ages{sent: map[string]sentAt{}}
	queues.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{AnswerDelay: ageCall} })
	tables.SetFault(func(c *awstest.Call) awstest.Fault {
		return awstest.Fault{Delay: ageCall, After: func() { a.written(c) }}
	})
	w, err := process.Start(process.Config{Path: path, Settings: []string{
		"AWS_ENDPOINT_URL_SQS=" + queueServer.URL, "AWS_ENDPOINT_URL_DYNAMODB=" + tableServer.URL,
		"WORKER_QUEUE_URL=" + queueServer.URL + "/000000000000/" + workertest.QueueName, "WORKER_TABLE_NAME=" + workertest.TableName,
		"WORKER_REJECT_QUEUE_URL=" + queueServer.URL + "/000000000000/" + workertest.RejectName,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := w.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	sent := a.play(ctx, t, queues, queueServer.URL, kinds)
	err = w.Until(ctx, func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.sent) == 0 })
	if err != nil {
		t.Errorf("%d good predictions of %d are not written: %v\n%s", len(a.sent), sent, err, w.Log().Tail(5))
	}
	quiet50, quiet99 := a.percentiles(0)
	loud50, loud99 := a.percentiles(1)
	t.Logf("%-45s without bombs: p50 %v, p99 %v; with %d a second: p50 %v, p99 %v; p99 %.1f times", name, quiet50, quiet99, bombRate, loud50, loud99,
		float64(loud99)/float64(max(quiet99, 1)))
}

// play sends the messages of all phases and returns how many good ones it sent.
func (a *ages) play(ctx context.Context, t *testing.T, queues *sqsfake.Service, url string, kinds []bombs.Bomb) (sent int) {
	t.Helper()
	client, queue := queues.Client(), url+"/000000000000/"+workertest.QueueName
	made := make([]*sqs.SendMessageInput, agePhases/2*bombRate)
	for i := range made {
		m := kinds[i%len(kinds)].Make(i)
		made[i] = &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &m.Body, MessageAttributes: map[string]types.MessageAttributeValue{}}
		for name, value := range m.Attributes {
			made[i].MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
	}
	ticker := time.NewTicker(time.Second / goodRate)
	defer ticker.Stop()
	for ; sent < agePhases*goodRate; sent++ {
		<-ticker.C
		phase := sent / goodRate
		id := fmt.Sprintf("age/%d", sent)
		a.mu.Lock()
		a.sent[id] = sentAt{phase, time.Now()}
		a.mu.Unlock()
		queues.Send(workertest.QueueName, fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":{"score":0.5}}`, id, time.Now().Unix()))
		if phase%2 == 1 && sent%(goodRate/bombRate) == 0 {
			next := made[0]
			made = made[1:]
			go func() {
				if _, err := client.SendMessage(ctx, next); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	return sent
}

// written records the ages of the good predictions of a write.
func (a *ages) written(c *awstest.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range c.Entries {
		id := c.Entries[i].Item.Text("predictionId")
		if at, found := a.sent[id]; found && c.Entries[i].Applied {
			delete(a.sent, id)
			a.of[at.phase] = append(a.of[at.phase], time.Since(at.time))
		}
	}
}

// percentiles returns the 50th and the 99th percentile of every second phase: the median of the phases, since the machine may be busy
// with something else for one of them.
func (a *ages) percentiles(first int) (p50, p99 time.Duration) {
	median := func(percent int) time.Duration {
		var of []time.Duration
		for phase := first; phase < agePhases; phase += 2 {
			slices.Sort(a.of[phase])
			of = append(of, a.of[phase][(goodRate-1)*percent/100])
		}
		slices.Sort(of)
		return of[len(of)/2].Round(100 * time.Microsecond)
	}
	return median(50), median(99)
}
