package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/workertest"
)

// A simResult is what a run showed.
type simResult struct {
	violations []string
	took       time.Duration // simulated
	faults     map[string]int
	calls      int
	log        string // of all replicas
}

// A simulation is one run of a plan: fakes, replicas and the oracle, in a synctest bubble.
type simulation struct {
	*simPlan
	t      *testing.T
	base   *config.Config
	mutant *simMutant // nil: the worker as it is
	queues *awstest.SQS
	tables *awstest.DynamoDB
	start  time.Time

	oracle   *simOracle
	replicas []*simReplica
	log      simLog
}

// A simReplica is one worker process.
type simReplica struct {
	s    *simulation
	name string
	// terminate does what SIGTERM does.
	terminate context.CancelFunc
	ended     chan struct{}
	left      int
	err       error
	doomed    bool // told to stop, one way or the other

	mu     sync.Mutex
	dead   bool // killed: no call of it reaches anything, and no answer reaches it
	calls  map[*simCall]context.CancelFunc
	second int64 // in which so many calls were made
	made   int
}

// A simCall is one call of a replica, from its side: it is under way from its start until the replica has the answer or has
// given up.
type simCall struct {
	replica *simReplica
	// The oracle's, guarded by it.
	ended     bool
	struck    bool // by a fault
	spoiled   bool // the fault keeps the answer from arriving
	keys      []string
	writes    []simWrite
	delivered []string
}

type simCallKey struct{}

var errKilled = errors.New("the process was killed")

// RoundTrip carries a call of the replica to the fake that it is for.
func (r *simReplica) RoundTrip(req *http.Request) (*http.Response, error) {
	call := &simCall{replica: r}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		if !sleepFor(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
		return nil, errKilled
	}
	r.calls[call] = cancel
	if now := time.Now().Unix(); now != r.second {
		r.second, r.made = now, 0
	}
	r.made++
	made := r.made
	r.mu.Unlock()
	if made == simHotLoop {
		r.s.oracle.violate("hot loop", "%s made %d calls in one second, the last of them %s", r.name, made, req.Header.Get("X-Amz-Target"))
	}
	if made >= simHotLoop {
		sleepFor(ctx, time.Second)
	}
	if d := r.s.latency; d > 0 {
		sleepFor(ctx, time.Duration(r.s.oracle.random(uint64(r.s.oracle.callNumber()))*float64(d)))
	}
	handler := http.Handler(r.s.tables)
	if strings.HasPrefix(req.Header.Get("X-Amz-Target"), "AmazonSQS.") {
		handler = r.s.queues
	}
	resp, err := awstest.Transport(handler).RoundTrip(req.WithContext(context.WithValue(ctx, simCallKey{}, call)))
	if resp != nil {
		body, torn := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), simBroken{torn}))
	}
	r.mu.Lock()
	delete(r.calls, call)
	if r.dead {
		resp, err = nil, errKilled
	}
	r.mu.Unlock()
	r.s.oracle.answered(call, err == nil && resp.StatusCode == http.StatusOK)
	return resp, err
}

// simHotLoop is more calls than any replica may make in a second.
const simHotLoop = 2000

// simBroken ends a body with an error, or just ends it.
type simBroken struct{ err error }

func (b simBroken) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}

func sleepFor(ctx context.Context, d time.Duration) bool {
	sleep(ctx, d)
	return ctx.Err() == nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kill does what SIGKILL does: from now on nothing that the process does has an effect.
func (r *simReplica) kill() {
	r.mu.Lock()
	r.dead, r.doomed = true, true
	cancels := slices.Collect(maps.Values(r.calls))
	r.mu.Unlock()
	r.s.oracle.gone(r, true)
	for _, cancel := range cancels {
		cancel()
	}
	r.terminate() // the goroutines have to end all the same
}

// simulate runs a plan. It must be called in a bubble.
func simulate(t *testing.T, base *config.Config, plan *simPlan, mutant *simMutant) simResult {
	s := &simulation{simPlan: plan, t: t, base: base, mutant: mutant, queues: awstest.NewSQS(), tables: awstest.NewDynamoDB(), start: time.Now()}
	s.oracle = newSimOracle(s)
	s.log.limit = 1 << 20
	s.queues.SetRecording(false)
	s.tables.SetRecording(false)
	s.queues.SetAbandonedPolls(true)
	s.queues.SetSkew(s.skew)
	s.tables.SetSkew(s.skew)
	s.queues.CreateQueue(workertest.QueueName, map[string]string{"VisibilityTimeout": strconv.Itoa(int(s.visibility / time.Second)), "MaximumMessageSize": "65536"})
	s.queues.CreateQueue(workertest.RejectName, nil)
	workertest.CreateTable(t, s.tables.Client(), workertest.TableName, s.layout, "S")
	s.queues.SetFault(s.oracle.fault)
	s.tables.SetFault(s.oracle.fault)

	for range s.simPlan.replicas {
		s.launch()
	}
	s.play()
	s.settleDown()
	s.oracle.final()
	s.queues.Close()
	s.tables.Close()
	return simResult{s.oracle.violations, time.Since(s.start), s.oracle.struck, s.queues.CallCount("") + s.tables.CallCount(""), s.log.String()}
}

// play sends the messages and does what the platform does, each at its time.
func (s *simulation) play() {
	at := func(d time.Duration) { time.Sleep(time.Until(s.start.Add(d))) }
	messages, events := s.messages, s.events
	for len(messages) > 0 || len(events) > 0 {
		if len(events) == 0 || len(messages) > 0 && messages[0].at <= events[0].at {
			at(messages[0].at)
			s.oracle.sent(messages[0])
			s.queues.Send(workertest.QueueName, messages[0].body)
			messages = messages[1:]
			continue
		}
		at(events[0].at)
		s.happen(events[0].what)
		events = events[1:]
	}
	at(s.end)
}

func (s *simulation) happen(what string) {
	var running []*simReplica
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
		s.launch()
	}
}

