package rpc

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Tracing makes a master's spans. A nil one makes none: what submitters say of
// their traces goes on to workers as it is.
type Tracing struct{ tracer trace.Tracer }

// NewTracing returns a Tracing whose spans the provider takes. The provider's ids
// must come from tracing.IDs: other masters work the same ones out.
func NewTracing(p trace.TracerProvider) *Tracing { return &Tracing{p.Tracer(tracing.Scope)} }

// place is where in a trace a task belongs, as the log has it.
type place struct {
	parent []byte
	state  string
}

func placeOf(sc trace.SpanContext) place {
	parent, state := tracing.Pack(sc)
	return place{parent, state}
}

// acceptance is the traces of one submit.
type acceptance struct {
	tracer trace.Tracer      // nil: no spans of our own
	from   trace.SpanContext // the call's
	asked  bool
	whole  place // once asked: of tasks that bring no context of their own
	spans  []acceptSpan
}

// acceptSpan is the span of the item'th task, of all of them if that is negative.
type acceptSpan struct {
	trace.Span
	item int
}

// accept begins to follow a submit. Only the leader makes spans: another master
// sends the caller away.
func (s *Server) accept(ctx context.Context) acceptance {
	a := acceptance{from: remoteTrace(ctx)}
	if t := s.cfg.Tracing; t != nil {
		if l, _ := s.node.Leader(); l.Self {
			a.tracer = t.tracer
		}
	}
	return a
}

// remoteTrace is what the call's metadata say.
func remoteTrace(ctx context.Context) trace.SpanContext {
	parent := metadata.ValueFromIncomingContext(ctx, tracing.ParentHeader)
	if len(parent) != 1 { // several are none, by the standard
		return trace.SpanContext{}
	}
	return tracing.Parse(parent[0], strings.Join(metadata.ValueFromIncomingContext(ctx, tracing.StateHeader), ","))
}

// stamp gives the tasks of a call their places, after their contents' digests were
// taken: where a task is traced is no part of what it is.
func (a *acceptance) stamp(in []*taskraftv1.TaskSpec, out []*fsmpb.TaskSpec) {
	for i, spec := range out {
		var at place
		if own := ownTrace(in[i]); own.IsValid() {
			at = a.begin(own, i)
		} else {
			at = a.common(len(out))
		}
		spec.Traceparent, spec.Tracestate = at.parent, at.state
		follow(in[i].GetOnSuccess(), spec.GetOnSuccess(), at)
		follow(in[i].GetOnDead(), spec.GetOnDead(), at)
	}
}

// common is the place of what brings no context of its own.
func (a *acceptance) common(tasks int) place {
	if !a.asked {
		item := -1
		if tasks == 1 {
			item = 0
		}
		a.asked, a.whole = true, a.begin(a.from, item)
	}
	return a.whole
}

// begin begins our span below a context, or a trace if that is not valid.
func (a *acceptance) begin(below trace.SpanContext, item int) place {
	if a.tracer == nil {
		return placeOf(below)
	}
	_, span := a.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), below), tracing.AcceptSpan,
		trace.WithSpanKind(trace.SpanKindServer))
	if !span.SpanContext().IsSampled() {
		return placeOf(below)
	}
	a.spans = append(a.spans, acceptSpan{span, item})
	return placeOf(span.SpanContext())
}

// end ends the spans with what became of the submit.
func (a *acceptance) end(res fsm.Result, err error) {
	for _, s := range a.spans {
		switch {
		case err != nil:
			s.SetStatus(codes.Error, err.Error())
		case s.item >= 0 && s.item < len(res.IDs):
			s.SetAttributes(tracing.Number(tracing.TaskKey, res.IDs[s.item]))
		default:
			s.SetAttributes(tracing.TasksKey.Int(max(len(res.IDs), int(res.Count))))
		}
		if res.Batch != 0 {
			s.SetAttributes(tracing.Number(tracing.BatchKey, res.Batch))
		}
		s.End()
	}
}

// ownTrace is what a task itself says.
func ownTrace(in *taskraftv1.TaskSpec) trace.SpanContext {
	return tracing.Parse(in.GetTraceparent(), in.GetTracestate())
}

// follow gives follow-ups their places: what each says, or else that of what they
// follow.
func follow(in []*taskraftv1.TaskSpec, out []*fsmpb.TaskSpec, after place) {
	for i, spec := range out {
		at := after
		if own := ownTrace(in[i]); own.IsValid() {
			at = placeOf(own)
		}
		spec.Traceparent, spec.Tracestate = at.parent, at.state
	}
}

// origin is the context that a task's spans are children of. What a schedule
// submitted begins a trace of its own, if this master makes spans.
func (t *Tracing) origin(task *fsm.Task) trace.SpanContext {
	switch x := task.Extra; {
	case x == nil:
	case x.Trace != nil:
		return tracing.Unpack(x.Trace.Parent, x.Trace.State)
	case x.Schedule != "" && t != nil:
		return t.fire(task).SpanContext()
	}
	return trace.SpanContext{}
}

// fire begins the first span of a task of a schedule, always with the same ids. One
// that is not ended is as if it had not been.
func (t *Tracing) fire(task *fsm.Task) trace.Span {
	id, span := tracing.Fired(task.ID, task.Extra.Schedule, task.SubmittedAt)
	_, s := t.tracer.Start(tracing.WithIDs(context.Background(), id, span), tracing.FireSpan,
		trace.WithTimestamp(time.Unix(0, task.SubmittedAt)), trace.WithAttributes(taskAttributes(task)...))
	return s
}

// attempt is the context of a running task's attempt, for its worker.
func (t *Tracing) attempt(task *fsm.Task) (parent, state string) {
	at := t.origin(task)
	if t != nil && at.IsSampled() {
		at = at.WithSpanID(tracing.AttemptSpan(at.TraceID(), task.Fence))
	}
	return tracing.Format(at)
}

func taskAttributes(task *fsm.Task) []attribute.KeyValue {
	all := []attribute.KeyValue{
		tracing.Number(tracing.TaskKey, task.ID), tracing.QueueKey.String(task.Queue),
	}
	if task.Kind != "" {
		all = append(all, tracing.KindKey.String(task.Kind))
	}
	x := task.Extra
	if x.Batch != 0 {
		all = append(all, tracing.Number(tracing.BatchKey, x.Batch))
	}
	if x.Follows != 0 {
		all = append(all, tracing.Number(tracing.FollowsKey, x.Follows))
	}
	if x.Schedule != "" {
		all = append(all, tracing.ScheduleKey.String(x.Schedule))
	}
	if x.FireTime != 0 {
		all = append(all, tracing.FireTimeKey.String(time.Unix(0, x.FireTime).UTC().Format(time.RFC3339)))
	}
	return all
}
