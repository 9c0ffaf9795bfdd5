package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/objects"
)

// The parts of reading objects.
const (
	PartObjects           Part = "batch outputs"
	PartObjectsTable      Part = "the writes of batch outputs"
	PartObjectsReceive    Part = "ReceiveMessage of the objects queue"
	PartObjectsDelete     Part = "DeleteMessageBatch of the objects queue"
	PartObjectsVisibility Part = "ChangeMessageVisibilityBatch of the objects queue"
	PartObjectsSend       Part = "SendMessageBatch to the objects queue"
	PartObjectsRead       Part = Part(GetObject)
)

// Objects counts what is done with objects of S3. It is the observer of the objects.Loader and of the writer of its rows. What these
// have in common with the stages of queue messages is counted with them, by the Metrics; what would mix two things is not: messages
// that are held, pollers, and the concurrency of writes.
type Objects struct {
	*Metrics

	outcomes    map[objects.Outcome]prometheus.Counter
	settled     map[string]prometheus.Counter
	rows        prometheus.Counter
	reading     prometheus.Gauge
	left        prometheus.Gauge
	held        prometheus.Gauge
	unreachable map[objects.Prefix]bool // guarded by the caller of Denied
}

// declareObjects lists the metrics of reading objects. They are exported once Objects was called.
func (m *Metrics) declareObjects() []metric {
	o := &m.objects
	return []metric{
		{
			name: "objects_total", unit: "objects", instrument: counters(&o.outcomes, "outcome", objects.Outcomes...), conditional: true,
			help:    "Objects of S3, ranges of them and events about them, by outcome: read to the end, split into ranges, a range that was read, continued by another worker, skipped by its name, changed meanwhile, rejected as a whole, ignored as an event of another kind.",
			trouble: noAlert("what is rejected is counted by predcache_rejects_total."),
		}, {
			name: "object_rows_total", unit: "rows", instrument: counter(&o.rows), conditional: true,
			help:    "Rows of objects. Their predictions are counted by predcache_predictions_total.",
			trouble: alerts("PredcacheObjectsStuck"),
		}, {
			name: "objects_reading", unit: "objects", instrument: gauge(&o.reading), conditional: true,
			help:    "Objects and ranges being read.",
			trouble: alerts("PredcacheObjectsStuck"),
		}, {
			name: "object_bytes_left", unit: "bytes", instrument: gauge(&o.left), conditional: true,
			help:    "Bytes that are left of the objects and ranges being read. What waits in the objects queue is not counted.",
			trouble: noTrouble,
		}, {
			name: "object_messages_held", unit: "messages", instrument: gauge(&o.held), conditional: true,
			help:    "Messages of the objects queue that are held, and room for those that receives in flight may return.",
			trouble: noTrouble,
		}, {
			name: "object_messages_settled_total", unit: "messages", instrument: counters(&o.settled, "disposition", dispositionNames()...), conditional: true,
			help:    "Messages of the objects queue that are no longer held, by how they were settled, as in predcache_messages_settled_total.",
			trouble: noAlert("the causes are counted per prediction, and by predcache_objects_total."),
		},
	}
}

// Objects returns the observer of reading objects, and adds its metrics. Call it once.
func (m *Metrics) Objects() *Objects {
	o := &m.objects
	o.Metrics = m
	o.unreachable = map[objects.Prefix]bool{}
	for _, d := range m.declareObjects() {
		m.registry.MustRegister(m.later[d.name])
	}
	m.readsObjects.Store(true)
	return o
}

// Object implements objects.Observer.
func (o *Objects) Object(outcome objects.Outcome) { o.outcomes[outcome].Inc() }

// Rows implements objects.Observer.
func (o *Objects) Rows(n int) { o.rows.Add(float64(n)) }

// Left implements objects.Observer.
func (o *Objects) Left(objects int, bytes int64) {
	o.reading.Add(float64(objects))
	o.left.Add(float64(bytes))
}

// Denied implements objects.Observer. Calls do not overlap. It is a warning: the queue's messages are written as before. Each object that
// waits is tried again at least every 30 s, so a warning that is not repeated is about an object that is gone.
func (o *Objects) Denied(where objects.Prefix, err error) {
	if err != nil {
		o.unreachable[where] = true
		o.health.warn(PartObjects, "its objects wait, and are tried again at least every 30 s", err, 2*time.Minute)
		return
	}
	delete(o.unreachable, where)
	if len(o.unreachable) == 0 {
		o.health.Report(PartObjects, "", nil)
	}
}

// Settled implements consumer.Observer.
func (o *Objects) Settled(d consumer.Disposition, messages int) {
	o.settled[d.String()].Add(float64(messages))
}

// Held implements consumer.Observer.
func (o *Objects) Held(messages int, _ int64) { o.held.Set(float64(messages)) }

// Pollers implements consumer.Observer.
func (o *Objects) Pollers(int) {}

// Limit implements writer.Observer.
func (o *Objects) Limit(int) {}

// WatchObjectsQueue counts the calls of the objects queue, and tells the health how they end.
func (m *Metrics) WatchObjectsQueue(q objects.Queue) objects.Queue {
	return &watchedObjectsQueue{
		watchedSettling{
			next: q, metrics: m,
			remove: m.call(DeleteMessageBatch, PartObjectsDelete), change: m.call(ChangeMessageVisibilityBatch, PartObjectsVisibility),
		},
		watchedSend{q, m, m.call(SendMessageBatch, PartObjectsSend)},
		m.call(ReceiveMessage, PartObjectsReceive),
	}
}

type watchedObjectsQueue struct {
	watchedSettling
	watchedSend
	receive call
}

// Receive implements consumer.Queue.
func (q *watchedObjectsQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	start := time.Now()
	received, err := q.watchedSettling.next.Receive(ctx, limit, wait)
	q.receive.ended(start, err)
	bytes := 0
	for i := range received {
		bytes += payload(received[i].Body, received[i].Attributes)
	}
	q.watchedSettling.metrics.bill(bytes)
	return received, err
}

// WatchStore counts the reads of S3, and tells the health how they end. An answer about one object, such as that it is missing, is not
// a failure of S3.
func (m *Metrics) WatchStore(s objects.Store) objects.Store {
	return &watchedStore{s, m.call(GetObject, PartObjectsRead)}
}

type watchedStore struct {
	next objects.Store
	get  call
}

// Get implements objects.Store.
func (s *watchedStore) Get(ctx context.Context, r objects.Request) (*objects.Content, error) {
	start := time.Now()
	content, err := s.next.Get(ctx, r)
	s.get.answered(start, err, objects.Final(err))
	return content, err
}

// ObjectValues are what the metrics of reading objects hold at one moment.
type ObjectValues struct {
	Reading, Left, Rows, Held float64
	Outcomes                  []OutcomeValue // in the order of objects.Outcomes
}

// An OutcomeValue counts one outcome.
type OutcomeValue struct {
	Outcome objects.Outcome
	Total   float64
}

// objectValues returns nil if no objects are read.
func (m *Metrics) objectValues() *ObjectValues {
	if !m.readsObjects.Load() {
		return nil
	}
	o := &m.objects
	v := &ObjectValues{Reading: value(o.reading), Left: value(o.left), Rows: value(o.rows), Held: value(o.held)}
	for _, outcome := range objects.Outcomes {
		v.Outcomes = append(v.Outcomes, OutcomeValue{outcome, value(o.outcomes[outcome])})
	}
	return v
}
