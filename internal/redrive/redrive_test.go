package redrive

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

func TestMain(m *testing.M) { workertest.Main(m) }

// newConfig returns the configuration of a run between the queues of the fakes.
func newConfig(f *workertest.Fakes) Config {
	f.T.Helper()
	clock := &awsclient.Clock{}
	clients := newClients(f, clock)
	return Config{
		From: awsclient.NewQueue(clients, f.Config.RejectQueueURL), To: awsclient.NewQueue(clients, f.Config.QueueURL),
		PerSecond: 1000, CallTimeout: f.Config.CallTimeout, Answered: clock.Answered,
	}
}

func newClients(f *workertest.Fakes, clock *awsclient.Clock) *awsclient.Clients {
	f.T.Helper()
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: f.Transport(), Clock: clock})
	if err != nil {
		f.T.Fatal(err)
	}
	return clients
}

// rejectSome lets a worker reject messages, and returns when they were sent.
func rejectSome(f *workertest.Fakes, bodies ...string) time.Time {
	f.T.Helper()
	sent := time.Now()
	f.SQS.Send(workertest.QueueName, bodies...)
	r := f.Start()
	time.Sleep(time.Minute)
	r.Stop()
	if visible, _, _ := f.SQS.Counts(workertest.RejectName); visible != len(bodies) {
		f.T.Fatalf("%d rejects, want %d", visible, len(bodies))
	}
	return sent
}

// numbered returns n bodies that are not JSON.
func numbered(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("no JSON %d.", i)
	}
	return bodies
}

// wantWaiting checks how many messages of a queue are visible, and that none is hidden.
func wantWaiting(f *workertest.Fakes, queue string, n int) {
	f.T.Helper()
	if visible, hidden, _ := f.SQS.Counts(queue); visible != n || hidden != 0 {
		f.T.Errorf("%s has %d messages visible and %d hidden, want %d and 0", queue, visible, hidden, n)
	}
}

// back returns the messages that wait in the queue.
func back(f *workertest.Fakes) map[string]sqsfake.Message {
	messages := map[string]sqsfake.Message{}
	for _, m := range f.SQS.Messages(workertest.QueueName) {
		if m.State == sqsfake.Visible {
			messages[m.Body] = m
		}
	}
	return messages
}

func TestRun(t *testing.T) {
	bodies := []string{`{"prediction":1}`, `{"prediction":2}`, `{"predictionId":7,"prediction":1}`, `no JSON`}
	for _, test := range []struct {
		name                string
		change              func(c *Config)
		chosen, sent, stays int
	}{
		{"a dry run", func(c *Config) { c.DryRun, c.Reasons = true, []string{"key"} }, 1, 0, 4},
		{"a list", func(c *Config) { c.DryRun = true }, 0, 0, 4},
		{"two reasons", func(c *Config) { c.Reasons = []string{"key", "syntax"} }, 2, 2, 2},
		{"all", func(c *Config) { c.All = true }, 4, 4, 0},
		{"without a Date", func(c *Config) { c.All, c.Answered = true, func() time.Time { return time.Time{} } }, 4, 4, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				sent := rejectSome(f, bodies...)
				cfg := newConfig(f)
				test.change(&cfg)
				s, err := Run(f.T.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if s.Found != 4 || s.Chosen != test.chosen || s.Sent != test.sent || s.Refused+s.TooLong+s.Failed+s.Arrivals != 0 {
					t.Errorf("%+v, want 4 found, %d chosen, %d sent", s, test.chosen, test.sent)
				}
				first := s.Groups[0]
				if len(s.Groups) != 3 || first.Reason != "missing_field" || first.Field != "predictionId" || first.Messages != 2 || !first.Oldest.Equal(sent) || first.Example == "" {
					t.Errorf("groups %+v, want 3, the first with 2 for missing_field", s.Groups)
				}
				wantWaiting(f, workertest.RejectName, test.stays)
				wantWaiting(f, workertest.QueueName, test.sent)
				for body, m := range back(f) {
					if m.Attributes[consumer.AttrSent] != strconv.FormatInt(sent.UnixMilli(), 10) || len(m.Attributes) != 1 {
						t.Errorf("%s came back with %v, want its sent time alone", body, m.Attributes)
					}
				}
			})
		})
	}
}

