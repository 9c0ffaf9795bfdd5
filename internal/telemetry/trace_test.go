package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/writer"
)

func TestSender(t *testing.T) {
	const traceID, spanID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, test := range map[string]struct {
		traceparent, xray string
		want              string // trace id, or nothing
		sampled           bool
	}{
		"traceparent":          {"00-" + traceID + "-" + spanID + "-01", "", traceID, true},
		"not sampled":          {"00-" + traceID + "-" + spanID + "-00", "", traceID, false},
		"other flags":          {"00-" + traceID + "-" + spanID + "-03", "", traceID, true},
		"a later version":      {"cc-" + traceID + "-" + spanID + "-01-what-comes-later", "", traceID, true},
		"no version":           {"ff-" + traceID + "-" + spanID + "-01", "", "", false},
		"too long":             {"00-" + traceID + "-" + spanID + "-01-more", "", "", false},
		"too short":            {"00-" + traceID, "", "", false},
		"upper case":           {"00-" + strings.ToUpper(traceID) + "-" + spanID + "-01", "", "", false},
		"no hex":               {"00-" + strings.Repeat("g", 32) + "-" + spanID + "-01", "", "", false},
		"zeros":                {"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "", "", false},
		"X-Ray":                {"", "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1", traceID, true},
		"X-Ray in other order": {"", "Sampled=0; Parent=b7ad6b7169203331; Root=1-0af76519-16cd43dd8448eb211c80319c; Lineage=a:1", traceID, false},
		"X-Ray without parent": {"", "Root=1-0af76519-16cd43dd8448eb211c80319c", "", false},
		"X-Ray broken":         {"", "Root=1-0af7-6519;Parent=b7ad6b7169203331", "", false},
		"both":                 {"00-" + traceID + "-" + spanID + "-01", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8", traceID, true},
		"broken, and X-Ray":    {"00-", "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1", traceID, true},
		"neither":              {},
	} {
		m := consumer.Received{TraceHeader: test.xray}
		if test.traceparent != "" {
			m.Attributes = []consumer.Attribute{{Name: "traceparent", Type: "String", Value: test.traceparent}}
		}
		got := sender(&m)
		if got.IsValid() != (test.want != "") || got.IsValid() && (got.TraceID().String() != test.want || got.SpanID().String() != spanID || got.IsSampled() != test.sampled || !got.IsRemote()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzSender(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1")
	f.Fuzz(func(t *testing.T, parent, state, xray string) {
		if c := parseTraceparent(parent, state); c.IsValid() && !strings.HasPrefix(parent[3:], c.TraceID().String()) {
			t.Errorf("%q is read as %v", parent, c)
		}
		if c := parseXRay(xray); c.IsValid() && !strings.Contains(xray, c.SpanID().String()) && !strings.Contains(strings.ToLower(xray), c.SpanID().String()) {
			t.Errorf("%q is read as %v", xray, c)
		}
	})
}

// resolved notes what a waiter was told.
type resolved []prediction.Outcome

func (r *resolved) Resolve(o prediction.Outcome, _ string, _ *prediction.Reject) { *r = append(*r, o) }

func TestErrorsAreOnTheSpansThatTheyHit(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tracer, err := newTracer(sdktrace.WithSyncer(spans), About{Service: "worker", Version: "v1"}, "https://sqs.example/1/predictions", "arn:aws:dynamodb:eu-west-1:1:table/cache")
	if err != nil {
		t.Fatal(err)
	}
	m := &consumer.Message{Received: consumer.Received{ID: "m1", Body: "{}"}}
	mt := tracer.Message(m)
	items := []*item.Item{{}, {}, {}}
	var told resolved
	var waiters []interface {
		Resolve(prediction.Outcome, string, *prediction.Reject)
	}
	for _, it := range items {
		waiters = append(waiters, mt.Prediction(it, &told))
	}
	mt.Close()
	_, done := tracer.write(t.Context(), BatchWriteItem, items)
	results := make([]writer.Result, 3)
	writer.SetAll(results, writer.Result{Kind: writer.Failed, Err: errors.New("no \xffanswer")}) // OTLP carries UTF-8 alone
	done(results)
	_, done = tracer.write(t.Context(), BatchWriteItem, items)
	writer.SetAll(results, writer.Result{Kind: writer.Written})
	results[1].Kind = writer.Unprocessed
	done(results)
	waiters[0].Resolve(prediction.Written, "", nil)
	waiters[1].Resolve(prediction.Failed, "", nil)
	if n := len(spans.GetSpans()); n != 4 {
		t.Errorf("%d spans have ended; the message's must wait for its third prediction", n)
	}
	waiters[2].Resolve(prediction.Rejected, "", prediction.Rejectf(prediction.ReasonTable, "size", "is too much"))
	if len(told) != 3 || told[1] != prediction.Failed {
		t.Errorf("the message was told %v", told)
	}
	var got []string
	for _, s := range spans.GetSpans() {
		line := s.Name
		for _, e := range s.Events {
			line += ", " + e.Name
		}
		if s.Status.Code == codes.Error {
			line += ": " + s.Status.Description
		}
		got = append(got, line)
	}
	want := `BatchWriteItem cache: no ?answer
BatchWriteItem cache
store prediction, write failed
store prediction, write failed, sent back unprocessed: not written: its message goes back to the queue
store prediction, write failed: table: size is too much
process predictions`
	if strings.Join(got, "\n") != want {
		t.Errorf("the spans are\n%s", strings.Join(got, "\n"))
	}
}

func TestNoTracer(t *testing.T) {
	var tracer *Tracer
	var told resolved
	m := &consumer.Message{}
	if n := testing.AllocsPerRun(100, func() {
		mt := tracer.Message(m)
		mt.Rejected(nil)
		if mt.Prediction(nil, &told) != &told {
			t.Error("a waiter is put in between")
		}
		mt.Close()
	}); n != 0 {
		t.Errorf("no traces cost %v allocations a message", n)
	}
	if _, traceparent, done := tracer.Sent(context.Background(), 3); traceparent != "" {
		t.Errorf("a context %q of nothing", traceparent)
	} else {
		done(nil)
	}
}

func TestTraceSettings(t *testing.T) {
	for name, test := range map[string]struct {
		env    map[string]string
		wanted bool
		err    string
	}{
		"nothing":           {},
		"an endpoint":       {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, wanted: true},
		"traces' endpoint":  {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, wanted: true},
		"an exporter":       {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, wanted: true},
		"gRPC":              {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, wanted: true},
		"none":              {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		"disabled":          {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"}},
		"an other exporter": {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, err: `OTEL_TRACES_EXPORTER is "zipkin": must be otlp or none`},
		"an other protocol": {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, err: "must be http/protobuf or grpc"},
		"a wrong ratio":     {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"}, err: "give a number from 0 to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			tracer, err := NewTracer(t.Context(), slog.New(slog.DiscardHandler), About{Service: "worker", Version: "v1"}, "q", "t")
			if (tracer != nil) != test.wanted || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v, %v", tracer, err)
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