// stop sends SIGTERM and checks what follows.
func (s *simulation) stop(r *simReplica) {
	began := time.Now()
	s.oracle.gone(r, false)
	r.terminate()
	<-r.ended
	s.oracle.drained(r, began)
}

// settleDown waits until the queue is empty, and then stops the replicas.
func (s *simulation) settleDown() {
	if !slices.ContainsFunc(s.replicas, func(r *simReplica) bool { return !r.doomed }) {
		s.launch()
	}
	deadline := time.Now().Add(simPatience)
	for step := time.Second; ; step = min(step+time.Second, 10*time.Second) {
		time.Sleep(step)
		if s.oracle.finished() {
			break
		}
		if time.Now().After(deadline) {
			s.oracle.violate("stuck", "%s", s.oracle.left())
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

// simPatience is for how long after the last trouble the queue may be busy: a killed worker's messages come back after five
// minutes, which is how far a lease is extended.
const simPatience = 15 * time.Minute

// launch starts a worker, again and again while it can't.
func (s *simulation) launch() {
	cfg := *s.base
	cfg.QueueURL = "https://sqs.eu-west-1.amazonaws.com/000000000000/" + workertest.QueueName
	cfg.TableName = workertest.TableName
	if s.rejects {
		cfg.RejectQueueURL = "https://sqs.eu-west-1.amazonaws.com/000000000000/" + workertest.RejectName
	}
	cfg.Pollers, cfg.WriteConcurrency, cfg.MaxHeldMessages, cfg.MaxWriteUnits = s.pollers, s.writers, s.held, s.units
	cfg.ReceiveWait, cfg.DeleteLinger, cfg.DrainTimeout, cfg.CallTimeout = s.receiveWait, s.linger, s.drain, s.callTimeout
	cfg.MaxDecodedBytes = 1 << 20
	cfg.Client, cfg.Ordering, cfg.Freshness = s.client, s.ordering, s.freshness
	r := &simReplica{s: s, name: fmt.Sprintf("worker %d", len(s.replicas)), ended: make(chan struct{}), calls: map[*simCall]context.CancelFunc{}}
	if s.mutant != nil && s.mutant.config != nil {
		s.mutant.config(&cfg)
	}
	s.replicas = append(s.replicas, r)
	log := slog.New(slog.NewTextHandler(&s.log, nil)).With("worker", r.name)
	clock := &awsclient.Clock{}
	observer := worker.Observer{Metrics: telemetry.NewMetrics(clock.Now), Health: telemetry.NewHealth(log)}
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: r, Observer: observer, Clock: clock})
	if err != nil {
		panic(err)
	}
	resources, err := worker.FindResources(context.Background(), &cfg, clients)
	if err != nil {
		panic(err)
	}
	intake, terminate := context.WithCancel(context.Background())
	r.terminate = terminate
	services := worker.NewServices(&cfg, resources, clients, observer)
	if s.mutant != nil && s.mutant.services != nil {
		s.mutant.services(seams{&services, intake, log})
	}
	pipeline := worker.NewPipeline(services, &cfg, resources, observer, log)
	go func() {
		defer close(r.ended)
		r.left, r.err = pipeline.Run(intake)
	}()
}

// simLog keeps the first part of what is logged.
type simLog struct {
	mu    sync.Mutex
	b     strings.Builder
	limit int
}

func (l *simLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < l.limit {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *simLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
