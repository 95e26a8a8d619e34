package cli

import (
	"context"
	"log/slog"
	"os"
	"strconv"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/otlp"
	"github.com/taskraft/taskraft/internal/tracing"
)

// tracing starts the export of spans, if the environment asks for it; nil: not.
func (a *app) tracing(ctx context.Context, role, instance string, log *slog.Logger) (*otlp.Provider, error) {
	p, err := otlp.Start(ctx, a.env, otlp.Service{Name: "taskraft-" + role, Instance: instance, Version: a.version}, log)
	if err != nil {
		return nil, fail(exitUsage, "the same without it, or with its right value", "start tracing: %w", err)
	}
	return p, nil
}

// clientTracing is tracing for a command that makes calls.
func (a *app) clientTracing(ctx context.Context) (*otlp.Provider, error) {
	return a.tracing(ctx, "client", strconv.Itoa(os.Getpid()), a.logger())
}

// callerTrace is ctx with the trace that this process was started in: a program
// that a task runs, and submits from, goes on with the task's.
func (a *app) callerTrace(ctx context.Context) context.Context {
	sc := tracing.Parse(a.env("TRACEPARENT"), a.env("TRACESTATE"))
	if !sc.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}
