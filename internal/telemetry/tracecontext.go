package telemetry

import (
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/predcache/predcache/internal/consumer"
)

// AttrTraceparent is the message attribute that carries the sender's context ("Trace Context", W3C). AttrTracestate goes
// with it.
const (
	AttrTraceparent = "traceparent"
	AttrTracestate  = "tracestate"
)

// sender returns the span context of a message's sender, from the traceparent attribute, else from X-Ray's AWSTraceHeader. It is
// invalid if neither can be parsed: a malformed context must not keep a prediction from the table.
func sender(m *consumer.Received) trace.SpanContext {
	if c := parseTraceparent(m.Attribute(AttrTraceparent), m.Attribute(AttrTracestate)); c.IsValid() {
		return c
	}
	return parseXRay(m.TraceHeader)
}

// parseTraceparent reads version-traceid-spanid-flags, in lower-case hex. A later version may have more after that.
func parseTraceparent(parent, state string) trace.SpanContext {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(parent) < length || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' || strings.ToLower(parent) != parent {
		return trace.SpanContext{}
	}
	version, err := hex.DecodeString(parent[:2])
	if err != nil || version[0] == 0xff || version[0] == 0 && len(parent) != length || len(parent) > length && parent[length] != '-' {
		return trace.SpanContext{}
	}
	flags, err := hex.DecodeString(parent[53:length])
	if err != nil {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(flags[0]) & trace.FlagsSampled, Remote: true}
	if c.TraceID, err = trace.TraceIDFromHex(parent[3:35]); err != nil {
		return trace.SpanContext{}
	}
	if c.SpanID, err = trace.SpanIDFromHex(parent[36:52]); err != nil {
		return trace.SpanContext{}
	}
	c.TraceState, _ = trace.ParseTraceState(state) // without it, the rest still identifies the sender
	return trace.NewSpanContext(c)
}

func formatTraceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// parseXRay reads Root=1-{8 hex digits}-{24 hex digits};Parent={16 hex digits};Sampled={0 or 1}, in any order ("AWS X-Ray
// concepts": tracing header).
func parseXRay(header string) trace.SpanContext {
	c := trace.SpanContextConfig{Remote: true}
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			if len(value) == 35 && value[:2] == "1-" && value[10] == '-' {
				c.TraceID, _ = trace.TraceIDFromHex(value[2:10] + value[11:]) // zero, and so invalid, on an error
			}
		case "Parent":
			c.SpanID, _ = trace.SpanIDFromHex(value) // as above
		case "Sampled":
			if value == "1" {
				c.TraceFlags = trace.FlagsSampled
			}
		}
	}
	return trace.NewSpanContext(c)
}
