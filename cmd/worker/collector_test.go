package main

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlpmetrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// A collector takes traces and metrics by OTLP: over HTTP, and metrics over gRPC too.
type collector struct {
	*httptest.Server
	colmetrics.UnimplementedMetricsServiceServer

	mu      sync.Mutex
	spans   []collected
	exports []export
}

type collected struct {
	*otlp.Span
	service string
}

// An export is one request with metrics.
type export struct {
	resource map[string]string
	metrics  map[string]*otlpmetrics.Metric
	key      string // the header api-key
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		text, err := io.ReadAll(body)
		var spans coltrace.ExportTraceServiceRequest
		var metrics colmetrics.ExportMetricsServiceRequest
		switch {
		case err != nil:
		case r.URL.Path == "/v1/traces":
			if err = proto.Unmarshal(text, &spans); err == nil {
				c.addSpans(&spans)
			}
		case r.URL.Path == "/v1/metrics":
			if err = proto.Unmarshal(text, &metrics); err == nil {
				c.addMetrics(&metrics, r.Header.Get("Api-Key"))
			}
		default:
			t.Errorf("the collector got %s", r.URL)
		}
		if err != nil {
			t.Errorf("the collector got %s: %v", r.URL, err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// serveGRPC returns the address of the collector's gRPC service.
func (c *collector) serveGRPC(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	colmetrics.RegisterMetricsServiceServer(server, c)
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	return "http://" + l.Addr().String()
}

// Export implements the gRPC service.
func (c *collector) Export(ctx context.Context, in *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	key := ""
	if md, ok := metadata.FromIncomingContext(ctx); ok && len(md.Get("api-key")) > 0 {
		key = md.Get("api-key")[0]
	}
	c.addMetrics(in, key)
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

func (c *collector) addSpans(in *coltrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.ResourceSpans {
		service := texts(resource.Resource.Attributes)["service.name"]
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, collected{s, service})
			}
		}
	}
}

func (c *collector) addMetrics(in *colmetrics.ExportMetricsServiceRequest, key string) {
	e := export{metrics: map[string]*otlpmetrics.Metric{}, key: key}
	for _, resource := range in.ResourceMetrics {
		e.resource = texts(resource.Resource.Attributes)
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				e.metrics[m.Name] = m
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exports = append(c.exports, e)
}

// received returns the exports of metrics so far.
func (c *collector) received() []export {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]export(nil), c.exports...)
}

func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		m[a.Key] = a.Value.GetStringValue()
	}
	return m
}

// points returns the values of a counter or a gauge by a label; "" is the one without a label.
func (e export) points(name, label string) map[string]float64 {
	m := e.metrics[name]
	values := map[string]float64{}
	for _, p := range append(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()...) {
		values[texts(p.Attributes)[label]] += p.GetAsDouble()
	}
	return values
}
