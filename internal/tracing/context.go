package tracing

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context, as HTTP and gRPC metadata have them.
const (
	ParentHeader = "traceparent"
	StateHeader  = "tracestate"
)

// maxState is the longest tracestate that is carried: what everybody must be able
// to carry, by the standard.
const maxState = 512

// texts is a context as text: it implements propagation.TextMapCarrier.
type texts struct{ parent, state string }

func (t *texts) Get(key string) string {
	switch key {
	case ParentHeader:
		return t.parent
	case StateHeader:
		return t.state
	}
	return ""
}

func (t *texts) Set(key, value string) {
	switch key {
	case ParentHeader:
		t.parent = value
	case StateHeader:
		t.state = value
	}
}

func (t *texts) Keys() []string { return []string{ParentHeader, StateHeader} }

// Parse reads a context. As the standard has it, a parent that cannot be read is
// none (the result is not valid then), and a state that cannot be read is dropped.
func Parse(parent, state string) trace.SpanContext {
	if parent == "" {
		return trace.SpanContext{}
	}
	if len(state) > maxState {
		state = ""
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), &texts{parent, state})
	return trace.SpanContextFromContext(ctx)
}

// Format is the inverse; both texts are empty for a context that is not valid.
func Format(sc trace.SpanContext) (parent, state string) {
	if !sc.IsValid() {
		return "", ""
	}
	var t texts
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), sc), &t)
	return t.parent, t.state
}

// packed is the length of a context in the log: trace, span, flags.
const packed = 16 + 8 + 1

// Pack writes a context as the log keeps it; nil for one that is not valid.
func Pack(sc trace.SpanContext) (parent []byte, state string) {
	if !sc.IsValid() {
		return nil, ""
	}
	t, s := sc.TraceID(), sc.SpanID()
	parent = make([]byte, 0, packed)
	parent = append(parent, t[:]...)
	parent = append(parent, s[:]...)
	return append(parent, byte(sc.TraceFlags())), sc.TraceState().String()
}

// Unpack is the inverse. Bytes of another length, from a version that keeps more,
// are no context.
func Unpack(parent []byte, state string) trace.SpanContext {
	if len(parent) != packed {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{
		TraceID: trace.TraceID(parent[:16]), SpanID: trace.SpanID(parent[16:24]), TraceFlags: trace.TraceFlags(parent[24]), Remote: true,
	}
	if ts, err := trace.ParseTraceState(state); err == nil {
		c.TraceState = ts
	}
	return trace.NewSpanContext(c)
}
