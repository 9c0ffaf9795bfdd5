package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/workertest"
)

// A result is the outcome of a run.
type result struct {
	violations []string
	broken     map[invariant]string // the first violation of each invariant, and of "" the first of all
	took       time.Duration        // simulated
	struck     map[string]int       // faults and events, by kind
	calls      int
	trace      []string // what led to the first violation
	log        string   // of all replicas
}

// A simulation is one run of a plan in a synctest bubble: fakes, replicas and the oracle.
type simulation struct {
	*plan
	t       *testing.T
	base    *config.Config
	bug     *bug // nil: the worker as it is
	queues  *sqsfake.Service
	tables  *dynamodbfake.Service
	objects *s3fake.Service
	start   time.Time

	queue, rejectQueue, deadLetters string // their names

	publisher *sqs.Client
	sends     int
	unusable  bool // no worker can start: the table is gone or has no TTL
	waiting   int  // how many start as soon as it can be used

	oracle   *oracle
	replicas []*replica
	crashed  chan *replica // those that the oracle has killed; it has room for each event
	log      cappedLog
}

// simulate runs a plan. It must be called in a bubble.
func simulate(t *testing.T, base *config.Config, p *plan, b *bug) result {
	s := &simulation{plan: p, t: t, base: base, bug: b, start: time.Unix(epoch, 0), crashed: make(chan *replica, len(p.events))}
	s.oracle = newOracle(s)
	time.Sleep(time.Until(s.start.Add(-ttlInterval)))
	s.queues, s.tables, s.objects = sqsfake.New(), dynamodbfake.New(), s3fake.New()
	s.prepare()
	time.Sleep(time.Until(s.start))
	for range s.plan.replicas {
		s.launch()
	}
	s.play()
	s.settleDown()
	s.oracle.final()
	s.queues.Close()
	s.tables.Close()
	s.objects.Close()
	return result{
		violations: s.oracle.violations, broken: s.oracle.broken, took: time.Since(s.start), struck: s.oracle.struck,
		calls: s.queues.CallCount("") + s.tables.CallCount("") + s.objects.CallCount(""), trace: s.oracle.trace.lines, log: s.log.String(),
	}
}

// prepare makes the queues and the table.
func (s *simulation) prepare() {
	s.queues.SetRecording(false)
	s.tables.SetRecording(false)
	s.objects.SetRecording(false)
	s.queues.SetAbandonedPolls(true)
	s.publisher = s.queues.Client()
	s.queues.SetSkew(s.skew)
	s.tables.SetSkew(s.skew)
	s.createQueues()
	workertest.CreateTable(s.t, s.tables.Client(), workertest.TableName, s.layout, "S")
	s.queues.SetFault(s.oracle.fault)
	s.tables.SetFault(s.oracle.fault)
	s.objects.SetFault(s.oracle.fault)
	s.tables.SetEffect(s.oracle.effect)
}

