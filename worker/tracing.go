package worker

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// tracedBy is ctx with the span of an attempt, if the assignment names one.
func tracedBy(ctx context.Context, as *taskraftv1.Assignment) (context.Context, bool) {
	sc := tracing.Parse(as.GetTraceparent(), as.GetTracestate())
	if !sc.IsValid() {
		return ctx, false
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc), true
}

// traced runs one attempt in a span.
func (w *worker) traced(a *attempt) report {
	t := &a.task
	ctx, span := w.tracer.Start(&a.ctx, tracing.RunSpan, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		tracing.Number(tracing.TaskKey, t.ID), tracing.QueueKey.String(t.Queue),
		tracing.AttemptKey.Int(t.Attempt), tracing.Number(tracing.FenceKey, t.Fence), tracing.WorkerKey.String(t.Worker),
	))
	if t.Kind != "" {
		span.SetAttributes(tracing.KindKey.String(t.Kind))
	}
	defer span.End() // also when the handler ends its goroutine
	r := w.handle(ctx, a)
	span.SetAttributes(tracing.ReportKey.String(string(r.verb())))
	if r.fail != nil {
		span.SetStatus(codes.Error, r.fail.GetError())
	}
	return r
}

// continued has follow-ups that say nothing of a trace go on with that of ctx.
func continued(ctx context.Context, specs []*taskraftv1.TaskSpec) []*taskraftv1.TaskSpec {
	parent, state := tracing.Format(trace.SpanContextFromContext(ctx))
	if parent == "" || len(specs) == 0 {
		return specs
	}
	out := make([]*taskraftv1.TaskSpec, len(specs))
	for i, spec := range specs {
		if spec.GetTraceparent() == "" {
			spec = proto.CloneOf(spec)
			spec.Traceparent, spec.Tracestate = parent, state
		}
		out[i] = spec
	}
	return out
}
