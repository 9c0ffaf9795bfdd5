package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// Prices are in dollars a million. The defaults in the configuration are those of us-east-1: on-demand write units of the standard
// table class ("Amazon DynamoDB pricing") and requests of a standard queue ("Amazon SQS pricing").
type Prices struct {
	WriteUnits, Requests float64
}

// chunk is what SQS bills as one request: each started 64 KB of a call's payload.
const chunk = 64 << 10

// cost counts what AWS bills for, and what it would be.
type cost struct {
	requests    prometheus.Counter // as billed
	empty       prometheus.Counter
	compression prometheus.Counter
}

func newCost(m *Metrics) cost {
	return cost{
		requests: m.counter("sqs_requests_total", "SQS requests as they are billed: each started 64 KB of a call is one. Calls are in predcache_calls_total."),
		empty:    m.counter("sqs_empty_receives_total", "Receives that brought no message."),
		compression: m.counter("write_units_saved_by_compression_total",
			"Write units that the written predictions would have cost more as JSON text."),
	}
}

// Priced adds the metrics in dollars.
func (m *Metrics) Priced(p Prices) {
	dollars := func() float64 {
		return (read(m.units)*p.WriteUnits + read(m.cost.requests)*p.Requests) / 1e6
	}
	m.counterFunc("cost_dollars_total", "What the write units and SQS requests so far cost, by WORKER_PRICE_WRITE_UNITS and WORKER_PRICE_SQS_REQUESTS.", "",
		map[string]func() float64{"": dollars})
	m.gaugeFunc("cost_dollars_per_million_predictions", "The same for a million predictions, whatever became of them.", "",
		map[string]func() float64{"": func() float64 { return dollars() * 1e6 / max(m.predictions(), 1) }})
	m.prices.Store(&p)
}

// predictions is how many had an outcome. One that failed comes back, and is counted then.
func (m *Metrics) predictions() (n float64) {
	for o := range prediction.NumOutcomes {
		if o != prediction.Failed {
			n += read(m.outcomes[o])
		}
	}
	return n
}

// bill counts a call that carried so many bytes.
func (c *cost) bill(bytes int) { c.requests.Add(float64(max(bytes+chunk-1, chunk) / chunk)) }

func payload(body string, attributes []consumer.Attribute) int {
	n := len(body)
	for i := range attributes {
		a := &attributes[i]
		n += len(a.Name) + len(a.Type) + len(a.Value)
	}
	return n
}

// billedQueue counts what a queue's calls cost. A call without an answer is billed or not; it is counted.
type billedQueue struct {
	consumer.Queue
	c *cost
}

func (q *billedQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]consumer.Received, error) {
	received, err := q.Queue.Receive(ctx, limit, wait)
	bytes := 0
	for i := range received {
		bytes += payload(received[i].Body, received[i].Attributes)
	}
	q.c.bill(bytes)
	if err == nil && len(received) == 0 {
		q.c.empty.Inc()
	}
	return received, err
}

func (q *billedQueue) Delete(ctx context.Context, receipts []string) ([]consumer.Failure, error) {
	q.c.bill(0)
	return q.Queue.Delete(ctx, receipts)
}

func (q *billedQueue) ChangeVisibility(ctx context.Context, changes []consumer.Visibility) ([]consumer.Failure, error) {
	q.c.bill(0)
	return q.Queue.ChangeVisibility(ctx, changes)
}

type billedRejects struct {
	consumer.RejectQueue
	c *cost
}

func (q *billedRejects) Send(ctx context.Context, messages []consumer.Outgoing) ([]consumer.Failure, error) {
	bytes := 0
	for i := range messages {
		bytes += payload(messages[i].Body, messages[i].Attributes)
	}
	q.c.bill(bytes)
	return q.RejectQueue.Send(ctx, messages)
}

// billedTable counts what compression saves. Write units are counted where the answers are read.
type billedTable struct {
	writer.Table
	c *cost
}

func (t *billedTable) BatchWrite(ctx context.Context, items []*item.Item) ([]int, error) {
	unprocessed, err := t.Table.BatchWrite(ctx, items)
	if err == nil {
		saved := 0
		for _, it := range items {
			saved += it.UnitsSaved()
		}
		for _, i := range unprocessed {
			saved -= items[i].UnitsSaved()
		}
		t.c.compression.Add(float64(saved))
	}
	return unprocessed, err
}