func TestRun_reason_without_a_match(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		cfg := newConfig(f)
		cfg.Reasons = []string{"key", "sintax"}
		if s, err := Run(f.T.Context(), cfg); err != nil || s.Found != 0 {
			t.Errorf("an empty queue: %+v, %v", s, err)
		}
		rejectSome(f, `{"predictionId":7,"prediction":1}`, `no JSON`, `no JSON either`)
		s, err := Run(f.T.Context(), cfg)
		var unmatched *UnmatchedError
		if !errors.As(err, &unmatched) || err.Error() != "no message has the reason sintax; the reasons in the queue are key (1), syntax (2)" {
			t.Errorf("error %v", err)
		}
		if s.Sent != 1 {
			t.Errorf("%d were sent, want the one with the reason that matched", s.Sent)
		}
		wantWaiting(f, workertest.RejectName, 2)
	})
}

// A worker that runs meanwhile rejects at once what comes back.
func TestRun_sends_each_message_once(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		rejectSome(f, numbered(30)...)
		worker := f.Start()
		cfg := newConfig(f)
		cfg.All = true
		limited, cancel := context.WithTimeout(f.T.Context(), 10*time.Minute)
		defer cancel()
		s, err := Run(limited, cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		worker.Stop()
		if s.Sent != 30 || s.Found != 30 || s.Arrivals == 0 {
			t.Errorf("%+v, want 30 found and sent, and some arrivals", s)
		}
		// 30 at first, and 30 that came back.
		if got := len(f.SQS.Messages(workertest.QueueName)); got != 60 {
			t.Errorf("the queue has had %d messages, want 60", got)
		}
		wantWaiting(f, workertest.RejectName, 30)
	})
}

// A message that is redriven from a dead-letter queue may return there during the run.
func TestRun_dead_letter_queue(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		dead := f.SQS.CreateQueue("dead", nil)
		client := f.SQS.Client()
		if _, err := client.SetQueueAttributes(f.T.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &f.Config.QueueURL, Attributes: map[string]string{
			"VisibilityTimeout": "1", "RedrivePolicy": `{"deadLetterTargetArn":"` + sqsfake.QueueARN("dead") + `","maxReceiveCount":1}`,
		}}); err != nil {
			t.Fatal(err)
		}
		// A consumer that deletes nothing.
		consuming, stop := context.WithCancel(f.T.Context())
		var consumer sync.WaitGroup
		consumer.Go(func() {
			for consuming.Err() == nil {
				_, _ = client.ReceiveMessage(consuming, &sqs.ReceiveMessageInput{QueueUrl: &f.Config.QueueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
			}
		})
		f.Send(numbered(20)...)
		time.Sleep(time.Minute)
		wantWaiting(f, "dead", 20)

		cfg := newConfig(f)
		cfg.From, cfg.All = awsclient.NewQueue(newClients(f, &awsclient.Clock{}), dead), true
		limited, cancel := context.WithTimeout(f.T.Context(), 10*time.Minute)
		defer cancel()
		s, err := Run(limited, cfg)
		if err != nil || s.Sent != 20 || s.Groups[0].Reason != NoReason {
			t.Errorf("%+v, %v; want 20 sent", s, err)
		}
		time.Sleep(time.Minute)
		stop()
		consumer.Wait()
		wantWaiting(f, "dead", 20)
	})
}

// What is not chosen is visible again before the end of a long queue is reached: the run ends nevertheless.
func TestRun_ends_in_a_long_queue(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		rejectSome(f, numbered(200)...)
		f.SQS.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 4 * time.Second} })
		cfg := newConfig(f)
		cfg.DryRun = true
		s, err := Run(f.T.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s.Found != 200 {
			t.Errorf("%d rejects were found, want 200", s.Found)
		}
	})
}

