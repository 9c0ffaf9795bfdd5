package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	otlpmetrics "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/process"
)

// workUntil runs `worker run` until the queue is empty and done returns true, and returns its log.
func workUntil(t *testing.T, queues *sqsfake.Service, done func() bool) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log process.Log
	ended := make(chan error, 1)
	go func() { ended <- dispatch(ctx, []string{"run"}, nil, io.Discard, &log) }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if visible, inFlight, _ := queues.Counts(workertest.QueueName); visible+inFlight == 0 && done() {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("the worker is not done after 30 s:\n%s", log.String())
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return log.String()
}

func sendPredictions(queues *sqsfake.Service) {
	at := time.Now().UnixMilli()
	for _, id := range []string{"a", "b", "a"} {
		queues.Send(workertest.QueueName, fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":1}`, id, at))
	}
}

// TestMetricsByOTLP reads the metrics of a real command at a real receiver. Each has the values of /metrics, and what happened
// last is exported at the end.
func TestMetricsByOTLP(t *testing.T) {
	for protocol, temporality := range map[string]string{"http/protobuf": "cumulative", "grpc": "delta"} {
		t.Run(protocol, func(t *testing.T) {
			queues, _ := atHome(t)
			c := newCollector(t)
			endpoint := c.URL
			if protocol == "grpc" {
				endpoint = c.serveGRPC(t)
			}
			for name, value := range map[string]string{
				"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
				"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality,
				"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret", "OTEL_METRIC_EXPORT_INTERVAL": "200",
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
			} {
				t.Setenv(name, value)
			}
			sendPredictions(queues)
			if log := workUntil(t, queues, func() bool { return len(c.received()) >= 2 }); strings.Contains(log, "OpenTelemetry") {
				t.Errorf("the log is\n%s", log)
			}
			checkExports(t, c.received(), temporality)
		})
	}
}

func checkExports(t *testing.T, exports []export, temporality string) {
	t.Helper()
	want := otlpmetrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	if temporality == "delta" {
		want = otlpmetrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	outcomes, ages := map[string]float64{}, uint64(0)
	for _, e := range exports {
		sum, histogram := e.metrics["predcache_predictions_total"].GetSum(), e.metrics["predcache_prediction_age_seconds"].GetHistogram()
		if temporality == "cumulative" {
			clear(outcomes)
			ages = 0
		}
		for outcome, n := range e.points("predcache_predictions_total", "outcome") {
			outcomes[outcome] += n
		}
		for _, p := range histogram.GetDataPoints() {
			ages += p.Count
		}
		if sum.GetAggregationTemporality() != want || histogram.GetAggregationTemporality() != want || !sum.GetIsMonotonic() {
			t.Errorf("the temporality is %v and %v, monotonic %v", sum.GetAggregationTemporality(), histogram.GetAggregationTemporality(), sum.GetIsMonotonic())
		}
		host, port, err := net.SplitHostPort(e.resource["service.instance.id"])
		if e.resource["service.name"] != "predcache-worker" || e.resource["service.version"] == "" || e.resource["deployment.environment.name"] != "test" || err != nil || host == "" || port == "" {
			t.Errorf("the resource is %v", e.resource)
		}
		if e.key != "secret" {
			t.Errorf("the header is %q", e.key)
		}
		if unit := e.metrics["predcache_prediction_age_seconds"].GetUnit(); unit != "s" {
			t.Errorf("ages are in %q", unit)
		}
	}
	if outcomes["written"] != 2 || outcomes["duplicate"] != 1 || outcomes["rejected"] != 0 || ages != 2 {
		t.Errorf("outcomes %v and %d ages", outcomes, ages)
	}
	last := exports[len(exports)-1]
	if up := last.points("predcache_table_state", "state"); up["up"] != 1 || up["down"] != 0 {
		t.Errorf("the table's state is %v", up)
	}
	if last.metrics["process_cpu_seconds_total"] == nil || last.metrics["go_goroutines"] == nil {
		t.Error("the runtime's metrics are not exported")
	}
}

// TestCollectorIsAway: without a collector the worker works as before, ends, and says so.
func TestCollectorIsAway(t *testing.T) {
	refused := httptest.NewServer(http.NotFoundHandler())
	refused.Close()
	gone := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	}))
	defer silent.Close()
	defer close(gone)
	tracesOnly := httptest.NewServer(http.NotFoundHandler())
	defer tracesOnly.Close()
	for name, endpoint := range map[string]string{"refused": refused.URL, "silent": silent.URL, "takes no metrics": tracesOnly.URL} {
		t.Run(name, func(t *testing.T) {
			queues, tables := atHome(t)
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint+"/v1/metrics")
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
			t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "100")
			sendPredictions(queues)
			log := workUntil(t, queues, func() bool { return true })
			if n := tables.ItemCount(workertest.TableName); n != 2 {
				t.Errorf("%d items are written, want 2", n)
			}
			var warnings int
			for line := range strings.Lines(log) {
				if strings.Contains(line, `"OpenTelemetry export failed"`) && strings.Contains(line, `"remedy":"check OTEL_EXPORTER_OTLP_ENDPOINT`) {
					warnings++
				}
			}
			// The first is logged at once, and one more line stands for the others of 50 s.
			if warnings < 1 || warnings > 4 {
				t.Errorf("%d lines say so:\n%s", warnings, log)
			}
		})
	}
}
