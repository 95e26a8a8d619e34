package client

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/taskraft/taskraft/internal/tracing"
)

// trace has a task that says nothing of a trace belong to the span's.
func (t *Task) trace(span trace.Span) {
	if t.Traceparent == "" {
		t.Traceparent, t.Tracestate = tracing.Format(span.SpanContext())
	}
}

// span begins the span of a submit; nil when nobody traces it. A context that only
// names somebody's trace is passed on as it is.
func (c *Client) span(ctx context.Context) (context.Context, trace.Span) {
	provider := c.tracer
	if provider == nil {
		caller := trace.SpanFromContext(ctx)
		if !caller.SpanContext().IsValid() {
			return ctx, nil
		}
		provider = caller.TracerProvider()
	}
	return provider.Tracer(tracing.Scope).Start(ctx, tracing.SubmitSpan, trace.WithSpanKind(trace.SpanKindProducer))
}

// callSpan is span for a call with several tasks, which its metadata trace.
func (c *Client) callSpan(ctx context.Context) (context.Context, trace.Span) {
	ctx, span := c.span(ctx)
	if span == nil {
		return ctx, nil
	}
	parent, state := tracing.Format(span.SpanContext())
	if parent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, tracing.ParentHeader, parent)
	}
	if state != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, tracing.StateHeader, state)
	}
	return ctx, span
}

// endSpan ends a submit's span with what it brought.
func endSpan(span trace.Span, err error, success ...attribute.KeyValue) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	} else {
		span.SetAttributes(success...)
	}
	span.End()
}
