package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/worker"
	"github.com/predcache/predcache/internal/workertest"
)

// A replica is one worker process.
type replica struct {
	s         *simulation
	name      string
	terminate context.CancelFunc // acts like SIGTERM
	doomed    bool               // it got SIGTERM or was killed
	pipeline  *worker.Pipeline
	ended     chan struct{}
	left      int   // what Pipeline.Run returned
	err       error //

	mu     sync.Mutex
	dead   bool // killed: no call of it reaches anything, and no answer reaches it
	calls  map[*call]context.CancelFunc
	second int64 // the second that made counts the calls of
	made   int
}

// A call is one call of a replica, from its side: it is under way from its start until the replica has the answer or has
// given up.
type call struct {
	replica *replica

	// Guarded by oracle.mu.
	n         int // its number at its service
	ended     bool
	struck    bool // by a fault
	spoiled   bool // the fault keeps the answer from arriving
	keys      []string
	writes    []write
	table     int      // oracle.table when these took effect
	delivered []string // message ids
	pass      int      // the effects that a Query certainly sees
	objects   bool     // it is for the objects queue
	below     string   // the key of the tombstone below which a Query reads from the first item on, or ""
}

// callKey is the context key under which the oracle finds the call.
type callKey struct{}

// launch starts a worker.
func (s *simulation) launch() {
	r := &replica{s: s, name: fmt.Sprintf("worker %d", len(s.replicas)), ended: make(chan struct{}), calls: map[*call]context.CancelFunc{}}
	cfg := s.config()
	if s.bug != nil && s.bug.config != nil {
		s.bug.config(cfg)
	}
	s.replicas = append(s.replicas, r)
	log := slog.New(slog.NewTextHandler(&s.log, nil)).With("worker", r.name)
	clock := &awsclient.Clock{}
	metrics := telemetry.NewMetrics(telemetry.Options{Now: clock.Now, Health: telemetry.NewHealth(log)})
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: r, Clock: clock})
	if err != nil {
		panic(err)
	}
	resources, err := worker.FindResources(context.Background(), cfg, clients)
	if err != nil {
		panic(err)
	}
	intake, terminate := context.WithCancel(context.Background())
	r.terminate = terminate
	services := worker.NewServices(cfg, resources, clients, metrics, log)
	services.WrapAdmit = func(next worker.Admit) worker.Admit { return r.watchRows(r.watchOrder(next)) }
	if s.bug != nil && s.bug.services != nil {
		s.bug.services(seams{&services, resources, intake, log})
	}
	r.pipeline = worker.NewPipeline(services, cfg, resources, metrics, log)
	go func() {
		defer close(r.ended)
		r.left, r.err = r.pipeline.Run(intake)
	}()
}

// config returns the settings of the plan.
func (s *simulation) config() *config.Config {
	cfg := *s.base
	cfg.QueueURL = queueURL(s.queue)
	cfg.TableName = workertest.TableName
	if s.rejects {
		cfg.RejectQueueURL = queueURL(s.rejectQueue)
	}
	cfg.Pollers, cfg.WriteConcurrency, cfg.MaxHeldMessages, cfg.MaxWriteUnits = s.pollers, s.writers, s.held, s.units
	cfg.ReceiveWait, cfg.DeleteLinger, cfg.DrainTimeout, cfg.CallTimeout = s.receiveWait, s.linger, s.drain, s.callTimeout
	cfg.MaxDecodedBytes, cfg.MaxHeldBytes = maxDecodedBytes, s.heldBytes
	cfg.Ordering, cfg.MaxAddedLatency = s.ordering, s.addedLatency
	if b := s.batches; b != nil {
		cfg.ObjectsQueueURL, cfg.Objects = queueURL(objectsQueue), openBucket+"/"+openPrefix
		cfg.ObjectsRangeBytes, cfg.ObjectsConcurrency, cfg.ObjectsMaxBytes = b.rangeBytes, b.concurrency, 4*maxDecodedBytes
		cfg.ObjectsSplitCSV = b.splitCSV
	}
	cfg.Deletes, cfg.SortUnit = s.deletes, map[int]string{1: "s", 1000: "ms"}[s.perSecond]
	return &cfg
}

var errKilled = errors.New("the process was killed")

// RoundTrip carries a call of the replica to the fake that it is for.
func (r *replica) RoundTrip(req *http.Request) (*http.Response, error) {
	c := &call{replica: r}
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".Query") {
		c.below = firstPageOf(req)
	}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	made, err := r.begin(ctx, c, cancel)
	if err != nil {
		return nil, err
	}
	if made == maxCallsPerSecond {
		r.s.oracle.violate(hotLoop, "%s made %d calls in one second, the last of them %s", r.name, made, req.Header.Get("X-Amz-Target"))
	}
	if made >= maxCallsPerSecond {
		sleep(ctx, time.Second)
	}
	if r.pipeline != nil {
		r.s.oracle.holds(r)
	}
	if d := r.s.latency; d > 0 {
		sleep(ctx, time.Duration(r.s.oracle.random(uint64(r.s.oracle.callNumber()))*float64(d)))
	}
	if r.s.bug != nil && r.s.bug.request != nil {
		if req, err = rewrite(req, r.s.bug.request); err != nil {
			return nil, err
		}
	}
	resp, err := awstest.Transport(awstest.With(r.s.objects, awstest.Both(r.s.queues, r.s.tables))).RoundTrip(req.WithContext(context.WithValue(ctx, callKey{}, c)))
	if resp != nil {
		body, torn := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), ending{torn}))
	}
	if r.end(c) {
		resp, err = nil, errKilled
	}
	hesitate()
	r.s.oracle.answered(c, err == nil && resp.StatusCode == http.StatusOK)
	return resp, err
}

// hesitate lets other goroutines run before this one, for a random time. Without it, goroutines mostly run in the order in which
// they became ready, and a seed seldom shows what depends on another order.
func hesitate() {
	if rand.IntN(4) == 0 {
		for range rand.IntN(64) {
			runtime.Gosched()
		}
	}
}

// rewrite returns the request with the body that change makes of it.
func rewrite(req *http.Request, change func(operation, body string) string) (*http.Request, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	text := change(operation, string(body))
	req = req.Clone(req.Context())
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return req, nil
}

// maxCallsPerSecond is the limit of calls by a replica in a second.
const maxCallsPerSecond = 2000

// begin records a call and returns the number of calls that the replica has made in this second.
func (r *replica) begin(ctx context.Context, c *call, cancel context.CancelFunc) (made int, err error) {
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		sleep(ctx, 50*time.Millisecond)
		return 0, errKilled
	}
	defer r.mu.Unlock()
	r.calls[c] = cancel
	if now := time.Now().Unix(); now != r.second {
		r.second, r.made = now, 0
	}
	r.made++
	return r.made, nil
}

// end removes a call and reports whether the replica was killed meanwhile.
func (r *replica) end(c *call) (dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, c)
	return r.dead
}

// An ending ends a body with an error, or with io.EOF.
type ending struct{ err error }

func (e ending) Read([]byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	return 0, io.EOF
}

// sleep waits for d and returns true, or false if ctx is done first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// kill acts like SIGKILL.
func (r *replica) kill() {
	r.doomed = true
	r.s.oracle.gone(r, true)
	r.die()
	r.terminate() // its goroutines must end before the bubble does
}

// die makes the process have no effect on anything from now on.
func (r *replica) die() {
	r.mu.Lock()
	r.dead = true
	cancels := slices.Collect(maps.Values(r.calls))
	r.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
}

// A cappedLog keeps the first MiB of the log.
type cappedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *cappedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 1<<20 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *cappedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
