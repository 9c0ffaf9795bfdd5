package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

// declare lists every metric of the worker. To add one: a field of Metrics, a row here, the method that counts, and
// `make docs`. One that shows a problem names its alert, or says why it has none; a test checks that.
//
//nolint:funlen // a table
func (m *Metrics) declare(o Options) []metric {
	declared := []metric{
		// Calls of AWS, their results and cost: see queue.go and table.go.
		{
			name: "calls_total", unit: "calls", instrument: counters(&m.calls.total, "operation", operations...),
			help:    "Calls of AWS, failed ones included.",
			trouble: alerts("PredcacheCallsFail", "PredcacheThrottled"),
		}, {
			name: "call_errors_total", unit: "calls", instrument: counterVec(&m.calls.failures.vec, "operation", "code"),
			help:    "Failed calls of AWS, by the service's error code, or timeout, canceled or network.",
			trouble: alerts("PredcacheCallsFail", "PredcacheThrottled", "PredcacheQueueDown", "PredcacheInFlightLimit"),
		}, {
			name: "call_duration_seconds", unit: "seconds",
			instrument: histograms(&m.calls.seconds, "operation", operations, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20),
			help:       "Duration of each call of AWS. A receive's includes its wait for messages.",
			trouble:    noAlert("slow calls matter once predictions are late, which predcache_prediction_age_seconds shows."),
		}, {
			name: "messages_received_total", unit: "messages", instrument: counter(&m.received),
			help:    "Messages received, redeliveries included.",
			trouble: noTrouble,
		}, {
			name: "messages_redelivered_total", unit: "messages", instrument: counter(&m.redelivered),
			help:    "Messages received that SQS had delivered before, to this worker or another.",
			trouble: noAlert("some are normal after a rollout; those that a held message caused are predcache_leases_lost_total."),
		}, {
			name: "receive_messages", unit: "messages", instrument: histogram(&m.receives, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
			help:    "Messages returned by each receive of the predictions' queue that succeeded.",
			trouble: alerts("PredcacheQueueDown"),
		}, {
			name: "sqs_requests_total", unit: "requests", instrument: counter(&m.requests),
			help:    "SQS requests as they are billed: each started 64 KB of a call is one. Calls are in predcache_calls_total.",
			trouble: noTrouble,
		}, {
			name: "sqs_empty_receives_total", unit: "receives", instrument: counter(&m.emptyReceives),
			help:    "Receives that returned no message.",
			trouble: noTrouble,
		}, {
			name: "settle_retries_total", unit: "messages",
			instrument: counters(&m.retries, "operation", DeleteMessageBatch, ChangeMessageVisibilityBatch, SendMessageBatch),
			help:       "Messages in calls that settle or extend, and rejects sent, that did not succeed and are tried again.",
			trouble:    noAlert("a retry costs a call. Calls that keep failing are counted by predcache_call_errors_total, and the messages that they keep held by predcache_held_messages."),
		}, {
			name: "writes_in_flight", unit: "calls", instrument: gauge(&m.writing),
			help:    "Calls in flight that write to the table.",
			trouble: noTrouble,
		}, {
			name: "write_units_total", unit: "write units", instrument: counter(&m.units),
			help:    "Write units that the table counted.",
			trouble: noTrouble,
		}, {
			name: "write_units_saved_by_compression_total", unit: "write units", instrument: counter(&m.compression),
			help:    "Write units that the written predictions would have cost more as JSON text.",
			trouble: noTrouble,
		}, {
			name: "read_units_total", unit: "read units", instrument: counter(&m.readUnits),
			help:    "Read units that the table counted, of the queries that find what a delete hides.",
			trouble: noTrouble,
		}, {
			name: "cost_dollars_total", unit: "dollars", instrument: read(prometheus.CounterValue, "", series{"": m.dollars}),
			help:    "Cost of the write units and SQS requests so far, by WORKER_PRICE_WRITE_UNITS and WORKER_PRICE_SQS_REQUESTS.",
			trouble: noTrouble,
		}, {
			name: "cost_dollars_per_million_predictions", unit: "dollars", instrument: read(prometheus.GaugeValue, "", series{"": m.dollarsPerMillion}),
			help:    "Cost per million predictions, of every outcome but failed.",
			trouble: noTrouble,
		},

		// Decisions of the consumer.
		{
			name: "messages_settled_total", unit: "messages",
			instrument: counters(&m.settledByName, "disposition", dispositionNames()...),
			help:       "Messages that are no longer held, by how they were settled. backed_off: hidden for a while and then received again, since its rejects could not be sent (no reject queue, or one that refuses them or lacks room), or what its deletes hide could not be removed.",
			trouble:    noAlert("the causes are counted per prediction, by predcache_rejects_total and predcache_predictions_total."),
		}, {
			name: "rejects_total", unit: "predictions", instrument: counters(&m.rejects, "reason", prediction.Reasons...),
			help:    "Predictions, or whole messages, that can't be stored, by reason.",
			trouble: alerts("PredcacheRejects", "PredcacheFault"),
		}, {
			name: "visibility_extensions_total", unit: "messages", instrument: counter(&m.extended),
			help:    "Messages whose visibility timeout was extended while they were held.",
			trouble: noTrouble,
		}, {
			name: "leases_lost_total", unit: "messages", instrument: counter(&m.leasesLost),
			help:    "Messages that were redelivered while they were held: an extension came too late.",
			trouble: alerts("PredcacheLeasesLost"),
		}, {
			name: "held_messages", unit: "messages", instrument: gauge(&m.held),
			help:    "Messages held, and room for those that receives in flight may return.",
			trouble: alerts("PredcacheHeldFull", "PredcacheInFlightLimit"),
		}, {
			name: "held_messages_limit", unit: "messages", instrument: constant(float64(o.Limits.HeldMessages)),
			help:    "Limit of predcache_held_messages: WORKER_MAX_HELD_MESSAGES.",
			trouble: alerts("PredcacheHeldFull"),
		}, {
			name: "held_bytes", unit: "bytes", instrument: gauge(&m.heldBytes),
			help:    "Bytes of messages held, and room for those that receives in flight may return.",
			trouble: alerts("PredcacheHeldFull"),
		}, {
			name: "held_bytes_limit", unit: "bytes", instrument: constant(float64(o.Limits.HeldBytes)),
			help:    "Limit of predcache_held_bytes: WORKER_MAX_HELD_BYTES.",
			trouble: alerts("PredcacheHeldFull"),
		}, {
			name: "pollers", unit: "receives", instrument: gauge(&m.pollers),
			help:    "Receives that may be in flight, by the backlog.",
			trouble: noTrouble,
		}, {
			name: "pollers_limit", unit: "receives", instrument: constant(float64(o.Limits.Pollers)),
			help:    "Limit of predcache_pollers: WORKER_POLLERS.",
			trouble: noTrouble,
		},

		// Outcomes of predictions, and the dedup window.
		{
			name: "predictions_total", unit: "predictions", instrument: counters(&m.outcomesByName, "outcome", outcomeNames()...),
			help:    "Predictions by outcome.",
			trouble: alerts("PredcacheNothingWritten", "PredcacheRejects", "PredcacheExpired", "PredcacheRemovalsStuck"),
		}, {
			name: "write_units_saved_total", unit: "write units", instrument: counters(&m.savedByName, "cause", "duplicate", "superseded", "expired"),
			help:    "Write units of predictions that needed no write, by cause.",
			trouble: noTrouble,
		}, {
			name: "prediction_age_seconds", unit: "seconds",
			instrument: histogram(&m.age, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
			help:       "From when the queue accepted a message until its prediction was durable. Rows of files and objects do not count.",
			trouble:    alerts("PredcacheBehind", "PredcacheAgeOverObjective"),
		}, {
			name: "prediction_age_limit_seconds", unit: "seconds", instrument: constant(o.Limits.Age.Seconds()),
			help:    "Limit of predcache_prediction_age_seconds: 60, or 10 times WORKER_MAX_ADDED_LATENCY if that is more. A worker is behind while half of the predictions that it writes are older.",
			trouble: alerts("PredcacheBehind", "PredcacheAgeOverObjective"),
		}, {
			name: "dedup_keys", unit: "keys",
			instrument: read(prometheus.GaugeValue, "state", series{
				"pending": func() float64 { return float64(m.Window().Pending) },
				"written": func() float64 { return float64(m.Window().Written) },
			}),
			help:    "Keys in the dedup window: pending (on their way to the table) and written.",
			trouble: alerts("PredcacheNothingWritten"),
		}, {
			name: "dedup_keys_limit", unit: "keys", instrument: constant(float64(o.Limits.DedupKeys)),
			help:    "Limit of the written keys that are remembered: WORKER_DEDUP_WINDOW.",
			trouble: noTrouble,
		}, {
			name: "dedup_hits_total", unit: "predictions",
			instrument: read(prometheus.CounterValue, "state", series{
				"pending": func() float64 { return float64(m.Window().PendingHits) },
				"written": func() float64 { return float64(m.Window().WrittenHits) },
			}),
			help:    "Predictions that needed no write of their own, by the state of their key in the dedup window.",
			trouble: noTrouble,
		},

		// Decisions of the writer.
		{
			name: "batch_items", unit: "items", instrument: histogram(&m.batchItems, 1, 2, 5, 10, 15, 20, 24, 25),
			help:    "Items of each batch that the table answered: one BatchWriteItem call, or 25 PutItem calls.",
			trouble: alerts("PredcacheThrottled"),
		}, {
			name: "unprocessed_items_total", unit: "items", instrument: counter(&m.unprocessed),
			help:    "Items that BatchWriteItem returned as unprocessed.",
			trouble: alerts("PredcacheThrottled"),
		}, {
			name: "write_concurrency", unit: "calls", instrument: gauge(&m.concurrency),
			help:    "Batches that may be in flight, by what the table accepts. 0 means less than one: there is a pause after each.",
			trouble: noAlert("it falls with throttling, which PredcacheThrottled reports."),
		}, {
			name: "write_concurrency_limit", unit: "calls", instrument: constant(float64(o.Limits.WriteConcurrency)),
			help:    "Limit of predcache_write_concurrency: WORKER_WRITE_CONCURRENCY.",
			trouble: noTrouble,
		}, {
			name: "table_state", instrument: gauges(&m.stateByName, "state", writer.Probing.String(), writer.Up.String(), writer.Down.String()),
			help:    "1 for the table's current state, as the worker finds it: up, down, or probing while its next write decides. A worker that has written nothing since its start is probing.",
			trouble: alerts("PredcacheTableDown", "PredcacheNothingWritten", "PredcacheNoWorkers", "PredcacheRestarting", "PredcacheObjectsStuck"),
		},

		// Removal of what deletes hide, under WORKER_DELETES=remove.
		{
			name: "removed_items_total", unit: "items", instrument: counter(&m.removed),
			help:    "Items that were removed because a delete hides them.",
			trouble: alerts("PredcacheNothingWritten", "PredcacheRemovalsStuck"),
		}, {
			name: "removing_deletes", unit: "deletes", instrument: gauge(&m.removing),
			help:    "Deletes that are durable, and whose older items are being removed or wait for that.",
			trouble: alerts("PredcacheRemovalsStuck"),
		},

		// State of the queue, the table and the worker.
		{
			name: "behind", instrument: gauge(&m.behind),
			help:    "1 while the worker is behind its queue: the median age of what it wrote in the last minute is above predcache_prediction_age_limit_seconds, and more messages wait than one round of receives takes. 0 again once the median is below half of that, or fewer wait.",
			trouble: noAlert("a backlog after an outage or a burst passes by itself; PredcacheBehind reads the ages over five minutes."),
		}, {
			name: "queue_messages", unit: "messages", instrument: gauges(&m.queueMessages, "state", "waiting", "in_flight"), conditional: true,
			help:    "Approximate number of messages in the queue, of all workers together, as SQS reports it once a minute: take the maximum over the workers, not the sum.",
			trouble: noAlert("a long queue matters once predictions are late, which predcache_behind shows."),
		}, {
			name: "in_flight_limit_reached", instrument: gauge(&m.inFlightLimit),
			help:    "1 if the queue has as many messages in flight as SQS allows and others waiting: receives then stay empty, without an error.",
			trouble: alerts("PredcacheInFlightLimit"),
		}, {
			name: "messages_near_retention_total", unit: "messages", instrument: counter(&m.nearRetention),
			help:    "Messages received in the last quarter of the queue's retention: SQS deletes messages after their retention, unread.",
			trouble: alerts("PredcacheNearRetention"),
		}, {
			name: "table_ttl_enabled", instrument: gauge(&m.ttl), conditional: true,
			help:    "1 if the table's TTL is on, 0 if it is off, at the last check, one a minute. Absent if the worker may not read it.",
			trouble: alerts("PredcacheTTLOff"),
		}, {
			name: "ready", instrument: read(prometheus.GaugeValue, "", series{"": func() float64 { return truth(m.health.IsReady()) }}),
			help:    "1 while the worker is ready: it works, and nothing that it needs fails.",
			trouble: alerts("PredcacheNotReady"),
		}, {
			name: "build_info", instrument: info("version", o.Version),
			help:    "1, with the worker's version as label.",
			trouble: noTrouble,
		},
	}
	return append(declared, m.declareObjects()...)
}
