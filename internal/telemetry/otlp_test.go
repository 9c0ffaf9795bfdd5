package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/predcache/predcache/internal/prediction"
)

func TestMetricSettings(t *testing.T) {
	for name, test := range map[string]struct {
		env    map[string]string
		wanted bool
		err    string
	}{
		"nothing":              {},
		"an endpoint":          {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, wanted: true},
		"metrics' endpoint":    {env: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1/x"}, wanted: true},
		"traces' endpoint":     {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}},
		"an exporter":          {env: map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, wanted: true},
		"gRPC":                 {env: map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, wanted: true},
		"delta":                {env: map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta"}, wanted: true},
		"none":                 {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none"}},
		"disabled":             {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"}},
		"an other exporter":    {env: map[string]string{"OTEL_METRICS_EXPORTER": "prometheus"}, err: `OTEL_METRICS_EXPORTER is "prometheus": must be otlp or none`},
		"an other protocol":    {env: map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, err: "must be http/protobuf or grpc"},
		"an other temporality": {env: map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "both"}, err: "must be cumulative, delta or lowmemory"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			e, err := NewExporter(t.Context(), slog.New(slog.DiscardHandler), About{Service: "worker"}, wired())
			if (e != nil) != test.wanted || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v, %v", e, err)
			}
			if e != nil {
				ended, cancel := context.WithCancel(t.Context())
				cancel() // nobody listens
				_ = e.provider.Shutdown(ended)
			}
		})
	}
}

// exported finds a metric in what a producer returns.
func exported(t *testing.T, p *producer, name string) metricdata.Metrics {
	t.Helper()
	scopes, err := p.Produce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range scopes {
		for _, m := range scope.Metrics {
			if m.Name == name {
				return m
			}
		}
	}
	t.Fatalf("%s is not exported", name)
	return metricdata.Metrics{}
}

func TestDelta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wired()
		p := newProducer(m, true)
		written := attribute.NewSet(attribute.String("outcome", "written"))
		count := func() (value float64, since time.Duration) {
			t.Helper()
			data := exported(t, p, "predcache_predictions_total").Data.(metricdata.Sum[float64])
			if data.Temporality != metricdata.DeltaTemporality || !data.IsMonotonic {
				t.Errorf("the counter is %v, monotonic %v", data.Temporality, data.IsMonotonic)
			}
			for _, point := range data.DataPoints {
				if point.Attributes.Equals(&written) {
					return point.Value, point.Time.Sub(point.StartTime)
				}
			}
			t.Fatal("no series for the outcome written")
			return 0, 0
		}
		m.Outcome(prediction.Written, 1, time.Now().Add(-20*time.Second).UnixMilli())
		if n, _ := count(); n != 1 {
			t.Errorf("first %v", n)
		}
		time.Sleep(time.Minute)
		m.Outcome(prediction.Written, 1, time.Now().Add(-20*time.Second).UnixMilli())
		m.Outcome(prediction.Written, 1, time.Now().Add(-2*time.Second).UnixMilli())
		if n, since := count(); n != 2 || since != time.Minute {
			t.Errorf("then %v since %v", n, since)
		}
		// That reading took the histogram too: nothing has happened since.
		time.Sleep(time.Second)
		m.Outcome(prediction.Written, 1, time.Now().Add(-2*time.Second).UnixMilli())
		ages := exported(t, p, "predcache_prediction_age_seconds").Data.(metricdata.Histogram[float64])
		point := ages.DataPoints[0]
		inBuckets := uint64(0)
		for _, n := range point.BucketCounts {
			inBuckets += n
		}
		if ages.Temporality != metricdata.DeltaTemporality || point.Count != 1 || inBuckets != 1 || point.Sum != 2 || point.Time.Sub(point.StartTime) != time.Second {
			t.Errorf("the histogram has %d, %d in buckets, a sum of %v, since %v", point.Count, inBuckets, point.Sum, point.Time.Sub(point.StartTime))
		}
		m.Held(5, 0)
		for range 2 {
			if held := exported(t, p, "predcache_held_messages").Data.(metricdata.Gauge[float64]); held.DataPoints[0].Value != 5 {
				t.Errorf("a gauge is %v", held.DataPoints[0].Value)
			}
		}
	})
}

func TestUnits(t *testing.T) {
	p := newProducer(wired(), false)
	for name, want := range map[string]string{
		"predcache_prediction_age_seconds": "s", "predcache_held_bytes": "By", "predcache_write_units_total": "{write_units}", "predcache_table_state": "1",
		"go_goroutines": "", // the runtime's have none
	} {
		if got := exported(t, p, name).Unit; got != want {
			t.Errorf("%s has the unit %q, want %q", name, got, want)
		}
	}
}