// Whatever fails and whenever it is interrupted, each message is in one of the queues, or in both.
func TestRun_loses_nothing(t *testing.T) {
	const count = 60
	for cut := 1; cut <= 12; cut++ {
		t.Run(fmt.Sprint("interrupted at call ", cut), func(t *testing.T) {
			workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
				rejectSome(f, numbered(count)...)
				ctx, interrupt := context.WithCancel(f.T.Context())
				defer interrupt()
				calls := 0
				f.SQS.SetFault(func(*awstest.Call) awstest.Fault {
					if calls++; calls == cut {
						interrupt()
					}
					switch {
					case calls%5 == 0:
						return awstest.Fault{LoseAnswer: true}
					case calls%7 == 0:
						return awstest.Fault{FailEntry: func(i int, _ awstest.Entry) *awstest.EntryError {
							if i%2 == 0 {
								return nil
							}
							return &awstest.EntryError{Code: "InternalError"}
						}}
					}
					return awstest.Fault{}
				})
				cfg := newConfig(f)
				cfg.All = true
				_, _ = Run(ctx, cfg) // the faults may fail it
				f.SQS.SetFault(nil)
				where := map[string]int{}
				for _, queue := range []string{workertest.QueueName, workertest.RejectName} {
					for _, m := range f.SQS.Messages(queue) {
						if m.State == sqsfake.Visible || m.State == sqsfake.InFlight {
							where[m.Body]++
						}
					}
				}
				if len(where) != count {
					t.Errorf("%d messages are left of %d", len(where), count)
				}
			})
		})
	}
}

func TestRun_keeps_to_its_rate(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		rejectSome(f, numbered(100)...)
		cfg := newConfig(f)
		cfg.All, cfg.PerSecond = true, 5
		began := time.Now()
		s, err := Run(f.T.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); s.Sent != 100 || took < 18*time.Second {
			t.Errorf("%d messages in %v at 5 a second", s.Sent, took)
		}
	})
}

// send sends one message with attributes to the reject queue.
func send(f *workertest.Fakes, body string, attributes map[string]string) {
	f.T.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &f.Config.RejectQueueURL, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := f.SQS.Client().SendMessage(f.T.Context(), in); err != nil {
		f.T.Fatal(err)
	}
}

func TestRun_batches_count_attributes(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		for i := range 10 {
			send(f, fmt.Sprint("no JSON ", i), map[string]string{"trace": strings.Repeat("x", 150_000)})
		}
		send(f, strings.Repeat("x", 1<<20), nil) // with its first sent time it is longer than SQS takes
		time.Sleep(time.Minute)
		cfg := newConfig(f)
		cfg.All = true
		s, err := Run(f.T.Context(), cfg)
		if err != nil || s.Sent != 10 || s.TooLong != 1 {
			t.Errorf("%+v, %v; want 10 sent and 1 too long", s, err)
		}
		wantWaiting(f, workertest.RejectName, 1)
		wantWaiting(f, workertest.QueueName, 10)
	})
}

func TestRun_keeps_the_encoding_of_a_whole_body(t *testing.T) {
	workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
		whole, part := workertest.Gzip("no JSON"), `{"prediction":1}`
		for _, body := range []string{whole, workertest.Gzip(part + "\n" + workertest.Message("a", time.Second, "1"))} {
			attributes := workertest.ContentEncoding("gzip")
			attributes["trace"] = types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 2}}
			if _, err := f.SQS.Client().SendMessage(f.T.Context(), &sqs.SendMessageInput{QueueUrl: &f.Config.QueueURL, MessageBody: &body, MessageAttributes: attributes}); err != nil {
				t.Fatal(err)
			}
		}
		r := f.Start()
		time.Sleep(time.Minute)
		r.Stop()
		cfg := newConfig(f)
		cfg.All = true
		if s, err := Run(f.T.Context(), cfg); err != nil || s.Sent != 2 {
			t.Fatalf("%+v, %v; want 2 sent", s, err)
		}
		messages := back(f)
		if got := messages[whole].Attributes; got[consumer.AttrContentEncoding] != "gzip" || got["trace"] != "\x00\x01\x02" || len(got) != 3 {
			t.Errorf("the whole body came back with %q", got)
		}
		if got := messages[part].Attributes; got["trace"] != "\x00\x01\x02" || len(got) != 2 {
			t.Errorf("the part came back with %q", got)
		}
	})
}
