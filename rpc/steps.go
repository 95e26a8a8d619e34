package rpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/internal/tracing"
)

// Step turns a change of a traced task into the spans that end with it: it is
// cluster.Config.Steps. Everything is in the change itself, so a leader tells the
// end of what another one saw begin.
func (t *Tracing) Step(s cluster.Step) {
	from := t.origin(s.Task)
	if !from.IsSampled() {
		return
	}
	switch s.Kind {
	case fsm.TaskSubmitted:
		if s.Task.Extra.Trace == nil {
			t.fire(s.Task).End(at(s.Task.SubmittedAt))
		}
	case fsm.TaskAssigned:
		if s.Cause == fsm.CauseNone { // else a lost attempt was taken back
			t.waited(from, s.Task)
		}
	default:
		if e := endedBy(s); e != nil {
			t.attempted(from, s, e)
		}
	}
}

func at(ns int64) trace.SpanEventOption { return trace.WithTimestamp(time.Unix(0, ns)) }

// waited is the time from the submit, or the end of the attempt before, to the
// assignment.
func (t *Tracing) waited(from trace.SpanContext, task *fsm.Task) {
	since := task.SubmittedAt
	if n := len(task.Ended); n > 0 && task.Attempts > 1 {
		since = task.Ended[n-1].At
	} else if task.Generation > 1 {
		since = task.EligibleAt
	}
	attrs := append(taskAttributes(task), tracing.AttemptKey.Int(int(task.Attempts)))
	_, span := t.tracer.Start(below(from), tracing.WaitSpan, at(since), trace.WithAttributes(attrs...))
	if task.EligibleAt > since {
		span.AddEvent("eligible", at(task.EligibleAt))
	}
	span.End(at(task.StartedAt))
}

func below(sc trace.SpanContext) context.Context {
	return trace.ContextWithRemoteSpanContext(context.Background(), sc)
}

// endedBy returns the attempt whose fence became void by a step, nil if none did. A
// lost attempt that may still be redeemed has not ended: that is told by the step
// that redeems or voids it.
func endedBy(s cluster.Step) *fsm.Ended {
	n := len(s.Task.Ended)
	if s.Fence == 0 || n == 0 || s.Task.Ended[n-1].Fence != s.Fence {
		return nil
	}
	e := &s.Task.Ended[n-1]
	lost := s.Task.Redeemable && s.Task.Fence == s.Fence
	switch s.Kind {
	case fsm.AttemptVoid:
		if lost {
			return e
		}
	case fsm.TaskReady, fsm.TaskScheduled, fsm.TaskFinished:
		if !lost && e.Cause == s.Cause { // else it ended before
			return e
		}
	}
	return nil
}

// attempted is an attempt from its assignment to its end.
func (t *Tracing) attempted(from trace.SpanContext, s cluster.Step, e *fsm.Ended) {
	attrs := append(taskAttributes(s.Task),
		tracing.AttemptKey.Int(int(s.Task.Attempts)), tracing.Number(tracing.FenceKey, e.Fence), tracing.WorkerKey.String(e.Worker),
		tracing.CauseKey.String(causes[e.Cause]))
	if s.Kind != fsm.AttemptVoid {
		attrs = append(attrs, tracing.StateKey.String(s.Task.State.String()))
	}
	ctx := tracing.WithIDs(below(from), from.TraceID(), tracing.AttemptSpan(from.TraceID(), e.Fence))
	_, span := t.tracer.Start(ctx, tracing.AttemptSpanName, at(e.StartedAt), trace.WithAttributes(attrs...))
	switch e.Cause {
	case fsm.CauseCompleted, fsm.CauseSnoozed, fsm.CauseReleased, fsm.CauseCancelled:
	default:
		span.SetStatus(codes.Error, description(e))
	}
	span.End(at(e.At))
}

// description is why an attempt was no success.
func description(e *fsm.Ended) string {
	if e.Error != "" {
		return e.Error
	}
	return causes[e.Cause]
}
