package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// About identifies a process in what it exports by OTLP.
type About struct {
	Service, Version string
	// Instance tells the processes of a service apart, by host and port. Empty where only one runs.
	Instance string
}

// resource returns the attributes of the process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES replace and add some.
func (a About) resource() (*resource.Resource, error) {
	attributes := []attribute.KeyValue{semconv.ServiceName(a.Service), semconv.ServiceVersion(a.Version)}
	if a.Instance != "" {
		attributes = append(attributes, semconv.ServiceInstanceID(a.Instance))
	}
	about, err := resource.Merge(resource.NewSchemaless(attributes...), resource.Environment())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

// exportWanted reports whether the OTEL_* variables ask for a signal, TRACES or METRICS, by an exporter or by an endpoint. The
// specification would export by default, to a collector on localhost, which most workers don't have.
func exportWanted(signal string) (bool, error) {
	if disabled, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); disabled {
		return false, nil
	}
	variable := "OTEL_" + signal + "_EXPORTER"
	switch exporter := os.Getenv(variable); exporter {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("%s is %q: must be otlp or none", variable, exporter)
	}
}

// The protocols of OTLP.
const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

// exportProtocol returns the protocol for a signal, TRACES or METRICS.
func exportProtocol(signal string) (string, error) {
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), protocolHTTP)
	if protocol != protocolHTTP && protocol != protocolGRPC {
		return "", fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: must be http/protobuf or grpc", protocol)
	}
	return protocol, nil
}

// logExports has the OpenTelemetry SDK report its errors to the log.
func logExports(log *slog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { exportFailed(log, err) }))
}

func exportFailed(log *slog.Logger, err error) {
	log.Warn("OpenTelemetry export failed", "reason", truncate(strings.ToValidUTF8(err.Error(), "?"), maxReason), "remedy",
		"check OTEL_EXPORTER_OTLP_ENDPOINT and the collector behind it. OTEL_TRACES_EXPORTER=none or OTEL_METRICS_EXPORTER=none turns off what it does not take. Predictions are written all the same")
}

// An Exporter exports the metrics by OTLP, every OTEL_METRIC_EXPORT_INTERVAL. A nil Exporter exports nothing.
type Exporter struct {
	provider *sdkmetric.MeterProvider
	log      *slog.Logger
}

// NewExporter returns an Exporter configured by the standard OTEL_* variables, or nil if they ask for no metrics. It runs until
// Close. Failed exports are logged and delay nothing.
func NewExporter(ctx context.Context, log *slog.Logger, about About, m *Metrics) (*Exporter, error) {
	wanted, err := exportWanted("METRICS")
	if !wanted || err != nil {
		return nil, err
	}
	protocol, err := exportProtocol("METRICS")
	if err != nil {
		return nil, err
	}
	delta, err := deltaWanted()
	if err != nil {
		return nil, err
	}
	var exporter sdkmetric.Exporter
	if protocol == protocolGRPC {
		exporter, err = otlpmetricgrpc.New(ctx)
	} else {
		exporter, err = otlpmetrichttp.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("setting up the export of metrics: %w", err)
	}
	process, err := about.resource()
	if err != nil {
		return nil, err
	}
	logExports(log)
	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithProducer(newProducer(m, delta)))
	return &Exporter{sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(process)), log}, nil
}

// Close exports the metrics a last time. It logs a failure.
func (e *Exporter) Close(ctx context.Context) {
	if e == nil {
		return
	}
	// Shutdown alone would cancel an export under way, and its differences would be lost.
	err := e.provider.ForceFlush(ctx)
	if ended := e.provider.Shutdown(ctx); err == nil {
		err = ended
	}
	if err != nil {
		exportFailed(e.log, err)
	}
}

// deltaWanted reads the temporality of counters and histograms. "lowmemory" asks for delta too, as far as it concerns them.
func deltaWanted() (bool, error) {
	const variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch preference := strings.ToLower(os.Getenv(variable)); preference {
	case "", "cumulative":
		return false, nil
	case "delta", "lowmemory":
		return true, nil
	default:
		return false, fmt.Errorf("%s is %q: must be cumulative, delta or lowmemory", variable, preference)
	}
}

// A producer reads the registry that /metrics answers from, so that a thing is counted once. The official bridge reads it; the
// producer adds the units, and the differences where delta is set.
type producer struct {
	bridge sdkmetric.Producer
	units  map[string]string
	delta  bool

	mu     sync.Mutex
	last   time.Time // of the last reading
	before map[seriesKey]reading
}

type seriesKey struct {
	name       string
	attributes attribute.Distinct
}

// A reading is what a cumulative series has had at the last reading.
type reading struct {
	sum     float64
	count   uint64
	buckets []uint64
}

func newProducer(m *Metrics, delta bool) *producer {
	p := &producer{bridge: bridge.NewMetricProducer(bridge.WithGatherer(m.registry)), units: map[string]string{}, delta: delta, before: map[seriesKey]reading{}}
	for _, d := range m.declared {
		p.units[prefix+d.name] = ucum(d.unit)
	}
	return p
}

// ucum returns a unit as OpenTelemetry writes it: by UCUM, what is counted in braces.
func ucum(unit string) string {
	switch unit {
	case "seconds":
		return "s"
	case "bytes":
		return "By"
	case "":
		return "1"
	}
	return "{" + strings.ReplaceAll(unit, " ", "_") + "}"
}

// Produce implements sdkmetric.Producer.
func (p *producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	scopes, err := p.bridge.Produce(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range scopes {
		for j := range scopes[i].Metrics {
			m := &scopes[i].Metrics[j]
			m.Unit = p.units[m.Name]
			if p.delta {
				m.Data = p.difference(m.Name, m.Data)
			}
		}
	}
	p.last = time.Now()
	return scopes, err //nolint:wrapcheck // the SDK's, for the SDK
}

// difference returns what a counter or a histogram has got since the last reading. It requires that p.mu is held.
func (p *producer) difference(name string, data metricdata.Aggregation) metricdata.Aggregation {
	switch data := data.(type) {
	case metricdata.Sum[float64]:
		data.Temporality = metricdata.DeltaTemporality
		for i := range data.DataPoints {
			point := &data.DataPoints[i]
			before, known := p.replace(name, point.Attributes, reading{sum: point.Value})
			point.Value -= before.sum
			if known {
				point.StartTime = p.last
			}
		}
		return data
	case metricdata.Histogram[float64]:
		data.Temporality = metricdata.DeltaTemporality
		for i := range data.DataPoints {
			point := &data.DataPoints[i]
			now := reading{point.Sum, point.Count, append([]uint64(nil), point.BucketCounts...)}
			before, known := p.replace(name, point.Attributes, now)
			point.Sum -= before.sum
			point.Count -= before.count
			for b := range before.buckets {
				point.BucketCounts[b] -= before.buckets[b]
			}
			if known {
				point.StartTime = p.last
			}
		}
		return data
	}
	return data
}

// replace notes a series, and returns the reading before.
func (p *producer) replace(name string, attributes attribute.Set, now reading) (before reading, known bool) {
	key := seriesKey{name, attributes.Equivalent()}
	before, known = p.before[key]
	p.before[key] = now
	return before, known
}