// createQueues makes the queue, the reject queue and, where the queue has a redrive policy, the dead-letter queue.
func (s *simulation) createQueues() {
	suffix, common := "", map[string]string{}
	if s.fifo {
		suffix, common["FifoQueue"] = ".fifo", "true"
	}
	s.queue, s.rejectQueue, s.deadLetters = workertest.QueueName+suffix, workertest.RejectName+suffix, "dead-letters"+suffix
	create := func(name string, maxBytes int, more map[string]string) {
		attributes := maps.Clone(common)
		attributes["MaximumMessageSize"] = strconv.Itoa(maxBytes)
		maps.Copy(attributes, more)
		s.queues.CreateQueue(name, attributes)
	}
	create(s.rejectQueue, s.rejectLimit, nil)
	create(s.deadLetters, maxMessageBytes, nil)
	if s.batches != nil {
		s.createBuckets()
	}
	own := map[string]string{"VisibilityTimeout": strconv.Itoa(int(s.visibility / time.Second))}
	if s.maxReceives > 0 {
		own["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, sqsfake.QueueARN(s.deadLetters), s.maxReceives)
	}
	create(s.queue, maxMessageBytes, own)
}

// createBuckets makes the buckets and the objects queue.
func (s *simulation) createBuckets() {
	s.objects.CreateBucket(openBucket, s3fake.Bucket{Versioned: s.batches.versioned})
	s.objects.CreateBucket(closedBucket, s3fake.Bucket{})
	s.queues.CreateQueue(objectsQueue, map[string]string{"VisibilityTimeout": strconv.Itoa(int(s.visibility / time.Second))})
}

// send sends a message.
func (s *simulation) send(m *message) {
	s.oracle.sent(m)
	in := &sqs.SendMessageInput{QueueUrl: aws.String(queueURL(s.queue)), MessageBody: &m.body}
	if s.fifo {
		s.sends++
		in.MessageGroupId, in.MessageDeduplicationId = &m.group, aws.String(strconv.Itoa(s.sends))
	}
	for name, value := range m.attributes {
		if in.MessageAttributes == nil {
			in.MessageAttributes = map[string]types.MessageAttributeValue{}
		}
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := s.publisher.SendMessage(context.Background(), in); err != nil {
		panic(err)
	}
}

// play sends the messages and applies the platform events, each at its time.
func (s *simulation) play() {
	until := func(d time.Duration) {
		for at := time.After(time.Until(s.start.Add(d))); ; {
			select {
			case r := <-s.crashed:
				s.replace(r)
			case <-at:
				return
			}
		}
	}
	messages, events := s.messages, s.events
	var batches sync.WaitGroup
	defer batches.Wait()
	if s.batches != nil {
		batches.Go(s.playBatches)
	}
	for len(messages) > 0 || len(events) > 0 {
		if len(events) == 0 || len(messages) > 0 && messages[0].at <= events[0].at {
			until(messages[0].at)
			s.send(messages[0])
			messages = messages[1:]
			continue
		}
		until(events[0].at)
		s.happen(events[0].what)
		events = events[1:]
	}
	until(s.end)
}

// happen applies a platform event to a running replica. If none is running, it starts one.
func (s *simulation) happen(what string) {
	if s.changeTable(what) || s.crashAt(what) {
		return
	}
	s.replaceCrashed()
	var running []*replica
	for _, r := range s.replicas {
		if !r.doomed {
			running = append(running, r)
		}
	}
	if len(running) > 0 {
		r := running[int(s.oracle.random(uint64(len(s.replicas)))*float64(len(running)))]
		switch what {
		case "terminate", "restart":
			s.oracle.count("SIGTERM")
			r.doomed = true
			go s.stop(r)
		case "kill", "crash":
			s.oracle.count("kill")
			r.kill()
		}
	}
	if what == "restart" || what == "crash" || what == "start" && len(running) < 4 || len(running) == 0 {
		s.oracle.count("start")
		if s.unusable {
			s.waiting++
			return
		}
		s.launch()
	}
}

// stop sends SIGTERM and checks the drain.
func (s *simulation) stop(r *replica) {
	began := time.Now()
	s.oracle.gone(r, false)
	r.terminate()
	<-r.ended
	s.oracle.drained(r, began)
}

// settleTime is how long after the last trouble the queue may be busy: a killed worker's messages come back after five
// minutes, the longest extension of a visibility timeout.
const settleTime = 15 * time.Minute

// rejectBackOff is the maximum backoff of a message whose reject could not be sent.
const rejectBackOff = time.Hour

// settleDown waits until the queue is empty, and then stops the replicas.
func (s *simulation) settleDown() {
	s.endCrashes()
	if !slices.ContainsFunc(s.replicas, func(r *replica) bool { return !r.doomed }) {
		s.launch()
	}
	deadline := time.Now().Add(settleTime)
	// Each replica may have to find out by itself that the reject queue takes messages again.
	rejectDeadline := deadline.Add(rejectBackOff * time.Duration(1+len(s.replicas)))
	for step := time.Second; ; step = min(step+time.Second, 10*time.Second) {
		time.Sleep(step)
		left, bad := s.oracle.left()
		if left == "" {
			left, bad = s.oracle.objectsLeft()
		}
		if left == "" {
			break
		}
		if now := time.Now(); now.After(rejectDeadline) || now.After(deadline) && !bad {
			s.oracle.violate(stuck, "%s", left)
			break
		}
	}
	for _, r := range s.replicas {
		if !r.doomed {
			r.doomed = true
			s.stop(r)
		}
	}
	for _, r := range s.replicas {
		<-r.ended
	}
}
