package worker_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/bombs"
)

// Good messages keep their pace while bombs arrive: their ages at most double. Reading takes no simulated time, so this is about what
// they wait for: room, the writer, a poller, the reject queue. `make bombs` reports the ages of a real worker.
func TestAges_while_bombs_arrive(t *testing.T) {
	for _, b := range bombs.All(time.Date(2000, 4, 10, 0, 0, 0, 0, time.UTC)) { // where the bubble's clock begins
		t.Run(b.Name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				without := goodAges(f, nil)
				with := goodAges(f, b.Make)
				for _, percent := range []int{50, 99} {
					if quiet, loud := percentile(without, percent), percentile(with, percent); loud > 2*quiet {
						t.Errorf("percentile %d: %v without bombs, %v with them", percent, quiet, loud)
					}
				}
			})
		})
	}
}

// goodAges starts a worker, sends 50 good messages a second for 4 s, and two bombs a second beside them, and returns the ages of the
// good ones when they were written.
func goodAges(f *workertest.Fakes, bomb func(i int) bombs.Message) (ages []time.Duration) {
	f.T.Helper()
	const call = 5 * time.Millisecond
	var mu sync.Mutex
	sent := map[string]time.Time{}
	f.SQS.SetRecording(false)
	f.DynamoDB.SetRecording(false)
	f.SQS.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{AnswerDelay: call} })
	f.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
		return awstest.Fault{Delay: call, After: func() {
			mu.Lock()
			defer mu.Unlock()
			for i := range c.Entries {
				if at, found := sent[c.Entries[i].Item.Text("predictionId")]; found {
					ages = append(ages, time.Since(at))
				}
			}
		}}
	})
	r := f.Start()
	time.Sleep(time.Second)
	const good = 200
	for i := range good {
		id := fmt.Sprintf("age/%d/%d", time.Now().Unix(), i)
		mu.Lock()
		sent[id] = time.Now()
		mu.Unlock()
		if bomb != nil && i%25 == 0 {
			sendBomb(f, bomb(i))
		}
		f.Send(workertest.Message(id, time.Minute, `{"score":0.5}`))
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(2 * time.Minute)
	r.Stop()
	f.SQS.SetFault(nil)
	f.DynamoDB.SetFault(nil)
	mu.Lock()
	defer mu.Unlock()
	if len(ages) != good {
		f.T.Errorf("%d good predictions were written, want %d", len(ages), good)
	}
	return ages
}

func sendBomb(f *workertest.Fakes, m bombs.Message) {
	f.T.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &f.Config.QueueURL, MessageBody: &m.Body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range m.Attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := f.SQS.Client().SendMessage(f.T.Context(), in); err != nil {
		f.T.Fatal(err)
	}
}

func percentile(of []time.Duration, percent int) time.Duration {
	of = slices.Sorted(slices.Values(of))
	return of[(len(of)-1)*percent/100]
}
